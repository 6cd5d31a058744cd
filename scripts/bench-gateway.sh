#!/usr/bin/env bash
# Measures what the gateway adds to a request: wrk asks a mock upstream directly and through the
# gateway in turn, and the median and the 99th of 100 of each round are compared. Shown are medians
# of the differences within a round, each with the interval that has it with 95 %: a machine that is
# slower for a while is so for all that is measured in a round. Part of scripts/bench.sh.
#
# usage: scripts/bench-gateway.sh PROGRAM [FOLDER|REVISION]
#
# PROGRAM is a built gatemeter, whose ingest takes the events. With a folder that has another
# gateway/, or a git revision, that one is measured as well ("before"), in turn with this one.
# Mock, gateways and ingest run on this machine beside wrk and take each other's cores.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh
program=${1:?usage: scripts/bench-gateway.sh PROGRAM [FOLDER|REVISION]}
against=${2:-}
# One round is not to be trusted on a machine that does other things as well.
rounds=11

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

user=$(id -un)
# start_nginx gateway|mock NAME PORT SOURCES: an nginx by the render.sh of these sources.
start_nginx() {
  local command
  command=$(GATEWAY_LISTEN="127.0.0.1:$3" GATEWAY_UPSTREAM="http://127.0.0.1:$upstream" \
    GATEWAY_INGEST="http://127.0.0.1:$ingest" GATEWAY_NAME="$2" GATEWAY_USER="$user" \
    "$4/render.sh" "$1" "$folder/$2")
  $command 2>/dev/null &
  pids+=($!)
  answers "$3" $! "$2"
}

ingest=$(free_port 26000)
"$program" all --dev --data "$folder/data" --ingest-listen "127.0.0.1:$ingest" \
  --api-listen "127.0.0.1:$(free_port 26100)" --aggregator-listen "127.0.0.1:$(free_port 26200)" \
  2>"$folder/log" &
pids+=($!)
answers "$ingest" $! ingest

upstream=$(free_port 26300)
start_nginx mock mock "$upstream" gateway
declare -A port=([direct]=$upstream)
port[now]=$(free_port 26400)
start_nginx gateway now "${port[now]}" gateway
ways=(direct now)
if [ -n "$against" ]; then
  sources=$against/gateway
  if [ ! -d "$sources" ]; then
    mkdir "$folder/sources"
    git archive "$against" gateway | tar -x -C "$folder/sources" ||
      fail "'$against' is neither a folder with gateway/ nor a git revision"
    sources=$folder/sources/gateway
  fi
  port[before]=$(free_port 26500)
  start_nginx gateway before "${port[before]}" "$sources"
  ways=(direct before now)
fi

# measure WAY CONNECTIONS SECONDS: `median p99` in microseconds of the load in load.lua.
measure() {
  wrk -t1 -c"$2" -d"$3s" --latency -s "$folder/load.lua" \
    "http://127.0.0.1:${port[$1]}/v1/chat/completions" |
    awk '$1 == "50%" || $1 == "99%" { t = $2; n = t + 0
      printf "%d ", t ~ /us$/ ? n : t ~ /ms$/ ? n * 1000 : n * 1000000 }'
}

# middle COLUMN FILE: the median of a column.
middle() {
  cut -d ' ' -f "$1" "$2" | sort -n | sed -n "$(((rounds + 1) / 2))p"
}

# difference WAY OTHER COLUMN: by how much a way is slower than another: the median over the rounds,
# and the ranks between which the true one lies with 95 %.
difference() {
  paste -d ' ' "$folder/$1.times" "$folder/$2.times" |
    awk -v column="$3" '{ print $column - $(column + 2) }' | sort -n |
    awk '{ value[NR] = $1 }
      END {
        rank = int((NR - 1.96 * sqrt(NR)) / 2)
        if (rank < 1) rank = 1
        printf "%d (%d to %d)", value[int((NR + 1) / 2)], value[rank], value[NR + 1 - rank]
      }'
}

# compare CONNECTIONS SECONDS TEXT: all ways in turn, each round in another order, and a line of
# the table.
compare() {
  local round way i column
  for way in "${ways[@]}"; do : >"$folder/$way.times"; done
  for round in $(seq "$rounds"); do
    for i in "${!ways[@]}"; do
      way=${ways[(i + round) % ${#ways[@]}]}
      measure "$way" "$1" "$2" >>"$folder/$way.times"
      echo >>"$folder/$way.times"
    done
  done
  printf '| %s | %s' "$1" "$3"
  for column in 1 2; do printf ' | %s' "$(middle "$column" "$folder/direct.times")"; done
  for column in 1 2; do printf ' | %s' "$(difference now direct "$column")"; done
  if [ -n "$against" ]; then
    for column in 1 2; do printf ' | %s' "$(difference now before "$column")"; done
  fi
  printf ' |\n'
}

# load PAUSE STREAM HEADERS: each connection waits PAUSE ms between an answer and its next request.
load() {
  cat >"$folder/load.lua" <<LUA
wrk.method = "POST"
wrk.headers["X-Namespace"] = "bench"
wrk.headers["X-Mock-Plain"] = "1"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"gpt-4o","stream":$2,"messages":[]}'
$3
LUA
  [ "$1" = 0 ] || printf 'function delay() return %s end\n' "$1" >>"$folder/load.lua"
}

heading='| connections | load | mock, median | mock, p99 | added, median | added, p99'
rule='|---|---|---|---|---|---'
if [ -n "$against" ]; then
  heading="$heading | now - before, median | now - before, p99"
  rule="$rule|---|---"
fi
printf '%s |\n%s|\n' "$heading" "$rule"
for connections in 1 16 64; do
  for stream in false true; do
    load 20 "$stream" ""
    # One connection makes few requests, and p99 wants many.
    seconds=$([ "$connections" = 1 ] && echo 4 || echo 2)
    compare "$connections" "$seconds" "pauses of 20 ms$([ $stream = false ] || echo ', streams')"
  done
done
load 0 false ""
compare 1 2 "no pauses"
for filling in numbers text; do
  load 0 false "wrk.headers[\"X-Mock-Bytes\"] = \"3000000\"
wrk.headers[\"X-Mock-Filling\"] = \"$filling\""
  compare 1 2 "answers of 3 MB, $filling"
done
