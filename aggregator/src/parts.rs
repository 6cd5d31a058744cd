//! What the role is made of, and why it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use queue::{Queue, QueueError};
use service::auth::Access;
use store::{Generation, ProcessRow, Store, StoreError};

use crate::worker::WorkerError;

/// Dependencies of the aggregator.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log that is counted.
    pub queue: Arc<Queue>,
    /// The ledger that the counts are committed to.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Set while the dedup set is at its budget.
    pub pressure: Arc<AtomicBool>,
    /// Access to the partitions and to accepting losses.
    pub access: Access,
    /// Whether other processes can reach the ledger. One of them is then the publisher; each page
    /// is confirmed with the ledger first, and none is served while it does not answer.
    pub is_shared: bool,
    /// This process.
    pub process: ProcessRow,
}

/// Why the aggregator could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    /// The ledger failed.
    #[error("ledger failed")]
    Store(#[from] StoreError),
    /// The log failed.
    #[error("log failed")]
    Queue(#[from] QueueError),
    /// A worker failed.
    #[error(transparent)]
    Failed(#[from] WorkerError),
    /// A metric could not be registered.
    #[error("process metrics failed")]
    Metrics(#[from] service::Error),
    /// The ledger was restored to an earlier state under a running process.
    #[error("ledger was restored to an earlier state, restart to count from there")]
    Restored,
    /// The random number generator failed.
    #[error("no random numbers for the ids of commits: {0}")]
    Random(getrandom::Error),
    /// A worker or the committer panicked.
    #[error("worker or committer ended unexpectedly")]
    Panicked,
}
