#!/usr/bin/env bash
# The stack as plain processes: Kafka, MariaDB, Redis, the three roles, gateway, front end,
# Prometheus.
#
# usage: scripts/stack.sh up [--offset N] [--dir D]
#        scripts/stack.sh status [--json] [--dir D]
#        scripts/stack.sh logs [SERVICE] [--dir D]
#        scripts/stack.sh down [--volumes] [--dir D]
#
#   up      installs what is missing, builds, starts what does not run yet, and returns when every
#           service is healthy. --offset N adds N to each port, so that two stacks can run.
#           Behind the gateway is a mock of an OpenAI-compatible upstream, for trials without a
#           key, unless GATEWAY_UPSTREAM names a real one, such as https://api.openai.com
#   status  name, process id, port and health of each service; --json for programs. Exits 1 if
#           one is not healthy
#   logs    the last lines of each service, or all of one
#   down    stops every service by its process id, the last started first; --volumes also deletes
#           the folder with all data
#
# Data, logs and process ids are in D (./gatemeter-stack by default). Ports: frontend 3000, api
# 8001, aggregator 8002, ingest 8003, gateway 8080, upstream (the mock) 8090, mysql 3307, redis
# 6379, kafka 9092, prometheus 9090. For one machine and for trials: no key is asked for, one copy
# of everything. A new stack has the namespace wechat, with id 1. GATEMETER_PROGRAM names a program
# that is built already. Safe to run again.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/lib.sh"
# Servers are there, which is no part of everybody's path.
PATH="$PATH:/usr/sbin"

services="kafka mysql redis api ingest aggregator gateway frontend prometheus"

usage() { sed -n '2,25s/^# \{0,1\}//p' "$0"; }

command=${1:-}
[ $# -gt 0 ] && shift
dir=./gatemeter-stack offset="" json=no volumes=no service=""
while [ $# -gt 0 ]; do
  case "$command $1" in
    *" --dir") dir=${2:?--dir needs a folder} && shift ;;
    "up --offset") offset=${2:?--offset needs a number} && shift ;;
    "status --json") json=yes ;;
    "down --volumes") volumes=yes ;;
    logs\ [a-z]*) service=$1 ;;
    *) fail "unknown option '$1' of '$command': see scripts/stack.sh --help" ;;
  esac
  shift
done
case "$offset" in *[!0-9]*) fail "--offset must be a whole number, not '$offset'" ;; esac

marker=gatemeter-stack.offset
upstream_marker=gatemeter-stack.upstream

# port NAME: where a service listens.
port() {
  local base
  case "$1" in
    frontend) base=3000 ;;
    api) base=8001 ;;
    aggregator) base=8002 ;;
    ingest) base=8003 ;;
    gateway) base=8080 ;;
    upstream) base=8090 ;;
    mysql) base=3307 ;;
    redis) base=6379 ;;
    kafka) base=9092 ;;
    prometheus) base=9090 ;;
    kafka-controller) base=9093 ;;
  esac
  printf '%s' $((base + offset))
}

# began PID: when a process began, in ticks since boot; tells it from a later one with its number.
# Nothing for one that is dead and only waits to be forgotten.
began() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | grep -v '^[ZX]' | cut -d' ' -f20; }

# pid_of NAME: the process id of a service that runs; fails if it does not.
pid_of() {
  local pid since
  [ -e "$dir/run/$1" ] && read -r pid since <"$dir/run/$1" || return 1
  [ -n "$since" ] && [ "$(began "$pid")" = "$since" ] || return 1
  printf '%s' "$pid"
}

# launch NAME COMMAND..: starts a service in a session of its own, its log beside the others.
launch() {
  local name=$1 pid
  shift
  setsid "$@" >>"$dir/logs/$name.log" 2>&1 </dev/null &
  pid=$!
  printf '%s %s\n' "$pid" "$(began "$pid")" >"$dir/run/$name"
}

