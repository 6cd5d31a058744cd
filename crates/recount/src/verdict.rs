//! The class of every event, by the rules of docs/counting.md and nothing else.
//!
//! Events of one partition go in, in the order of the log; each comes out with its class. The
//! marks are a plain map from key to the last copy, cleared of what has expired. Nothing of the
//! ledger's own classifier or dedup set is used here.

use std::collections::HashMap;

use crate::frame::{Event, TIME_US_MAX};

/// Width of a dedup bucket: 5 minutes in microseconds.
const BUCKET_US: i64 = 300_000_000;

/// Verdict on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Counted,
    Duplicate,
    Late,
    Future,
    Poison,
    Misrouted,
}

impl Class {
    /// Every class, in the order in which they are shown.
    pub const EACH: [Class; 6] = [
        Class::Counted,
        Class::Duplicate,
        Class::Late,
        Class::Future,
        Class::Poison,
        Class::Misrouted,
    ];

    /// Its name in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Class::Counted => "counted",
            Class::Duplicate => "duplicate",
            Class::Late => "late",
            Class::Future => "future",
            Class::Poison => "poison",
            Class::Misrouted => "misrouted",
        }
    }
}

/// What the verdicts of a partition depend on besides the log; from the generation's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A, microseconds.
    pub past_us: i64,
    /// F, microseconds.
    pub ahead_us: i64,
    /// W, microseconds.
    pub keep_us: i64,
    /// Number of the partition.
    pub partition: u32,
    /// Number of partitions.
    pub n_partitions: u32,
}

/// The first offset whose clock is inside the window, and that clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Offset.
    pub offset: u64,
    /// The log's clock after the frame at the offset, microseconds.
    pub clock_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    bucket: i64,
    fingerprint: u64,
}

/// Clock and marks of a partition.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    clock_us: Option<i64>,
    marks: HashMap<[u8; 16], Mark>,
    /// First frame of each bucket, oldest first; those that have left the window are dropped.
    entries: Vec<(i64, Floor)>,
}

impl Judge {
    /// Before the frame at which `clock_us` is known, or before any.
    pub fn new(rules: Rules, clock_us: Option<i64>) -> Judge {
        Judge { rules, clock_us, marks: HashMap::new(), entries: Vec::new() }
    }

    /// M, microseconds; `None` before the first frame.
    pub fn clock_us(&self) -> Option<i64> {
        self.clock_us
    }

    /// Where a set of marks would be rebuilt from; `None` before the first frame.
    pub fn floor(&self) -> Option<Floor> {
        self.entries.first().map(|(_, floor)| *floor)
    }

    /// Moves the clock by a frame at `offset`.
    pub fn observe(&mut self, offset: u64, append_us: i64, stamp_us: i64) {
        let time_us = append_us.min(stamp_us.saturating_add(self.rules.ahead_us));
        let time_us = time_us.clamp(0, TIME_US_MAX);
        let clock_us = self.clock_us.map_or(time_us, |clock_us| clock_us.max(time_us));
        self.clock_us = Some(clock_us);
        let bucket = clock_us / BUCKET_US;
        if self.entries.last().is_none_or(|(last, _)| *last < bucket) {
            self.entries.push((bucket, Floor { offset, clock_us }));
            let oldest = self.oldest();
            self.entries.retain(|(bucket, _)| *bucket >= oldest);
            self.marks.retain(|_, mark| mark.bucket >= oldest);
        }
    }

    /// Class of an event, and whether it is a copy that contradicts the one before. Marks it.
    pub fn judge(&mut self, event: &Event) -> (Class, Facts) {
        let clock_us = self.clock_us.unwrap_or(event.time_us);
        if self.partition(&event.key) != self.rules.partition {
            return (Class::Misrouted, Facts::Same);
        }
        if event.time_us < clock_us - self.rules.past_us {
            return (Class::Late, Facts::Same);
        }
        if event.time_us > clock_us + self.rules.ahead_us {
            return (Class::Future, Facts::Same);
        }
        let mark = Mark { bucket: clock_us / BUCKET_US, fingerprint: event.fingerprint };
        match self.marks.insert(event.key, mark) {
            Some(earlier) if earlier.bucket >= self.oldest() => {
                let is_same = earlier.fingerprint == event.fingerprint;
                (Class::Duplicate, if is_same { Facts::Same } else { Facts::Contradict })
            }
            _ => (Class::Counted, Facts::Same),
        }
    }

    /// The oldest bucket whose marks hold.
    fn oldest(&self) -> i64 {
        self.clock_us.unwrap_or(0) / BUCKET_US - self.rules.keep_us / BUCKET_US
    }

    fn partition(&self, key: &[u8; 16]) -> u32 {
        let high =
            u64::from_le_bytes([key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7]]);
        let product = u128::from(high) * u128::from(self.rules.n_partitions);
        u32::try_from(product >> 64).expect("below the number of partitions")
    }
}

/// How a copy compares with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facts {
    /// No copy before, or the same facts.
    Same,
    /// Other facts: a conflict.
    Contradict,
}
