# What the scripts share: saying what they do, installing what is missing, ports and waiting.
# Sourced, never run. Everything it starts is stopped by process id.

# With it, cd prints the folder and may go to another one.
unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Cron, a service manager or a container may start us without it.
if [ -z "${HOME:-}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6 || true)
  export HOME="${HOME:-/nonexistent}"
fi

say() { printf '\n==> %s\n' "$*"; }

fail() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

# plain_path WHAT PATH: refuses a path that a service or a build would take apart. Settings of Kafka
# end at a comma, a class path at a colon, those of nginx and make at a blank, and Java reads other
# letters as the locale says.
plain_path() {
  local LC_ALL=C
  case "$2" in
    *[!A-Za-z0-9/._+@=-]*)
      fail "$1 is '$2', which has a character that some services cannot take: only the letters" \
        "a to z and A to Z, digits and / . _ + @ = - will do. Nothing was started"
      ;;
  esac
}

# Where downloads are kept.
cache_folder() { printf '%s' "${GATEMETER_CACHE:-$HOME/.cache/gatemeter}"; }

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "cannot run '$*': neither root nor sudo; please run it by hand and start again"
  fi
}

# install_packages COMMAND PACKAGE..: installs Debian packages unless COMMAND is there.
install_packages() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  command -v apt-get >/dev/null ||
    fail "'$command' is missing and this is no Debian system: please install it, then start again"
  say "installing $* for '$command'"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >/dev/null || fail "apt-get could not install $*"
}

# install_idle COMMAND PACKAGE..: the same for packages that would start a service. It is kept from
# starting: only the program is wanted. A policy that is there already stays as it is.
install_idle() {
  local command=$1 policy=/usr/sbin/policy-rc.d status=0
  command -v "$command" >/dev/null && return
  if [ -e "$policy" ]; then
    install_packages "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  (install_packages "$@") || status=$?
  as_root rm -f "$policy"
  return "$status"
}

# nginx with Lua, for the gateway.
need_nginx() {
  PATH="$PATH:/usr/sbin"
  local part missing=no
  for part in /usr/lib/nginx/modules/ngx_http_lua_module.so /usr/share/lua/5.1/resty/core.lua; do
    [ -e "$part" ] || missing=yes
  done
  if [ "$missing" = yes ] && ! command -v openresty >/dev/null; then
    install_idle openresty nginx libnginx-mod-http-lua lua-resty-core lua-cjson
  fi
}

# install_libraries NAME=PACKAGE..: installs the Debian packages of libraries that pkg-config does
# not find by NAME. Systems other than Debian have them elsewhere.
install_libraries() {
  local pair missing=()
  for pair in "$@"; do
    pkg-config --exists "${pair%%=*}" || missing+=("${pair#*=}")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    fail "no ${missing[*]}, and this is no Debian system: please install them, then start again"
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null || fail "apt-get could not install ${missing[*]}"
}

# Finds or installs the Rust toolchain that rust-toolchain.toml names, a C compiler for SQLite, and
# what the Kafka client is built with: C++, make, TLS and zlib.
need_rust() {
  plain_path "the folder of the project" "$root"
  plain_path "CARGO_TARGET_DIR" "${CARGO_TARGET_DIR:-}"
  install_packages cc gcc libc6-dev
  install_packages c++ g++
  install_packages make make
  install_packages pkg-config pkg-config
  install_libraries libssl=libssl-dev zlib=zlib1g-dev
  install_packages curl curl ca-certificates
  local want have
  want=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml")
  have=$(rust_version)
  if [ "$have" != "$want" ]; then
    # A Rust that is not rustup's does not look at rust-toolchain.toml; rustup's goes before it.
    PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v rustup >/dev/null; then
      say "installing Rust $want with rustup${have:+ (the Rust that is here is $have)}"
      curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        RUSTUP_INIT_SKIP_PATH_CHECK=yes sh -s -- -y --profile minimal --default-toolchain none ||
        fail "Rust could not be installed: see https://rustup.rs, then start again"
    fi
    hash -r
    have=$(rust_version)
  fi
  [ "$have" = "$want" ] ||
    fail "Rust $want is needed (rust-toolchain.toml), but 'rustc --version' says" \
      "'${have:-nothing}': run 'rustup toolchain install $want', and unset RUSTUP_TOOLCHAIN if" \
      "it is set; then start again"
  (cd "$root" && cargo --version) >/dev/null ||
    fail "cargo does not run: 'rustup show' says which part is missing"
}

