#!/usr/bin/env bash
# Measures what an event costs on its way, and prints a table for docs/performance.md.
#
# usage: scripts/bench.sh [PART..] [--against FOLDER|REVISION]
#        scripts/bench.sh --help
#
#   ingest    HTTP batches of 500 events to durable frames
#   texts     how long plain events wait beside texts that are hard to count
#   counting  the embedded log to committed counters, with consumers and without
#   page      building the page of 1,000, 10,000 and 100,000 series
#   start     a start with 10,000,000 ids in the dedup set: time until all are known, memory of each
#   cluster   a stack of its own with Kafka and MariaDB: the log to committed counters; a raw topic
#             with one event a message and with 500, beside librdkafka that only reads it and a
#             peer in Go that counts it (benches/peers/go; needs Go, is left out without)
#   api       answers of the API: kept ones at 1,000 requests a second; a month of 200 namespaces;
#             the largest consumers of a million rows while events come in. Takes 3 minutes and runs
#             only if it is named
#   gateway   what the gateway adds to a request, with --against beside the gateway of another
#             folder or git revision; takes 12 minutes and runs only if it is named
#
# Without a part all others run, which takes about 6 minutes on 2 cores once all is built. Lines are
# CPU time; those of texts and gateway are time, those of start time and memory. Each stands beside
# a baseline of the same run: compare the ratios, not the figures of two machines. A ratio is the
# median of three rounds, in each of which both sides are measured in turn. At the end stands every
# target with the measured value, the goal, the final goal, and whether each is reached. Let nothing
# else run.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

parts=() with_gateway=no against=""
while [ $# -gt 0 ]; do
  case "$1" in
    ingest | texts | counting | page | start | cluster | api) parts+=("$1") ;;
    gateway) with_gateway=yes ;;
    --against)
      [ $# -ge 2 ] || fail "--against wants a folder or a git revision"
      against=$2
      shift
      ;;
    -h | --help)
      sed -n '2,26s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "unknown part '$1': see scripts/bench.sh --help" ;;
  esac
  shift
done
[ "${#parts[@]}" -gt 0 ] || [ "$with_gateway" = yes ] ||
  parts=(ingest texts counting page start cluster)
[ -z "$against" ] || [ "$with_gateway" = yes ] || fail "--against is for the part gateway"
target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")

# Builds the peer in Go, or says in $GATEMETER_PEER_MISSING why there is none. It never fetches
# another Go: GOTOOLCHAIN=local.
build_peer() {
  local folder=benches/peers/go want have
  want=$(sed -n 's/^go //p' "$folder/go.mod")
  have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
  if [ "$(printf '%s\n' "$want" "${have:-0}" | sort -V | head -n 1)" != "$want" ]; then
    export GATEMETER_PEER_MISSING="Go ${want%.0} or newer is needed"
  elif (cd "$folder" && GOTOOLCHAIN=local go build -buildvcs=false -o "$target/bench-peer" .); then
    export GATEMETER_PEER="$target/bench-peer"
  else
    export GATEMETER_PEER_MISSING="the peer could not be built"
  fi
}

need_rust
say "building"
cargo build --locked --release --bench pipeline --bin gatemeter 2>&1 | tail -n 1
case " ${parts[*]} " in *" cluster "*) build_peer ;; esac
GATEMETER_PROGRAM="$target/release/gatemeter"
export GATEMETER_PROGRAM
processor=$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ //')
say "$processor, $(nproc) cores, $(rustc --version)"
if [ "$with_gateway" = yes ]; then
  say "what the gateway adds, microseconds, medians of 11 rounds of wrk"
  scripts/bench-gateway.sh "$GATEMETER_PROGRAM" "$against"
  echo
fi
if [ "${#parts[@]}" -gt 0 ]; then
  cargo bench --locked --quiet --bench pipeline -- "${parts[@]}"
fi
