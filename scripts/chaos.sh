#!/usr/bin/env bash
# Random faults on the whole stack under load; at the end every count must be right.
#
# usage: scripts/chaos.sh --seed N [--minutes M] [--seconds S] [--aggregators N] [--rate N] [--keep]
#        scripts/chaos.sh --help
#
#   --seed N         which faults come when, on what: the same seed, the same schedule, which is
#                    printed before the first of them
#   --minutes M      how long there are faults, 1 if neither is given; the two are added
#   --seconds S
#   --aggregators N  2 to 4 processes that count, by default 3
#   --rate N         events a second, by default 1000
#   --keep           keeps the folder with the evidence after a success, too
#
# Three brokers of Kafka, the aggregators, two ingests, an api, MariaDB, Redis and a Prometheus with
# the settings of monitoring/ run as plain processes on ports of their own. Faults: kill -9 of an
# aggregator, of an ingest, of the broker that leads a partition, of the database; SIGSTOP of an
# aggregator beyond its session; rolling restarts, one aggregator fewer and one more; connections to
# brokers and database that are cut, refused or stalled, and answers to COMMIT that are lost. They
# overlap. Then all is healed, and the invariants I1 to I8 of docs/counting.md are checked from
# tapes of what was sent, log, ledger, /metrics, Prometheus and API; docs/reliability.md has more.
#
# Exit codes: 0 all hold; 1 a breach; 2 the run could not be made; 130 interrupted. After anything
# but a success the folder that is named at the end has the schedule, the faults with their times,
# tapes, scrapes, recounts and all logs. Needs about 4 GB of memory, and a minute or two more than
# the faults last. Let nothing else run: what is slow is not a fault, but may look like one.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

# whole NAME TEXT LEAST MOST: a number, or the end with exit code 2.
whole() {
  local number
  case "$2" in
    "" | *[!0-9]* | ??????????*) number=-1 ;;
    *) number=$((10#$2)) ;;
  esac
  if [ "$number" -lt "$3" ] || [ "$number" -gt "$4" ]; then
    refuse "$1 must be a whole number from $3 to $4, not '$2'"
  fi
  printf '%s' "$number"
}

refuse() {
  printf '\nerror: %s: see scripts/chaos.sh --help\n' "$*" >&2
  exit 2
}

seed="" minutes="" seconds="" aggregators=3 rate=1000 keep=no
while [ $# -gt 0 ]; do
  option=$1
  shift
  case "$option" in
    --keep)
      keep=yes
      continue
      ;;
    -h | --help)
      sed -n '2,26s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --seed | --minutes | --seconds | --aggregators | --rate)
      [ $# -gt 0 ] || refuse "$option needs a number"
      ;;
    *) refuse "unknown option '$option'" ;;
  esac
  case "$option" in
    --seed) seed=$(whole "$option" "$1" 0 999999999) ;;
    --minutes) minutes=$(whole "$option" "$1" 1 1440) ;;
    --seconds) seconds=$(whole "$option" "$1" 1 86400) ;;
    --aggregators) aggregators=$(whole "$option" "$1" 2 4) ;;
    --rate) rate=$(whole "$option" "$1" 10 10000) ;;
  esac
  shift
done
[ -n "$seed" ] || refuse "--seed is missing: it says which faults come when"
[ -n "$minutes$seconds" ] || minutes=1
seconds=$((${minutes:-0} * 60 + ${seconds:-0}))

need_rust
scripts/kafka.sh jars >/dev/null
scripts/prometheus.sh install >/dev/null
say "building"
# With the flags of scripts/test.sh, so that what it has built is used.
built=$(cargo test --locked --profile checked --workspace --exclude sim --test chaos --no-run \
  2>&1) || fail "$built"
program=$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' <<<"$built" | tail -n 1)
[ -x "$program" ] || fail "cargo has built no program: $built"

evidence=$(mktemp -d "${TMPDIR:-/tmp}/gatemeter-chaos.XXXXXX")
# The data of the stack, which goes in any case.
mkdir "$evidence/run"
pid="" status=0

# The program stops what it has started. Where it could not, the stack is found by its folder.
finish() {
  local dir
  trap '' INT TERM
  [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
  for dir in "$evidence"/run/*/stack "$evidence"/run/.tmp*/stack; do
    [ -d "$dir" ] || continue
    scripts/stack.sh down --dir "$dir" >/dev/null 2>&1 || true
  done
  [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
  for dir in "$evidence"/run/*/stack "$evidence"/run/.tmp*/stack; do
    [ -d "$dir" ] || continue
    ! mountpoint -q "$dir/mysql" || as_root umount "$dir/mysql" || true
    scripts/stack.sh down --volumes --dir "$dir" >/dev/null 2>&1 || true
  done
  rm -rf "$evidence/run"
}
trap finish EXIT
trap 'say "interrupted, stopping everything; evidence: $evidence"; exit 130' INT TERM

TMPDIR="$evidence/run" "$program" run "$seed" "$seconds" "$aggregators" "$rate" "$evidence" &
pid=$!
wait "$pid" || status=$?
pid=""
finish
trap - EXIT
case "$status" in
  0) say "seed $seed: every invariant held" ;;
  1) say "seed $seed: a breach, see above" ;;
  *) say "seed $seed: the run could not be made (exit code $status)" ;;
esac
if [ "$status" -eq 0 ] && [ "$keep" = no ]; then
  rm -rf "$evidence"
else
  say "evidence: $evidence"
fi
exit "$status"
