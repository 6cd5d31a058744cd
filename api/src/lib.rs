//! Configuration and metric queries over HTTP, and the built-in page.
//!
//! A query is parsed into a range and a scope, answered from the rows of one committed ledger
//! version, and returned in the envelope that all responses share. Nothing is counted here. An
//! answer is cached for as long as the ledger would give the same one, and served marked as stale
//! while the ledger is down: the ledger is the only source of numbers.

mod error;
mod params;
mod body;
mod range;
mod context;
mod view;
mod histogram;
mod snapshot;
mod single_flight;
mod answers;
mod limit;
mod live;
mod metrics;
mod latency;
mod system;
mod usage;
mod namespaces;
mod letters;
mod replay;
mod asset;
mod page;
mod docs;
mod routes;
#[cfg(test)]
mod tests;

pub use context::{Dependency, DependencyView, LagView, LiveView, Parts, Resend, Resending};
pub use routes::router;
