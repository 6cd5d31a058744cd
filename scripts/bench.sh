#!/usr/bin/env bash
# Measures what an event costs on its way, and prints a table for docs/performance.md.
#
# usage: scripts/bench.sh [ingest|counting|page|cluster].. [--help]
#
# Every line is CPU time beside a baseline of the same run: compare the ratios, not the figures of
# two machines. The part cluster starts a stack of its own with Kafka and MariaDB. Takes some
# minutes; let nothing else run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

for part in "$@"; do
  case "$part" in
    ingest | counting | page | cluster) ;;
    -h | --help)
      sed -n '2,8s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "unknown part '$part': see scripts/bench.sh --help" ;;
  esac
done

need_rust
say "building"
cargo build --locked --release --bench pipeline --bin gatemeter 2>&1 | tail -n 1
GATEMETER_PROGRAM="${CARGO_TARGET_DIR:-$PWD/target}/release/gatemeter"
export GATEMETER_PROGRAM
processor=$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ //')
say "$processor, $(nproc) cores, $(rustc --version)"
cargo bench --locked --quiet --bench pipeline -- "$@"
