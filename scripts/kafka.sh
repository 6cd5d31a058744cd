#!/usr/bin/env bash
# A real Kafka broker for tests and trials, as a plain process without containers.
#
# usage: scripts/kafka.sh jars
#        scripts/kafka.sh start DIR [PORT]
#        scripts/kafka.sh stop DIR
#        scripts/kafka.sh lend DIR PORT CONTROLLER_PORT [--remove]
#        scripts/kafka.sh prepare DIR PORT CONTROLLER_PORT [NODE CONTROLLER_PORTS]
#        scripts/kafka.sh answers PORT [N]
#
#   jars    fetch the broker's jars with Maven, once, and print their folder; the others do it too
#   start   run a broker that keeps its data in DIR, on PORT or the next free one; returns when it
#           answers and prints HOST:PORT. Starting again in the same DIR goes on with its data
#   stop    stop the broker of DIR by its process id
#   lend    run a broker until standard input ends: it never outlives the process that started
#           it. Prints "ready" when it answers; DIR/broker.pid has its process id;
#           --remove deletes DIR at the end
#   prepare lay out DIR for a broker started by other means, and print the jars' folder. NODE is
#           its number, from 1, among several whose controllers are on CONTROLLER_PORTS, with
#           commas between: three of them keep three copies of everything
#   answers exit 0 if a broker on PORT answers a request for metadata and knows N brokers, or 1
#
# Jars lie in $GATEMETER_CACHE, by default ~/.cache/gatemeter. GATEMETER_KAFKA_ADVERTISED sends
# clients to another HOST:PORT, such as that of a proxy before the first broker. By default one node
# and one copy; no encryption: never for data that anybody needs.
set -euo pipefail
here=$(unset CDPATH && cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$here/scripts/lib.sh"

version=4.4.0
cache="$(cache_folder)/kafka-$version"

# Says where the jars are, and fetches them unless they are there.
jars() {
  plain_path "the folder of downloads (GATEMETER_CACHE, or .cache/gatemeter at home)" "$cache"
  install_packages java openjdk-17-jre-headless >&2
  if [ ! -e "$cache/complete" ]; then
    install_packages mvn maven >&2
    say "fetching Kafka $version" >&2
    local work
    mkdir -p "$(dirname "$cache")" ||
      fail "downloads cannot be kept in $(dirname "$cache"): GATEMETER_CACHE names another folder"
    work=$(mktemp -d "$cache.XXXXXX")
    pom >"$work/pom.xml"
    mvn -q -B -f "$work/pom.xml" \
      org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$work/libs" >&2 || {
      rm -rf "$work"
      fail "Maven could not fetch Kafka $version"
    }
    touch "$work/complete"
    # Whoever is first wins; a half-filled folder is never seen.
    mv -T "$work" "$cache" 2>/dev/null || rm -rf "$work"
    [ -e "$cache/complete" ] || fail "$cache is not complete: delete it and start again"
  fi
  printf '%s\n' "$cache/libs"
}

pom() {
  local log4j=org.apache.logging.log4j
  cat <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>gatemeter</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
$(dependency org.apache.kafka kafka_2.13 "$version")
$(dependency "$log4j" log4j-api 2.25.3)
$(dependency "$log4j" log4j-core 2.25.3)
$(dependency "$log4j" log4j-slf4j-impl 2.25.3)
  </dependencies>
</project>
XML
}

dependency() {
  printf '    <dependency><groupId>%s</groupId><artifactId>%s</artifactId>' "$1" "$2"
  printf '<version>%s</version></dependency>\n' "$3"
}

# settings DIR PORT CONTROLLER_PORT [NODE CONTROLLER_PORTS]: writes the broker's server.properties.
settings() {
  local node=${4:-1} port voters="" n=0 copies=1 in_sync=1 advertised=127.0.0.1:$2
  for port in $(tr , ' ' <<<"${5:-$3}"); do
    n=$((n + 1))
    voters="$voters,$n@127.0.0.1:$port"
  done
  if [ "$n" -ge 3 ]; then copies=3 in_sync=2; fi
  [ "$node" -ne 1 ] || advertised=${GATEMETER_KAFKA_ADVERTISED:-$advertised}
  cat >"$1/log4j2.properties" <<PROPERTIES
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
PROPERTIES
  # Several take longer to start, and a broker gives up where no majority of the controllers comes.
  cat >"$1/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=${voters#,}
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://$advertised
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$1/data
initial.broker.registration.timeout.ms=$((90000 * n))
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
PROPERTIES
}

