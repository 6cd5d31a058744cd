//! Hands records over from the poller's thread to the reader of a partition.
//!
//! The reader requests a start at an offset, the thread delivers records from there on, and only
//! the next offset in order is accepted: duplicates are dropped, and a hole is fetched once more
//! before it is reported. Every start and every loss of a partition has a number of its own, so
//! that a record or a request from before is never mistaken for a current one. Nothing here waits
//! or talks to a broker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::limits::{HANDOFF_BYTES_MAX, READ_RECORDS_MAX};
use crate::record::Record;

/// One partition between its reader and the thread.
pub(super) struct Slot {
    /// Held by a reader for the whole of its call: a slot has one reader at a time.
    pub turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Offset behind the last record that can be read.
    end: watch::Sender<u64>,
    /// Changes with every event that a reader may wait for.
    pulse: watch::Sender<u64>,
    assigned: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    is_assigned: bool,
    is_closed: bool,
    /// The topic is not the one that was opened; until a reader declares that it trusts it.
    is_remade: bool,
    /// Number of the last start or loss.
    start: u64,
    phase: Phase,
    /// Offset of the first record that can be read, or of the one that comes next.
    next: u64,
    /// Offset of the next record to be accepted.
    expected: u64,
    records: VecDeque<Record>,
    bytes: usize,
    /// Whether fetching has to pause until half of the bytes are read.
    is_full: bool,
    /// A hole at this offset was seen once; the client may have skipped records.
    hole_seen: Option<u64>,
    broken: Option<Broken>,
    low: u64,
    high: u64,
    /// Offset to commit to Kafka, already committed in the ledger.
    to_commit: Option<u64>,
    /// When the thread or the reader last did something here.
    moved_at: Option<Instant>,
}

/// State of the start of a slot.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No start was requested.
    #[default]
    Idle,
    /// A start was requested, and the thread has not taken the request yet.
    Requested,
    /// Records are delivered.
    Running,
}

/// Why a partition is not read on.
#[derive(Debug, Clone)]
pub(super) enum Broken {
    /// Offsets are missing between two records.
    Hole {
        /// First offset after the hole.
        next: u64,
    },
    /// The brokers reported an error after which the log's metadata must be refreshed.
    Reset(Arc<KafkaError>),
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Taken {
    /// Records, the first at the offset asked for.
    Records(Vec<Record>),
    /// No record has been delivered at this offset yet.
    Nothing,
    /// The thread reads at another offset, or not at all.
    Elsewhere,
    /// Nothing more is delivered until the reader starts over.
    Broken(Broken),
    /// The topic is not the one that was opened.
    Remade,
    /// The partition is not assigned to this member.
    NotAssigned,
    /// The consumer has ended.
    Closed,
}

/// A request to fetch a partition from an offset on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub from: u64,
    /// Number of this start; records are offered with it.
    pub start: u64,
}

/// What happened to a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It can be read.
    Accepted,
    /// It can be read, and the slot is now full.
    Full,
    /// It is a duplicate, or was fetched for an earlier start.
    Dropped,
    /// Offsets are missing before it; they have to be fetched again.
    Refetch,
}

impl Slot {
    pub(super) fn new() -> Slot {
        Slot {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            end: watch::Sender::new(0),
            pulse: watch::Sender::new(0),
            assigned: watch::Sender::new(false),
        }
    }

