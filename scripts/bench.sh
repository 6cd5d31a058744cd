#!/usr/bin/env bash
# Measures what an event costs on its way, and prints a table for docs/performance.md.
#
# usage: scripts/bench.sh [ingest|texts|counting|page|cluster|gateway].. [--against FOLDER|REVISION]
#        scripts/bench.sh --help
#
# Every line but those of texts is CPU time; each stands beside a baseline of the same run: compare
# the ratios, not the figures of two machines. The part texts measures how long plain events wait
# beside texts that are hard to count; cluster starts a stack of its own with Kafka and MariaDB;
# gateway measures what the gateway adds to a request, with --against beside the gateway of another
# folder or git revision. Takes some minutes; let nothing else run.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

parts=() with_gateway=no against=""
while [ $# -gt 0 ]; do
  case "$1" in
    ingest | texts | counting | page | cluster) parts+=("$1") ;;
    gateway) with_gateway=yes ;;
    --against)
      [ $# -ge 2 ] || fail "--against wants a folder or a git revision"
      against=$2
      shift
      ;;
    -h | --help)
      sed -n '2,11s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "unknown part '$1': see scripts/bench.sh --help" ;;
  esac
  shift
done
all=no
[ "${#parts[@]}" -gt 0 ] || [ "$with_gateway" = yes ] || all=yes with_gateway=yes
[ -z "$against" ] || [ "$with_gateway" = yes ] || fail "--against is for the part gateway"

need_rust
say "building"
cargo build --locked --release --bench pipeline --bin gatemeter 2>&1 | tail -n 1
GATEMETER_PROGRAM="${CARGO_TARGET_DIR:-$PWD/target}/release/gatemeter"
export GATEMETER_PROGRAM
processor=$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ //')
say "$processor, $(nproc) cores, $(rustc --version)"
if [ "$all" = yes ] || [ "${#parts[@]}" -gt 0 ]; then
  cargo bench --locked --quiet --bench pipeline -- "${parts[@]}"
fi
if [ "$with_gateway" = yes ]; then
  say "what the gateway adds, microseconds, medians of five rounds of wrk"
  scripts/bench-gateway.sh "$GATEMETER_PROGRAM" "$against"
fi
