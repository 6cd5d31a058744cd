#!/usr/bin/env bash
# Walks the page in a real browser before real processes, and compares every figure with the API.
#
# usage: scripts/page-test.sh [--frames | --serve] [--help] [-- PLAYWRIGHT-OPTION..]
#
#   --frames  in place of the walk: scrolls and zooms 1,000 namespaces with 48 hours of rows, and
#             prints the frames a second of a trace
#   --serve   in place of the walk: prints where the processes are, and waits for Ctrl-C
#
# Builds the program, unless GATEMETER_PROGRAM names one, and starts it three times on free ports
# with data folders of their own: with two real traces and names that are markup; with rows over a
# change of clocks and names that no gateway could send; and with its keys. Before and after the
# walk a recount of the log must agree with the API. What goes wrong leaves a picture and a trace
# in the folder that PAGE_TEST_OUTPUT names.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

mode=walk
while [ $# -gt 0 ]; do
  case "$1" in
    --frames) mode=frames ;;
    --serve) mode=serve ;;
    --)
      shift
      break
      ;;
    -h | --help)
      sed -n '2,16s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "unknown option '$1': see scripts/page-test.sh --help" ;;
  esac
  shift
done

need_browser
install_packages sqlite3 sqlite3
find_gatemeter checked
gatemeter=$(readlink -f "$gatemeter")
work_folder
(cd frontend && node_modules)
export PAGE_TEST_PROGRAM=$gatemeter

# replay ARGUMENT..: sends what must be counted exactly.
replay() {
  "$gatemeter" replay "$@" --to "$ingest" --quiet --json >"$work/sent.json" ||
    fail "the replay of $1 failed: see above"
}

# What changes rows by hand makes roll-ups anew.
unrolled='UPDATE rolled SET quarter = 0; DELETE FROM namespace_minute;
  DELETE FROM namespace_quarter; DELETE FROM day; DELETE FROM consumer_day;'

# sql FOLDER: runs statements on the ledger of a process that is stopped.
sql() {
  { cat && echo "$unrolled"; } | sqlite3 -bail "$work/$1/data/ledger.db" ||
    fail "the ledger of $1 could not be changed"
}

if [ "$mode" = frames ]; then
  say "1,000 namespaces"
  start_gatemeter wide --dev
  replay synthetic --namespaces 1000 --count 40000
  wait_for 60 "the last count" "$pid" counted 40000
  stop "$pid" || fail "Gatemeter did not stop within 15 s"
  # One row of each namespace in each quarter of the 48 hours before.
  sql wide <<'SQL'
CREATE TEMP TABLE spread AS
  WITH RECURSIVE step(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM step WHERE k < 192)
  SELECT one.*, k FROM
    (SELECT quarter.* FROM quarter JOIN series ON series.id = series GROUP BY namespace) AS one,
    step;
UPDATE spread SET at = at - k, input_uncached = input_uncached + k * 37 % 1000;
ALTER TABLE spread DROP COLUMN k;
INSERT OR IGNORE INTO quarter SELECT * FROM spread;
SQL
  start_gatemeter wide --dev
  export PAGE_TEST_MAIN=$api
else
  say "traces, late and future events, and names that are markup"
  start_gatemeter main --dev
  replay azure:data/azure-llm-trace/AzureLLMInferenceTrace_code.csv.gz \
    azure:data/azure-llm-trace/AzureLLMInferenceTrace_conv.csv.gz
  replay servegen:data/servegen/deepseek-r1 --count 20000
  replay synthetic --count 3000 --duplicates 5% --late 2% --future 1%
  export PAGE_TEST_MAIN=$api PAGE_TEST_INGEST=$ingest PAGE_TEST_METRICS=$aggregator
  export PAGE_TEST_DATA=$work/main/data

  say "a process with keys"
  start_gatemeter keyed
  replay synthetic --count 500 --key-file "$work/keyed/data/ingest.key"
  export PAGE_TEST_KEYED=$api PAGE_TEST_KEY
  PAGE_TEST_KEY=$(cat "$work/keyed/data/admin.key")

  say "rows over a change of clocks, and names that no gateway could send"
  start_gatemeter odd --dev
  replay synthetic --count 2000 --late 3% --future 1%
  wait_for 60 "the last count" "$pid" counted 2000
  stop "$pid" || fail "Gatemeter did not stop within 15 s"
  export PAGE_TEST_ZONE=America/St_Johns PAGE_TEST_CHANGE_S
  # The newest change of its clocks that three days have passed since.
  PAGE_TEST_CHANGE_S=$(node frontend/e2e/change.mjs "$PAGE_TEST_ZONE")
  sed "s/CHANGE_S/$PAGE_TEST_CHANGE_S/" frontend/e2e/odd.sql | sql odd
  start_gatemeter odd --dev
  export PAGE_TEST_ODD=$api
fi

if [ "$mode" = serve ]; then
  say "main $PAGE_TEST_MAIN, odd $PAGE_TEST_ODD, keyed $PAGE_TEST_KEYED with $PAGE_TEST_KEY"
  env | grep '^PAGE_TEST_' | sed 's/^/export /'
  wait "$pid"
  exit
fi

export PAGE_TEST_OUTPUT=${PAGE_TEST_OUTPUT:-$work/output}
cd frontend
say "types and lint of the walk"
npx --no-install tsc -p e2e
# Frames of two browsers at once would be those of a busy machine.
[ "$mode" != frames ] || set -- --workers=1 "$@"
say "the walk"
NO_PROXY='*' no_proxy='*' npx --no-install playwright test --config e2e/playwright.config.ts \
  --project="$mode" "$@"
