//! The owner of one partition as a pure state machine: inputs in, effects out.
//!
//! The shell claims, reads at `Core::position` under the nonce of its claim, executes the effects
//! and returns the result of each. A record of another offset or claim is dropped, so that the
//! shell may read ahead, twice or too late. `count` classifies every event once; `settle` makes the
//! parts of commits, and decides what follows when one took effect or is lost. The core never looks
//! at a clock and draws nothing by chance; whatever arrives twice, late or out of order is counted
//! once.

mod count;
mod settle;
mod accept;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use event::frame::{FrameReader, Version};

use crate::account::Account;
use crate::classify::Clock;
use crate::commit::{Claim, Owner, Part, Progress, Settled};
use crate::dedup::Dedup;
use crate::late::Decided;
use crate::safeguard::{Safeguard, Safeguards};
use crate::state::{FrameRows, Pending, Rows};
use crate::window::Window;

/// Configuration of a core.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Window of the generation.
    pub window: Window,
    /// Partitions of the generation.
    pub n_partitions: u32,
    /// Most dead letters with content per hour of the log's clock.
    pub letter_rows_per_hour: i64,
    /// Highest version of a frame that the program knows: the newest, but in the simulation.
    pub newest: Version,
    /// All on, but in the simulation.
    pub safeguards: Safeguards,
}

/// State of the log at the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogView {
    /// Oldest offset that is still there.
    pub low: u64,
    /// Offset that will be written next.
    pub high: u64,
    /// XXH3-64 of the record before the claim's `next`, where it is still there.
    pub last_print: Option<u64>,
    /// Whether the log is known to be another one than was counted, whatever its content.
    pub is_remade: bool,
}

/// One record of the log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Nonce of the claim for which it was read.
    pub nonce: [u8; 16],
    /// Offset of the record.
    pub offset: u64,
    /// The log's time of the append, microseconds since the epoch.
    pub append_time_us: i64,
    /// Whether the log's own checksum of the record holds.
    pub intact: bool,
    /// Content of the record.
    pub bytes: &'a [u8],
}

/// Inputs from the shell.
#[derive(Debug)]
pub enum Input<'a> {
    /// A claim was made.
    Claimed {
        /// Result of the claim.
        claim: Claim,
        /// The log at that moment.
        log: LogView,
    },
    /// A record was read.
    Record(Record<'a>),
    /// The log begins at `low`, above the offset that was asked for.
    Gap {
        /// Nonce of the claim for which it was read.
        nonce: [u8; 16],
        /// Oldest offset that is still there.
        low: u64,
    },
    /// Records are missing between two that are there: no retention deletes from the middle.
    Hole {
        /// Nonce of the claim for which it was read.
        nonce: [u8; 16],
        /// First offset that is missing.
        offset: u64,
        /// First offset after the hole.
        next: u64,
    },
    /// The topic of the log was deleted and recreated: the next records do not continue those that
    /// were read.
    Remade {
        /// Nonce of the claim for which it was read.
        nonce: [u8; 16],
    },
    /// The second pass has decided late events.
    Decided(Decided<'a>),
    /// It is time to commit.
    Due,
    /// The part that was offered is settled.
    Settled(Settled),
    /// An operator accepts what a halted partition has lost.
    Accepted {
        /// The current log; it reaches `Core::resumes_at`.
        log: LogView,
        /// Frames below that offset which were certainly not counted.
        lost: u64,
    },
}

/// Effects that the shell must execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Commit this part, together with those of other partitions, and say how it ended.
    Offer(Arc<Part>),
    /// This part took effect.
    Committed(Arc<Part>),
    /// All state in memory was dropped: claim again with a fresh nonce.
    Reclaim(Reclaim),
    /// Nothing more is counted until an operator accepts what was lost.
    Halt(Halt),
    /// Log this event.
    Notice(Notice),
}

/// Why a claim was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// A part was refused: another process owns the partition, or an earlier part of this one took
    /// effect.
    Refused,
    /// A commit of unknown outcome had no effect, and the partition has another owner since.
    Fenced,
}

