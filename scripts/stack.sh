#!/usr/bin/env bash
# The stack as plain processes: Kafka, MariaDB, Redis, the roles, gateway, front end, Prometheus.
#
# usage: scripts/stack.sh up [--offset N] [--dir D]
#        scripts/stack.sh status [--json] [--offset N] [--dir D]
#        scripts/stack.sh logs [SERVICE] [--offset N] [--dir D]
#        scripts/stack.sh down [--volumes] [--offset N] [--dir D]
#
#   up      installs what is missing, builds, starts what does not run yet, and returns when every
#           service is healthy. --offset N adds N to each port, so that two stacks can run.
#           Behind the gateway is a mock of an OpenAI-compatible upstream, for trials without a
#           key, unless GATEWAY_UPSTREAM names a real one, such as https://api.openai.com
#   status  name, process id, port and health of each service; --json for programs. Exits 1 if
#           one is not healthy
#   logs    the last lines of each service, or all of one
#   down    stops every service by its process id, the last started first, an up that is under way
#           and whatever one left behind; --volumes also deletes the folder with all data
#
# Data, logs and process ids are in D: ./gatemeter-stack, or ./gatemeter-stack-N for an offset N
# other than 0. Once up, a stack keeps its offset. Ports: frontend 3000, api 8001, aggregator 8002,
# ingest 8003, gateway 8080, upstream (the mock) 8091, mysql 3307, redis 6379, kafka 9092 and 9093,
# prometheus 9090; no two are a multiple of 100 apart, so that stacks whose offsets are can run
# together. For one machine and for trials: no key is asked for, one copy of everything. A new stack
# has the namespace wechat, id 1. With GATEMETER_PROGRAM, a program that is built already, no Rust
# is needed. Safe to run again, from any folder.
set -euo pipefail
here=$(unset CDPATH && cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$here/scripts/lib.sh"
# Servers are there, which is no part of everybody's path.
PATH="$PATH:/usr/sbin"
services="kafka mysql redis api ingest aggregator gateway frontend prometheus"

usage() { sed -n '2,25s/^# \{0,1\}//p' "$0"; }

command=${1:-}
[ $# -gt 0 ] && shift
dir="" offset="" json=no volumes=no service=""
while [ $# -gt 0 ]; do
  case "$command $1" in
    *" --dir") dir=${2:?--dir needs a folder} && shift ;;
    "up --offset" | "status --offset" | "logs --offset" | "down --offset")
      offset=${2:?--offset needs a number} && shift
      ;;
    "status --json") json=yes ;;
    "down --volumes") volumes=yes ;;
    logs\ [a-z]*) service=$1 ;;
    *) fail "unknown option '$1' of '$command': see scripts/stack.sh --help" ;;
  esac
  shift
done
# The highest port is 65535.
offset_max=$((65535 - 9093))
case "$offset" in
  *[!0-9]* | ??????*) fail "--offset must be a whole number up to $offset_max, not '$offset'" ;;
  ?*) offset=$((10#$offset)) ;;
esac
[ "${offset:-0}" -le "$offset_max" ] ||
  fail "--offset must be a whole number up to $offset_max, not '$offset'"

marker=gatemeter-stack.offset
upstream_marker=gatemeter-stack.upstream
# What a stack keeps in its folder.
own="run logs mysql redis gatemeter kafka prometheus gateway upstream frontend prometheus.yml
  gatemeter.toml mysql.password mysql.laying-out $marker $upstream_marker lost+found"

# offset_of DIR: the offset of the stack in a folder, or nothing.
offset_of() { cat -- "$1/$marker" 2>/dev/null || true; }

if [ -z "$dir" ]; then
  dir=./gatemeter-stack
  # A stack of another offset goes beside it, and does not replace it.
  if [ "${offset:-0}" -ne 0 ] && [ "$(offset_of "$dir")" != "$offset" ]; then
    dir=./gatemeter-stack-$offset
  fi
fi

# port NAME: where a service listens.
port() {
  local base
  case "$1" in
    frontend) base=3000 ;;
    api) base=8001 ;;
    aggregator) base=8002 ;;
    ingest) base=8003 ;;
    gateway) base=8080 ;;
    upstream) base=8091 ;;
    mysql) base=3307 ;;
    redis) base=6379 ;;
    kafka) base=9092 ;;
    prometheus) base=9090 ;;
    kafka-controller) base=9093 ;;
  esac
  printf '%s' $((base + offset))
}

# began PID: start time of a process, in ticks since boot; distinguishes it from a later one with
# its number. Empty for a zombie.
began() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | grep -v '^[ZX]' | cut -d' ' -f20; }

