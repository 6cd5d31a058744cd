//! Counts the log into the ledger and exposes Prometheus metrics.
//!
//! A `worker` owns a partition: it claims, reads and lets `ledger::core` count. The `committer`
//! commits what all workers have counted in one transaction. That goes to the `publisher`, which
//! keeps the families of `expose` and serves one prebuilt page per commit through `http`. Only
//! committed numbers ever reach a page.

mod family;
mod expose;
mod metrics;
mod page;
mod publisher;
mod retention;
mod labels;
mod accept;
mod frames;
mod budget;
mod backoff;
mod committer;
mod late;
mod worker;
mod parts;
mod report;
mod lead;
mod confirm;
mod http;
mod run;
#[cfg(test)]
mod tests;

pub use accept::{AcceptLoss, Accepted, OwnerView, PartitionView};
pub use frames::{FRAMES_KNOWN, FramesRaised, FramesView, RaiseFrames};
pub use page::Page;
pub use parts::{AggregatorError, Parts};
pub use publisher::{Ahead, Committers, Publisher, Reader, Start};
pub use report::halts;
pub use run::{Aggregator, start};
