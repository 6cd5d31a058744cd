//! Walks the log: from a starting point that is still whole up to what one ledger version counted.
//!
//! The log is read without its lock, beside a running process. A frame beyond the ledger's next
//! offset is never looked at, so that the count is of exactly the frames that the version holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use queue::{QueueReader, Watermarks};
use store::plain::{Progress, Window};

use crate::differ::Differences;
use crate::found::{Ledger, Start, account};
use crate::frame::Sound;
use crate::late::{Copies, Decided, look};
use crate::tally::{Account, Range, Rows, Tally};
use crate::verdict::{Floor, Rules};

/// Payload bytes of one read.
const READ_BYTES: usize = 8 * 1024 * 1024;
/// Time between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What the ledger must hold according to the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Recounted frames.
    pub frames: u64,
    /// Recounted rows and progress by partition.
    pub partitions: BTreeMap<u32, Part>,
    /// Totals since the first event; quarters and minutes since the starting point.
    pub rows: Rows,
    /// Rows that begin at this time or later hold nothing from before the starting point.
    pub whole_from_us: i64,
    /// Verdicts on late events that were taken from the ledger.
    pub taken: u64,
    /// Differences between verdicts on late events.
    pub late: Differences,
}

/// A recounted partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Offset at which counting began.
    pub count_from: u64,
    /// Accounting since the first event.
    pub account: Account,
    /// Commit ranges by their first offset.
    pub ranges: BTreeMap<u64, Range>,
    /// M after the last frame.
    pub clock_us: Option<i64>,
    /// Where marks would be rebuilt from.
    pub floor: Option<Floor>,
    /// The last record.
    pub last: Option<Vec<u8>>,
}

/// Where a recount begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beginning(pub Option<Start>);

impl Beginning {
    /// Describes the starting point in words.
    pub fn words(&self) -> String {
        match &self.0 {
            None => "the first".to_owned(),
            Some(start) => format!("the baseline of version {}", start.version),
        }
    }

    /// No event counted from here on is older than this, microseconds: M less A.
    pub fn oldest_us(&self, window: &Window) -> i64 {
        let starts = self.0.iter().flat_map(|start| start.partitions.values());
        let oldest = starts.map(|progress| match progress.clock_us {
            Some(clock_us) => clock_us.saturating_sub(window.past_us),
            None => i64::MIN,
        });
        oldest.min().unwrap_or(i64::MIN)
    }
}

impl Expected {
    /// Nothing counted since a starting point.
    pub fn since(start: &Start) -> Expected {
        let mut expected = Expected { whole_from_us: i64::MIN, ..Expected::default() };
        expected.rows.totals = start.totals.clone();
        expected
    }

    /// Notes how late events were decided.
    pub fn settle(&mut self, decided: Decided) {
        self.taken += decided.taken;
        self.late.append(decided.differences);
    }

    /// Adds what was counted of a partition since `from`; `ahead_us` is F, `last` the last record.
    pub fn add(
        &mut self,
        partition: u32,
        from: &Progress,
        ahead_us: i64,
        tally: Tally,
        last: Option<Vec<u8>>,
    ) {
        let mut sum = account(&from.account);
        sum.merge(&tally.account);
        if let Some(clock_us) = from.clock_us {
            // What was counted before the start is no later than its clock and F.
            self.whole_from_us = self.whole_from_us.max(clock_us.saturating_add(ahead_us));
        }
        let before = from.floor_clock_us.map(|clock_us| Floor { offset: from.floor, clock_us });
        self.frames += tally.frames;
        let part = Part {
            count_from: from.next,
            account: sum,
            clock_us: tally.judge().clock_us(),
            floor: tally.judge().floor().or(before),
            last,
            ranges: tally.ranges,
        };
        self.partitions.insert(partition, part);
        self.rows.merge(tally.rows);
    }

    /// Events and classes of all partitions.
    pub fn account(&self) -> Account {
        let mut sum = Account::default();
        for part in self.partitions.values() {
            sum.merge(&part.account);
        }
        sum
    }
}

