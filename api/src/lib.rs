//! Configuration and metric queries over HTTP, and the built-in page.
//!
//! A question is read into a range and a scope, answered from rows of one committed version of the
//! ledger, and shown in the envelope that every answer has. Nothing is counted here. An answer is
//! kept to be given again while the ledger would say the same, and while it is down, with a word
//! that it is stale: the ledger is the only source of numbers.

mod error;
mod params;
mod range;
mod context;
mod view;
mod snapshot;
mod single_flight;
mod answers;
mod live;
mod metrics;
mod system;
mod usage;
mod namespaces;
mod page;
mod routes;
#[cfg(test)]
mod tests;

pub use context::{Dependency, Lag, Live, Parts};
pub use routes::router;