# The version of the Rust that would build, or nothing.
rust_version() {
  command -v rustc >/dev/null || return 0
  # rustup looks for rust-toolchain.toml in the working directory.
  (cd "$root" && rustc --version) | cut -d ' ' -f 2 || true
}

# need_component COMMAND COMPONENT: adds a component of the toolchain unless it runs already.
need_component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  say "adding $2 to the Rust toolchain"
  rustup component add "$2" || fail "rustup could not add $2"
}

# The minor number of Go 1.x, or 0 if there is no Go.
go_minor() {
  local have
  have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || have=go1.0
  have=${have#go1.}
  have=${have%%[!0-9]*}
  printf '%s' "${have:-0}"
}

# need_go MINOR: puts a Go 1.MINOR or newer on the path: the one that is here, or the one that
# tests/dashboards/requirements.txt names, for Debian 12 has an older one.
need_go() {
  [ "$(go_minor)" -lt "$1" ] || return 0
  python_folder go tests/dashboards/requirements.txt
  PATH="$("$python/bin/python" -c 'import go; print(go.__path__[0])')/bin:$PATH"
  [ "$(go_minor)" -ge "$1" ] || fail "Go 1.$1 or newer is needed: see https://go.dev/dl"
}

# python_folder NAME FILE: makes a folder for Python below the cache that holds what FILE names,
# unless it is there. Sets $python.
python_folder() {
  # Debian's Python comes without what makes such a folder; no command has that name.
  python3 -c 'import ensurepip, venv' 2>/dev/null ||
    install_packages "python3 with venv" python3 python3-venv
  local wanted
  wanted=$(cat "$root/$2")
  python=$(cache_folder)/$1
  [ "$(cat "$python/installed" 2>/dev/null)" != "$wanted" ] || return 0
  say "installing what $2 names"
  rm -rf "$python"
  mkdir -p "$(dirname "$python")"
  python3 -m venv "$python"
  "$python/bin/pip" install --quiet --disable-pip-version-check -r "$root/$2" ||
    fail "pip could not install what $2 names"
  printf '%s\n' "$wanted" >"$python/installed"
}

# Whether something listens on a local port.
port_is_taken() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port FIRST: the first free port from FIRST on.
free_port() {
  local port=$1
  while port_is_taken "$port"; do
    port=$((port + 1))
    [ "$port" -lt $(($1 + 1000)) ] || fail "no free port between $1 and $port"
  done
  printf '%s' "$port"
}

# wait_for SECONDS NAME PID COMMAND..: waits until COMMAND succeeds while process PID, NAME, lives.
wait_for() {
  local seconds=$1 name=$2 pid=$3 end
  shift 3
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    alive "$pid" || fail "$name ended before it was ready"
    [ "$SECONDS" -lt "$end" ] || fail "$name was not ready within $seconds s"
    sleep 0.1
  done
}

# alive PID: whether a process runs; one that is dead and only waits to be forgotten does not.
alive() {
  kill -0 "$1" 2>/dev/null && ! grep -qs '^[^)]*) [ZX]' "/proc/$1/stat"
}

# stop PID [SIGNAL]: asks a process to end and waits for it; after 15 s it is killed, and with it
# those that it started, if it leads a group.
stop() {
  local pid=$1 end=$((SECONDS + 15))
  kill -"${2:-TERM}" "$pid" 2>/dev/null || return 0
  while alive "$pid"; do
    if [ "$SECONDS" -ge "$end" ]; then
      kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null || true
      return 1
    fi
    sleep 0.1
  done
}

# find_gatemeter PROFILE: names the program in $gatemeter: the one of GATEMETER_PROGRAM, or one that
# it builds.
find_gatemeter() {
  gatemeter=${GATEMETER_PROGRAM:-}
  [ -z "$gatemeter" ] || return 0
  need_rust
  say "building (the first time this takes a few minutes)"
  cargo build --locked --profile "$1" --bin gatemeter
  gatemeter="${CARGO_TARGET_DIR:-target}/$1/gatemeter"
}

# work_folder: makes the folder $work. It is deleted, and every process of start_gatemeter stopped,
# when the script ends.
work_folder() {
  work=$(mktemp -d)
  pids=()
  trap finish_work EXIT
  trap 'exit 130' INT TERM
}

finish_work() {
  local pid
  for pid in "${pids[@]}"; do
    stop "$pid" || true
  done
  rm -rf "$work"
}

# start_gatemeter NAME FLAG..: starts $gatemeter all on free ports, with its data and its log in the
# folder NAME of $work, and waits until it is ready. Sets $pid, $api, $aggregator and $ingest, three
# URLs.
start_gatemeter() {
  local folder="$work/$1" port url
  shift
  install_packages curl curl ca-certificates
  mkdir -p "$folder"
  port=$(free_port 8001)
  api="http://127.0.0.1:$port"
  port=$(free_port $((port + 1)))
  aggregator="http://127.0.0.1:$port"
  port=$(free_port $((port + 1)))
  ingest="http://127.0.0.1:$port"
  "$gatemeter" all --data "$folder/data" --api-listen "${api#http://}" \
    --aggregator-listen "${aggregator#http://}" --ingest-listen "${ingest#http://}" "$@" \
    2>"$folder/log" &
  pid=$!
  pids+=("$pid")
  for url in "$ingest" "$aggregator" "$api"; do
    wait_for 60 Gatemeter "$pid" ask "$url/readyz"
  done
}

# ask CURL-OPTION..: a request to a process of this machine, past any proxy of the environment.
ask() { curl --noproxy '*' -sf "$@"; }

# counted N: whether the aggregator has counted N events.
counted() {
  local shown
  shown=$(ask "$aggregator/metrics?section=business") &&
    grep -qx "gatemeter_events_total{class=\"counted\"} $1" <<<"$shown" &&
    grep -qx "gatemeter_late_events_undecided 0" <<<"$shown"
}

# need_node: finds or installs a Node that the front end's tools run on.
need_node() {
  install_packages node nodejs npm
  install_packages npm npm
  local want have
  want=$(sed -n 's/^ *"node": "\(.*\)"$/\1/p' "$root/frontend/package.json")
  have=$(node --version)
  node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    const found = process.argv[1].split("||").some((range) => {
      const [, sign, wanted, least] = /^\s*(\^|>=)(\d+)\.(\d+)/.exec(range) ?? [];
      const isMajor = sign === "^" ? major === +wanted : major >= +wanted;
      return sign && isMajor && (major > +wanted || minor >= +least);
    });
    process.exit(found ? 0 : 1);
  ' "$want" ||
    fail "Node $want is needed (frontend/package.json), but 'node --version' says $have:" \
      "install a newer one from https://nodejs.org/en/download, then start again"
}

# need_browser: Node, and a Chromium that draws every script that a name may be in. Sets
# PAGE_TEST_CHROMIUM, which frontend/e2e starts it by.
need_browser() {
  need_node
  install_packages chromium chromium
  install_packages fc-list fontconfig
  [ -n "$(fc-list :lang=zh)" ] || install_packages "a font for Chinese" fonts-wqy-zenhei
  export PAGE_TEST_CHROMIUM
  PAGE_TEST_CHROMIUM=$(command -v chromium)
}

# node_modules: installs what frontend/package-lock.json names, unless it is there. To be called in
# the folder frontend.
node_modules() {
  # With it npm would leave out the tools, and Vite build something else.
  unset NODE_ENV
  local wanted
  wanted="$(node --version) $(sha256sum package-lock.json)"
  [ "$(cat node_modules/.installed 2>/dev/null)" != "$wanted" ] || return 0
  say "installing the tools of the front end"
  npm ci --ignore-scripts --no-audit --no-fund ||
    fail "npm could not install what frontend/package-lock.json names"
  printf '%s\n' "$wanted" >node_modules/.installed
}