healthy() {
  local at
  at=$(port "$1")
  case "$1" in
    kafka) "$here/scripts/kafka.sh" answers "$at" ;;
    mysql) mariadb --no-defaults --socket "$dir/run/mysql.sock" --execute 'SELECT 1' ;;
    redis) [ "$(redis-cli -h 127.0.0.1 -p "$at" ping)" = PONG ] ;;
    prometheus) curl --noproxy '*' -sf "http://127.0.0.1:$at/-/ready" ;;
    gateway | frontend | upstream) curl --noproxy '*' -sf "http://127.0.0.1:$at/healthz" ;;
    *) curl --noproxy '*' -sf "http://127.0.0.1:$at/readyz" ;;
  esac >/dev/null 2>&1
}

start_kafka() {
  local libs
  libs=$("$here/scripts/kafka.sh" prepare "$dir/kafka" "$(port kafka)" "$(port kafka-controller)")
  launch kafka java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$dir/kafka/log4j2.properties" -cp "$libs/*" \
    kafka.Kafka "$dir/kafka/server.properties"
}

start_mysql() {
  if [ ! -d "$dir/mysql/mysql" ]; then
    mariadb-install-db --no-defaults --datadir="$dir/mysql" --skip-test-db \
      --auth-root-authentication-method=socket >>"$dir/logs/mysql.log" 2>&1 ||
      fail "MariaDB could not lay out $dir/mysql"
  fi
  local user=()
  [ "$(id -u)" -ne 0 ] || user=(--user=root)
  launch mysql mariadbd --no-defaults "${user[@]}" --datadir="$dir/mysql" \
    --socket="$dir/run/mysql.sock" --pid-file="$dir/mysql/mariadbd.pid" --bind-address=127.0.0.1 \
    --port="$(port mysql)" --character-set-server=utf8mb4 --skip-log-bin
}

# The database and the user that the roles need.
prepare_mysql() {
  mariadb --no-defaults --socket "$dir/run/mysql.sock" <<SQL
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
    -e "s|server api:8001|server 127.0.0.1:$(port api)|" \
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

# What the roles and Prometheus are told.
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
    if port_is_taken "$(port "$1")"; then
      fail "port $(port "$1") of $1 is taken by somebody else: stop it, or use --offset"
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
  [ -e "$dir/$upstream_marker" ] || services="${services/gateway/upstream gateway}"
}

install_all() {
  need_rust
  # The packages without a service: they start none of the system's.
  install_packages mariadbd mariadb-server-core mariadb-client-core
  need_nginx
  prometheus=$("$here/scripts/prometheus.sh" install)
  # The server is in the package of the tools, which starts no service.
  install_packages redis-check-rdb redis-tools
}

up() {
  mkdir -p "$dir/run" "$dir/logs" "$dir/mysql" "$dir/redis" "$dir/gatemeter"
  dir=$(cd "$dir" && pwd)
  if [ -e "$dir/$marker" ] && [ -n "$offset" ] && [ "$(cat "$dir/$marker")" != "$offset" ]; then
    fail "the stack in $dir has offset $(cat "$dir/$marker"): use that, or another --dir"
  fi
  [ -n "$offset" ] || offset=$(cat "$dir/$marker" 2>/dev/null || echo 0)
  printf '%s\n' "$offset" >"$dir/$marker"
  [ -z "${GATEWAY_UPSTREAM:-}" ] || printf '%s\n' "$GATEWAY_UPSTREAM" >"$dir/$upstream_marker"
  with_mock
  install_all
  gatemeter=${GATEMETER_PROGRAM:-}
  if [ -z "$gatemeter" ]; then
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
  local name pid reversed=""
  for name in $services; do reversed="$name $reversed"; done
  for name in $reversed; do
    if pid=$(pid_of "$name"); then
      say "stopping $name"
      case "$name" in
        # Requests that run are finished, and their events sent.
        gateway) stop "$pid" QUIT ;;
        *) stop "$pid" ;;
      esac || say "$name did not stop in time and was killed"
    fi
    rm -f "$dir/run/$name"
  done
  if [ "$volumes" = yes ]; then
    rm -rf "$dir"
  fi
}

case "$command" in
  up) up ;;
  status | logs | down)
    if [ ! -e "$dir/$marker" ]; then
      [ "$command" = down ] && exit 0
      fail "there is no stack in $dir: scripts/stack.sh up --dir $dir"
    fi
    dir=$(cd "$dir" && pwd)
    offset=$(cat "$dir/$marker")
    with_mock
    "$command"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
