#!/usr/bin/env bash
# Builds Gatemeter, starts it, replays a real public trace and shows that every view agrees.
#
# usage: scripts/quickstart.sh [--once] [--help]
#
#   --once   use a fresh data directory and free ports, stop again at the end, and exit 0 only if
#            the totals that were sent, /metrics, the API and a recount of the log all agree
#
# Without --once the data stays in ./gatemeter-data and the page stays open at
# http://localhost:8001 until you press Ctrl-C. Safe to run again.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

once=no
case "${1:-}" in
  "") ;;
  --once) once=yes ;;
  -h | --help)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/quickstart.sh --help" ;;
esac

need_rust
if [ -x "${CARGO_TARGET_DIR:-target}/release/gatemeter" ]; then
  say "building what has changed"
else
  say "building about 300 packages, which takes 5 to 7 minutes on 2 cores; cargo names each"
fi
cargo build --locked --release --bin gatemeter
gatemeter="${CARGO_TARGET_DIR:-target}/release/gatemeter"

work=$(mktemp -d)
log="$work/gatemeter.log"
pid=""
# Stops the server. If anything went wrong, its log and data are kept and the end of the log shown.
finish() {
  local code=$?
  if [ -n "$pid" ]; then
    stop "$pid" || true
  fi
  if [ "$code" -ne 0 ] && [ "$code" -ne 130 ] && [ -s "$log" ]; then
    printf '\nthe last lines of the log of Gatemeter (all of it: %s):\n' "$log" >&2
    tail -n 20 "$log" >&2
  else
    rm -rf "$work"
  fi
}
trap finish EXIT
trap 'exit 130' INT TERM

data=./gatemeter-data
api=8001 aggregator=8002 ingest=8003
if [ "$once" = yes ]; then
  data="$work/data"
  api=$(free_port 8001)
  aggregator=$(free_port $((api + 1)))
  ingest=$(free_port $((aggregator + 1)))
else
  for port in $api $aggregator $ingest; do
    if port_is_taken "$port"; then
      fail "port $port is taken: is Gatemeter running already? Stop it, or use --once"
    fi
  done
fi

say "starting gatemeter all --dev on $data (log: $log)"
"$gatemeter" all --dev --data "$data" --api-listen "127.0.0.1:$api" \
  --aggregator-listen "127.0.0.1:$aggregator" --ingest-listen "127.0.0.1:$ingest" \
  2>"$log" &
pid=$!
ready() {
  local port
  for port in "$api" "$aggregator" "$ingest"; do
    # A proxy of the environment does not lead to this machine.
    curl --noproxy '*' -sf "http://127.0.0.1:$port/readyz" || return 1
  done
}
wait_for 60 Gatemeter "$pid" ready

recount() {
  "$gatemeter" recount --data "$data" --metrics "http://127.0.0.1:$aggregator/metrics" \
    --api "http://127.0.0.1:$api" "$@"
}
say "counting what is there already"
compared=0
recount --json >"$work/before.json" || compared=$?
fresh="to go on with a fresh folder, move $data away or use --once"
case $compared in
  0) ;;
  1)
    recount || true
    fail "what is in $data already does not agree, see above: please report it; $fresh"
    ;;
  *) fail "what is in $data already could not be compared, see above; $fresh" ;;
esac

say "replaying the Azure LLM inference trace 2023 (CC-BY 4.0): 28,185 requests"
"$gatemeter" replay azure:data/azure-llm-trace/AzureLLMInferenceTrace_code.csv.gz \
  azure:data/azure-llm-trace/AzureLLMInferenceTrace_conv.csv.gz \
  --to "http://127.0.0.1:$ingest" --json >"$work/sent.json" ||
  fail "the replay did not complete, or some verdict was not the expected one: see above"

say "what was sent, beside what the log, the ledger, /metrics and the API report"
recount --sent "$work/sent.json" --before "$work/before.json" ||
  fail "the totals do not agree: see above"

if [ "$once" = yes ]; then
  say "all agree; stopping"
  stop "$pid" || fail "Gatemeter did not stop within 15 s"
  pid=""
  exit 0
fi
say "all agree. The page is open at http://localhost:$api (Ctrl-C stops Gatemeter)"
code=0
wait "$pid" || code=$?
pid=""
fail "Gatemeter ended by itself with exit code $code, the page is closed"
