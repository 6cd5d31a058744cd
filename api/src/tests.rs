//! Tests of the routes on a real ledger: answers show what is committed.

mod fixture;
mod kept;
mod metrics;
mod namespaces;
mod open;
mod usage;
