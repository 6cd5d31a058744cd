#!/bin/sh
# Checks the gateway's Lua with luacheck and runs the tests of its pure modules.
# usage: gateway/test.sh [SEED]   needs luajit, lua-cjson and luacheck
set -eu
unset CDPATH
cd "$(dirname "$0")"
luacheck --quiet .
luajit tests/run.lua "$@"