# prepare DIR PORT CONTROLLER_PORT [NODE CONTROLLER_PORTS]: lays DIR out, says where the jars are.
prepare() {
  local libs
  plain_path "the broker's folder" "$1"
  libs=$(jars)
  mkdir -p "$1"
  settings "$@"
  if [ ! -e "$1/data/meta.properties" ]; then
    java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$libs/*" kafka.tools.StorageTool format \
      -t Z2F0ZW1ldGVyLWthZmthMQ -c "$1/server.properties" >"$1/format.log" 2>&1 ||
      fail "the broker's folder could not be laid out: $(tail -n 1 "$1/format.log")"
  fi
  printf '%s\n' "$libs"
}

# broker DIR PORT CONTROLLER_PORT: starts one in the background; its process id is in $pid.
broker() {
  local libs
  libs=$(prepare "$@")
  printf '%s %s\n' "$2" "$3" >"$1/ports"
  java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$1/log4j2.properties" -cp "$libs/*" \
    kafka.Kafka "$1/server.properties" >>"$1/broker.log" 2>&1 </dev/null &
  pid=$!
  printf '%s\n' "$pid" >"$1/broker.pid.new"
  mv "$1/broker.pid.new" "$1/broker.pid"
}

# answers PORT [N]: whether a request for metadata is answered with N brokers or more, by default 1.
answers() {
  # length, Metadata version 4, correlation 7, no client id, all topics, create none
  local request='\0\0\0\x0f\0\x03\0\x04\0\0\0\x07\xff\xff\xff\xff\xff\xff\0'
  local answer
  # length, correlation, throttle time, number of brokers: 4 bytes each
  read -r -a answer < <(timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 &&
    printf '$request' >&3 && head -c 16 <&3 | od -An -tu1 -v -w16" 2>/dev/null) || return 1
  [ "${answer[*]:4:4}" = "0 0 0 7" ] && [ "${answer[*]:12:3}" = "0 0 0" ] &&
    [ "${answer[15]}" -ge "${2:-1}" ]
}

# await DIR PORT: waits until the broker of $pid answers; else says why and ends it.
await() {
  (wait_for 60 "the broker" "$pid" answers "$2") || {
    tail -n 20 "$1/broker.log" >&2
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$1/broker.pid"
    exit 1
  }
}

start() {
  local dir port controller pid
  plain_path "the broker's folder" "$(realpath -m -- "$1")"
  mkdir -p -- "$1"
  dir=$(cd -- "$1" && pwd)
  if [ -e "$dir/broker.pid" ] && kill -0 "$(cat "$dir/broker.pid")" 2>/dev/null; then
    fail "a broker runs in $dir already: scripts/kafka.sh stop $dir"
  fi
  port=$(free_port "${2:-9092}")
  controller=$(free_port $((port + 1)))
  broker "$dir" "$port" "$controller"
  await "$dir" "$port"
  printf '127.0.0.1:%s\n' "$port"
}

stop_broker() {
  [ -e "$1/broker.pid" ] || fail "no broker runs in $1"
  stop "$(cat "$1/broker.pid")" || true
  rm -f "$1/broker.pid"
}

# lend DIR PORT CONTROLLER_PORT [--remove]
lend() {
  local dir=$1 pid
  broker "$1" "$2" "$3"
  await "$1" "$2"
  echo ready
  cat >/dev/null
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  if [ "${4:-}" = --remove ]; then
    rm -rf "$dir"
  fi
}

case "${1:-}:$#" in
  jars:1) jars ;;
  start:2 | start:3) start "${@:2}" ;;
  stop:2) stop_broker "$2" ;;
  lend:4 | lend:5) lend "${@:2}" ;;
  prepare:4 | prepare:6) prepare "${@:2}" ;;
  answers:2 | answers:3) answers "${@:2}" ;;
  *)
    sed -n '2,26s/^# \{0,1\}//p' "$0"
    [ "${1:-}" = --help ] || exit 2
    ;;
esac
