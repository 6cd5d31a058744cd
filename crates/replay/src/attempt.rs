//! Result of one send of a batch, over either way.

use std::time::Duration;

use crate::answer::Answer;

/// Result of one send.
pub enum Try {
    /// Accepted, with the verdict on its events.
    Answered(Answer),
    /// Can be retried.
    Failed {
        /// Reason.
        why: String,
        /// Whether it may have been accepted nevertheless.
        taken: Taken,
        /// Requested pause before a retry.
        wait: Option<Duration>,
    },
    /// Must not be retried.
    Refused {
        /// Reason.
        why: String,
        /// HTTP status.
        status: u16,
    },
    /// The receiver is not an ingest; what it did is unknown.
    Strange(String),
}

/// Whether a send was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Unknown.
    Perhaps,
    /// Certainly: it is answered.
    Yes,
    /// Never, with this status; 0 where no connection was made.
    No(u16),
}

impl Try {
    /// Whether the send may have been accepted without an answer that confirms it.
    pub fn taken(&self) -> Taken {
        match self {
            Try::Answered(_) => Taken::Yes,
            Try::Failed { taken, .. } => *taken,
            Try::Refused { status, .. } => Taken::No(*status),
            Try::Strange(_) => Taken::Perhaps,
        }
    }

    /// A failure that a retry may resolve.
    pub fn failed(why: &str, taken: Taken) -> Try {
        Try::Failed { why: why.to_string(), taken, wait: None }
    }
}
