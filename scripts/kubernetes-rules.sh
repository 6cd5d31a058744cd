#!/usr/bin/env bash
# Writes the rules of monitoring/rules as objects for the operator of Prometheus.
#
# usage: scripts/kubernetes-rules.sh [DIR] [--help]
#
# They go to DIR, by default deploy/kubernetes/monitoring. Run it after a change of a rule, and
# commit what it writes: scripts/kubernetes-test.sh fails if the two differ.
set -euo pipefail
unset CDPATH
here=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$here/scripts/lib.sh"

case "${1:-}" in
  -h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*) fail "unknown option '$1': see scripts/kubernetes-rules.sh --help" ;;
esac
target=${1:-$here/deploy/kubernetes/monitoring}

for name in alerts recording; do
  {
    printf '%s\n' \
      "# Made from monitoring/rules/$name.yml by scripts/kubernetes-rules.sh: change that file." \
      "apiVersion: monitoring.coreos.com/v1" \
      "kind: PrometheusRule" \
      "metadata:" \
      "  name: gatemeter-$name" \
      "spec:"
    # Everything two columns to the right, except empty lines.
    sed 's/^./  &/' "$here/monitoring/rules/$name.yml"
  } >"$target/rules-$name.yaml"
done
