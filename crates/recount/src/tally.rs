//! Counts one partition: records in their order go in, everything the ledger must hold comes out.
//!
//! Before `count_from` a record only restores marks and clock. From there on every event is put
//! into its class and the counted ones into totals, quarter-hours, minutes and the commit range
//! that contains their frame. Times per output token begin at an offset of their own: a ledger of
//! before has none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::frame::{Event, Newer, Record, Sound, read};
use crate::labels::{Consumer, Row, Short};
use crate::late::{Clocks, Decided, Late};
use crate::sums::Sums;
use crate::verdict::{Class, Facts, Judge, Rules};

/// Width of a minute in microseconds.
pub const MINUTE_US: i64 = 60_000_000;
/// Minutes in a quarter-hour.
pub const QUARTER_MINUTES: i64 = 15;

/// Verdicts on late events, in the order of `Account::late`.
pub const LATE_VERDICTS: [&str; 3] = ["merged", "duplicate", "expired"];

/// Events by class, and what else is accounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Events of all classes.
    pub events: i128,
    /// Events by class; a class without events may be missing.
    pub classes: BTreeMap<Class, i128>,
    /// Duplicates whose facts contradict the copy before.
    pub conflicts: i128,
    /// Frames that left the log before they were counted.
    pub lost_frames: i128,
    /// Late events that were merged, found to be copies, and given up.
    pub late: [i128; 3],
}

impl Account {
    /// Events of a class.
    pub fn of(&self, class: Class) -> i128 {
        self.classes.get(&class).copied().unwrap_or(0)
    }

    /// Late events without a verdict of the second pass.
    pub fn undecided(&self) -> i128 {
        self.of(Class::Late) - self.late.iter().sum::<i128>()
    }

    /// Late events by verdict, and those without one.
    pub fn late_by_verdict(&self) -> impl Iterator<Item = (&'static str, i128)> {
        LATE_VERDICTS.into_iter().zip(self.late).chain([("undecided", self.undecided())])
    }

    fn add(&mut self, class: Class, n: i128) {
        self.events += n;
        *self.classes.entry(class).or_default() += n;
    }

    /// Adds another partition's.
    pub fn merge(&mut self, other: &Account) {
        self.events += other.events;
        for (class, n) in &other.classes {
            *self.classes.entry(*class).or_default() += n;
        }
        self.conflicts += other.conflicts;
        self.lost_frames += other.lost_frames;
        for (sum, n) in self.late.iter_mut().zip(other.late) {
            *sum += n;
        }
    }
}

/// What one commit counts of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Events in the range.
    pub events: i128,
    /// Counted events in the range.
    pub counted: i128,
    /// Late events in the range.
    pub late: i128,
    /// Input tokens of the counted events.
    pub input: i128,
    /// Output tokens of the counted events.
    pub output: i128,
    /// Wrapping sum of the last eight bytes of the counted keys.
    pub digest: i64,
    /// M after the first frame.
    pub first_clock_us: Option<i64>,
    /// M after the last frame.
    pub last_clock_us: Option<i64>,
}

/// Rows of labels with their sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Counter totals by row.
    pub totals: BTreeMap<Row, Sums>,
    /// Quarter-hours since the epoch.
    pub quarters: BTreeMap<(i64, Row), Sums>,
    /// Minutes since the epoch, with what the ledger does not keep of them left in.
    pub minutes: BTreeMap<(i64, Short), Sums>,
    /// Consumers per quarter-hour since the epoch; their `n` is requests.
    pub used: BTreeMap<(i64, Consumer), Sums>,
}

/// The count of one partition.
#[derive(Debug)]
pub struct Tally {
    judge: Judge,
    count_from: u64,
    tpot_from: u64,
    /// First offsets of the commits, so that each range is summed separately.
    bases: BTreeSet<u64>,
    base: u64,
    /// Frames counted.
    pub frames: u64,
    /// Events by verdict.
    pub account: Account,
    /// Ranges by their first offset.
    pub ranges: BTreeMap<u64, Range>,
    /// Rows.
    pub rows: Rows,
    late_offsets: std::ops::Range<u64>,
    /// Late events that have a verdict of the second pass.
    pub late: Vec<Late>,
    /// M behind each frame.
    pub clocks: Clocks,
}

impl Tally {
    /// Nothing counted yet. `clock_us` is the log's clock where reading begins; from `count_from`
    /// on events are counted, from `tpot_from` on with their time per output token. Late events of
    /// the frames at `late_offsets` are decided.
    pub fn new(
        rules: Rules,
        clock_us: Option<i64>,
        count_from: u64,
        tpot_from: u64,
        bases: BTreeSet<u64>,
        late_offsets: std::ops::Range<u64>,
    ) -> Tally {
        Tally {
            judge: Judge::new(rules, clock_us),
            count_from,
            tpot_from,
            bases,
            base: count_from,
            frames: 0,
            account: Account::default(),
            ranges: BTreeMap::new(),
            rows: Rows::default(),
            late_offsets,
            late: Vec::new(),
            clocks: Vec::new(),
        }
    }

