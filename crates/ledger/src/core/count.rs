//! Handles records: the clock moves, every event gets its class, and counted ones are added to the
//! pending sums.
//!
//! Before the committed offset a record only restores marks and clock; from there on it counts.
//! Verdicts depend on nothing but the log, so both readings of a record agree.

use std::ops::Range;

use event::frame::envelope::{ENVELOPE_BYTES, EnvelopeError};
use event::frame::{Envelope, FrameBuilder, FrameError, FrameReader, FrameView};

use super::{Core, Effect, Entry, Halt, Notice, Record, State};
use crate::account::Class;
use crate::classify::{frame_time, out_of_window};
use crate::commit::{DeadLetter, LETTER_BYTES_MAX};
use crate::dedup::{Copy, Renew};
use crate::safeguard::Safeguard;
use crate::state::FrameRows;
use crate::window::HOUR_US;

/// Events whose marks are touched together: so many that memory is waited for rarely, so few that
/// the marks are still in the cache when the last event is judged.
const TOUCHED_MAX: usize = 64;

/// An event that is not counted, before it is known whether its content is kept.
struct Verdict {
    idx: usize,
    class: Class,
    reason: &'static str,
}

impl Core {
    /// Takes a record of the current claim at the offset that comes next; anything else belongs
    /// to an earlier read.
    pub(super) fn on_record(&mut self, record: Record<'_>) -> Vec<Effect> {
        let (State::Running, Some(owner)) = (&self.state, self.owner) else { return Vec::new() };
        let safeguards = self.options.safeguards;
        if record.nonce != owner.nonce && safeguards.on(Safeguard::ClaimTag) {
            return Vec::new();
        }
        if record.offset != self.position && safeguards.on(Safeguard::Contiguity) {
            return Vec::new();
        }
        let envelope = self.envelope(record.bytes);
        if let Some(halt) = self.unknown_frame(&record, &envelope) {
            // Everything before it is committed first.
            return if self.is_dirty() { self.on_due() } else { self.halt(halt) };
        }
        self.read(&record, envelope);
        self.position = record.offset + 1;
        self.last_print = Some(Core::print(record.bytes));
        self.after_move()
    }

