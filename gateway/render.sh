#!/bin/sh
# Writes the nginx configuration of the gateway, or of the mock upstream, into a run folder.
#
# usage: gateway/render.sh gateway|mock RUN_FOLDER
#
# Prints the command that starts it, which runs in the foreground and is stopped by its process
# id. README.md lists the variables; a bad one is an error that names it.
set -eu
here=$(unset CDPATH && cd "$(dirname "$0")" && pwd)

fail() {
  echo "render.sh: $*" >&2
  exit 1
}

[ $# -eq 2 ] || fail "usage: render.sh gateway|mock RUN_FOLDER"
case "$1" in
  gateway) template=$here/conf/nginx.conf.template listen=127.0.0.1:8080 lua=$here/lua ;;
  mock) template=$here/mock/nginx.conf.template listen=127.0.0.1:8090 lua=$here/mock ;;
  *) fail "the first word must be gateway or mock, not '$1'" ;;
esac
mkdir -p "$2/temp" "$2/spool" "$2/logs"
run=$(cd "$2" && pwd)

listen=${GATEWAY_LISTEN:-$listen}
workers=${GATEWAY_WORKERS:-auto}
config=${GATEWAY_CONFIG:-$here/conf/gateway.json}
case "$config" in /*) ;; *) config=$PWD/$config ;; esac

# The upstream: scheme://host[:port][/path]
upstream=${GATEWAY_UPSTREAM:-https://api.openai.com}
scheme=${upstream%%://*} rest=${upstream#*://}
case "$scheme" in
  http | https) ;;
  *) fail "GATEWAY_UPSTREAM must begin with http:// or https://" ;;
esac
host=${rest%%/*} path=""
[ "$host" = "$rest" ] || path=/${rest#*/}
path=${path%/}
[ -n "$host" ] || fail "GATEWAY_UPSTREAM must name a host"
case "$host" in *@*) fail "GATEWAY_UPSTREAM must not name a user" ;; esac
# A colon within brackets is part of an address.
[ "$scheme" = http ] && port=80 || port=443
server=$host
case "${host##*\]}" in
  *:*) port=${host##*:} ;;
  *) server=$host:$port ;;
esac
case "$port" in
  "" | *[!0-9]* | ??????*) fail "GATEWAY_UPSTREAM must have a port from 1 to 65535" ;;
esac

# Debian has Lua as modules, OpenResty has it built in.
program=${GATEWAY_NGINX:-}
if [ -z "$program" ]; then
  for name in openresty /usr/local/openresty/bin/openresty nginx /usr/sbin/nginx; do
    program=$(command -v "$name") && break
  done
fi
[ -n "$program" ] || fail "neither openresty nor nginx is installed; GATEWAY_NGINX may name it"
modules=${GATEWAY_MODULES:-auto}
if [ "$modules" = auto ]; then
  modules=builtin
  [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] && modules=/usr/lib/nginx/modules
  case "$program" in *openresty*) modules=builtin ;; esac
fi
load=""
if [ "$modules" != builtin ]; then
  load="load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so;"
fi

# Workers of a root master run as another user, who must be able to write events to disk.
user="" owner=${GATEWAY_USER:-nobody}
if [ "$(id -u)" -eq 0 ]; then
  group=$(id -gn "$owner") || fail "GATEWAY_USER must name a user, not '$owner'"
  user="user $owner $group;"
  chown "$owner" "$run/spool"
fi

resolver=${GATEWAY_RESOLVER:-} hosts=${GATEWAY_HOSTS:-/etc/hosts}

trust="" upstream_trust=""
bundle=${GATEWAY_CA:-/etc/ssl/certs/ca-certificates.crt}
if [ -e "$bundle" ]; then
  trust="lua_ssl_trusted_certificate $bundle; lua_ssl_verify_depth 4;"
  upstream_trust="proxy_ssl_verify on; proxy_ssl_verify_depth 4; \
proxy_ssl_trusted_certificate $bundle;"
elif [ "$scheme" = https ] && [ "$1" = gateway ]; then
  fail "$bundle is missing, so the upstream cannot be verified; GATEWAY_CA may name another"
fi

# Values that would end a directive, a string or the sed command are no addresses or names.
for value in "$listen" "$workers" "$config" "$run" "$lua" "$upstream" "${GATEWAY_INGEST:-}" \
  "${GATEWAY_NAME:-}" "$resolver" "$hosts" "${GATEWAY_SPOOL_SIZE:-}" \
  "${GATEWAY_SHUTDOWN_TIMEOUT:-}" \
  "${GATEWAY_BODY_MAX:-}" "${GATEWAY_ERROR_LOG:-}" "$modules" "$bundle"; do
  case "$value" in
    *[\;\{\}\"\'\|\\\&\$\ ]*) fail "'$value' has a character that cannot be used" ;;
  esac
done

sed -e "s|@MODULES@|$load|; s|@USER@|$user|; s|@WORKERS@|$workers|; s|@LISTEN@|$listen|" \
  -e "s|@ERROR_LOG@|${GATEWAY_ERROR_LOG:-logs/error.log}|; s|@RESOLVER@|$resolver|" \
  -e "s|@HOSTS@|$hosts|" \
  -e "s|@SHUTDOWN_TIMEOUT@|${GATEWAY_SHUTDOWN_TIMEOUT:-60s}|; s|@LUA@|$lua|" \
  -e "s|@SPOOL_SIZE@|${GATEWAY_SPOOL_SIZE:-32m}|; s|@TRUST@|$trust|; s|@CONFIG@|$config|" \
  -e "s|@UPSTREAM_TRUST@|$upstream_trust|; s|@RUN@|$run|; s|@INGEST@|${GATEWAY_INGEST:-}|" \
  -e "s|@NAME@|${GATEWAY_NAME:-}|; s|@UPSTREAM_HOST@|$server|; s|@UPSTREAM_NAME@|$host|" \
  -e "s|@UPSTREAM_SCHEME@|$scheme|; s|@UPSTREAM_PATH@|$path|" \
  -e "s|@BODY_MAX@|${GATEWAY_BODY_MAX:-64m}|" "$template" >"$run/nginx.conf.tmp"
mv "$run/nginx.conf.tmp" "$run/nginx.conf"
echo "$program -p $run/ -c nginx.conf"
