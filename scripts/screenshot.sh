#!/usr/bin/env bash
# Makes docs/images/page.png: the built-in page after a replay of 60,000 requests of a real trace.
#
# usage: scripts/screenshot.sh [--help]
#
# Builds the program, unless GATEMETER_PROGRAM names one, starts it on free ports with a data folder
# of its own, replays a part of the bundled ServeGen trace, and lets Chromium draw the page.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/screenshot.sh --help" ;;
esac

install_packages chromium chromium
# The page has a button in Chinese.
[ -n "$(fc-list :lang=zh)" ] || as_root apt-get install -y -qq fonts-wqy-zenhei >/dev/null
gatemeter=${GATEMETER_PROGRAM:-}
if [ -z "$gatemeter" ]; then
  need_rust
  say "building (the first time this takes a few minutes)"
  cargo build --locked --release --bin gatemeter
  gatemeter="${CARGO_TARGET_DIR:-target}/release/gatemeter"
fi

work=$(mktemp -d)
pid=""
finish() {
  if [ -n "$pid" ]; then
    stop "$pid" || true
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

api=$(free_port 8001)
aggregator=$(free_port $((api + 1)))
ingest=$(free_port $((aggregator + 1)))
"$gatemeter" all --dev --data "$work/data" --api-listen "127.0.0.1:$api" \
  --aggregator-listen "127.0.0.1:$aggregator" --ingest-listen "127.0.0.1:$ingest" \
  2>"$work/log" &
pid=$!
ready() { curl --noproxy '*' -sf "http://127.0.0.1:$ingest/readyz"; }
wait_for 60 Gatemeter "$pid" ready
"$gatemeter" replay servegen:data/servegen/deepseek-r1 --count 60000 \
  --to "http://127.0.0.1:$ingest" || fail "the replay failed: see above"
counted() {
  curl --noproxy '*' -sf "http://127.0.0.1:$aggregator/metrics?section=business" |
    grep -qx 'gatemeter_events_total{class="counted"} 60000'
}
wait_for 60 "the last count" "$pid" counted

mkdir -p docs/images
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
  --user-data-dir="$work/browser" --virtual-time-budget=8000 --window-size=1280,1000 \
  --screenshot="$PWD/docs/images/page.png" "http://127.0.0.1:$api/?lang=en" 2>"$work/browser.log" ||
  fail "chromium could not draw the page: $(tail -n 3 "$work/browser.log")"
say "docs/images/page.png is new"
