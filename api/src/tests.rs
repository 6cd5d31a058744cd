//! The routes on a real ledger: what is committed is what is answered.

mod fixture;
mod kept;
mod metrics;
mod namespaces;
mod open;
mod usage;
