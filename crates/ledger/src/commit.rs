//! What passes between the core and the ledger's store: claims, commits and their outcomes.
//!
//! The core builds a complete, immutable `Commit`; the shell passes it to the store, which executes
//! it atomically. A retry passes the same value again.

use std::sync::Arc;

use crate::account::{Account, Class};
use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::measures::Measures;
use crate::series::{FullLabels, SeriesId, ShortLabels};

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

/// A line of the commit journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Events in the range.
    pub events: i64,
    /// Counted events in the range.
    pub counted: i64,
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

/// One transaction on the ledger. Rows are sorted by key, so that two commits never deadlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Identity.
    pub id: CommitId,
    /// Owner that commits.
    pub owner: Owner,
    /// Offset at which the range begins: the commit takes effect only if the row still has it.
    pub base: u64,
    /// The partition's row afterwards.
    pub progress: Progress,
    /// What is added to totals, by id: labels and sums.
    pub totals: Vec<(SeriesId, Arc<FullLabels>, Measures)>,
    /// What is added to quarter-hours: number of the quarter since the epoch, full row.
    pub quarters: Vec<(i64, SeriesId, Measures)>,
    /// Minute rows that `minutes` refers to, by id.
    pub shorts: Vec<(SeriesId, ShortLabels)>,
    /// What is added to minutes: number of the minute since the epoch, short row. The buckets of
    /// the time to first token are not stored for minutes.
    pub minutes: Vec<(i64, SeriesId, Measures)>,
    /// Consumer rows that `used` refers to, by id.
    pub consumers: Vec<(SeriesId, Arc<ConsumerLabels>)>,
    /// What is added to consumers: number of the quarter since the epoch, consumer row.
    pub used: Vec<(i64, SeriesId, ConsumerSums)>,
    /// Dead letters.
    pub letters: Vec<DeadLetter>,
    /// Line of the journal.
    pub journal: Journal,
    /// Whether frames at which this commit, or a recount, would have begun had left the log: the
    /// ledger then stores a baseline after it.
    pub is_shortened: bool,
    /// A loss that an operator accepted with it, so that a halted partition resumes.
    pub accepted: Option<AcceptedLoss>,
}

impl Commit {
    /// A commit that adds nothing and leads to this row of its partition.
    #[must_use]
    pub fn without_rows(id: CommitId, owner: Owner, base: u64, progress: Progress) -> Commit {
        Commit {
            id,
            owner,
            base,
            progress,
            totals: Vec::new(),
            quarters: Vec::new(),
            shorts: Vec::new(),
            minutes: Vec::new(),
            consumers: Vec::new(),
            used: Vec::new(),
            letters: Vec::new(),
            journal: Journal::default(),
            is_shortened: false,
            accepted: None,
        }
    }
}

/// A loss in a halted partition that an operator accepted; the ledger keeps it forever. Frames
/// below the commit's next offset are not, or cannot be verified to be, those that were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// Why the partition was halted.
    pub reason: String,
    /// Frames that the loss covers, part of `Account::lost_frames`.
    pub frames: i64,
}

/// Outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect; the ledger has this version now.
    Committed {
        /// Ledger version.
        version: i64,
    },
    /// The compare-and-swap found another owner or offset; nothing happened, and never will.
    Refused,
    /// It failed and certainly had no effect; the same commit may be tried again.
    Aborted,
    /// Unknown: the COMMIT was sent and no answer was received.
    Unknown,
}

/// Result of looking up the row after an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The row has this owner and the commit took effect.
    Committed {
        /// Ledger version.
        version: i64,
    },
    /// The row has this owner and is still at the commit's base.
    Base,
    /// The row has another owner.
    Fenced,
}