/// Why a partition is halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The log ends before what was counted.
    #[error("log ends at offset {high}, but frames before {next} were counted: it was truncated")]
    Truncated {
        /// End of the log.
        high: u64,
        /// What was counted.
        next: u64,
    },
    /// The frame before the next offset is another one than was counted.
    #[error("frame at offset {offset} is not the one that was counted: the log was replaced")]
    Replaced {
        /// Offset of the frame.
        offset: u64,
    },
    /// The topic has another id than the one that was counted.
    #[error(
        "topic of the log was deleted and recreated: frames before {next} were counted in another"
    )]
    Remade {
        /// What was counted.
        next: u64,
    },
    /// Frames are missing in the middle of the log.
    #[error("log has no frame at offset {offset}, and the next one at {next}: it is damaged")]
    Hole {
        /// First offset that is missing.
        offset: u64,
        /// First offset after the hole.
        next: u64,
    },
    /// A frame of a version to come: a newer program has to count it.
    #[error(
        "frame at offset {offset} has version {version}, this program reads up to {}: start a \
         newer one", Version::NEWEST.number()
    )]
    Newer {
        /// Offset of the frame.
        offset: u64,
        /// Its version.
        version: u8,
    },
    /// A frame of a kind to come: a newer program has to count it.
    #[error(
        "frame at offset {offset} is of kind {kind}, which this program does not know: start a \
             newer one"
    )]
    Kind {
        /// Offset of the frame.
        offset: u64,
        /// Its kind.
        kind: u8,
    },
    /// Reading the window again did not lead to the clock that was stored.
    #[error("clock of the window rebuilt up to offset {next} differs from the stored one")]
    Clock {
        /// Offset at which the rebuild ended.
        next: u64,
    },
}

/// Events to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Frames left the log before they were counted.
    Lost {
        /// First lost offset.
        from: u64,
        /// Number of lost frames.
        frames: u64,
    },
    /// Frames that the dedup set should be rebuilt from have left the log.
    FloorGone {
        /// Offset at which the rebuild should have begun.
        floor: u64,
        /// Offset at which it begins instead.
        low: u64,
    },
    /// The dedup set is rebuilt; counting resumes.
    Rebuilt {
        /// Number of frames that were read again.
        frames: u64,
    },
}

/// State of the owner.
#[derive(Debug)]
enum State {
    /// Without a claim.
    Idle,
    /// Reading and counting.
    Running,
    /// A part is offered and not settled yet.
    Committing(Arc<Part>),
    /// Stopped until an operator accepts what was lost.
    Halted(Halt),
}

/// First frame of a bucket of the log's clock.
#[derive(Clone, Copy, Debug)]
struct Entry {
    bucket: u32,
    offset: u64,
    clock_us: i64,
}

/// The owner of one partition.
#[derive(Debug)]
pub struct Core {
    options: Options,
    state: State,
    owner: Option<Owner>,
    /// Progress in the ledger.
    committed: Progress,
    /// Offset that comes next.
    position: u64,
    /// Offset at which the rebuild began.
    rebuilt_from: u64,
    /// Whether the window was whole when the rebuild began.
    window_is_whole: bool,
    clock: Clock,
    last_print: Option<u64>,
    entries: VecDeque<Entry>,
    /// Frames before this offset are known to be gone.
    lowest: u64,
    /// Whether frames were found missing since the last commit.
    is_shortened: bool,
    dedup: Dedup,
    rows: Rows,
    pending: Pending,
    letter_hour: i64,
    letter_rows: i64,
    reader: FrameReader,
    frame_rows: FrameRows,
}

impl Core {
    /// An owner without a claim.
    ///
    /// # Panics
    /// If the window is not sound: it is checked where it is made.
    #[must_use]
    pub fn new(options: Options) -> Core {
        let keep_is_mutated = !options.safeguards.on(Safeguard::KeepLongEnough);
        assert!(options.window.is_sound() || keep_is_mutated, "window keeps marks long enough");
        Core {
            options,
            state: State::Idle,
            owner: None,
            committed: Progress::default(),
            position: 0,
            rebuilt_from: 0,
            window_is_whole: true,
            clock: Clock::default(),
            last_print: None,
            entries: VecDeque::new(),
            lowest: 0,
            is_shortened: false,
            dedup: Dedup::default(),
            rows: Rows::default(),
            pending: Pending::default(),
            letter_hour: 0,
            letter_rows: 0,
            reader: FrameReader::default(),
            frame_rows: FrameRows::default(),
        }
    }