# pid_of NAME: the process id of a service that runs; fails if it does not.
pid_of() {
  local pid since
  [ -e "$dir/run/$1" ] && read -r pid since <"$dir/run/$1" || return 1
  [ -n "$since" ] && [ "$(began "$pid")" = "$since" ] || return 1
  printf '%s' "$pid"
}

# launch NAME COMMAND..: starts a service in a session of its own, its log beside the others. It
# notes its own process id before it becomes the service, so that whatever happens to this script,
# down finds it.
launch() {
  local name=$1
  shift
  rm -f "$dir/run/$name"
  # shellcheck disable=SC2016 # for the shell that becomes the service
  setsid bash -c 'since=$(sed "s/^.*) //" "/proc/$$/stat" | cut -d" " -f20)
    printf "%s %s\n" "$$" "$since" >"$1.new" && mv "$1.new" "$1" && shift && exec "$@"' \
    "$name" "$dir/run/$name" "$@" >>"$dir/logs/$name.log" 2>&1 </dev/null &
  # Either it has noted itself, or it could not and has ended.
  while [ ! -e "$dir/run/$name" ] && alive $!; do sleep 0.02; done
}

# session NAME: the processes in the session of a service, also when the service itself is dead:
# nginx that was killed leaves its workers behind.
session() {
  local leader since stat line fields
  [ -s "$dir/run/$1" ] && read -r leader since <"$dir/run/$1" || return 0
  # A process id that has been reused since is not one of this stack.
  line=$(sed 's/^.*) //' "/proc/$leader/stat" 2>/dev/null | cut -d' ' -f20)
  [ "${line:-$since}" = "$since" ] || return 0
  for stat in /proc/[0-9]*/stat; do
    { read -r line <"$stat"; } 2>/dev/null || continue
    read -r -a fields <<<"${line##*) }"
    case "${fields[0]}" in Z | X) continue ;; esac
    [ "${fields[3]}" != "$leader" ] || printf '%s\n' "${line%% *}"
  done
}

# marked: the processes that `up` started for this folder, by the mark in their environment.
marked() {
  local file pid
  for file in $(grep -lzxF -- "GATEMETER_STACK=$dir" /proc/[0-9]*/environ 2>/dev/null); do
    pid=${file#/proc/} pid=${pid%/environ}
    [ "$pid" = $$ ] || printf '%s\n' "$pid"
  done
}

# end PID..: ends processes that are not children of this shell.
end() {
  local pid
  [ $# -eq 0 ] || kill "$@" 2>/dev/null || true
  for pid in "$@"; do stop "$pid" || true; done
}

healthy() {
  local at
  at=$(port "$1")
  case "$1" in
    kafka) "$here/scripts/kafka.sh" answers "$at" ;;
    mysql) mysql_client --execute 'SELECT 1' ;;
    redis) [ "$(env -u REDISCLI_AUTH redis-cli -h 127.0.0.1 -p "$at" ping)" = PONG ] ;;
    prometheus) curl --noproxy '*' -sf "http://127.0.0.1:$at/-/ready" ;;
    gateway | frontend | upstream) curl --noproxy '*' -sf "http://127.0.0.1:$at/healthz" ;;
    *) curl --noproxy '*' -sf "http://127.0.0.1:$at/readyz" ;;
  esac >/dev/null 2>&1
}

# The client as the owner of the server, whatever USER says.
mysql_client() { mariadb --no-defaults --socket "$dir/run/mysql.sock" --user "$(id -un)" "$@"; }

