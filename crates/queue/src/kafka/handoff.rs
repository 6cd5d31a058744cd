//! Hands records over from the consumer's thread to whoever reads a partition.
//!
//! The reader asks for a place, the thread brings records from there on, and only the offset that
//! comes next is accepted: what comes twice is dropped, what is missing is fetched again and then
//! reported. Every start and every loss of a partition has a number of its own, so that a record
//! or a wish from before is never taken for one of now. Nothing here waits or talks to a broker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::limits::{HANDOFF_BYTES_MAX, READ_RECORDS_MAX};
use crate::record::Record;

/// One partition between its reader and the thread.
pub(super) struct Place {
    /// Held by a reader for the whole of its call: a place has one reader at a time.
    pub turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Offset behind the last record that can be read.
    end: watch::Sender<u64>,
    /// Changes with everything that a reader may wait for.
    pulse: watch::Sender<u64>,
    assigned: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    is_assigned: bool,
    is_closed: bool,
    /// The topic is another one than when it was opened; for ever, unless somebody trusts it.
    is_remade: bool,
    /// Number of the last start or loss.
    nonce: u64,
    phase: Phase,
    /// Offset of the first record that can be read, or of the one that comes next.
    next: u64,
    /// Offset that the log must bring next.
    expected: u64,
    records: VecDeque<Record>,
    bytes: usize,
    is_paused: bool,
    /// A hole before this offset was seen once; it may be the client's mistake.
    hole_seen: Option<u64>,
    broken: Option<Broken>,
    low: u64,
    high: u64,
    /// Offset to be shown to tools, once it is committed in the ledger.
    to_commit: Option<u64>,
}

/// How far a place has come.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked for anything.
    #[default]
    Idle,
    /// Somebody has, and the thread does not know yet.
    Wanted,
    /// Records come in.
    Running,
}

/// Why a partition does not go on.
#[derive(Debug, Clone)]
pub(super) enum Broken {
    /// Offsets are missing between two records.
    Hole {
        /// First offset after the hole.
        next: u64,
    },
    /// The brokers reported an error after which the log's metadata must be refreshed.
    Disturbed(Arc<KafkaError>),
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Taken {
    /// Records, the first at the offset asked for.
    Records(Vec<Record>),
    /// It is the right place, and nothing has come yet.
    Nothing,
    /// The thread reads somewhere else, or nowhere.
    Elsewhere,
    /// Nothing more will come.
    Broken(Broken),
    /// The topic is another one than it was.
    Remade,
    /// The partition is not ours.
    NotAssigned,
    /// The consumer has ended.
    Closed,
}

/// What the thread has to do for a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Fetch from this offset on.
    Start { from: u64, nonce: u64 },
    /// Go on fetching.
    Resume,
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It can be read.
    Accepted,
    /// It can be read, and no more should come until somebody has.
    Full,
    /// It belongs to something that is over.
    Dropped,
    /// Offsets are missing before it: fetch them.
    Again,
}

impl Place {
    pub(super) fn new() -> Place {
        Place {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            end: watch::Sender::new(0),
            pulse: watch::Sender::new(0),
            assigned: watch::Sender::new(false),
        }
    }

    /// What a reader may have from `from` on: as many as fit, one at least.
    pub(super) fn take(&self, from: u64, bytes_max: usize) -> Taken {
        let mut state = self.lock();
        if state.is_closed {
            return Taken::Closed;
        }
        if !state.is_assigned {
            return Taken::NotAssigned;
        }
        if state.is_remade {
            return Taken::Remade;
        }
        if state.phase == Phase::Idle || state.next != from {
            return Taken::Elsewhere;
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(record) = state.records.front() {
            bytes += record.bytes.len();
            if !taken.is_empty() && (bytes > bytes_max || taken.len() >= READ_RECORDS_MAX) {
                break;
            }
            state.bytes -= record.bytes.len();
            taken.extend(state.records.pop_front());
        }
        state.next += taken.len() as u64;
        match (taken.is_empty(), &state.broken) {
            (false, _) => Taken::Records(taken),
            (true, Some(broken)) => Taken::Broken(broken.clone()),
            (true, None) => Taken::Nothing,
        }
    }

    /// A reader wants records from `from` on; what is there is dropped. Nothing if the partition
    /// is not ours.
    pub(super) fn start(&self, from: u64) -> bool {
        let mut state = self.lock();
        if !state.is_assigned || state.is_closed {
            return false;
        }
        state.clear();
        state.phase = Phase::Wanted;
        state.next = from;
        state.expected = from;
        drop(state);
        self.end.send_replace(from);
        true
    }

    /// A reader has heard why nothing comes: the next one starts over.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.clear();
    }

