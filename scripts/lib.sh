# What the scripts share: saying what they do, installing what is missing, ports and waiting.
# Sourced, never run. Everything it starts is stopped by process id.

say() { printf '\n==> %s\n' "$*"; }

fail() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

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

# Finds or installs the Rust toolchain that rust-toolchain.toml names, and a C compiler for SQLite.
need_rust() {
  install_packages cc gcc libc6-dev
  install_packages curl curl ca-certificates
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  if ! command -v cargo >/dev/null; then
    say "installing Rust with rustup"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --profile minimal --default-toolchain none ||
      fail "Rust could not be installed: see https://rustup.rs, then start again"
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  cargo --version >/dev/null || fail "cargo does not run: 'rustup show' says which part is missing"
}

# need_component COMMAND COMPONENT: adds a component of the toolchain unless it runs already.
need_component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  say "adding $2 to the Rust toolchain"
  rustup component add "$2" || fail "rustup could not add $2"
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

# wait_for SECONDS WHAT PID COMMAND..: waits until COMMAND succeeds while process PID lives.
wait_for() {
  local seconds=$1 what=$2 pid=$3 end
  shift 3
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || fail "the process ended before $what"
    [ "$SECONDS" -lt "$end" ] || fail "$what did not happen within $seconds s"
    sleep 0.1
  done
}

# stop PID: asks a process to end and waits for it; after 15 s it is killed.
stop() {
  local pid=$1 end=$((SECONDS + 15))
  kill -TERM "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$end" ]; then
      kill -KILL "$pid" 2>/dev/null || true
      return 1
    fi
    sleep 0.1
  done
}
