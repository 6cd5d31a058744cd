//! What the frames since the last commit add up to: the only place where a counter grows.
//!
//! An event is added to the slot of its full row and minute, and to that of its consumer; totals,
//! quarter-hours and minute rows are folded from the slots when a commit is made. Rows are found by
//! the bytes of their labels once per frame and tuple, so that an event costs two look-ups at most.

mod consumers;

use std::collections::BTreeMap;

use event::frame::FrameView;
use event::{Facts, Labels};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::account::{Account, Class};
use crate::commit::{DeadLetter, Journal};
use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::measures::Measures;
use crate::series::{FullLabels, SeriesId, ShortLabels};
use crate::window::{MINUTE_US, QUARTER_MINUTES};

use consumers::{ConsumerSlots, Consumers};

/// Maximum number of cached rows of a kind between commits; beyond it the cache starts over.
const ROWS_MAX: usize = 1_000_000;

/// A full row and the minute row that it is part of.
#[derive(Debug)]
struct Row {
    id: SeriesId,
    labels: FullLabels,
    short: SeriesId,
}

/// Rows by number; the number of a row is found by the bytes of its labels.
#[derive(Debug, Default)]
pub struct Rows {
    numbers: HashMap<Box<[u8]>, u32, DefaultHashBuilder>,
    rows: Vec<Row>,
    consumers: Consumers,
}

impl Rows {
    /// The number of a row. `bytes` is the part of the tuple that chooses it.
    pub fn number(&mut self, bytes: &[u8], labels: &Labels<'_>) -> u32 {
        if let Some(number) = self.numbers.get(bytes) {
            return *number;
        }
        let number = u32::try_from(self.rows.len()).expect("rows are bounded");
        let labels = FullLabels::of(labels);
        let short = labels.short().id();
        self.rows.push(Row { id: labels.id(), labels, short });
        self.numbers.insert(bytes.into(), number);
        number
    }

    /// Clears the row cache if it is too large. Only between commits: slots refer to numbers.
    pub fn trim(&mut self) {
        if self.rows.len().max(self.consumers.len()) > ROWS_MAX {
            *self = Rows::default();
        }
    }
}

/// The sums of one full row within one minute.
#[derive(Debug)]
struct Slot {
    row: u32,
    minute: i64,
    measures: Measures,
}

/// Everything since the last commit.
#[derive(Debug, Default)]
pub struct Pending {
    slots: Vec<Slot>,
    index: HashMap<(u32, i64), u32, DefaultHashBuilder>,
    consumers: ConsumerSlots,
    /// Accounting of the range alone.
    pub account: Account,
    /// The journal's line; tokens and events are filled in by `fold`.
    pub journal: Journal,
    /// Dead letters in address order.
    pub letters: Vec<DeadLetter>,
}

/// Rows of a commit, sorted.
#[derive(Debug, Default)]
pub struct Folded {
    /// Counter totals with the id of their series.
    pub totals: Vec<(SeriesId, FullLabels, Measures)>,
    /// Quarter-hours.
    pub quarters: Vec<(i64, SeriesId, Measures)>,
    /// Labels of the minute rows.
    pub shorts: Vec<(SeriesId, ShortLabels)>,
    /// Minutes.
    pub minutes: Vec<(i64, SeriesId, Measures)>,
    /// Labels of the consumer rows.
    pub consumers: Vec<(SeriesId, ConsumerLabels)>,
    /// Consumer rows per quarter-hour.
    pub used: Vec<(i64, SeriesId, ConsumerSums)>,
}

/// The slots in which an event is counted.
#[derive(Clone, Copy, Debug)]
pub struct EventSlots {
    slot: u32,
    consumer_slot: u32,
    is_final: bool,
}

impl Pending {
    /// Number of the slot of a row and a minute.
    pub fn slot(&mut self, row: u32, minute: i64) -> u32 {
        *self.index.entry((row, minute)).or_insert_with(|| {
            let number = u32::try_from(self.slots.len()).expect("slots are bounded by a commit");
            self.slots.push(Slot { row, minute, measures: Measures::default() });
            number
        })
    }

    /// Number of rows that a commit of this would write, roughly.
    #[must_use]
    pub fn n_slots(&self) -> usize {
        self.slots.len() + self.consumers.len()
    }

