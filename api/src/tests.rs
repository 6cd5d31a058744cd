//! Tests of the routes on a real ledger: answers show what is committed.

#[path = "../../crates/store/src/tests/mariadb.rs"]
#[expect(dead_code, reason = "the tests of the store use more of it")]
mod mariadb;
mod fixture;
mod schema;
mod description;
mod kept;
mod metrics;
mod latency;
mod letters;
mod namespaces;
mod open;
mod usage;
mod usage_groups;
mod usage_export;
