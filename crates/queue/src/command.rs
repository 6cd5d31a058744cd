//! What the writer is asked to do, and how appends that wait are gathered for one commit.
//! A command carries a channel to its caller; each is answered once, whatever happens. A
//! command never holds anything of the file.

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::error::QueueError;
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_RECORDS_MAX};
use crate::record::{Append, Position, RetainReport, row_bytes};

/// What the writer is asked to do.
pub(crate) enum Command {
    /// Append the records of one call, all or none.
    Append(Waiting),
    /// Delete one bounded piece of what may go.
    Retain { floor: u64, now_us: i64, answer: oneshot::Sender<Result<RetainReport, QueueError>> },
    /// Take nothing more, finish what waits, close the file.
    Close,
}

/// One append call that waits for its commit.
pub(crate) struct Waiting {
    pub records: Vec<Append>,
    /// Its share of the bytes that may wait; given back when the call is answered.
    pub _room: OwnedSemaphorePermit,
    pub answer: oneshot::Sender<Result<Vec<Position>, QueueError>>,
}

impl Command {
    /// Answers without doing anything.
    pub(crate) fn refuse(self, error: QueueError) {
        match self {
            Command::Append(waiting) => waiting.answer(Err(error)),
            Command::Retain { answer, .. } => {
                let _ = answer.send(Err(error));
            }
            Command::Close => {}
        }
    }
}

impl Waiting {
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|r| r.bytes.len()).sum()
    }

    pub(crate) fn row_bytes(&self) -> u64 {
        self.records.iter().map(|r| row_bytes(r.bytes.len())).sum()
    }

    /// A caller that has gone away needs no answer.
    pub(crate) fn answer(self, answer: Result<Vec<Position>, QueueError>) {
        let _ = self.answer.send(answer);
    }
}

/// Takes what waits, up to the bounds of one transaction, and the first command that is not an
/// append: that one is done after the batch, in the order of arrival.
pub(crate) fn gather(
    first: Command,
    commands: &mut mpsc::Receiver<Command>,
) -> (Vec<Waiting>, Option<Command>) {
    let mut batch = Vec::new();
    let mut n_records = 0;
    let mut bytes = 0;
    let mut command = first;
    loop {
        match command {
            Command::Append(waiting) => {
                n_records += waiting.records.len();
                bytes += waiting.bytes();
                batch.push(waiting);
            }
            other => return (batch, Some(other)),
        }
        if n_records >= COMMIT_RECORDS_MAX || bytes >= COMMIT_BYTES_MAX {
            return (batch, None);
        }
        match commands.try_recv() {
            Ok(next) => command = next,
            Err(_) => return (batch, None),
        }
    }
}
