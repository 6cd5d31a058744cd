//! What the roles publish about themselves for one another: the lag of each partition and the
//! newest totals.
//!
//! The aggregator produces these values, `api` shows them, and neither may import the other. So
//! they are defined here, in the crate below both that already holds what processes have in common.
//! Plain numbers, copied as they are; nothing is counted from them.

use serde::{Deserialize, Serialize};

/// How far the counting of one partition is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Partition of the log.
    pub partition: u32,
    /// Offset behind the last committed frame.
    pub next: u64,
    /// Frames in the log that are not committed.
    pub frames: u64,
    /// Microseconds for which frames have been waiting without a commit; 0 if none are waiting, or
    /// if another process owns the partition.
    pub commit_age_us: u64,
    /// Set while the partition is halted: known at once of a partition of this process, and by what
    /// the ledger was told of it, about a second later, of others.
    pub halted: Option<Halted>,
}

/// A partition on which counting has stopped until an operator acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// Why.
    pub reason: String,
    /// Offset at which counting resumes if the loss is accepted; `None` if nothing is lost.
    pub resumes_at: Option<u64>,
}

/// Totals of one ledger version. Its JSON is the message that an aggregator publishes on Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Ledger version.
    pub version: i64,
    /// Requests: final attempts.
    pub requests: i64,
    /// Those of them that failed.
    pub errors: i64,
    /// Input tokens of all attempts.
    pub input_tokens: i64,
    /// Output tokens of all attempts.
    pub output_tokens: i64,
}