    /// Current clock and marks.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Takes the record at `offset`; `sound` is whether the log's own checksum of it holds.
    ///
    /// # Errors
    /// Only a newer program can count the record. Nothing of it is taken, and nothing behind it
    /// may be: its stamp may move the clock, and its events may leave marks.
    pub fn record(
        &mut self,
        offset: u64,
        append_us: i64,
        bytes: &[u8],
        sound: Sound,
    ) -> Result<(), Newer> {
        let record = read(bytes, sound);
        if let Record::Newer(newer) = record {
            return Err(newer);
        }
        if let Record::Frame { stamp_us, .. } | Record::Spoiled { stamp_us, .. } = record {
            self.judge.observe(offset, append_us, stamp_us);
        }
        self.clocks.extend(self.judge.clock_us().map(|clock_us| (offset, clock_us)));
        if offset < self.count_from {
            if let Record::Frame { events, .. } = record {
                for event in events.iter().flatten() {
                    let (class, _) = self.judge.judge(event);
                    self.keep_late(offset, event, class);
                }
            }
            return Ok(());
        }
        self.frames += 1;
        if self.bases.contains(&offset) {
            self.base = offset;
        }
        let first = self.judge.clock_us();
        let range = self
            .ranges
            .entry(self.base)
            .or_insert_with(|| Range { first_clock_us: first, ..Range::default() });
        range.last_clock_us = self.judge.clock_us();
        match record {
            Record::Frame { events, .. } => self.count(offset, &events),
            Record::Spoiled { n_events, .. } | Record::Garbled { n_events } => {
                self.poison(i128::from(n_events));
            }
            Record::Unknown => self.poison(1),
            Record::Newer(newer) => return Err(newer),
        }
        Ok(())
    }

    fn keep_late(&mut self, offset: u64, event: &Event, class: Class) {
        if class == Class::Late && self.late_offsets.contains(&offset) {
            self.late.push(Late { offset, event: event.clone() });
        }
    }

    /// Adds the late events that were decided: those that are merged, at their own time.
    pub fn settle(&mut self, decided: &Decided) {
        self.account.late = decided.counts;
        for Late { offset, event } in &decided.merged {
            let minute = event.time_us.div_euclid(MINUTE_US);
            let mut sums = Sums::default();
            sums.add_event(event);
            if *offset >= self.tpot_from {
                sums.add_time_per_token(event);
            }
            self.rows.add(&event.row, minute, &sums);
            let key = (minute.div_euclid(QUARTER_MINUTES), Consumer::clone(&event.consumer));
            self.rows.used.entry(key).or_default().add_used(event);
        }
    }

    fn poison(&mut self, n: i128) {
        self.account.add(Class::Poison, n);
        self.ranges.entry(self.base).or_default().events += n;
    }

    /// Gives every event of the frame at `offset` its class, and adds up those that count.
    fn count(&mut self, offset: u64, events: &[Option<Event>]) {
        let mut counted: HashMap<(Rc<Row>, i64), Sums> = HashMap::new();
        let mut used: HashMap<(Rc<Consumer>, i64), Sums> = HashMap::new();
        for event in events {
            let Some(event) = event else {
                self.poison(1);
                continue;
            };
            let (class, facts) = self.judge.judge(event);
            self.account.add(class, 1);
            self.account.conflicts += i128::from(facts == Facts::Contradict);
            self.keep_late(offset, event, class);
            let range = self.ranges.entry(self.base).or_default();
            range.events += 1;
            range.late += i128::from(class == Class::Late);
            if class == Class::Counted {
                range.count(event);
                let minute = event.time_us.div_euclid(MINUTE_US);
                let sums = counted.entry((Rc::clone(&event.row), minute)).or_default();
                sums.add_event(event);
                if offset >= self.tpot_from {
                    sums.add_time_per_token(event);
                }
                let quarter = minute.div_euclid(QUARTER_MINUTES);
                used.entry((Rc::clone(&event.consumer), quarter)).or_default().add_used(event);
            }
        }
        for ((row, minute), sums) in counted {
            self.rows.add(&row, minute, &sums);
        }
        for ((consumer, quarter), sums) in used {
            let key = (quarter, Consumer::clone(&consumer));
            self.rows.used.entry(key).or_default().add(&sums);
        }
    }
}

impl Range {
    fn count(&mut self, event: &Event) {
        self.counted += 1;
        self.input += event.tokens[..3].iter().map(|n| i128::from(*n)).sum::<i128>();
        self.output += event.tokens[3..].iter().map(|n| i128::from(*n)).sum::<i128>();
        let mut low = [0; 8];
        low.copy_from_slice(&event.key[8..]);
        self.digest = self.digest.wrapping_add(i64::from_le_bytes(low));
    }
}

impl Rows {
    fn add(&mut self, row: &Row, minute: i64, sums: &Sums) {
        let quarter = minute.div_euclid(QUARTER_MINUTES);
        self.totals.entry(row.clone()).or_default().add(sums);
        self.quarters.entry((quarter, row.clone())).or_default().add(sums);
        self.minutes.entry((minute, row.short())).or_default().add(sums);
    }

    /// Adds another partition's.
    pub fn merge(&mut self, other: Rows) {
        for (key, sums) in other.totals {
            self.totals.entry(key).or_default().add(&sums);
        }
        for (key, sums) in other.quarters {
            self.quarters.entry(key).or_default().add(&sums);
        }
        for (key, sums) in other.minutes {
            self.minutes.entry(key).or_default().add(&sums);
        }
        for (key, sums) in other.used {
            self.used.entry(key).or_default().add(&sums);
        }
    }
}
