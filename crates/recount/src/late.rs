//! The second pass over late events, recounted: which of them are copies of counted ones.
//!
//! The frames in which a copy may have been counted stand before a late event in the log, and are
//! read again. Where they are no longer there, the verdict of the ledger is taken, and how many
//! there were is said. Nothing of the ledger's own second pass is used here.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, bail};
use queue::QueueReader;

use crate::differ::Differences;
use crate::frame::{Event, Record, Sound, read};
use crate::verdict::Rules;

/// Payload bytes of one read.
const READ_BYTES: usize = 8 * 1024 * 1024;
const PLACE: &str = "late events";

/// A late event.
#[derive(Clone, Debug)]
pub struct Late {
    /// Offset of its frame.
    pub offset: u64,
    /// The event.
    pub event: Event,
}

/// A late event by its address and identity: offset, key and time.
pub type Identity = (u64, [u8; 16], i64);

impl Late {
    /// Address and identity.
    pub fn identity(&self) -> Identity {
        (self.offset, self.event.key, self.event.time_us)
    }
}

/// What the ledger says about the late events of a partition since the starting point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Events that it has merged.
    pub merged: BTreeSet<Identity>,
    /// How many it has merged, found to be copies, and given up.
    pub counts: [i128; 3],
}

/// What came of the late events of a partition.
#[derive(Debug, Default)]
pub struct Decided {
    /// Events that are counted.
    pub merged: Vec<Late>,
    /// How many are merged, copies, and expired.
    pub counts: [i128; 3],
    /// Verdicts that were taken from the ledger.
    pub taken: u64,
    /// What differs.
    pub differences: Differences,
}

/// Stretches of M, microseconds, in which copies may have been counted.
#[derive(Debug)]
pub struct Copies {
    rules: Rules,
    /// M up to which frames were not read.
    unread_us: Option<i64>,
    /// Times at which each key is late.
    times: HashMap<[u8; 16], Vec<i64>>,
    /// Those of which a copy was found.
    found: BTreeSet<([u8; 16], i64)>,
}

impl Copies {
    /// Copies of these events are to be found.
    pub fn of(late: &[Late], rules: Rules, unread_us: Option<i64>) -> Copies {
        let mut times: HashMap<[u8; 16], Vec<i64>> = HashMap::new();
        for Late { event, .. } in late {
            times.entry(event.key).or_default().push(event.time_us);
        }
        Copies { rules, unread_us, times, found: BTreeSet::new() }
    }

    /// Takes a record; `clock_us` is M behind it.
    pub fn record(&mut self, bytes: &[u8], sound: Sound, clock_us: i64) {
        let Record::Frame { events, .. } = read(bytes, sound) else { return };
        let Rules { past_us, ahead_us, .. } = self.rules;
        for event in events.iter().flatten() {
            let Some(times) = self.times.get(&event.key) else { continue };
            let counts =
                event.time_us >= clock_us - past_us && event.time_us <= clock_us + ahead_us;
            for time_us in times.iter().filter(|_| counts) {
                if clock_us >= time_us - ahead_us && clock_us <= time_us + past_us {
                    self.found.insert((event.key, *time_us));
                }
            }
        }
    }

    /// Whether every frame that may have a copy of an event of this time was read.
    fn is_certain(&self, time_us: i64) -> bool {
        self.unread_us.is_none_or(|unread_us| time_us - self.rules.ahead_us > unread_us)
    }

    /// Decides late events, in the order of the log.
    pub fn decide(&self, late: Vec<Late>, stored: &Stored) -> Decided {
        let mut decided = Decided::default();
        let mut merged: HashMap<[u8; 16], Vec<i64>> = HashMap::new();
        let n_late = late.len() as i128;
        // Two copies in one frame are told apart by their order.
        let mut left = stored.merged.clone();
        let (mut n_copies, mut n_unsure) = (0, 0);
        for late in late {
            let (key, time_us) = (late.event.key, late.event.time_us);
            let is_stored = left.remove(&late.identity());
            let times = merged.entry(key).or_default();
            let was_merged =
                times.iter().any(|us| us.abs_diff(time_us) <= self.rules.keep_us as u64);
            let is_copy = was_merged || self.found.contains(&(key, time_us));
            match (self.is_certain(time_us), is_copy, is_stored) {
                (true, true, false) => n_copies += 1,
                (true, true, true) => {
                    let name = format!("offset {} time {time_us}", late.offset);
                    decided.differences.add(PLACE, &name, "a copy", "merged");
                }
                (true, false, false) => n_unsure += 1,
                (true, false, true) => {}
                (false, ..) => {
                    decided.taken += 1;
                    n_unsure += i128::from(!is_stored);
                }
            }
            if is_stored {
                times.push(time_us);
                decided.merged.push(late);
            }
        }
        for (offset, _, time_us) in left {
            let name = format!("offset {offset} time {time_us}");
            decided.differences.add(PLACE, &name, "nothing", "merged");
        }
        let n_merged = decided.merged.len() as i128;
        let [_, copies, expired] = stored.counts;
        // What is neither merged nor known to be a copy can only have been given up, or, where it
        // could not be decided again, be a copy.
        decided.counts = [n_merged, copies, expired];
        let place = &mut decided.differences;
        place.compare(PLACE, "duplicate and expired", n_late - n_merged, copies + expired);
        if copies < n_copies {
            place.add(PLACE, "duplicate", &format!("{n_copies} or more"), &copies.to_string());
        }
        if expired > n_unsure {
            place.add(PLACE, "expired", &format!("{n_unsure} or fewer"), &expired.to_string());
        }
        decided
    }
}

/// Offsets with M behind them, to find the frames of a stretch.
pub type Clocks = Vec<(u64, i64)>;

/// Reads the frames again that may hold copies.
///
/// # Errors
/// The error of the log.
pub async fn look(
    log: &QueueReader,
    partition: u32,
    clocks: &Clocks,
    late: &[Late],
    copies: &mut Copies,
) -> anyhow::Result<()> {
    for range in stretches(late, &copies.rules) {
        let first = clocks.partition_point(|(_, clock_us)| *clock_us < range.0);
        let end = clocks.partition_point(|(_, clock_us)| *clock_us <= range.1);
        let mut at = first;
        while at < end {
            let next = clocks[at].0;
            let records = log.read(partition, next, READ_BYTES).await;
            let records = records.with_context(|| format!("partition {partition} at {next}"))?;
            if records.is_empty() {
                bail!("partition {partition} ends at offset {next}, which was there before");
            }
            for record in &records {
                if at == end {
                    break;
                }
                if record.offset == clocks[at].0 {
                    let sound = if record.intact { Sound::Yes } else { Sound::No };
                    copies.record(&record.bytes, sound, clocks[at].1);
                    at += 1;
                }
            }
        }
    }
    Ok(())
}

/// Stretches of M in which copies of these events may have been counted, ascending and apart.
fn stretches(late: &[Late], rules: &Rules) -> Vec<(i64, i64)> {
    let of = |late: &Late| {
        let us = late.event.time_us;
        (us.saturating_sub(rules.ahead_us), us.saturating_add(rules.past_us))
    };
    let mut all: Vec<(i64, i64)> = late.iter().map(of).collect();
    all.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::new();
    for (first, last) in all {
        match apart.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    apart
}