    /// Takes the records from `from` on: as many as fit, one at least.
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
        if !taken.is_empty() {
            state.moved_at = Some(Instant::now());
        }
        match (taken.is_empty(), &state.broken) {
            (false, _) => Taken::Records(taken),
            (true, Some(broken)) => Taken::Broken(broken.clone()),
            (true, None) => Taken::Nothing,
        }
    }

    /// Requests a start at `from`; records of an earlier one are dropped. False if the partition is
    /// not assigned.
    pub(super) fn request_start(&self, from: u64) -> bool {
        let mut state = self.lock();
        if !state.is_assigned || state.is_closed {
            return false;
        }
        state.clear();
        state.phase = Phase::Requested;
        state.next = from;
        state.expected = from;
        drop(state);
        self.end.send_replace(from);
        true
    }

    /// Drops the current start, so that the next read requests a new one.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.clear();
    }

    /// The start that was requested since the last call.
    pub(super) fn take_request(&self) -> Option<Request> {
        let mut state = self.lock();
        if state.phase != Phase::Requested {
            return None;
        }
        state.phase = Phase::Running;
        state.is_full = false;
        state.moved_at = Some(Instant::now());
        Some(Request { from: state.expected, start: state.start })
    }

    /// Whether the partition must not be fetched: from the moment its bytes reach the bound until
    /// half of them are read.
    pub(super) fn is_full(&self) -> bool {
        let mut state = self.lock();
        state.is_full &= state.bytes >= HANDOFF_BYTES_MAX / 2;
        state.is_full
    }

    /// Takes a record that was fetched for the start with this number.
    pub(super) fn offer(&self, start: u64, record: Record) -> Offer {
        let mut state = self.lock();
        if state.start != start || state.phase != Phase::Running || state.broken.is_some() {
            return Offer::Dropped;
        }
        if record.offset < state.expected {
            return Offer::Dropped;
        }
        if record.offset > state.expected {
            return self.note_hole(state, record.offset);
        }
        state.expected += 1;
        state.moved_at = Some(Instant::now());
        state.bytes += record.bytes.len();
        let was_empty = state.records.is_empty();
        state.records.push_back(record);
        let end = state.expected;
        let is_full = state.bytes >= HANDOFF_BYTES_MAX && !state.is_full;
        state.is_full |= is_full;
        drop(state);
        self.end.send_replace(end);
        if was_empty {
            self.beat();
        }
        if is_full { Offer::Full } else { Offer::Accepted }
    }

    /// The offset that is fetched next and how long nothing has happened here; `None` unless
    /// records are being fetched and all that came are read.
    pub(super) fn waits_for(&self) -> Option<(u64, Duration)> {
        let state = self.lock();
        let is_fetched = state.phase == Phase::Running && state.broken.is_none();
        let moved_at = state.moved_at.filter(|_| is_fetched && state.records.is_empty())?;
        Some((state.expected, moved_at.elapsed()))
    }

    /// Has the partition fetched again from this offset on, if it is still the next one. Records of
    /// the fetch before are dropped from now on.
    pub(super) fn fetch_again(&self, from: u64) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Running || state.broken.is_some() || state.expected != from {
            return false;
        }
        state.start += 1;
        state.phase = Phase::Requested;
        true
    }

    /// What a client that stopped fetching looks like: nothing that it delivers is accepted.
    #[cfg(test)]
    pub(super) fn stop_fetching(&self) {
        self.lock().start += 1;
    }

    /// A hole is fetched again once, because the client may have skipped records. If it is still
    /// there, it is in the log.
    fn note_hole(&self, mut state: MutexGuard<'_, State>, next: u64) -> Offer {
        let expected = state.expected;
        if state.hole_seen == Some(expected) {
            state.broken = Some(Broken::Hole { next });
            drop(state);
            self.beat();
            return Offer::Dropped;
        }
        state.hole_seen = Some(expected);
        state.start += 1;
        state.phase = Phase::Requested;
        Offer::Refetch
    }

    /// Delivers nothing more until the reader has checked the log and started over. True if
    /// records were being delivered.
    pub(super) fn reset(&self, error: &Arc<KafkaError>) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Idle || state.broken.is_some() {
            return false;
        }
        state.broken = Some(Broken::Reset(Arc::clone(error)));
        drop(state);
        self.beat();
        true
    }

    /// The topic was replaced: nothing of it is read before a reader trusts it.
    pub(super) fn remake(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_remade = true;
        drop(state);
        self.beat();
    }

    /// The topic is the right one, although it was replaced.
    pub(super) fn trust(&self) {
        self.lock().is_remade = false;
    }

    /// The group has assigned the partition to this member.
    pub(super) fn assign(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_assigned = true;
        drop(state);
        self.assigned.send_replace(true);
        self.beat();
    }

    /// The group has revoked the partition: records that were not read belong to its next owner.
    pub(super) fn revoke(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_assigned = false;
        state.to_commit = None;
        let is_closed = state.is_closed;
        drop(state);
        // A consumer that has ended loses its partitions when it leaves the group; callers that
        // wait for an assignment then must still return and see that it has ended.
        self.assigned.send_replace(is_closed);
        self.beat();
    }

    /// The consumer has ended.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_closed = true;
        drop(state);
        // Callers that wait for an assignment return and see that it is closed.
        self.assigned.send_replace(true);
        self.beat();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Notes the ends of the partition.
    pub(super) fn ends_seen(&self, low: u64, high: u64) {
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

    /// Everything before `next` is committed in the ledger.
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

    /// Bytes of records that wait to be read.
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
    /// Drops the current start with all its records; what is still fetched for it has an old
    /// number.
    fn clear(&mut self) {
        self.start += 1;
        self.phase = Phase::Idle;
        self.records.clear();
        self.bytes = 0;
        self.is_full = false;
        self.hole_seen = None;
        self.broken = None;
    }
}

#[cfg(test)]
mod tests;
