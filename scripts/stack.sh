#!/usr/bin/env bash
# The stack as plain processes: Kafka, MariaDB, Redis, the roles, gateway, front end, Prometheus.
#
# usage: scripts/stack.sh up [--aggregators N] [--brokers N] [--offset N] [--dir D]
#        scripts/stack.sh status [--json] [--offset N] [--dir D]
#        scripts/stack.sh start SERVICE [--offset N] [--dir D]
#        scripts/stack.sh logs [SERVICE] [--offset N] [--dir D]
#        scripts/stack.sh down [--volumes] [--offset N] [--dir D]
#
#   up      installs what is missing, builds, starts what does not run yet, and returns when every
#           service is healthy. --offset N adds N to each port, so that two stacks can run.
#           Behind the gateway is a mock of an OpenAI-compatible upstream, for trials without a
#           key, unless GATEWAY_UPSTREAM names a real one, such as https://api.openai.com.
#           --aggregators N has N processes share the counting, 1 to 6, as there are 6 partitions: a
#           later up with another number starts or stops the difference. --brokers 3 runs three
#           brokers of Kafka with three copies, two of which must have what is acknowledged
#           (min.insync.replicas 2); a stack keeps the number it was made with
#   status  name, process id, port and health of each service; --json for programs. Exits 1 if
#           one is not healthy
#   start   starts one service that has ended, such as kafka-2, as the last up would have, and
#           returns at once
#   logs    the last lines of each service, or all of one
#   down    stops every service by its process id, the last started first, an up that is under way
#           and whatever one left behind; --volumes also deletes the folder with all data
#
# Data, logs and process ids are in D: ./gatemeter-stack, or ./gatemeter-stack-N for an offset N
# other than 0. Once up, a stack keeps its offset and its numbers of aggregators and brokers, and
# a later up need not name them. Ports: frontend 3000, api 8001, aggregator 8002, aggregator-2 to
# aggregator-6 8012 to 8016, ingest 8003, gateway 8080, upstream (the mock) 8091, mysql 3307, redis
# 6379, kafka 9092 and 9093, kafka-2 9094 and 9095, kafka-3 9096 and 9097, prometheus 9090; no two
# are a multiple of 100 apart, so that stacks whose offsets are can run together. For one machine
# and for trials: no key is asked for, one copy of what is not in Kafka. A new stack has the
# namespace wechat, id 1. With GATEMETER_PROGRAM, a program that is built already, no Rust is
# needed. Safe to run again, from any folder.
set -euo pipefail
here=$(unset CDPATH && cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$here/scripts/lib.sh"
. "$here/scripts/stack-services.sh"
# Servers are there, which is no part of everybody's path.
PATH="$PATH:/usr/sbin"

usage() { sed -n '2,34s/^# \{0,1\}//p' "$0"; }

command=${1:-}
[ $# -gt 0 ] && shift
dir="" offset="" aggregators="" brokers="" json=no volumes=no service=""
while [ $# -gt 0 ]; do
  case "$command $1" in
    *" --dir") dir=${2:?--dir needs a folder} && shift ;;
    "up --offset" | "status --offset" | "start --offset" | "logs --offset" | "down --offset")
      offset=${2:?--offset needs a number} && shift
      ;;
    "up --aggregators") aggregators=${2:?--aggregators needs a number} && shift ;;
    "up --brokers") brokers=${2:?--brokers needs a number} && shift ;;
    "status --json") json=yes ;;
    "down --volumes") volumes=yes ;;
    logs\ [a-z]* | start\ [a-z]*) service=$1 ;;
    *) fail "unknown option '$1' of '$command': see scripts/stack.sh --help" ;;
  esac
  shift
done
offset_max=$((65535 - port_max))
case "$offset" in
  *[!0-9]* | ??????*) fail "--offset must be a whole number up to $offset_max, not '$offset'" ;;
  ?*) offset=$((10#$offset)) ;;
esac
[ "${offset:-0}" -le "$offset_max" ] ||
  fail "--offset must be a whole number up to $offset_max, not '$offset'"
case "$aggregators" in
  "" | [1-$partitions]) ;;
  *)
    fail "--aggregators must be a whole number from 1 to $partitions, the number of partitions" \
      "that they share, not '$aggregators'"
    ;;
esac
case "$brokers" in
  "" | 1 | 3) ;;
  *) fail "--brokers must be 1 or 3, not '$brokers': two are no majority once one is lost" ;;
esac

marker=gatemeter-stack.offset
upstream_marker=gatemeter-stack.upstream
aggregators_marker=gatemeter-stack.aggregators
brokers_marker=gatemeter-stack.brokers
# What a stack keeps in its folder.
own="run logs mysql redis gatemeter kafka kafka-2 kafka-3 prometheus gateway upstream frontend
  prometheus.yml gatemeter.toml mysql.password mysql.laying-out $marker $upstream_marker
  $aggregators_marker $brokers_marker lost+found"

