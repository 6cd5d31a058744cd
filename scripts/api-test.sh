#!/usr/bin/env bash
# Asks a real API what its description says that it answers: sound requests and broken ones.
#
# usage: scripts/api-test.sh [--help]
#
# Builds the program, unless GATEMETER_PROGRAM names one, starts it on free ports with a data folder
# of its own, checks that /openapi.json is valid OpenAPI 3.1, and lets Schemathesis make requests of
# it: each answer must have a status, a content type and a body that are described. It is stopped
# after 90 s. What it needs of Python is installed in a folder below the cache (GATEMETER_CACHE).
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/api-test.sh --help" ;;
esac

# How long the requests may go on; the whole of it is stopped a while later.
seconds=90

find_gatemeter checked

python_folder api-test tests/api/requirements.txt

work_folder
# With its keys: without them nothing that is said about keys could be checked.
start_gatemeter all
# Answers about something are checked better than answers about nothing.
"$gatemeter" replay synthetic --count 2000 --to "$ingest" \
  --key-file "$work/all/data/ingest.key" --quiet ||
  fail "the replay failed: see above"

say "the description is valid OpenAPI 3.1"
ask "$api/openapi.json" >"$work/openapi.json"
"$python/bin/openapi-spec-validator" --schema 3.1 "$work/openapi.json"

key="Authorization: Bearer $(cat "$work/all/data/admin.key")"
say "Schemathesis, for up to $seconds s"
export NO_PROXY='*' no_proxy='*' SCHEMATHESIS_HOOKS="$root/tests/api/hooks.py"
# It leaves its findings in the working directory, and would ask them first the next time.
(cd "$work" && timeout $((seconds + 60)) "$python/bin/st" \
  --config-file "$root/tests/api/schemathesis.toml" run "$api/openapi.json" \
  --header "$key" --max-time "$seconds" --max-examples 60 --no-color) ||
  fail "the API and its description differ: see above"
alive "$pid" || fail "Gatemeter ended: $(tail -n 5 "$work/all/log")"
say "the API is as it describes itself"
