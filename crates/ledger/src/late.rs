//! The second pass: what becomes of events that came too late for the window.
//!
//! All copies of an event have one time e, and a copy is only ever counted while the log's clock M
//! is in [e - F, e + A]. A late event came when M was beyond e + A. So all frames in which a copy
//! may have been counted stand before it in the log, and reading these tells for good whether one
//! was. A batch takes late events in the order of the log, says which stretches of M have to be
//! read, looks for their keys there, and decides. It does no I/O, and depends on bytes of the log,
//! the window and earlier verdicts alone.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use event::Key;
use event::frame::{FrameBuilder, FrameReader, FrameView};

use crate::account::Class;
use crate::classify::{Clock, out_of_window};
use crate::safeguard::{Safeguard, Safeguards};
use crate::state::{FrameRows, Rows};
use crate::window::Window;

/// Most late events of a batch. A batch reads each window once, so that more are cheaper, but they
/// are committed together.
pub const BATCH_EVENTS_MAX: usize = 50_000;
/// End of the chain of events with one key.
const NONE: u32 = u32::MAX;

/// What a batch depends on.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Window of the generation.
    pub window: Window,
    /// The partition.
    pub partition: u32,
    /// Partitions of the generation.
    pub n_partitions: u32,
    /// Frames of this M or before, microseconds, cannot all be read any more; `None` if all can.
    pub unread_us: Option<i64>,
    /// All on, but in the simulation.
    pub safeguards: Safeguards,
}

/// A late event that waits for its verdict.
#[derive(Clone, Copy, Debug)]
struct Late {
    key: Key,
    time_us: i64,
    /// Offset of its frame.
    offset: u64,
    /// An earlier event with the same key, or `NONE`.
    before: u32,
    /// Whether a copy was counted.
    has_copy: bool,
}

/// A late event that is added to the sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateEvent {
    /// Offset of its frame.
    pub offset: u64,
    /// The event as a frame of its own.
    pub frame: Box<[u8]>,
}

/// Verdicts on all late events of a range of frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// First offset of the range.
    pub from: u64,
    /// Offset after the range.
    pub to: u64,
    /// Events that are added to the sums, in the order of the log.
    pub merged: Vec<LateEvent>,
    /// Events of which a copy was counted or merged.
    pub duplicate: i64,
    /// Events that nobody can decide any more.
    pub expired: i64,
}

/// Verdicts for the owner of the partition.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// Nonce of the claim under which they were made.
    pub nonce: [u8; 16],
    /// The verdicts.
    pub verdicts: &'a Verdicts,
}

/// Late events that are decided together.
#[derive(Debug)]
pub struct Batch {
    options: BatchOptions,
    from: u64,
    to: u64,
    events: Vec<Late>,
    /// Each of the events as a frame of its own.
    frames: Vec<Box<[u8]>>,
    /// The newest event of each key.
    newest: HashMap<Key, u32>,
    expired: i64,
    reader: FrameReader,
    rows: Rows,
    frame_rows: FrameRows,
}

impl Batch {
    /// Nothing was taken yet; late events of frames before `from` are decided.
    #[must_use]
    pub fn new(options: BatchOptions, from: u64) -> Batch {
        Batch {
            options,
            from,
            to: from,
            events: Vec::new(),
            frames: Vec::new(),
            newest: HashMap::new(),
            expired: 0,
            reader: FrameReader::default(),
            rows: Rows::default(),
            frame_rows: FrameRows::default(),
        }
    }

    /// Takes the late events of the intact record at `offset`; `clock` is M after it. Gives how
    /// many there are.
    pub fn take(&mut self, offset: u64, bytes: &[u8], clock: Clock) -> i64 {
        self.to = offset + 1;
        let mut reader = std::mem::take(&mut self.reader);
        let n_before = self.events.len();
        if let Ok(view) = reader.read(bytes) {
            self.take_from(offset, &view, clock);
        }
        self.reader = reader;
        i64::try_from(self.events.len() - n_before).expect("at most 4,096 events")
    }

    fn take_from(&mut self, offset: u64, view: &FrameView<'_>, clock: Clock) {
        let window = &self.options.window;
        let is_late = |idx| out_of_window(view.time_us(idx), clock, window) == Some(Class::Late);
        if !(0..view.len()).any(is_late) {
            return;
        }
        self.frame_rows.load(view, &mut self.rows);
        for idx in (0..view.len()).filter(|idx| is_late(*idx)) {
            self.frame_rows.find(view, idx..idx + 1, &mut self.rows, false);
            let Some((facts, _)) = self.frame_rows.facts(view, idx) else { continue };
            let Some(frame) = alone(view, idx) else { continue };
            if facts.key.partition(self.options.n_partitions) != self.options.partition {
                continue;
            }
            let number = u32::try_from(self.events.len()).expect("events of a batch are bounded");
            let before = self.newest.insert(facts.key, number).unwrap_or(NONE);
            self.events.push(Late {
                key: facts.key,
                time_us: facts.time_us,
                offset,
                before,
                has_copy: false,
            });
            self.frames.push(frame);
        }
    }