start_kafka() {
  local libs
  libs=$("$here/scripts/kafka.sh" prepare "$dir/kafka" "$(port kafka)" "$(port kafka-controller)")
  launch kafka java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$dir/kafka/log4j2.properties" -cp "$libs/*" \
    kafka.Kafka "$dir/kafka/server.properties"
}

start_mysql() {
  # A data directory left half initialised by an interrupted up is initialised again.
  if [ ! -d "$dir/mysql/mysql" ] || [ -e "$dir/mysql.laying-out" ]; then
    touch "$dir/mysql.laying-out"
    find "$dir/mysql" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
    mariadb-install-db --no-defaults --datadir="$dir/mysql" --skip-test-db \
      --auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" \
      >>"$dir/logs/mysql.log" 2>&1 || fail "MariaDB could not lay out $dir/mysql"
    rm "$dir/mysql.laying-out"
  fi
  local user=()
  [ "$(id -u)" -ne 0 ] || user=(--user=root)
  launch mysql mariadbd --no-defaults "${user[@]}" --datadir="$dir/mysql" \
    --socket="$dir/run/mysql.sock" --pid-file="$dir/mysql/mariadbd.pid" --bind-address=127.0.0.1 \
    --port="$(port mysql)" --character-set-server=utf8mb4 --skip-log-bin
}

# The database and the user that the roles need.
prepare_mysql() {
  mysql_client <<SQL
CREATE DATABASE IF NOT EXISTS gatemeter CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS gatemeter@'127.0.0.1' IDENTIFIED BY '$(cat "$dir/mysql.password")';
GRANT ALL ON gatemeter.* TO gatemeter@'127.0.0.1';
SQL
}

# The server is the same file as one of the tools, and goes by its name. Nothing of it is kept: it
# holds nothing that is not in the ledger.
start_redis() {
  launch redis bash -c 'exec -a redis-server redis-check-rdb "$@"' redis \
    --bind 127.0.0.1 --port "$(port redis)" --dir "$dir/redis" --save "" --appendonly no \
    --maxmemory 256mb --maxmemory-policy allkeys-lru
}

# The folder of a stack may be its owner's alone, so the workers are the owner's, too.
start_gateway() {
  local upstream command
  upstream=$(cat "$dir/$upstream_marker" 2>/dev/null || echo "http://127.0.0.1:$(port upstream)")
  command=$(GATEWAY_LISTEN="127.0.0.1:$(port gateway)" GATEWAY_UPSTREAM="$upstream" \
    GATEWAY_INGEST="http://127.0.0.1:$(port ingest)" GATEWAY_USER="$(id -un)" \
    GATEWAY_SHUTDOWN_TIMEOUT=8s "$here/gateway/render.sh" gateway "$dir/gateway") || exit 1
  # shellcheck disable=SC2086 # a program and its arguments
  launch gateway $command
}

start_upstream() {
  local command
  command=$(GATEWAY_LISTEN="127.0.0.1:$(port upstream)" GATEWAY_USER="$(id -un)" \
    "$here/gateway/render.sh" mock "$dir/upstream") || exit 1
  # shellcheck disable=SC2086 # a program and its arguments
  launch upstream $command
}

start_frontend() {
  local owner=()
  [ "$(id -u)" -ne 0 ] || owner=(-g "user $(id -un);")
  mkdir -p "$dir/frontend"
  sed -e "s|listen 3000|listen 127.0.0.1:$(port frontend)|" \
    -e "s|//api:8001|//127.0.0.1:$(port api)|" \
    -e "s|/tmp/gatemeter-frontend|$dir/frontend/nginx|" "$here/frontend/nginx.conf" \
    >"$dir/frontend/nginx.conf"
  launch frontend nginx -p "$dir/frontend/" -c "$dir/frontend/nginx.conf" "${owner[@]}"
}

# The first namespace of a new stack, so that its number is 1.
prepare_api() {
  local url status
  url="http://127.0.0.1:$(port api)/api/namespaces"
  status=$(curl --noproxy '*' -s -o /dev/null -w '%{http_code}' "$url/wechat")
  [ "$status" = 404 ] || return 0
  curl --noproxy '*' -sf -o /dev/null -H 'Content-Type: application/json' \
    -d '{"code":"wechat","name":"WeChat"}' "$url" || fail "the namespace wechat could not be made"
}

start_prometheus() {
  # Versions before 3.9 make histograms of the new kind only with this flag.
  launch prometheus "$prometheus/prometheus" --config.file="$dir/prometheus.yml" \
    --enable-feature=native-histograms \
    --storage.tsdb.path="$dir/prometheus" --storage.tsdb.retention.time=30d \
    --web.listen-address="127.0.0.1:$(port prometheus)"
}

start_role() {
  launch "$1" "$gatemeter" "$1" --dev --config "$dir/gatemeter.toml" \
    --listen "127.0.0.1:$(port "$1")"
}

# Writes the configuration of the roles and of Prometheus.
write_settings() {
  [ -s "$dir/mysql.password" ] ||
    (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$dir/mysql.password")
  cat >"$dir/gatemeter.toml" <<TOML
[data]
dir = "$dir/gatemeter"

[kafka]
brokers = "127.0.0.1:$(port kafka)"
partitions = 6
replication_factor = 1

[mysql]
host = "127.0.0.1"
port = $(port mysql)
user = "gatemeter"
database = "gatemeter"
password_file = "$dir/mysql.password"

[redis]
url = "redis://127.0.0.1:$(port redis)/0"

[api] # The page sends dead letters again; with --dev no key is asked for.
ingest_url = "http://127.0.0.1:$(port ingest)"
TOML
  local name scrape=()
  for name in api aggregator ingest gateway prometheus; do
    scrape+=(-e "s|\"$name:[0-9]*\"|\"127.0.0.1:$(port "$name")\"|")
  done
  sed "${scrape[@]}" -e "s|\"rules/|\"$here/monitoring/rules/|" \
    "$here/monitoring/prometheus.yml" >"$dir/prometheus.yml"
}

# Starts a service unless it runs, and waits until it is healthy.
bring_up() {
  local pid
  if ! pid=$(pid_of "$1"); then
    # shellcheck disable=SC2046 # process ids
    end $(session "$1")
    if port_is_taken "$(port "$1")"; then
      fail "port $(port "$1") of $1 is in use by another program: stop it, or use --offset"
    fi
    say "starting $1 on port $(port "$1")"
    case "$1" in
      api | ingest | aggregator) start_role "$1" ;;
      *) "start_$1" ;;
    esac
    pid=$(pid_of "$1") || fail "$1 ended at once: $(tail -n 5 "$dir/logs/$1.log")"
  fi
  (wait_for 90 "$1" "$pid" healthy "$1") || {
    tail -n 20 "$dir/logs/$1.log" >&2
    exit 1
  }
}

# The mock is a service of a stack that was given no other upstream.
with_mock() {
  [ -e "$dir/$upstream_marker" ] || [ "$command ${GATEWAY_UPSTREAM:+real}" = "up real" ] ||
    services="${services/gateway/upstream gateway}"
}

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
    for other in "$name" $([ "$name" != kafka ] || echo kafka-controller); do
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

up() {
  dir=$(realpath -m -- "$dir")
  with_mock
  check
  # Everything that is started here carries the mark, and so does this script itself.
  if [ "${GATEMETER_STACK:-}" != "$dir" ]; then
    GATEMETER_STACK="$dir" exec bash "$here/scripts/stack.sh" up --offset "$offset" --dir "$dir"
  fi
  install_all
  mkdir -p "$dir"
  printf '%s\n' "$offset" >"$dir/$marker"
  mkdir -p "$dir/run" "$dir/logs" "$dir/mysql" "$dir/redis" "$dir/gatemeter"
  begin
  [ -z "${GATEWAY_UPSTREAM:-}" ] || printf '%s\n' "$GATEWAY_UPSTREAM" >"$dir/$upstream_marker"
  if [ -z "${GATEMETER_PROGRAM:-}" ]; then
    say "building"
    (cd "$here" && cargo build --locked --release --bin gatemeter)
    gatemeter="${CARGO_TARGET_DIR:-$here/target}/release/gatemeter"
  fi
  write_settings
  local name
  for name in $services; do
    bring_up "$name"
    case "$name" in
      mysql) prepare_mysql ;;
      api) prepare_api ;;
    esac
  done
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
      printf '%-12s pid %-8s port %-6s %s\n' "$name" "${pid:--}" "$(port "$name")" \
        "$([ "$state" = true ] && echo healthy || echo 'not healthy')"
    fi
  done
  [ "$json" = no ] || printf ']\n'
  return $all
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
  local name pid reversed="" rest
  if pid=$(pid_of up); then
    say "ending an up that is under way"
    stop "$pid" || true
  fi
  for name in $services $(ls "$dir/run" 2>/dev/null); do
    case " $reversed" in *" $name "*) ;; *) reversed="$name $reversed" ;; esac
  done
  for name in $reversed; do
    case "$name" in *.sock | *.new) continue ;; esac
    rest=$(session "$name")
    if pid=$(pid_of "$name"); then
      say "stopping $name"
      case "$name" in
        # Requests that run are finished, and their events sent.
        gateway) stop "$pid" QUIT ;;
        *) stop "$pid" ;;
      esac || say "$name did not stop in time and was killed"
    fi
    # shellcheck disable=SC2086 # process ids
    end $rest
    rm -f "$dir/run/$name"
  done
  # shellcheck disable=SC2046 # process ids
  end $(marked)
  [ "$volumes" = no ] || rm -rf "$dir"
}

case "$command" in
  up) up ;;
  status | logs | down)
    was=$(offset_of "$dir")
    if [ -z "$was" ]; then
      [ "$command" = down ] && exit 0
      fail "there is no stack in $dir: scripts/stack.sh up --dir $dir"
    fi
    [ "${offset:-$was}" = "$was" ] || fail "the stack in $dir has offset $was, not $offset"
    dir=$(cd -- "$dir" && pwd -P)
    offset=$was
    with_mock
    "$command"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