    /// Counts an event in its slots.
    #[inline]
    pub fn count(&mut self, slots: EventSlots, facts: &Facts) {
        let usage = &facts.usage;
        self.slots[slots.slot as usize].measures.add_event(facts);
        self.consumers.count(slots.consumer_slot, facts, slots.is_final);
        self.journal.counted += 1;
        self.journal.input_tokens += i64::from(usage.input.unwrap_or(0));
        self.journal.output_tokens += i64::from(usage.output.unwrap_or(0));
        self.journal.digest = self.journal.digest.wrapping_add(facts.key.low().cast_signed());
    }

    /// Folds the slots into sorted rows.
    ///
    /// # Panics
    /// If a sum of one commit leaves 64 bits: the limits of events and frames make that impossible
    /// for as many frames as fit between two commits.
    #[must_use]
    pub fn fold(&self, rows: &Rows) -> Folded {
        const FITS: &str = "a commit's sums fit 64 bits";
        let mut totals: BTreeMap<SeriesId, (&FullLabels, Measures)> = BTreeMap::new();
        let mut quarters: BTreeMap<(i64, SeriesId), Measures> = BTreeMap::new();
        let mut shorts: BTreeMap<SeriesId, ShortLabels> = BTreeMap::new();
        let mut minutes: BTreeMap<(i64, SeriesId), Measures> = BTreeMap::new();
        for slot in &self.slots {
            let row = &rows.rows[slot.row as usize];
            let measures = &slot.measures;
            let total = totals.entry(row.id).or_insert((&row.labels, Measures::default()));
            total.1.add(measures).expect(FITS);
            let quarter = slot.minute.div_euclid(QUARTER_MINUTES);
            quarters.entry((quarter, row.id)).or_default().add(measures).expect(FITS);
            shorts.entry(row.short).or_insert_with(|| row.labels.short());
            minutes.entry((slot.minute, row.short)).or_default().add(measures).expect(FITS);
        }
        let consumers = self.consumers.fold(&rows.consumers);
        Folded {
            totals: totals.into_iter().map(|(id, (l, m))| (id, l.clone(), m)).collect(),
            quarters: quarters.into_iter().map(|((at, id), m)| (at, id, m)).collect(),
            shorts: shorts.into_iter().collect(),
            minutes: minutes.into_iter().map(|((at, id), m)| (at, id, m)).collect(),
            consumers: consumers.labels,
            used: consumers.sums,
        }
    }
}

/// Cache for each tuple of the current frame: its rows, and the slots of its last event, since
/// neighbours mostly share a minute.
#[derive(Debug, Default)]
pub struct Tuples {
    known: Vec<Option<Tuple>>,
}

#[derive(Clone, Copy, Debug)]
struct Tuple {
    source: event::UsageSource,
    row: u32,
    consumer: u32,
    is_final: bool,
    /// Minute and slots of the last event, if there was one.
    last: Option<(i64, EventSlots)>,
}

impl Tuples {
    /// Looks up the rows of a frame's tuples; a tuple that does not decode is known as poison.
    pub fn load(&mut self, view: &FrameView<'_>, rows: &mut Rows) {
        self.known.clear();
        self.known.extend((0..view.n_tuples()).map(|number| {
            let (labels, row_length) = view.labels(number).ok()?;
            let row = rows.number(&view.tuple_bytes(number)[..row_length], &labels);
            let consumer = rows.consumers.number(&labels);
            let Labels { source, is_final, .. } = labels;
            Some(Tuple { source, row, consumer, is_final, last: None })
        }));
    }

    /// The facts of an event, or `None` if it is poison.
    #[must_use]
    pub fn facts(&self, view: &FrameView<'_>, idx: usize) -> Option<Facts> {
        view.facts(idx, self.known[view.tuple(idx)]?.source)
    }

    /// The slots of an event of a tuple. The tuple must not be poison.
    pub fn slots(&mut self, number: usize, time_us: i64, pending: &mut Pending) -> EventSlots {
        let tuple = self.known[number].as_mut().expect("poison is never counted");
        let minute = time_us.div_euclid(MINUTE_US);
        match tuple.last {
            Some((last, slots)) if last == minute => slots,
            _ => {
                let quarter = minute.div_euclid(QUARTER_MINUTES);
                let slots = EventSlots {
                    slot: pending.slot(tuple.row, minute),
                    consumer_slot: pending.consumers.slot(tuple.consumer, quarter),
                    is_final: tuple.is_final,
                };
                tuple.last = Some((minute, slots));
                slots
            }
        }
    }
}

impl Pending {
    /// Accounts events that are not counted.
    pub fn account(&mut self, class: Class, n: u32) {
        self.account.add(class, i64::from(n));
    }
}
