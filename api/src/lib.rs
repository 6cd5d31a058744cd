//! Configuration and metric queries over HTTP, and the built-in page.
//!
//! A question is read into a range and a scope, answered from rows of one committed version of the
//! ledger, and shown in the envelope that every answer has. Nothing is counted here, and nothing
//! is kept between two questions: the ledger is the only source of numbers.

mod error;
mod params;
mod limit;
mod range;
mod context;
mod view;
mod scope;
mod rows;
mod metrics;
mod system;
mod namespaces;
mod page;
mod routes;
#[cfg(test)]
mod tests;

pub use context::{Dependency, Lag, Parts};
pub use routes::router;