# offset_of DIR: the offset of the stack in a folder, or nothing.
offset_of() { cat -- "$1/$marker" 2>/dev/null || true; }

# noted MARKER: a number that the stack keeps, by default 1.
noted() { cat -- "$dir/$1" 2>/dev/null || echo 1; }

# Sets what was not asked for as the stack has it, and which services that makes.
settle() {
  aggregators=${aggregators:-$(noted "$aggregators_marker")}
  brokers=${brokers:-$(noted "$brokers_marker")}
  services="$(numbered kafka "$brokers") mysql redis api ingest"
  services="$services $(numbered aggregator "$aggregators") gateway frontend prometheus"
  # The mock is a service of a stack that was given no other upstream.
  [ -e "$dir/$upstream_marker" ] || [ "$command ${GATEWAY_UPSTREAM:+real}" = "up real" ] ||
    services="${services/gateway/upstream gateway}"
}

if [ -z "$dir" ]; then
  dir=./gatemeter-stack
  # A stack of another offset goes beside it, and does not replace it.
  if [ "${offset:-0}" -ne 0 ] && [ "$(offset_of "$dir")" != "$offset" ]; then
    dir=./gatemeter-stack-$offset
  fi
fi

install_all() {
  [ -n "${GATEMETER_PROGRAM:-}" ] || need_rust
  install_packages curl curl ca-certificates
  # The packages without a service: they start none of the system's.
  install_packages mariadbd mariadb-server-core mariadb-client-core
  need_nginx
  prometheus=$("$here/scripts/prometheus.sh" install)
  # The server is in the package of the tools, which starts no service.
  install_packages redis-check-rdb redis-tools
}

# What would only be found out halfway is refused before anything starts or is written.
check() {
  local name other taken="" was
  id -un >/dev/null 2>&1 || fail "user $(id -u) has no name, by which MariaDB knows who may come in"
  plain_path "the folder of the stack (--dir)" "$dir"
  plain_path "the folder of the project" "$here"
  plain_path "the folder of downloads (GATEMETER_CACHE, or .cache/gatemeter at home)" \
    "$(cache_folder)"
  # The path of a socket has at most 107 bytes.
  [ "${#dir}" -le 90 ] || fail "$dir is too long for MariaDB's socket: use a --dir up to 90 letters"
  if [ -n "${GATEMETER_PROGRAM:-}" ]; then
    gatemeter=$(realpath -- "$GATEMETER_PROGRAM") && [ -f "$gatemeter" ] && [ -x "$gatemeter" ] ||
      fail "GATEMETER_PROGRAM is '$GATEMETER_PROGRAM', which is no program"
  fi
  was=$(offset_of "$dir")
  if [ -n "$was" ] && [ -n "$offset" ] && [ "$was" != "$offset" ]; then
    fail "the stack in $dir has offset $was: use that, or another --dir"
  fi
  # Topics that are there have as many copies as they were made with.
  if [ -n "$was" ] && [ "$(noted "$brokers_marker")" != "$brokers" ]; then
    fail "the stack in $dir was made with another number of brokers than $brokers: leave out" \
      "--brokers, or use another --dir"
  fi
  if [ -z "$was" ] && [ -e "$dir" ]; then
    for name in $(ls -A -- "$dir"); do
      case " "$own" " in
        *[[:space:]]"$name"[[:space:]]*) ;;
        *) fail "$dir holds $name, which is no part of a stack: use an empty --dir" ;;
      esac
    done
  fi
  offset=${offset:-${was:-0}}
  for name in $services; do
    pid_of "$name" >/dev/null && continue
    [ -z "$(session "$name")" ] || continue
    for other in "$name" $([[ "$name" != kafka* ]] || echo "$name-controller"); do
      ! port_is_taken "$(port "$other")" || taken="$taken, $(port "$other") ($other)"
    done
  done
  [ -z "$taken" ] || fail "ports are in use by other programs: ${taken#, }. Nothing was started:" \
    "stop what holds them, or use another --offset (1000, 2000 and so on beside a stack at 0)"
}

# Notes that this up is under way, for a down; two at once would start everything twice.
begin() {
  local pid
  if pid=$(pid_of up) && [ "$pid" != $$ ]; then
    fail "another up (process $pid) is under way in $dir: wait for it, or take it down"
  fi
  printf '%s %s\n' $$ "$(began $$)" >"$dir/run/up"
  trap 'rm -f "$dir/run/up"' EXIT
  trap 'printf "\ninterrupted: scripts/stack.sh down --dir %s\n" "$dir" >&2; exit 130' INT TERM
}

# The aggregators that run although fewer are wanted.
surplus() {
  local name
  for name in $(cd "$dir/run" && printf '%s\n' aggregator-*); do
    case "$name" in
      *-[2-9]) [ "$(number "$name")" -le "$aggregators" ] || printf '%s\n' "$name" ;;
    esac
  done
}

