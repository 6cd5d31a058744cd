//! What passes between the cores, the committer and the ledger's store: claims, commits and their
//! outcomes.
//!
//! A core builds a complete, immutable `Part` of its partition; the committer makes a `Commit` of
//! the parts of all partitions of the process; the store executes it atomically.

mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use event::Key;

use crate::account::{Account, Class};

pub use rows::CommitRows;

/// Who may commit for a partition: the holder of the newest claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Generation of the log.
    pub generation: u32,
    /// Partition of the generation.
    pub partition: u32,
    /// Grows by one with each claim.
    pub epoch: i64,
    /// Random, fresh for each claim: a restored ledger may hand out an epoch again, never a nonce.
    pub nonce: [u8; 16],
}

/// Progress of a partition; one row of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Offset of the first frame that is not counted.
    pub next: u64,
    /// Offset of the first frame that the dedup set is rebuilt from; at most `next`.
    pub floor: u64,
    /// The log's clock M at the frame at `floor`, microseconds; `None` before the first frame.
    pub floor_clock_us: Option<i64>,
    /// M after the frame before `next`.
    pub clock_us: Option<i64>,
    /// XXH3-64 of the record before `next`; `None` before the first record.
    pub last_print: Option<u64>,
    /// Accounting of all events before `next`.
    pub account: Account,
    /// Hour of the log's clock, in hours since the epoch, that `letter_rows` counts.
    pub letter_hour: i64,
    /// Dead letters with content that were kept in that hour.
    pub letter_rows: i64,
    /// The late events of all frames before this offset are decided; at most `next`.
    pub late_next: u64,
}

/// Result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The new owner.
    pub owner: Owner,
    /// Progress from which it continues.
    pub progress: Progress,
}

/// Identity of a commit, fresh for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(pub [u8; 16]);

/// Events that were not counted, or a copy that contradicts the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Offset of the frame.
    pub offset: u64,
    /// Index of the event in its frame; of the first one if there are several.
    pub idx: u32,
    /// How many events this row stands for: 1 with content, any number without.
    pub n: u32,
    /// Verdict; `Duplicate` here means a conflict.
    pub class: Class,
    /// Why, in a word or a short sentence.
    pub reason: &'static str,
    /// Time of the event, microseconds, where it could be read.
    pub time_us: Option<i64>,
    /// Tenant, where it could be read.
    pub namespace: Option<Box<str>>,
    /// The event as a frame of its own, or the unreadable record cut to `LETTER_BYTES_MAX`; `None`
    /// beyond the hour's cap.
    pub content: Option<Box<[u8]>>,
    /// The log's clock after the frame, microseconds.
    pub clock_us: Option<i64>,
}

/// Longest content of a dead letter in bytes: any single event fits; a garbled frame is cut.
pub const LETTER_BYTES_MAX: usize = 64 * 1024;

/// What a range of frames adds up to: `commit_range` keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeSums {
    /// Events in the range.
    pub events: i64,
    /// Counted events in the range.
    pub counted: i64,
    /// Late events in the range.
    pub late: i64,
    /// Input tokens of the counted events.
    pub input_tokens: i64,
    /// Output tokens of the counted events.
    pub output_tokens: i64,
    /// Wrapping sum of the low halves of the counted keys: equal sets have equal digests.
    pub digest: i64,
    /// M after the first frame of the range.
    pub first_clock_us: Option<i64>,
    /// M after the last frame of the range.
    pub last_clock_us: Option<i64>,
}

/// A late event that the second pass adds to the sums; the ledger keeps it as long as its frame is
/// in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Identity of the event.
    pub key: Key,
    /// Time of the event, microseconds.
    pub time_us: i64,
    /// Offset of its frame.
    pub offset: u64,
}

/// What a part adds of late events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatePart {
    /// Offset at which it begins: the part takes effect only if the row still has it as its
    /// `late_next`.
    pub base: u64,
    /// Events that are added to the sums, by address.
    pub merged: Vec<Merged>,
    /// Input and output tokens of these.
    pub tokens: [i64; 2],
}

