//! Takes events in over HTTP and answers when they are durable.
//!
//! A body is unpacked (`encoding`) and parsed (`event::native`), its labels are settled against
//! their budgets (`label`), its events are stamped into columns (`stamp`), gathered with those of
//! other requests and appended to the log (`gather`); then `http` answers. Before that nothing is
//! promised, and after it the meaning of an event never changes. Prompt text ends here: it is
//! dropped while it is parsed.

mod metrics;
mod encoding;
mod label;
mod gateways;
mod stamp;
mod gather;
mod answer;
mod body;
mod http;
#[cfg(test)]
mod tests;

pub use http::{Ingest, IngestError, Parts, start};