up() {
  dir=$(realpath -m -- "$dir")
  settle
  check
  # Everything that is started here carries the mark, and so does this script itself.
  if [ "${GATEMETER_STACK:-}" != "$dir" ]; then
    GATEMETER_STACK="$dir" exec bash "$here/scripts/stack.sh" up --aggregators "$aggregators" \
      --brokers "$brokers" --offset "$offset" --dir "$dir"
  fi
  install_all
  mkdir -p "$dir"
  printf '%s\n' "$brokers" >"$dir/$brokers_marker"
  printf '%s\n' "$offset" >"$dir/$marker"
  mkdir -p "$dir/run" "$dir/logs" "$dir/mysql" "$dir/redis" "$dir/gatemeter"
  begin
  printf '%s\n' "$aggregators" >"$dir/$aggregators_marker"
  [ -z "${GATEWAY_UPSTREAM:-}" ] || printf '%s\n' "$GATEWAY_UPSTREAM" >"$dir/$upstream_marker"
  if [ -z "${GATEMETER_PROGRAM:-}" ]; then
    say "building"
    (cd "$here" && cargo build --locked --release --bin gatemeter)
    gatemeter="${CARGO_TARGET_DIR:-$here/target}/release/gatemeter"
  fi
  write_settings
  local name ran=no starting=()
  ! pid_of prometheus >/dev/null || ran=yes
  # One of three alone has no majority, and would not get ready. The first fetches what is missing.
  start kafka
  for name in $(numbered kafka "$brokers"); do
    start "$name" &
    starting+=($!)
  done
  wait "${starting[@]}" || true
  for name in $services; do
    bring_up "$name"
    case "$name" in
      mysql) prepare_mysql ;;
      api) prepare_api ;;
    esac
  done
  [ "$ran" = no ] || reload_prometheus
  for name in $(surplus); do stop_service "$name"; done
  [ "$brokers" = 1 ] || say "three brokers keep three copies of the log; min.insync.replicas is 2"
  say "every service is healthy; the page is at http://localhost:$(port frontend)"
}

status() {
  local name pid state all=0 comma=""
  [ "$json" = no ] || printf '['
  for name in $services; do
    pid=$(pid_of "$name" || true)
    state=false
    if [ -n "$pid" ] && healthy "$name"; then state=true; else all=1; fi
    if [ "$json" = yes ]; then
      printf '%s{"name":"%s","pid":%s,"port":%s,"healthy":%s}' \
        "$comma" "$name" "${pid:-null}" "$(port "$name")" "$state"
      comma=,
    else
      printf '%-13s pid %-8s port %-6s %s\n' "$name" "${pid:--}" "$(port "$name")" \
        "$([ "$state" = true ] && echo healthy || echo 'not healthy')"
    fi
  done
  [ "$json" = no ] || printf ']\n'
  return $all
}

# Starts one service of a stack that was up. What it needs was installed and written by then.
start_one() {
  [ -n "$service" ] || fail "start needs a service: one of $services"
  case " $services " in
    *" $service "*) ;;
    *) fail "this stack has no service '$service': one of $services" ;;
  esac
  if [ "${GATEMETER_STACK:-}" != "$dir" ]; then
    GATEMETER_STACK="$dir" exec bash "$here/scripts/stack.sh" start "$service" --dir "$dir"
  fi
  gatemeter=${GATEMETER_PROGRAM:-${CARGO_TARGET_DIR:-$here/target}/release/gatemeter}
  prometheus="$(cache_folder)/prometheus"
  start "$service"
}

logs() {
  if [ -n "$service" ]; then
    [ -e "$dir/logs/$service.log" ] || fail "there is no log of '$service': one of $services"
    cat "$dir/logs/$service.log"
    return
  fi
  local name
  for name in $services; do
    say "$name"
    tail -n 10 "$dir/logs/$name.log" 2>/dev/null || true
  done
}

down() {
  local name pid reversed=""
  if pid=$(pid_of up); then
    say "ending an up that is under way"
    stop "$pid" || true
  fi
  for name in $services $(ls "$dir/run" 2>/dev/null); do
    case " $reversed" in *" $name "*) ;; *) reversed="$name $reversed" ;; esac
  done
  for name in $reversed; do
    case "$name" in *.sock | *.new) continue ;; esac
    stop_service "$name"
  done
  # shellcheck disable=SC2046 # process ids
  end $(marked)
  [ "$volumes" = no ] || rm -rf "$dir"
}

case "$command" in
  up) up ;;
  status | start | logs | down)
    was=$(offset_of "$dir")
    if [ -z "$was" ]; then
      [ "$command" = down ] && exit 0
      fail "there is no stack in $dir: scripts/stack.sh up --dir $dir"
    fi
    [ "${offset:-$was}" = "$was" ] || fail "the stack in $dir has offset $was, not $offset"
    dir=$(cd -- "$dir" && pwd -P)
    offset=$was
    settle
    if [ "$command" = start ]; then start_one; else "$command"; fi
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