    /// Late events of frames up to `to` that are gone, or not those that were counted as late.
    pub fn give_up(&mut self, n_events: i64, to: u64) {
        self.expired += n_events;
        self.to = self.to.max(to);
    }

    /// There are no late events in frames before `to` but those that were taken.
    pub fn move_to(&mut self, to: u64) {
        self.to = self.to.max(to);
    }

    /// Whether no more should be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS_MAX
    }

    /// Stretches of M that have to be read, ascending and apart, microseconds.
    #[must_use]
    pub fn windows(&self) -> Vec<RangeInclusive<i64>> {
        let is_open = |late: &&Late| self.is_readable(late);
        let mut stretches: Vec<_> =
            self.events.iter().filter(is_open).map(|late| self.window_of(late.time_us)).collect();
        stretches.sort_unstable_by_key(|stretch| *stretch.start());
        let mut apart: Vec<RangeInclusive<i64>> = Vec::new();
        for stretch in stretches {
            match apart.last_mut() {
                Some(last) if stretch.start() <= last.end() => {
                    *last = *last.start()..=*last.end().max(stretch.end());
                }
                _ => apart.push(stretch),
            }
        }
        apart
    }

    /// Values of M at which a copy of an event of this time may have been counted.
    fn window_of(&self, time_us: i64) -> RangeInclusive<i64> {
        let Window { past_us, ahead_us, .. } = self.options.window;
        let ahead_us = if self.options.safeguards.on(Safeguard::LateWindow) { ahead_us } else { 0 };
        time_us.saturating_sub(ahead_us)..=time_us.saturating_add(past_us)
    }

    /// Whether every frame in which a copy may have been counted can be read.
    fn is_readable(&self, late: &Late) -> bool {
        let begins_us = *self.window_of(late.time_us).start();
        self.options.unread_us.is_none_or(|unread_us| begins_us > unread_us)
            || !self.options.safeguards.on(Safeguard::LateWhole)
    }

    /// Looks for copies in an intact record of such a stretch; `clock` is M after it.
    ///
    /// Where a copy is admissible, it was counted, or another copy was that came before it.
    pub fn look(&mut self, bytes: &[u8], clock: Clock) {
        let mut reader = std::mem::take(&mut self.reader);
        if let Ok(view) = reader.read(bytes) {
            let mut is_loaded = false;
            for idx in 0..view.len() {
                let Some(newest) = self.newest.get(&view.key(idx)).copied() else { continue };
                if out_of_window(view.time_us(idx), clock, &self.options.window).is_some() {
                    continue;
                }
                if !std::mem::replace(&mut is_loaded, true) {
                    self.frame_rows.load(&view, &mut self.rows);
                }
                self.frame_rows.find(&view, idx..idx + 1, &mut self.rows, false);
                if self.frame_rows.facts(&view, idx).is_some() {
                    self.mark(newest, clock);
                }
            }
        }
        self.reader = reader;
    }

    /// Notes a copy for those of the events with this key in whose window M is. Where not all of a
    /// window can be read, what can be must not decide: it depends on when somebody looks.
    fn mark(&mut self, newest: u32, clock: Clock) {
        let Some(clock_us) = clock.us() else { return };
        let mut number = newest;
        while number != NONE {
            let late = self.events[number as usize];
            if self.window_of(late.time_us).contains(&clock_us) && self.is_readable(&late) {
                self.events[number as usize].has_copy = true;
            }
            number = late.before;
        }
    }

    /// Keys of the events, for looking up which were merged before.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.newest.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Decides. `merged` are earlier verdicts on the keys: with the time of each event.
    ///
    /// Two late events with one key and times within W of each other are copies, as anywhere.
    #[must_use]
    pub fn decide(self, merged: &[(Key, i64)]) -> Verdicts {
        let mut verdicts =
            Verdicts { from: self.from, to: self.to, expired: self.expired, ..Verdicts::default() };
        let mut known: HashMap<Key, Vec<i64>> = HashMap::new();
        if self.options.safeguards.on(Safeguard::LateOnce) {
            for (key, time_us) in merged {
                known.entry(*key).or_default().push(*time_us);
            }
        }
        let keep_us = self.options.window.keep_us.unsigned_abs();
        let readable: Vec<bool> = self.events.iter().map(|late| self.is_readable(late)).collect();
        let events = self.events.into_iter().zip(self.frames).zip(readable);
        for ((late, frame), is_readable) in events {
            let times = known.entry(late.key).or_default();
            if late.has_copy || times.iter().any(|us| us.abs_diff(late.time_us) <= keep_us) {
                verdicts.duplicate += 1;
            } else if is_readable {
                times.push(late.time_us);
                verdicts.merged.push(LateEvent { offset: late.offset, frame });
            } else {
                verdicts.expired += 1;
            }
        }
        verdicts
    }
}

/// An event as a frame of its own; `None` if it is poison.
fn alone(view: &FrameView<'_>, idx: usize) -> Option<Box<[u8]>> {
    let (envelope, labels) = (view.envelope(), view.labels(idx).ok()?);
    let facts = view.facts(idx, labels.source)?;
    Some(FrameBuilder::alone(envelope.version, envelope.stamp, &labels, &facts).into())
}

#[cfg(test)]
mod tests;