    /// Handles an input and returns the effects. An input that does not fit the state is ignored:
    /// it belongs to an earlier claim or commit.
    pub fn on(&mut self, input: Input<'_>) -> Vec<Effect> {
        if matches!(self.state, State::Halted(_)) && !matches!(input, Input::Accepted { .. }) {
            return Vec::new();
        }
        match input {
            Input::Claimed { claim, log } => self.on_claimed(claim, log),
            Input::Record(record) => self.on_record(record),
            Input::Gap { nonce, low } => self.on_gap(nonce, low),
            Input::Hole { nonce, offset, next } => self.on_hole(nonce, offset, next),
            Input::Remade { nonce } => self.on_remade(nonce),
            Input::Decided(decided) => self.on_decided(&decided),
            Input::Due => self.on_due(),
            Input::Settled(settled) => self.on_settled(settled),
            Input::Accepted { log, lost } => self.on_accepted(log, lost),
        }
    }

    /// Fingerprint of a record: XXH3-64 of its bytes.
    #[must_use]
    pub fn print(record: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64(record)
    }

    /// Offset to read next: everything before it is counted, pending or rebuilt. It moves back only
    /// with a claim.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Progress in the ledger.
    #[must_use]
    pub fn committed(&self) -> &Progress {
        &self.committed
    }

    /// Why the partition is halted, if it is.
    #[must_use]
    pub fn halted(&self) -> Option<Halt> {
        if let State::Halted(halt) = self.state { Some(halt) } else { None }
    }

    /// Whether something waits to be committed.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        matches!(self.state, State::Running)
            && self.position >= self.committed.next
            && (self.position > self.committed.next || self.pending.late.next.is_some())
    }

    /// Whether frames are read for their marks only.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        matches!(self.state, State::Running) && self.position < self.committed.next
    }

    /// Number of rows that wait to be committed, roughly.
    #[must_use]
    pub fn n_pending(&self) -> usize {
        self.pending.n_slots()
    }

    /// The log's clock, microseconds since the epoch.
    #[must_use]
    pub fn clock_us(&self) -> Option<i64> {
        self.clock.us()
    }

    /// Bytes of the dedup set.
    #[must_use]
    pub fn dedup_bytes(&self) -> usize {
        self.dedup.bytes()
    }

    /// Bytes of the dedup set that would be left if the log's clock stood at `clock_us`.
    #[must_use]
    pub fn dedup_bytes_at(&self, clock_us: i64) -> usize {
        self.dedup.bytes_since(self.oldest_at(clock_us))
    }

    /// Number of marks that would still hold if the log's clock stood at `clock_us`.
    #[must_use]
    pub fn dedup_len_at(&self, clock_us: i64) -> u64 {
        self.dedup.len_since(self.oldest_at(clock_us))
    }

    /// Accounting of everything before `position`: committed and pending.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut account = self.committed.account;
        account.merge(&self.pending.account);
        account
    }

    /// Oldest bucket whose marks would hold if the clock stood at `clock_us`, or stands if that is
    /// later.
    fn oldest_at(&self, clock_us: i64) -> u32 {
        let bucket = Clock::at(Some(clock_us.max(0))).bucket();
        self.oldest(self.clock.bucket().max(bucket))
    }

    /// Oldest bucket whose marks hold when the clock is in `bucket`.
    fn oldest(&self, bucket: u32) -> u32 {
        let oldest = self.options.window.oldest(i64::from(bucket));
        u32::try_from(oldest.max(0)).expect("not above the bucket")
    }

    /// Stops until an operator accepts what was lost.
    fn halt(&mut self, halt: Halt) -> Vec<Effect> {
        self.state = State::Halted(halt);
        vec![Effect::Halt(halt)]
    }
}
