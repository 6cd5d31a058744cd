#!/usr/bin/env bash
# Reads the dashboards in monitoring/grafana by the schema that Grafana publishes.
#
# usage: scripts/dashboard-test.sh [--help]
#
# The schema is a Go module that tests/dashboards/go.mod names. A Go older than 1.21 is not used;
# without a newer one, Go is installed from PyPI, in a folder below the cache (GATEMETER_CACHE). The
# first time compiling the schema takes half a minute, afterwards the test takes a second or two.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/dashboard-test.sh --help" ;;
esac

need_go 21
# What go.mod and go.sum name is what is built, by the Go that was found.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
cd tests/dashboards
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || fail "gofmt would change $unformatted"
go vet .
go test -count=1 . || fail "a dashboard is not what Grafana's schema says: see above"
