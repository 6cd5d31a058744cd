#!/usr/bin/env bash
# A Prometheus 3 and its promtool, for the stack, for tests and for trials.
#
# usage: scripts/prometheus.sh install
#        scripts/prometheus.sh version
#
#   install get both programs unless they are there, and print the folder that holds them
#   version print the version that install gets
#
# monitoring/prometheus.yml asks for histograms that a server older than 3.9 refuses, and so does
# Debian's package. The programs are built with Go (1.21 or newer; an older one than 1.26 fetches
# the toolchain that the build wants), which takes about 4 minutes, once. Without Go the official
# release is downloaded and held against its checksum. A Prometheus that is built here answers only
# its API: it has no pages of its own.
#
# The folder is $GATEMETER_CACHE/prometheus-VERSION, by default below ~/.cache/gatemeter.
# GATEMETER_PROMETHEUS_RELEASES names another place of the releases. Safe to run again.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/lib.sh"

version=3.16.0
# The same version as a Go module: 3.x.y is v0.3xx.y.
module=github.com/prometheus/prometheus
module_version=v0.316.0
official=https://github.com/prometheus/prometheus/releases/download
releases="${GATEMETER_PROMETHEUS_RELEASES:-$official}"
cache="${GATEMETER_CACHE:-$HOME/.cache/gatemeter}/prometheus-$version"

# The minor number of Go 1.x, or 0 if there is no Go.
go_minor() {
  local have
  have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || have=go1.0
  have=${have#go1.}
  have=${have%%[!0-9]*}
  printf '%s' "${have:-0}"
}

# build DIR: builds both programs into DIR.
build() {
  local name
  for name in prometheus promtool; do
    say "building $name $version, which takes some minutes" >&2
    # Targets come from files and lists alone: the clients of clouds are left out.
    GOBIN="$1" CGO_ENABLED=0 go install -tags remove_all_sd \
      -ldflags "-s -w -X github.com/prometheus/common/version.Version=$version" \
      "$module/cmd/$name@$module_version" >&2 || return 1
  done
}

# download DIR: gets the official release into DIR.
download() {
  local machine name
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) machine=linux-amd64 ;;
    Linux-aarch64) machine=linux-arm64 ;;
    Darwin-x86_64) machine=darwin-amd64 ;;
    Darwin-arm64) machine=darwin-arm64 ;;
    *) fail "no release of Prometheus is known for $(uname -s) on $(uname -m)" ;;
  esac
  name="prometheus-$version.$machine"
  install_packages curl curl ca-certificates >&2
  say "downloading $name from $releases" >&2
  curl -fsSL --retry 2 --connect-timeout 15 -o "$1/$name.tar.gz" \
    "$releases/v$version/$name.tar.gz" >&2 || return 1
  curl -fsSL --retry 2 --connect-timeout 15 -o "$1/sums" "$releases/v$version/sha256sums.txt" >&2 ||
    return 1
  (cd "$1" && grep " $name.tar.gz\$" sums | sha256sum --check --quiet) >&2 ||
    fail "the checksum of $name.tar.gz is wrong: nothing was installed"
  tar -xzf "$1/$name.tar.gz" -C "$1" --strip-components=1 \
    "$name/prometheus" "$name/promtool" >&2 || return 1
  rm "$1/$name.tar.gz" "$1/sums"
}

# Whether DIR holds both programs in the right version.
runs() {
  [ -x "$1/promtool" ] && "$1/prometheus" --version 2>&1 | grep -qF "version $version"
}

install() {
  if ! runs "$cache"; then
    local minor work
    mkdir -p "$(dirname "$cache")"
    work=$(mktemp -d "$cache.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    chmod 755 "$work"
    minor=$(go_minor)
    if [ "$minor" -ge 21 ]; then
      # A Go that is new enough is used as it is.
      if [ "$minor" -lt 26 ]; then export GOTOOLCHAIN=auto; fi
      build "$work" || fail "Prometheus $version could not be built with Go: see above"
    else
      download "$work" ||
        fail "Prometheus $version could not be downloaded from $releases, and there is no Go" \
          "1.21 or newer to build it: install Go, or put prometheus and promtool into $cache"
    fi
    runs "$work" || fail "what was installed does not say that it is Prometheus $version"
    # Whoever is first wins; a half-filled folder is never seen.
    if [ -d "$cache" ] && ! runs "$cache"; then rm -rf "$cache"; fi
    mv -T "$work" "$cache" 2>/dev/null || runs "$cache" || fail "$cache could not be made"
  fi
  printf '%s\n' "$cache"
}

case "${1:-}:$#" in
  install:1) install ;;
  version:1) printf '%s\n' "$version" ;;
  *)
    sed -n '2,18s/^# \{0,1\}//p' "$0"
    [ "${1:-}" = --help ] || exit 2
    ;;
esac
