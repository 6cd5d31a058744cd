# The services of a stack: where they listen, how each is started, and whether it is healthy.
# Sourced by stack.sh, never run: $dir is the folder of the stack, $offset is added to each port,
# $aggregators and $brokers say how many there are, and $here is the project.
# shellcheck shell=bash disable=SC2034,SC2154 # variables of stack.sh

# The highest port before the offset.
port_max=9097
# Of the topic that the stack counts; more aggregators than that would have nothing to do.
partitions=6

# numbered NAME N: the names of N services of a kind: NAME, NAME-2 and so on.
numbered() {
  local n
  printf '%s' "$1"
  for n in $(seq 2 "$2"); do printf ' %s-%s' "$1" "$n"; done
}

# number NAME: which of its kind a service is.
number() {
  case "$1" in
    *-[0-9]*) printf '%s' "${1##*-}" ;;
    *) printf 1 ;;
  esac
}

# port NAME: where a service listens. No two are a multiple of 100 apart.
port() {
  local base
  case "$1" in
    frontend) base=3000 ;;
    api) base=8001 ;;
    aggregator) base=8002 ;;
    aggregator-[2-6]) base=$((8010 + ${1#*-})) ;;
    ingest) base=8003 ;;
    gateway) base=8080 ;;
    upstream) base=8091 ;;
    mysql) base=3307 ;;
    redis) base=6379 ;;
    kafka) base=9092 ;;
    kafka-controller) base=9093 ;;
    kafka-2) base=9094 ;;
    kafka-2-controller) base=9095 ;;
    kafka-3) base=9096 ;;
    kafka-3-controller) base=9097 ;;
    prometheus) base=9090 ;;
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

# stop_service NAME: ends a service and what is left of its session.
stop_service() {
  local pid rest other
  rest=$(session "$1")
  if pid=$(pid_of "$1"); then
    say "stopping $1"
    case "$1" in
      # Together: each hands over to the others, and waits for a majority of them.
      kafka | kafka-[23])
        for other in $(numbered kafka "$brokers"); do
          kill "$(pid_of "$other" || echo "$pid")" 2>/dev/null || true
        done
        ;;
    esac
    case "$1" in
      # Requests that run are finished, and their events sent.
      gateway) stop "$pid" QUIT ;;
      *) stop "$pid" ;;
    esac || say "$1 did not stop in time and was killed"
  fi
  # shellcheck disable=SC2086 # process ids
  end $rest
  rm -f "$dir/run/$1"
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
    kafka | kafka-[23]) "$here/scripts/kafka.sh" answers "$at" ;;
    mysql) mysql_client --execute 'SELECT 1' ;;
    redis) [ "$(env -u REDISCLI_AUTH redis-cli -h 127.0.0.1 -p "$at" ping)" = PONG ] ;;
    prometheus) curl --noproxy '*' -sf "http://127.0.0.1:$at/-/ready" ;;
    gateway | frontend | upstream) curl --noproxy '*' -sf "http://127.0.0.1:$at/healthz" ;;
    *) curl --noproxy '*' -sf "http://127.0.0.1:$at/readyz" ;;
  esac >/dev/null 2>&1
}

# Whether a service is as it must be before what needs it is started. A topic is made only once all
# brokers are there that are to have a copy.
ready() {
  case "$1" in
    kafka | kafka-[23]) "$here/scripts/kafka.sh" answers "$(port "$1")" "$brokers" ;;
    *) healthy "$1" ;;
  esac
}

# The client as the owner of the server, whatever USER says.
mysql_client() { mariadb --no-defaults --socket "$dir/run/mysql.sock" --user "$(id -un)" "$@"; }

start_kafka() {
  local name=$1 libs other controllers=""
  for other in $(numbered kafka "$brokers"); do
    controllers="$controllers,$(port "$other-controller")"
  done
  libs=$("$here/scripts/kafka.sh" prepare "$dir/$name" "$(port "$name")" \
    "$(port "$name-controller")" "$(number "$name")" "${controllers#,}")
  launch "$name" java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$dir/$name/log4j2.properties" -cp "$libs/*" \
    kafka.Kafka "$dir/$name/server.properties"
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
  launch "$1" "$gatemeter" "${1%-[0-9]*}" --dev --config "$dir/gatemeter.toml" \
    --listen "127.0.0.1:$(port "$1")"
}

# Writes the configuration of the roles and of Prometheus.
write_settings() {
  [ -s "$dir/mysql.password" ] ||
    (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$dir/mysql.password")
  local name addresses="" targets="" scrape=()
  for name in $(numbered kafka "$brokers"); do
    addresses="$addresses,127.0.0.1:$(port "$name")"
  done
  cat >"$dir/gatemeter.toml" <<TOML
[data]
dir = "$dir/gatemeter"

[kafka]
brokers = "${addresses#,}"
partitions = $partitions
replication_factor = $brokers

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
  for name in api ingest gateway prometheus; do
    scrape+=(-e "s|\"$name:[0-9]*\"|\"127.0.0.1:$(port "$name")\"|")
  done
  # Here the aggregators differ by their ports, which no name server knows.
  for name in $(numbered aggregator "$aggregators"); do
    targets="$targets\\n          - \"127.0.0.1:$(port "$name")\""
  done
  targets="    static_configs:\\n      - targets:$targets"
  scrape+=(-e "/^    dns_sd_configs:/,/^        port: 8002/c\\$targets")
  sed "${scrape[@]}" -e "s|\"rules/|\"$here/monitoring/rules/|" \
    "$here/monitoring/prometheus.yml" >"$dir/prometheus.yml"
}

# Starts a service unless it runs.
start() {
  pid_of "$1" >/dev/null && return
  # shellcheck disable=SC2046 # process ids
  end $(session "$1")
  if port_is_taken "$(port "$1")"; then
    fail "port $(port "$1") of $1 is in use by another program: stop it, or use --offset"
  fi
  say "starting $1 on port $(port "$1")"
  case "$1" in
    api | ingest | aggregator | aggregator-[0-9]*) start_role "$1" ;;
    kafka | kafka-[23]) start_kafka "$1" ;;
    *) "start_$1" ;;
  esac
}

# Starts a service unless it runs, and waits until it is ready.
bring_up() {
  local pid seconds=90
  start "$1"
  pid=$(pid_of "$1") || fail "$1 ended at once: $(tail -n 5 "$dir/logs/$1.log")"
  # Several brokers start at once, on the same cores.
  [[ "$1" != kafka* ]] || seconds=$((seconds * brokers))
  (wait_for "$seconds" "$1" "$pid" ready "$1") || {
    tail -n 20 "$dir/logs/$1.log" >&2
    exit 1
  }
}

# reloaded: when Prometheus has read its settings, and whether it could use them.
reloaded() {
  curl --noproxy '*' -sf "http://127.0.0.1:$(port prometheus)/metrics" |
    grep '^prometheus_config_last_reload_success'
}

# Has Prometheus read its settings again.
reload_prometheus() {
  local pid before
  pid=$(pid_of prometheus) || fail "prometheus has ended: $(tail -n 5 "$dir/logs/prometheus.log")"
  before=$(reloaded || true)
  kill -HUP "$pid"
  (wait_for 30 prometheus "$pid" has_reloaded "$before") || {
    tail -n 5 "$dir/logs/prometheus.log" >&2
    exit 1
  }
}

has_reloaded() {
  local now
  now=$(reloaded) && [ "$now" != "$1" ] &&
    grep -q '^prometheus_config_last_reload_successful 1$' <<<"$now"
}
