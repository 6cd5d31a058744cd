#!/usr/bin/env bash
# Records where the CPU time of each path goes, and prints tables for docs/performance.md.
#
# usage: scripts/profile.sh [PATH..]
#        scripts/profile.sh --help
#
#   ingest       HTTP batches of 500 events to durable frames
#   counting     the embedded log to committed counters, with consumers
#   page         building the page of 100,000 series
#   start        a start with 10,000,000 ids in the dedup set
#   raw          a raw topic of one event a message to committed counters; a stack of its own
#   raw-batches  the same with 500 events a message
#   kafka        the topic of the log to committed counters; a stack of its own
#
# Without a path the first four are recorded. perf samples the machine while the bench of
# scripts/bench.sh does that work; what other processes do, and what comes before and after, is left
# out. Each path leaves in target/profiles: NAME.svg, a flame graph for a browser; NAME.folded, its
# stacks; NAME.txt, the table: groups of functions, as scripts/profile-groups.py has them, with
# their CPU time for each event, page or id; NAME.data, for perf report.
#
# The first run builds into target/profile, which takes as long as a release build: Rust and C with
# frame pointers, so that stacks are whole unless they pass through a library of the system; the
# table says how many are. perf has to see the whole machine and the kernel: run it as root, or set
# kernel.perf_event_paranoid to -1 and kernel.kptr_restrict to 0. Under perf everything takes
# longer, so the figures are for comparing groups and not for scripts/bench.sh's table.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

# CPU time between two samples, nanoseconds: 2 kHz, and in step with no timer.
period_ns=499979
inferno_version=0.12.8

paths=()
while [ $# -gt 0 ]; do
  case "$1" in
    ingest | counting | page | start | raw | raw-batches | kafka) paths+=("$1") ;;
    -h | --help)
      sed -n '2,28s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "unknown path '$1': see scripts/profile.sh --help" ;;
  esac
  shift
done
[ "${#paths[@]}" -gt 0 ] || paths=(ingest counting page start)

target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
build="$target/profile" profiles="$target/profiles"
inferno="$(cache_folder)/inferno-$inferno_version"

need_inferno() {
  [ ! -x "$inferno/bin/inferno-flamegraph" ] || return 0
  say "installing inferno $inferno_version"
  cargo install inferno --version "$inferno_version" --locked --no-default-features --features cli \
    --root "$inferno" || fail "inferno could not be installed"
}

# The part of the bench that has a path.
part_of() {
  case "$1" in
    raw | raw-batches | kafka) echo cluster ;;
    *) echo "$1" ;;
  esac
}

# What a path's figures are for each of.
unit_of() {
  case "$1" in
    page) echo page ;;
    start) echo id ;;
    *) echo event ;;
  esac
}

# Ends what runs, a stack that an interrupted bench left behind as well.
clean_up() {
  local stack
  [ -z "$measured" ] || stop "$measured" || true
  for stack in "${work:-/nonexistent}"/.tmp*/stack; do
    [ ! -d "$stack" ] || scripts/stack.sh down --volumes --dir "$stack" >/dev/null || true
  done
  [ -z "$perf" ] || stop "$perf" INT || true
  [ -z "$work" ] || rm -rf "$work"
}

# record PATH WORK: runs the bench beside perf, which is switched on and off by the bench.
record() {
  local path=$1 work=$2 status=0
  mkfifo "$work/control" "$work/ack"
  perf record --quiet --all-cpus --event cpu-clock --count "$period_ns" --call-graph fp \
    --mmap-pages 4M --delay=-1 --control "fifo:$work/control,$work/ack" \
    --output "$profiles/$path.data" 2>"$work/perf.log" &
  perf=$!
  # Whatever it writes, a stack for instance, is in the folder that is removed at the end.
  TMPDIR="$work" GATEMETER_PROFILE="$path" GATEMETER_PROFILE_FOLDER="$work" \
    GATEMETER_PROGRAM="$program" "$bench" "$(part_of "$path")" >"$work/bench.log" 2>&1 &
  measured=$!
  while alive "$measured" && alive "$perf"; do sleep 0.2; done
  if ! alive "$perf"; then
    # The bench would wait for its answer for ever.
    stop "$measured" || true
    cat "$work/perf.log" >&2
    fail "perf ended early"
  fi
  wait "$measured" || status=$?
  stop "$perf" INT || true
  measured="" perf=""
  if [ "$status" -ne 0 ] || [ ! -s "$work/noted" ]; then
    tail -n 20 "$work/bench.log" >&2
    fail "the bench failed"
  fi
}

# fold PATH PIDS: stacks of these processes and their flame graph.
fold() {
  local path=$1 pids=$2
  perf script --input "$profiles/$path.data" --no-inline --pid "$pids" \
    --fields comm,pid,tid,time,event,ip,sym,dso 2>/dev/null |
    "$inferno/bin/inferno-collapse-perf" --all 2>/dev/null >"$profiles/$path.folded"
  "$inferno/bin/inferno-flamegraph" --title "gatemeter: $path" --hash \
    "$profiles/$path.folded" >"$profiles/$path.svg" 2>/dev/null
}

need_rust
install_packages perf linux-perf
install_packages python3 python3
need_inferno
say "building with frame pointers into $build"
export CFLAGS="${CFLAGS:+$CFLAGS }-fno-omit-frame-pointer"
export CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }-fno-omit-frame-pointer"
export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C force-frame-pointers=yes"
bench=$(CARGO_TARGET_DIR="$build" cargo build --locked --release --bench pipeline --bin gatemeter \
  --message-format json-render-diagnostics |
  sed -n 's/.*"target":{"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
program="$build/release/gatemeter"
[ -x "$bench" ] || fail "the bench was not built"

mkdir -p "$profiles"
processor=$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ //')
say "$processor, $(nproc) cores, $(rustc --version), $(date -u +%F)"
work="" perf="" measured=""
trap clean_up EXIT
trap 'exit 130' INT TERM
for path in "${paths[@]}"; do
  work=$(mktemp -d)
  record "$path" "$work"
  units=$(awk '{ sum += $1 } END { print sum }' "$work/noted")
  fold "$path" "$(cut -d' ' -f2 "$work/noted" | tr ',' '\n' | sort -u | paste -sd,)"
  say "$path"
  scripts/profile-groups.py "$profiles/$path.folded" --period-ns "$period_ns" \
    --units "$units" --unit "$(unit_of "$path")" | tee "$profiles/$path.txt"
  rm -rf "$work"
done
