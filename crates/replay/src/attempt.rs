//! How one send of a batch ended, whichever way it went.

use std::time::Duration;

use crate::answer::Answer;

/// How one send ended.
pub enum Try {
    /// Accepted, with the verdict on its events.
    Answered(Answer),
    /// Worth another send.
    Failed {
        /// Why, in words.
        why: String,
        /// Whether it may have been taken all the same.
        taken: Taken,
        /// The pause that was asked for.
        wait: Option<Duration>,
    },
    /// Not worth another send.
    Refused {
        /// Why, in words.
        why: String,
        /// HTTP status.
        status: u16,
    },
    /// The receiver is not the ingest of the contract; what it did is unknown.
    Strange(String),
}

/// Whether a send was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nobody knows.
    Perhaps,
    /// Certainly: it is answered.
    Yes,
    /// Never, with this status; 0 where no connection was made.
    No(u16),
}

impl Try {
    /// Whether the send may have been taken without an answer that says so.
    pub fn taken(&self) -> Taken {
        match self {
            Try::Answered(_) => Taken::Yes,
            Try::Failed { taken, .. } => *taken,
            Try::Refused { status, .. } => Taken::No(*status),
            Try::Strange(_) => Taken::Perhaps,
        }
    }

    /// A failure that another send may mend.
    pub fn failed(why: &str, taken: Taken) -> Try {
        Try::Failed { why: why.to_string(), taken, wait: None }
    }
}
