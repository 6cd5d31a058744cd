#!/usr/bin/env bash
# Runs every test of Gatemeter, and installs what they need first.
#
# usage: scripts/test.sh [--help]
#
# Steps: format, lints, unit and property tests, the log on a real Kafka broker, the ledger on a
# real MariaDB, the cache on a real Redis, the seeded simulation with its mutants, the gateway's
# Lua, the rules of Prometheus, the dashboards against Grafana's schema, the end to end tests on
# real processes, nginx with the gateway among them, Debian's promtool on a real page, a minute of
# random faults on the whole stack, the manifests for Kubernetes against its schemas and the
# program, the API against its own description, the page against its sources, and a walk through it
# in a browser. Safe to run again.
set -euo pipefail
unset CDPATH
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,13s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown option '$1': see scripts/test.sh --help" ;;
esac

need_rust
need_component fmt rustfmt
need_component clippy clippy
install_packages promtool prometheus
install_packages sqlite3 sqlite3
# Tests start brokers of their own from these.
scripts/kafka.sh jars >/dev/null
# A Prometheus that knows the shipped settings.
prometheus=$(scripts/prometheus.sh install)
# The gateway, what loads it, and what its own tests run on.
need_nginx
install_packages wrk wrk
install_packages luajit luajit2
install_packages luacheck lua-check
# A browser for the page, and Node for its tools.
need_browser
# The tests start a server of their own; the packages without a service start none of the system's.
install_packages mariadb-install-db mariadb-server-core mariadb-client-core
install_packages openssl openssl
install_packages redis-check-rdb redis-tools

say "format"
cargo fmt --all --check

say "lints"
cargo clippy --locked --workspace --all-targets --profile checked -- -D warnings
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings

say "the gateway's lints and the tests of its modules"
gateway/test.sh

say "settings and rules of Prometheus"
"$prometheus/promtool" check config monitoring/prometheus.yml
"$prometheus/promtool" test rules monitoring/rules/tests/*.yml

say "dashboards against the schema of Grafana"
scripts/dashboard-test.sh

say "unit tests, property tests, house rules and end-to-end tests"
cargo test --locked --profile checked --workspace --exclude sim

# The program that the end-to-end tests have built.
GATEMETER_PROGRAM=$(readlink -f "${CARGO_TARGET_DIR:-target}/checked/gatemeter")
export GATEMETER_PROGRAM

say "a minute of random faults on the whole stack"
scripts/chaos.sh --seed 1 --seconds 60

say "manifests for Kubernetes against their schemas, the settings and the rules"
scripts/kubernetes-test.sh

say "the API against its description"
scripts/api-test.sh

say "the built files of the page against its sources"
scripts/frontend.sh check

say "every page in a browser"
scripts/page-test.sh

say "seeded simulation and its mutants"
cargo test --locked --profile checked -p sim

say "all tests passed"
