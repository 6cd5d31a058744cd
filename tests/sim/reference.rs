//! What must be counted, by a plain account that shares no rule with the product.
//!
//! It knows the events as their producers made them, never decodes a frame, and decides each one
//! by the text of docs/counting.md with maps that forget nothing.

use std::collections::HashMap;

use ledger::account::Account;

use crate::producer::{Fate, Made, PARTITIONS};

const MINUTE_US: i64 = 60_000_000;
const BUCKET_US: i64 = 5 * MINUTE_US;
/// A: older than this is late.
pub const PAST_US: i64 = 60 * MINUTE_US;
/// F: further ahead than this is future.
pub const AHEAD_US: i64 = 5 * MINUTE_US;

/// How many events of a stretch of the log end in each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// All of them.
    pub events: i64,
    /// Counted.
    pub counted: i64,
    /// Copies.
    pub duplicate: i64,
    /// Too old.
    pub late: i64,
    /// Too far ahead.
    pub future: i64,
    /// Unreadable.
    pub poison: i64,
    /// Of another partition.
    pub misrouted: i64,
    /// Copies that contradict the one before; part of `duplicate`.
    pub conflicts: i64,
}

impl Classes {
    /// Those of an account of the product.
    #[must_use]
    pub fn of(account: &Account) -> Classes {
        Classes {
            events: account.events,
            counted: account.counted,
            duplicate: account.duplicate,
            late: account.late,
            future: account.future,
            poison: account.poison,
            misrouted: account.misrouted,
            conflicts: account.conflicts,
        }
    }

    /// Adds those of another stretch.
    pub fn add(&mut self, other: &Classes) {
        self.events += other.events;
        self.counted += other.counted;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.future += other.future;
        self.poison += other.poison;
        self.misrouted += other.misrouted;
        self.conflicts += other.conflicts;
    }

    /// Events that are kept as dead letters.
    #[must_use]
    pub fn letters(&self) -> i64 {
        self.late + self.future + self.poison + self.misrouted + self.conflicts
    }
}

/// What one record adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Its events by class.
    pub classes: Classes,
    /// Those that are counted.
    pub counted: Vec<Made>,
    /// Those that are late, and what a second pass has to find that can read everything.
    pub late: Vec<(Made, Second)>,
}

/// What a second pass has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// Nothing: the event is merged.
    Merged,
    /// A late copy that came before it and was to be merged.
    CopyOfMerged,
    /// A copy that was counted, or was one of such.
    CopyOfCounted,
}

/// The state of the account of one partition.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    partition: u32,
    keep_us: i64,
    clock_us: Option<i64>,
    marks: HashMap<[u8; 16], (i64, u64)>,
    /// Where the clock stood at each admissible copy, and the times of those that were late and no
    /// copies. Nothing is ever forgotten.
    admissible: HashMap<[u8; 16], Vec<i64>>,
    merged: HashMap<[u8; 16], Vec<i64>>,
}

impl Reference {
    /// Nothing was read yet. `keep_us` is how long a copy is remembered.
    #[must_use]
    pub fn new(partition: u32, keep_us: i64) -> Reference {
        Reference { partition, keep_us, ..Reference::default() }
    }

    /// A loss was accepted: nothing is remembered, and an event must be newer than any that was
    /// counted while the clock stood at `clock_us` at most.
    #[must_use]
    pub fn behind_loss(partition: u32, keep_us: i64, clock_us: Option<i64>) -> Reference {
        let clock_us = clock_us.map(|clock_us| clock_us + AHEAD_US + PAST_US + 1);
        Reference { clock_us, ..Reference::new(partition, keep_us) }
    }

    /// Everything that was read so far has left the log before it could be read again.
    pub fn forget(&mut self) {
        self.marks.clear();
    }

    /// The next record.
    pub fn read(&mut self, events: &[Made], append_us: i64, ingest_us: i64, fate: Fate) -> Delta {
        let n_events = i64::try_from(events.len()).expect("few");
        let mut delta = Delta::default();
        if matches!(fate, Fate::Good | Fate::Garbled) {
            let time_us = append_us.min(ingest_us.max(0) + AHEAD_US).max(0);
            self.clock_us = Some(self.clock_us.map_or(time_us, |clock| clock.max(time_us)));
        }
        match fate {
            Fate::Good => {
                delta.classes.events = n_events;
                for made in events {
                    self.decide(made, &mut delta);
                }
            }
            Fate::Garbled | Fate::BadRow => {
                delta.classes.events = n_events;
                delta.classes.poison = n_events;
            }
            Fate::NoEnvelope => {
                delta.classes.events = 1;
                delta.classes.poison = 1;
            }
            // Nobody can count it, nor anything after it.
            Fate::OtherKind => {}
        }
        delta
    }

    fn decide(&mut self, made: &Made, delta: &mut Delta) {
        let clock_us = self.clock_us.expect("the frame has just moved it");
        let classes = &mut delta.classes;
        if made.is_poison() {
            classes.poison += 1;
            return;
        }
        if home(made) != self.partition {
            classes.misrouted += 1;
            return;
        }
        if made.time_us < clock_us - PAST_US {
            classes.late += 1;
            let second = self.second(made);
            delta.late.push((*made, second));
            return;
        }
        if made.time_us > clock_us + AHEAD_US {
            classes.future += 1;
            return;
        }
        self.admissible.entry(made.key.0).or_default().push(clock_us);
        let bucket = clock_us / BUCKET_US;
        let earlier = self.marks.insert(made.key.0, (bucket, made.fingerprint));
        match earlier.filter(|(at, _)| *at >= bucket - self.keep_us / BUCKET_US) {
            Some((_, fingerprint)) => {
                classes.duplicate += 1;
                classes.conflicts += i64::from(fingerprint != made.fingerprint);
            }
            None => {
                classes.counted += 1;
                delta.counted.push(*made);
            }
        }
    }
}

impl Reference {
    /// What a second pass finds about an event that is late.
    fn second(&mut self, made: &Made) -> Second {
        let counted = self.admissible.get(&made.key.0).into_iter().flatten();
        let may_be = |us: &&i64| (made.time_us - AHEAD_US..=made.time_us + PAST_US).contains(*us);
        if counted.filter(may_be).count() > 0 {
            return Second::CopyOfCounted;
        }
        let merged = self.merged.entry(made.key.0).or_default();
        if merged.iter().any(|us| (us - made.time_us).abs() <= self.keep_us) {
            return Second::CopyOfMerged;
        }
        merged.push(made.time_us);
        Second::Merged
    }
}

/// The partition that a key belongs to: its first eight bytes as a share of all numbers.
#[must_use]
pub fn home(made: &Made) -> u32 {
    let mut first = [0; 8];
    first.copy_from_slice(&made.key.0[..8]);
    let share = u128::from(u64::from_le_bytes(first)) * u128::from(PARTITIONS);
    u32::try_from(share >> 64).expect("below the number of partitions")
}
