#!/usr/bin/env bash
# Measures what the gateway adds to a request: wrk asks a mock upstream directly and through the
# gateway in turn, and the medians are compared. Part of scripts/bench.sh.
#
# usage: scripts/bench-gateway.sh PROGRAM
#
# PROGRAM is a built gatemeter, whose ingest takes the events. Mock, gateway and ingest run on this
# machine beside wrk, so that with many connections they take each other's cores.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
program=${1:?usage: scripts/bench-gateway.sh PROGRAM}
seconds=4 rounds=3

need_nginx
install_packages wrk wrk
folder=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do stop "$pid" || true; done
  rm -rf "$folder"
}
trap finish EXIT

# answers PORT PID NAME: waits for a service.
answers() {
  wait_for 30 "$3" "$2" curl --noproxy '*' -sf "http://127.0.0.1:$1/healthz"
}

ingest=$(free_port 26000)
"$program" all --dev --data "$folder/data" --ingest-listen "127.0.0.1:$ingest" \
  --api-listen "127.0.0.1:$(free_port 26100)" --aggregator-listen "127.0.0.1:$(free_port 26200)" \
  2>"$folder/log" &
pids+=($!)
answers "$ingest" $! ingest

upstream=$(free_port 26300)
user=$(id -un)
command=$(GATEWAY_LISTEN="127.0.0.1:$upstream" GATEWAY_USER="$user" \
  gateway/render.sh mock "$folder/mock")
$command 2>/dev/null &
pids+=($!)
answers "$upstream" $! mock

gateway=$(free_port 26400)
command=$(GATEWAY_LISTEN="127.0.0.1:$gateway" GATEWAY_UPSTREAM="http://127.0.0.1:$upstream" \
  GATEWAY_INGEST="http://127.0.0.1:$ingest" GATEWAY_USER="$user" \
  gateway/render.sh gateway "$folder/gateway")
$command 2>/dev/null &
pids+=($!)
answers "$gateway" $! gateway

# median PORT CONNECTIONS PAUSE STREAM: the median of the medians of some rounds, in microseconds.
# Each connection waits PAUSE ms between an answer and its next request.
median() {
  local round pause=""
  [ "$3" = 0 ] || pause="function delay() return $3 end"
  cat >"$folder/load.lua" <<LUA
wrk.method = "POST"
wrk.headers["X-Namespace"] = "bench"
wrk.headers["X-Mock-Plain"] = "1"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"gpt-4o","stream":$4,"messages":[]}'
$pause
LUA
  for round in $(seq "$rounds"); do
    wrk -t1 -c"$2" -d"${seconds}s" --latency -s "$folder/load.lua" \
      "http://127.0.0.1:$1/v1/chat/completions" |
      awk '$1 == "50%" { t = $2; n = t + 0
        if (t ~ /us$/) print n; else if (t ~ /ms$/) print n * 1000; else print n * 1000000 }'
  done | sort -n | sed -n "$(((rounds + 1) / 2))p"
}

printf '| connections | pause, ms | stream | direct, us | through the gateway, us | added, us |\n'
printf '|---|---|---|---|---|---|\n'
for load in "1 0" "16 20" "16 0"; do
  read -r connections pause <<<"$load"
  for stream in false true; do
    direct=$(median "$upstream" "$connections" "$pause" "$stream")
    through=$(median "$gateway" "$connections" "$pause" "$stream")
    added=$(awk "BEGIN { print $through - $direct }")
    printf '| %s | %s | %s | %s | %s | %s |\n' \
      "$connections" "$pause" "$stream" "$direct" "$through" "$added"
  done
done