    /// Skips offsets that have left the log; those that were never counted are lost frames.
    pub(super) fn on_gap(&mut self, nonce: [u8; 16], low: u64) -> Vec<Effect> {
        let (State::Running, Some(owner)) = (&self.state, self.owner) else { return Vec::new() };
        if nonce != owner.nonce || low <= self.position {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if self.position < self.committed.next {
            self.window_is_whole = false;
            self.is_shortened = true;
            let floor = self.position;
            effects.push(Effect::Notice(Notice::FloorGone { floor, low }));
        }
        let from = self.position.max(self.committed.next);
        if low > from {
            let frames = low - from;
            if self.options.safeguards.on(Safeguard::LostFrames) {
                self.pending.account.lost_frames += frames.cast_signed();
            }
            effects.push(Effect::Notice(Notice::Lost { from, frames }));
            self.last_print = None;
            self.is_shortened = true;
        }
        // Marks of missing frames still hold here, but cannot be rebuilt.
        self.entries.clear();
        if self.position < self.committed.next && low >= self.committed.next {
            self.position = self.committed.next;
            effects.extend(self.after_move());
        }
        self.position = low;
        self.lowest = low;
        effects
    }

    /// Halts at a hole, once everything before it is committed. What it held is unknown, so only an
    /// operator can decide to continue after it.
    pub(super) fn on_hole(&mut self, nonce: [u8; 16], offset: u64, next: u64) -> Vec<Effect> {
        let is_ours = self.owner.is_some_and(|owner| owner.nonce == nonce);
        if !matches!(self.state, State::Running) || !is_ours || offset != self.position {
            return Vec::new();
        }
        if self.is_dirty() {
            return self.on_due();
        }
        self.halt(Halt::Hole { offset, next })
    }

    /// Halts at a replaced log, once everything of the old one is committed.
    pub(super) fn on_remade(&mut self, nonce: [u8; 16]) -> Vec<Effect> {
        let is_ours = self.owner.is_some_and(|owner| owner.nonce == nonce);
        if !matches!(self.state, State::Running) || !is_ours {
            return Vec::new();
        }
        if self.is_dirty() {
            return self.on_due();
        }
        self.halt(Halt::Remade { next: self.committed.next })
    }

    /// The envelope of a frame of a version that this program knows.
    fn envelope(&self, record: &[u8]) -> Result<Envelope, EnvelopeError> {
        let envelope = Envelope::decode(record)?;
        match envelope.version {
            version if version <= self.options.newest => Ok(envelope),
            version => Err(EnvelopeError::Newer { version: version.number() }),
        }
    }

    /// Why a frame can only be counted by a newer program. Below the committed offset a newer one
    /// has counted it: without its marks, copies would count again.
    fn unknown_frame(
        &self,
        record: &Record<'_>,
        envelope: &Result<Envelope, EnvelopeError>,
    ) -> Option<Halt> {
        let halts = self.options.safeguards.on(Safeguard::HaltAtNewer);
        if !record.intact || !halts {
            return None;
        }
        let offset = record.offset;
        match *envelope {
            Err(EnvelopeError::Newer { version }) => Some(Halt::Newer { offset, version }),
            Err(EnvelopeError::Kind { kind }) => Some(Halt::Kind { offset, kind }),
            _ => None,
        }
    }

    /// What follows when the position reached the committed offset: the rebuild is over.
    pub(super) fn after_move(&mut self) -> Vec<Effect> {
        if self.position != self.committed.next || self.rebuilt_from == self.position {
            return Vec::new();
        }
        let stored = self.committed.clock_us;
        let rebuilds = self.options.safeguards.on(Safeguard::RebuildFromFloor);
        let checks = rebuilds && self.options.safeguards.on(Safeguard::RunningMaximum);
        if self.window_is_whole && checks && self.clock.us() != stored {
            return self.halt(Halt::Clock { next: self.position });
        }
        self.clock = crate::classify::Clock::at(stored);
        self.last_print = self.committed.last_print;
        let frames = self.position - self.rebuilt_from;
        self.rebuilt_from = self.position;
        vec![Effect::Notice(Notice::Rebuilt { frames })]
    }

    /// Whether the record at the position counts, or only restores marks.
    fn counts(&self) -> bool {
        self.position >= self.committed.next
    }

    /// Reads one record: moves the clock and gives every event its class.
    fn read(&mut self, record: &Record<'_>, envelope: Result<Envelope, EnvelopeError>) {
        if let (true, Ok(envelope)) = (record.intact, &envelope) {
            let window = &self.options.window;
            let time = frame_time(record.append_time_us, envelope.stamp.ingest_us, window);
            self.clock.observe(time, self.options.safeguards);
            self.enter_bucket(record.offset);
        }
        if self.counts() && self.pending.sums.events == 0 {
            self.pending.sums.first_clock_us = self.clock.us();
        }
        let mut reader = std::mem::take(&mut self.reader);
        match decode(&mut reader, record, envelope) {
            Ok(view) => self.classify(record, &view),
            Err(reason) => {
                let n = envelope.map_or(1, |envelope| envelope.n_events);
                self.poison_record(record, n, reason);
            }
        }
        self.reader = reader;
    }

    /// Notes the first frame of a new bucket: a later floor.
    fn enter_bucket(&mut self, offset: u64) {
        let bucket = self.clock.bucket();
        if self.entries.back().is_some_and(|entry| entry.bucket >= bucket) {
            return;
        }
        let clock_us = self.clock.us().expect("the clock was just moved");
        self.entries.push_back(Entry { bucket, offset, clock_us });
        let oldest = self.oldest(bucket);
        self.dedup.advance(oldest);
        while self.entries.front().is_some_and(|entry| entry.bucket < oldest) {
            self.entries.pop_front();
        }
    }

    /// Gives every event of a frame its class.
    fn classify(&mut self, record: &Record<'_>, view: &FrameView<'_>) {
        let mut rows = std::mem::take(&mut self.frame_rows);
        rows.load(view, &mut self.rows);
        if self.counts() {
            self.pending.sums.events += view.len() as i64;
            let mut refused = Vec::new();
            for group in groups(view.len()) {
                self.dedup.touch(group.clone().map(|idx| view.key(idx)));
                rows.find(view, group.clone(), &mut self.rows, true);
                self.pending.touch(&rows);
                for idx in group {
                    refused.extend(self.count_or_refuse(view, &rows, idx));
                }
            }
            self.keep_letters(record, view, &refused);
        } else {
            for group in groups(view.len()) {
                self.dedup.touch(group.clone().map(|idx| view.key(idx)));
                rows.find(view, group.clone(), &mut self.rows, false);
                for idx in group {
                    self.restore(view, &rows, idx);
                }
            }
        }
        self.frame_rows = rows;
    }

    /// The rules, first match wins. Counts the event, or returns why it is kept as a dead letter.
    #[inline]
    fn count_or_refuse(
        &mut self,
        view: &FrameView<'_>,
        rows: &FrameRows,
        idx: usize,
    ) -> Option<Verdict> {
        let refuse = |class, reason| Some(Verdict { idx, class, reason });
        let Some((facts, event)) = rows.facts(view, idx) else {
            self.pending.account(Class::Poison, 1);
            return refuse(Class::Poison, "range");
        };
        if self.is_misrouted(&facts.key) {
            self.pending.account(Class::Misrouted, 1);
            return refuse(Class::Misrouted, "partition");
        }
        if let Some(class) = out_of_window(facts.time_us, self.clock, &self.options.window) {
            self.pending.account(class, 1);
            return refuse(class, class.word());
        }
        if let Some(fingerprint) = self.mark(&facts) {
            self.pending.account(Class::Duplicate, 1);
            if fingerprint == facts.fingerprint {
                return None;
            }
            self.pending.account.conflicts += 1;
            return refuse(Class::Duplicate, "conflict");
        }
        self.pending.account(Class::Counted, 1);
        let slots = self.pending.slots(event, facts.time_us);
        self.pending.count(slots, &facts);
        None
    }

    /// Restores the mark of an event that has its verdict already.
    fn restore(&mut self, view: &FrameView<'_>, rows: &FrameRows, idx: usize) {
        let Some((facts, _)) = rows.facts(view, idx) else { return };
        let is_admissible =
            out_of_window(facts.time_us, self.clock, &self.options.window).is_none();
        if is_admissible && !self.is_misrouted(&facts.key) {
            self.mark(&facts);
        }
    }

    /// Marks a copy; gives the fingerprint of an earlier one within the window.
    fn mark(&mut self, facts: &event::Facts) -> Option<u64> {
        let bucket = self.clock.bucket();
        let oldest = self.oldest(bucket);
        let renews = self.options.safeguards.on(Safeguard::RenewMark);
        let renew = if renews { Renew::Yes } else { Renew::No };
        let copy = Copy { key: facts.key, fingerprint: facts.fingerprint, bucket };
        self.dedup.mark(copy, oldest, renew)
    }

    /// Whether a key belongs to another partition.
    fn is_misrouted(&self, key: &event::Key) -> bool {
        let own = self.owner.map_or(0, |owner| owner.partition);
        self.options.safeguards.on(Safeguard::Routing)
            && key.partition(self.options.n_partitions) != own
    }

    /// Accounts a record that is no frame.
    fn poison_record(&mut self, record: &Record<'_>, n: u32, reason: &'static str) {
        if !self.counts() {
            return;
        }
        self.pending.sums.events += i64::from(n);
        self.pending.account(Class::Poison, n);
        let kept = &record.bytes[..record.bytes.len().min(LETTER_BYTES_MAX)];
        let content = self.may_keep().then(|| kept.into());
        self.pending.letters.push(DeadLetter {
            offset: record.offset,
            idx: 0,
            n,
            class: Class::Poison,
            reason,
            time_us: None,
            namespace: None,
            content,
            clock_us: self.clock.us(),
        });
    }

    /// Keeps what was not counted: with content up to the hour's cap, beyond it as addresses and
    /// counts, one per frame and reason.
    fn keep_letters(&mut self, record: &Record<'_>, view: &FrameView<'_>, refused: &[Verdict]) {
        let first = self.pending.letters.len();
        for verdict in refused {
            let idx = u32::try_from(verdict.idx).expect("at most 4,096 events");
            let mut letter = DeadLetter {
                offset: record.offset,
                idx,
                n: 1,
                class: verdict.class,
                reason: verdict.reason,
                time_us: None,
                namespace: None,
                content: None,
                clock_us: self.clock.us(),
            };
            if self.may_keep() {
                fill(&mut letter, view, verdict.idx);
                self.pending.letters.push(letter);
                continue;
            }
            let same = self.pending.letters[first..].iter_mut().find(|other| {
                other.content.is_none()
                    && (other.class, other.reason) == (letter.class, letter.reason)
            });
            match same {
                Some(other) => other.n += 1,
                None => self.pending.letters.push(letter),
            }
        }
    }

    /// Whether the hour of the log's clock has room for one more letter with content.
    fn may_keep(&mut self) -> bool {
        let hour = self.clock.us().unwrap_or(0).div_euclid(HOUR_US);
        if hour != self.letter_hour {
            self.letter_hour = hour;
            self.letter_rows = 0;
        }
        let may = self.letter_rows < self.options.letter_rows_per_hour;
        self.letter_rows += i64::from(may);
        may
    }
}

/// The events of a frame in groups whose marks are touched together.
fn groups(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(TOUCHED_MAX).map(move |first| first..n.min(first + TOUCHED_MAX))
}

/// Decodes a record, or returns in a word why it is invalid.
fn decode<'a>(
    reader: &'a mut FrameReader,
    record: &Record<'a>,
    envelope: Result<Envelope, EnvelopeError>,
) -> Result<FrameView<'a>, &'static str> {
    if !record.intact {
        return Err("record checksum");
    }
    let envelope = envelope.map_err(|_| "envelope")?;
    reader.read_behind(envelope, record.bytes).map_err(|error| match error {
        FrameError::Envelope(_) => "envelope",
        FrameError::Length => "length",
        FrameError::Checksum => "payload checksum",
        FrameError::Dictionary => "dictionary",
        FrameError::Columns => "columns",
    })
}

/// Puts an event into its letter, as a frame of its own, so that it can be appended again.
fn fill(letter: &mut DeadLetter, view: &FrameView<'_>, idx: usize) {
    letter.time_us = Some(view.time_us(idx));
    let Ok(labels) = view.labels(idx) else { return };
    letter.namespace = Some(labels.namespace.into());
    let Some(facts) = view.facts(idx, labels.source) else { return };
    let envelope = view.envelope();
    let bytes = FrameBuilder::alone(envelope.version, envelope.stamp, &labels, &facts);
    debug_assert!(bytes.len() > ENVELOPE_BYTES && bytes.len() <= LETTER_BYTES_MAX);
    letter.content = Some(bytes.into());
}