    /// What the thread has to do, if anything. A start is returned once.
    pub(super) fn wish(&self) -> Option<Wish> {
        let mut state = self.lock();
        if state.phase == Phase::Wanted {
            state.phase = Phase::Running;
            state.is_paused = false;
            return Some(Wish::Start { from: state.expected, nonce: state.nonce });
        }
        if state.is_paused && state.bytes < HANDOFF_BYTES_MAX / 2 {
            state.is_paused = false;
            return Some(Wish::Resume);
        }
        None
    }

    /// The thread brings a record for the start with this number.
    pub(super) fn offer(&self, nonce: u64, record: Record) -> Offer {
        let mut state = self.lock();
        if state.nonce != nonce || state.phase != Phase::Running || state.broken.is_some() {
            return Offer::Dropped;
        }
        if record.offset < state.expected {
            return Offer::Dropped;
        }
        if record.offset > state.expected {
            return self.note_hole(state, record.offset);
        }
        state.expected += 1;
        state.bytes += record.bytes.len();
        let was_empty = state.records.is_empty();
        state.records.push_back(record);
        let end = state.expected;
        let is_full = state.bytes >= HANDOFF_BYTES_MAX && !state.is_paused;
        state.is_paused |= is_full;
        drop(state);
        self.end.send_replace(end);
        if was_empty {
            self.beat();
        }
        if is_full { Offer::Full } else { Offer::Accepted }
    }

    /// A first hole is fetched again: the client may have skipped. A second one is believed.
    fn note_hole(&self, mut state: MutexGuard<'_, State>, next: u64) -> Offer {
        let expected = state.expected;
        if state.hole_seen == Some(expected) {
            state.broken = Some(Broken::Hole { next });
            drop(state);
            self.beat();
            return Offer::Dropped;
        }
        state.hole_seen = Some(expected);
        state.nonce += 1;
        state.phase = Phase::Wanted;
        Offer::Again
    }

    /// Nothing more will come before somebody has looked at the log anew.
    pub(super) fn disturb(&self, error: &Arc<KafkaError>) {
        let mut state = self.lock();
        if state.phase != Phase::Idle && state.broken.is_none() {
            state.broken = Some(Broken::Disturbed(Arc::clone(error)));
            drop(state);
            self.beat();
        }
    }

    /// The topic is another one: nothing of it is read before somebody trusts it.
    pub(super) fn remake(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_remade = true;
        drop(state);
        self.beat();
    }

    /// The topic is the right one, whatever it was before.
    pub(super) fn trust(&self) {
        self.lock().is_remade = false;
    }

    /// The group has given us the partition.
    pub(super) fn assign(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_assigned = true;
        drop(state);
        self.assigned.send_replace(true);
        self.beat();
    }

    /// The group has taken the partition: whatever was handed over is somebody else's.
    pub(super) fn revoke(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_assigned = false;
        state.to_commit = None;
        let is_closed = state.is_closed;
        drop(state);
        // Leaving the group takes everything from a consumer that has ended; whoever waits for an
        // assignment then must hear of the end.
        self.assigned.send_replace(is_closed);
        self.beat();
    }

    /// The consumer has ended.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_closed = true;
        drop(state);
        // Whoever waits for an assignment asks again and hears of it.
        self.assigned.send_replace(true);
        self.beat();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// The client knows of these ends.
    pub(super) fn seen(&self, low: u64, high: u64) {
        let mut state = self.lock();
        state.low = low;
        state.high = high;
    }

    /// The oldest offset and the one to be written next, as last seen.
    pub(super) fn ends(&self) -> (u64, u64) {
        let state = self.lock();
        let expected = if state.phase == Phase::Idle { 0 } else { state.expected };
        (state.low, state.high.max(expected))
    }

    /// The ledger has counted up to `next`.
    pub(super) fn commit_offset(&self, next: u64) {
        let mut state = self.lock();
        if state.is_assigned {
            state.to_commit = Some(next);
        }
    }

    /// The offset to be committed, if it changed since the last call.
    pub(super) fn take_commit(&self) -> Option<u64> {
        self.lock().to_commit.take()
    }

    /// Bytes that wait to be read.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn pulse(&self) -> watch::Receiver<u64> {
        self.pulse.subscribe()
    }

    pub(super) fn assigned(&self) -> watch::Receiver<bool> {
        self.assigned.subscribe()
    }

    fn beat(&self) {
        self.pulse.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends whatever was under way, under a number that nothing of it has.
    fn clear(&mut self) {
        self.nonce += 1;
        self.phase = Phase::Idle;
        self.records.clear();
        self.bytes = 0;
        self.is_paused = false;
        self.hole_seen = None;
        self.broken = None;
    }
}

#[cfg(test)]
mod tests;