/// Chooses the starting point: the first frame while the log is whole, else the oldest baseline
/// whose log is still there from its floor on, and is the one that was counted.
///
/// # Errors
/// The generation does not exist; the error lists those that do.
pub fn beginning(ledger: &Ledger, ends: &BTreeMap<u32, Watermarks>) -> anyhow::Result<Beginning> {
    let low = |partition: &u32| {
        let accepted = ledger.accepted.get(partition).copied().unwrap_or(0);
        ends.get(partition).map_or(0, |ends| ends.low).max(accepted)
    };
    if ends.keys().all(|partition| low(partition) == 0) {
        return Ok(Beginning(None));
    }
    let reaches = |start: &Start| {
        // Late events that were not decided then are read from there, too.
        let floor = |partition| {
            let progress = start.partitions.get(partition);
            progress.map_or(0, |p: &Progress| if p.late_next < p.floor { 0 } else { p.floor })
        };
        ends.keys().all(|partition| floor(partition) >= low(partition))
    };
    // Rows of a baseline are deleted in steps: one whose totals are not whole is no start.
    let is_whole = |start: &Start| {
        let n = |p: &Progress| p.account.counted + p.account.merged;
        let counted: i64 = start.partitions.values().map(n).sum();
        start.totals.values().map(|sums| sums.n()).sum::<i128>() == i128::from(counted)
    };
    match ledger.baselines.iter().find(|start| reaches(start) && is_whole(start)) {
        Some(start) => Ok(Beginning(Some(start.clone()))),
        None => bail!(
            "what was counted begins at offset {} of the log and none of the {} baselines reaches \
             back that far: nothing before can be recounted",
            ends.keys().map(low).max().unwrap_or(0),
            ledger.baselines.len()
        ),
    }
}

/// Recounts every frame below the ledger's next offsets.
///
/// # Errors
/// The error of the log, or a frame that only a newer program can count.
pub async fn walk(
    log: &QueueReader,
    ledger: &Ledger,
    window: &Window,
    beginning: &Beginning,
) -> anyhow::Result<Expected> {
    let nothing = Start::default();
    let start = beginning.0.as_ref().unwrap_or(&nothing);
    let mut expected = Expected::since(start);
    for (partition, progress) in &ledger.partitions {
        let from = start.partitions.get(partition).copied().unwrap_or_default();
        let rules = Rules {
            past_us: window.past_us,
            ahead_us: window.ahead_us,
            keep_us: window.keep_us,
            partition: *partition,
            n_partitions: log.partitions(),
        };
        let (tpot_from, bases) = (ledger.tpot_from(*partition), ledger.bases(*partition));
        let late = from.late_next..progress.late_next;
        let tally = Tally::new(rules, from.floor_clock_us, from.next, tpot_from, bases, late);
        let (mut tally, last) = read(log, *partition, from.floor..progress.next, tally).await?;
        let late = std::mem::take(&mut tally.late);
        let mut copies = Copies::of(&late, rules, from.floor_clock_us);
        look(log, *partition, &tally.clocks, &late, &mut copies).await?;
        let decided = copies.decide(late, &ledger.late_since(*partition, &from));
        tally.settle(&decided);
        expected.settle(decided);
        expected.add(*partition, &from, window.ahead_us, tally, last);
    }
    Ok(expected)
}

/// Reads a range of a partition into a tally; gives the last record as well.
async fn read(
    log: &QueueReader,
    partition: u32,
    offsets: std::ops::Range<u64>,
    mut tally: Tally,
) -> anyhow::Result<(Tally, Option<Vec<u8>>)> {
    let mut next = offsets.start;
    let mut last = None;
    let mut reported_at = Instant::now();
    while next < offsets.end {
        let records = log
            .read(partition, next, READ_BYTES)
            .await
            .with_context(|| format!("partition {partition} cannot be read at offset {next}"))?;
        if records.is_empty() {
            bail!(
                "partition {partition} ends at offset {next}, but the ledger counted up to {}",
                offsets.end
            );
        }
        for record in records.iter().take_while(|record| record.offset < offsets.end) {
            let sound = if record.intact { Sound::Yes } else { Sound::No };
            tally.record(record.offset, record.append_time_us, &record.bytes, sound).with_context(
                || format!("frame at offset {} of partition {partition}", record.offset),
            )?;
            next = record.offset + 1;
            if next == offsets.end {
                last = Some(record.bytes.to_vec());
            }
        }
        if reported_at.elapsed() >= REPORT_EVERY {
            reported_at = Instant::now();
            eprintln!("partition {partition}: counted {next} of {} frames", offsets.end);
        }
    }
    Ok((tally, last))
}