/// What one partition adds to the ledger with a commit: a range of its frames, immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Owner that commits.
    pub owner: Owner,
    /// Offset at which the range begins: the part takes effect only if the row still has it.
    pub base: u64,
    /// The partition's row afterwards.
    pub progress: Progress,
    /// What the range adds to sums.
    pub rows: Arc<CommitRows>,
    /// Dead letters.
    pub letters: Vec<DeadLetter>,
    /// Sums of the range.
    pub sums: RangeSums,
    /// Whether frames at which this part, or a recount, would have begun had left the log: the
    /// ledger then stores a baseline after it.
    pub is_shortened: bool,
    /// A loss that an operator accepted with it, so that a halted partition resumes.
    pub accepted: Option<AcceptedLoss>,
    /// What the second pass has decided since the last commit.
    pub late: LatePart,
}

impl Part {
    /// A part that adds nothing, decides nothing about late events and leads to this row of its
    /// partition.
    #[must_use]
    pub fn without_rows(owner: Owner, base: u64, progress: Progress) -> Part {
        Part {
            owner,
            base,
            progress,
            rows: Arc::default(),
            letters: Vec::new(),
            sums: RangeSums::default(),
            is_shortened: false,
            accepted: None,
            late: LatePart { base: progress.late_next, ..LatePart::default() },
        }
    }
}

/// One transaction on the ledger: the parts of one or more partitions, all of which take effect or
/// none. A commit of other parts has another id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Identity.
    pub id: CommitId,
    /// One part for each partition, by partition: two commits that lock the rows of their
    /// partitions in this order never deadlock.
    pub parts: Vec<Arc<Part>>,
    /// What all parts add to sums.
    pub rows: Arc<CommitRows>,
}

impl Commit {
    /// A commit of parts of different partitions, in any order.
    ///
    /// # Panics
    /// If a sum leaves 64 bits: the limits of events and frames make that impossible.
    #[must_use]
    pub fn of(id: CommitId, mut parts: Vec<Arc<Part>>) -> Commit {
        parts.sort_unstable_by_key(|part| part.owner.partition);
        let rows = match parts.as_slice() {
            [one] => Arc::clone(&one.rows),
            _ => Arc::new(CommitRows::merged(parts.iter().map(|part| &*part.rows))),
        };
        Commit { id, parts, rows }
    }

    /// The part of a partition.
    #[must_use]
    pub fn part(&self, partition: u32) -> Option<&Arc<Part>> {
        self.parts.iter().find(|part| part.owner.partition == partition)
    }
}

/// A loss in a halted partition that an operator accepted; the ledger keeps it forever. Frames
/// below the part's next offset are not, or cannot be verified to be, those that were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// Why the partition was halted.
    pub reason: String,
    /// Frames that the loss covers, part of `Account::lost_frames`.
    pub frames: i64,
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It took effect.
    Committed,
    /// Its compare-and-swap found another owner or offset: it never will take effect.
    Refused,
    /// Its commit of unknown outcome had no effect, and the row has another owner or offset since;
    /// or it accepts a loss, and only another claim keeps that commit from taking effect yet.
    Fenced,
}

/// Outcome of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect; the ledger has this version now.
    Committed {
        /// Ledger version.
        version: i64,
    },
    /// The compare-and-swap of these partitions, ascending, found another owner or offset. Nothing
    /// happened, and these parts will never take effect.
    Refused {
        /// Partitions whose part was refused.
        partitions: Vec<u32>,
    },
    /// It failed and certainly had no effect; its parts may be committed again.
    Aborted,
    /// Unknown: the COMMIT was sent and no answer was received.
    Unknown,
}

/// Result of looking a commit up after an unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The journal has it: every part took effect.
    Committed {
        /// Ledger version.
        version: i64,
    },
    /// The journal does not have it: no part took effect. None will, either: the rows of its
    /// members were free, and a copy of it that is still on its way is refused as soon as they are
    /// claimed or moved on.
    Absent {
        /// Partitions, ascending, whose row still has the owner and the base of their part.
        at_base: Vec<u32>,
    },
}
