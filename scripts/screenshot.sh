#!/usr/bin/env bash
# Makes the pictures of the page in docs/images, in English and Chinese.
#
# usage: scripts/screenshot.sh [--all DIR] [--help]
#
#   --all DIR  in place of these, puts pictures of every page into DIR: at the width of a desktop
#              and of a phone, in both themes and both languages, to be looked at
#
# Builds the program, unless GATEMETER_PROGRAM names one, starts it on free ports with a data folder
# of its own, replays a part of the bundled ServeGen trace, and lets Chromium draw the pages.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

export PAGE_TEST_SHOTS=readme PAGE_TEST_SHOTS_DIR="$PWD/docs/images"
case "${1:-}" in
  "") ;;
  --all)
    [ -n "${2:-}" ] || fail "--all needs a folder: see scripts/screenshot.sh --help"
    mkdir -p "$2"
    PAGE_TEST_SHOTS=all
    PAGE_TEST_SHOTS_DIR=$(cd "$2" && pwd)
    ;;
  -h | --help)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/screenshot.sh --help" ;;
esac

need_browser
find_gatemeter release
gatemeter=$(readlink -f "$gatemeter")
work_folder
(cd frontend && node_modules)

start_gatemeter page --dev
"$gatemeter" replay servegen:data/servegen/deepseek-r1 --count 60000 --to "$ingest" --quiet ||
  fail "the replay failed: see above"
# Some of each class, for the page of the pipeline.
"$gatemeter" replay synthetic --count 3000 --duplicates 5% --late 2% --future 1% --to "$ingest" \
  --quiet >/dev/null || fail "the replay failed: see above"
wait_for 60 "the last count" "$pid" counted 63000

export PAGE_TEST_MAIN=$api PAGE_TEST_OUTPUT="$work/output"
cd frontend
NO_PROXY='*' no_proxy='*' npx --no-install playwright test --config e2e/playwright.config.ts \
  --project=shots
say "the pictures are in $PAGE_TEST_SHOTS_DIR"
