#!/usr/bin/env bash
# Builds the front end, or checks that the built files that are committed are those of its sources.
#
# usage: scripts/frontend.sh build
#        scripts/frontend.sh check
#
#   build  writes frontend/src/api/schema.d.ts, the types of the API, from the /openapi.json of a
#          running program, and frontend/dist, which the api is compiled with
#   check  does the same elsewhere, and exits with 1 if what is committed differs
#
# Both install what frontend/package-lock.json names into frontend/node_modules, and run the type
# checker, the linter and the unit tests. The program is built unless GATEMETER_PROGRAM names one;
# it runs on free ports with a data folder of its own. Safe to run again.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

case "${1:-}" in
  build | check) ;;
  -h | --help)
    sed -n '2,13s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "build or check? See scripts/frontend.sh --help" ;;
esac
command=$1

need_node
if [ ! -e frontend/dist/index.html ]; then
  # Only the description of the program is wanted here, and it is not built without a page.
  mkdir -p frontend/dist
  : >frontend/dist/index.html
fi
find_gatemeter checked
gatemeter=$(readlink -f "$gatemeter")
work_folder

cd frontend
node_modules
say "types of the API"
start_gatemeter frontend --dev
ask "$api/openapi.json" >"$work/openapi.json"
stop "$pid" || fail "Gatemeter did not stop within 15 s"
if [ "$command" = build ]; then
  schema=src/api/schema.d.ts dist=dist
else
  schema="$work/schema.d.ts" dist="$work/dist"
fi
npx --no-install openapi-typescript "$work/openapi.json" --output "$schema" >"$work/types.log" ||
  fail "no types could be made of /openapi.json: $(tail -n 5 "$work/types.log")"

say "type checker, linter and unit tests"
npm run --silent check

say "built files"
npm run --silent build -- --outDir "$dist" --emptyOutDir
[ "$command" = check ] || exit 0

differ() {
  fail "$1 is not what it is made of: run 'scripts/frontend.sh build', look at what has changed," \
    "and commit it"
}
diff -u src/api/schema.d.ts "$schema" | head -n 40 || true
cmp -s src/api/schema.d.ts "$schema" || differ frontend/src/api/schema.d.ts
diff -rq dist "$dist" || differ frontend/dist
say "frontend/dist and schema.d.ts are what they are made of"
