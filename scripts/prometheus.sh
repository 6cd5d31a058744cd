#!/usr/bin/env bash
# A Prometheus 3 and its promtool, for the stack, for tests and for trials.
#
# usage: scripts/prometheus.sh install
#        scripts/prometheus.sh version
#
#   install get both programs unless they are there, and print the folder that holds them
#   version print the version of the official release that install asks for first
#
# monitoring/prometheus.yml asks for histograms that a server older than 3.5 does not make, such as
# the one that Debian 12 has. The first way that works is taken: the official release, held against
# its checksum; the packages of Debian testing, held against Debian's signature, taken apart and
# not installed; a build with Go 1.21 or newer, which takes about 5 minutes and has no pages of its
# own.
#
# The folder is $GATEMETER_CACHE/prometheus, by default below ~/.cache/gatemeter; programs of 3.5
# or newer that are there are kept. GATEMETER_PROMETHEUS_RELEASES and GATEMETER_DEBIAN name other
# places of the releases and of Debian's archive. Safe to run again.
set -euo pipefail
here=$(unset CDPATH && cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$here/scripts/lib.sh"

version=3.16.0
# The same version as a Go module: 3.x.y is v0.3xx.y.
module=github.com/prometheus/prometheus
module_version=v0.316.0
official=https://github.com/prometheus/prometheus/releases/download
releases="${GATEMETER_PROMETHEUS_RELEASES:-$official}"
debian="${GATEMETER_DEBIAN:-http://deb.debian.org/debian}"
cache="$(cache_folder)/prometheus"

# download DIR: gets the official release into DIR.
download() {
  local machine name
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) machine=linux-amd64 ;;
    Linux-aarch64) machine=linux-arm64 ;;
    Darwin-x86_64) machine=darwin-amd64 ;;
    Darwin-arm64) machine=darwin-arm64 ;;
    *) return 1 ;;
  esac
  name="prometheus-$version.$machine"
  install_packages curl curl ca-certificates >&2
  say "downloading $name from $releases" >&2
  curl -fsSL --retry 1 --connect-timeout 10 -o "$1/$name.tar.gz" \
    "$releases/v$version/$name.tar.gz" >&2 || return 1
  curl -fsSL --retry 1 --connect-timeout 10 -o "$1/sums" "$releases/v$version/sha256sums.txt" >&2 ||
    return 1
  (cd "$1" && grep " $name.tar.gz\$" sums | sha256sum --check --quiet) >&2 ||
    fail "the checksum of $name.tar.gz is wrong: nothing was installed"
  tar -xzf "$1/$name.tar.gz" -C "$1" --strip-components=1 \
    "$name/prometheus" "$name/promtool" >&2 || return 1
  rm "$1/$name.tar.gz" "$1/sums"
}

# unpack DIR: gets the packages of Debian testing and puts the programs into DIR. Neither the
# sources nor the packages of the system are touched.
unpack() {
  local apt keys=/usr/share/keyrings/debian-archive-keyring.gpg name
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && [ -e "$keys" ] || return 1
  say "getting prometheus from Debian testing" >&2
  mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial"
  printf 'deb [signed-by=%s] %s testing main\n' "$keys" "$debian" >"$1/apt/sources.list"
  apt=(apt-get -qq -o Dir::Etc::SourceList="$1/apt/sources.list" -o Dir::Etc::SourceParts=-
    -o Dir::State::Lists="$1/apt/lists" -o Dir::Cache="$1/apt/cache" -o APT::Sandbox::User=root
    -o Acquire::Languages=none)
  "${apt[@]}" update >&2 || return 1
  for name in prometheus promtool; do
    (cd "$1/apt" && "${apt[@]}" download "$name") >&2 || return 1
    dpkg-deb --extract "$1/apt/$name"_*.deb "$1/apt" || return 1
    mv "$1/apt/usr/bin/$name" "$1/" || return 1
  done
  rm -rf "$1/apt"
}

# build DIR: builds both programs into DIR.
build() {
  local name minor
  minor=$(go_minor)
  [ "$minor" -ge 21 ] || return 1
  # A Go that is new enough is used as it is; an older one fetches what the build wants.
  if [ "$minor" -lt 26 ]; then export GOTOOLCHAIN=auto; fi
  for name in prometheus promtool; do
    say "building $name $version, which takes some minutes" >&2
    # Targets come from files, lists and name servers alone: the clients of clouds are left out.
    GOBIN="$1" CGO_ENABLED=0 go install -tags remove_all_sd,enable_dns_sd \
      -ldflags "-s -w -X github.com/prometheus/common/version.Version=$version" \
      "$module/cmd/$name@$module_version" >&2 || return 1
  done
}

# Whether DIR holds both programs, and they are new enough.
runs() {
  local major minor
  [ -x "$1/promtool" ] && [ -x "$1/prometheus" ] || return 1
  IFS=. read -r major minor _ < <("$1/prometheus" --version 2>&1 |
    sed -n '1s/^prometheus, version \([0-9]*\.[0-9]*\).*/\1/p') || return 1
  [ "${major:-0}" -gt 3 ] || { [ "${major:-0}" -eq 3 ] && [ "$minor" -ge 5 ]; }
}

install() {
  local way
  if ! runs "$cache"; then
    mkdir -p "$(dirname "$cache")" ||
      fail "downloads cannot be kept in $(dirname "$cache"): GATEMETER_CACHE names another folder"
    work=$(mktemp -d "$cache.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    for way in download unpack build; do
      if "$way" "$work" && runs "$work"; then break; fi
      rm -rf "${work:?}"/*
    done
    runs "$work" || fail "no way led to a Prometheus 3.5 or newer: see above, or put prometheus" \
      "and promtool into $cache"
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
    sed -n '2,19s/^# \{0,1\}//p' "$0"
    [ "${1:-}" = --help ] || exit 2
    ;;
esac
