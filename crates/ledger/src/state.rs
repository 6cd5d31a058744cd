//! What the frames since the last commit add up to: the only place where a counter grows.
//!
//! An event is added to the slot of its full row and minute, and to that of its consumer; totals,
//! quarter-hours and minute rows are folded from the slots when a commit is made. Rows are found by
//! the bytes of their labels once per frame and tuple. A tuple is decoded only if its row or its
//! consumer has not been seen before: nearly every event may have a tuple of its own, but rows and
//! consumers come again.

mod interner;
mod slot_numbers;
mod consumers;

use std::sync::Arc;

use event::frame::FrameView;
use event::labels::TupleParts;
use event::{Facts, Labels, UsageSource};

use crate::account::{Account, Class};
use crate::commit::{DeadLetter, Journal};
use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::measures::Measures;
use crate::series::{FullLabels, SeriesId, ShortLabels};
use crate::window::{MINUTE_US, QUARTER_MINUTES};

use consumers::{ConsumerSlots, Consumers};
use interner::Interner;
use slot_numbers::SlotNumbers;

/// Maximum number of cached rows of a kind between commits; beyond it the cache starts over.
const ROWS_MAX: usize = 1_000_000;

/// A full row and the minute row that it is part of.
#[derive(Debug)]
struct Row {
    id: SeriesId,
    labels: Arc<FullLabels>,
    short: SeriesId,
}

/// What counting an event needs of its full row. Apart from the labels, which are large.
#[derive(Clone, Copy, Debug)]
struct RowKind {
    source: UsageSource,
    is_final: bool,
    /// Number of the part of the labels that chooses the consumer row, see `Consumers::origin`.
    origin: u32,
}

/// Rows by number; the number of a row is that of the bytes of its labels. Only tuples that decode
/// are remembered.
#[derive(Debug, Default)]
pub struct Rows {
    numbers: Interner,
    kinds: Vec<RowKind>,
    rows: Vec<Row>,
    consumers: Consumers,
}

impl Rows {
    /// The rows of a tuple, or `None` if it does not decode.
    #[inline]
    fn tuple(&mut self, bytes: &[u8]) -> Option<Tuple> {
        self.find(bytes).or_else(|| self.add(bytes))
    }

    /// The rows of a tuple whose row and consumer are known. Other tuples decoded with them, so
    /// this one does (`TupleParts`). `None` says nothing about the tuple.
    #[inline]
    fn find(&self, bytes: &[u8]) -> Option<Tuple> {
        let parts = TupleParts::of(bytes)?;
        let row = self.numbers.find(parts.row)?;
        let RowKind { source, is_final, origin } = self.kinds[row as usize];
        let consumer = self.consumers.find(origin, parts.consumer)?;
        Some(Tuple { source, is_final, row, consumer })
    }

    /// Decodes a tuple and remembers its rows.
    #[cold]
    fn add(&mut self, bytes: &[u8]) -> Option<Tuple> {
        let (labels, row_length) = Labels::decode(bytes).ok()?;
        let Labels { source, is_final, .. } = labels;
        let row = self.numbers.number(&bytes[..row_length]);
        if row as usize == self.rows.len() {
            let full = FullLabels::of(&labels);
            self.rows.push(Row { id: full.id(), short: full.short().id(), labels: Arc::new(full) });
            let origin = self.consumers.origin(&labels);
            self.kinds.push(RowKind { source, is_final, origin });
        }
        let consumer = self.consumers.number(self.kinds[row as usize].origin, &labels);
        Some(Tuple { source, is_final, row, consumer })
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
    numbers: SlotNumbers,
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
    pub totals: Vec<(SeriesId, Arc<FullLabels>, Measures)>,
    /// Quarter-hours.
    pub quarters: Vec<(i64, SeriesId, Measures)>,
    /// Labels of the minute rows.
    pub shorts: Vec<(SeriesId, ShortLabels)>,
    /// Minutes.
    pub minutes: Vec<(i64, SeriesId, Measures)>,
    /// Labels of the consumer rows.
    pub consumers: Vec<(SeriesId, Arc<ConsumerLabels>)>,
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
    #[inline]
    fn slot(&mut self, row: u32, minute: i64) -> u32 {
        let last = self.numbers.last(row);
        if self.slots.get(last as usize).is_some_and(|slot| slot.minute == minute) {
            return last;
        }
        let Pending { numbers, slots, .. } = self;
        numbers.number(row, minute, || {
            let number = u32::try_from(slots.len()).expect("slots are bounded by a commit");
            slots.push(Slot { row, minute, measures: Measures::default() });
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
        let row = |number: u32| &rows.rows[number as usize];
        let totals = self.merged(|slot| (row(slot.row).id, slot.row));
        let quarters = self.merged(|slot| (quarter_of(slot.minute), row(slot.row).id));
        let minutes = self.merged(|slot| (slot.minute, row(slot.row).short));
        let mut shorts: Vec<_> =
            totals.iter().map(|((_, number), _)| (row(*number).short, *number)).collect();
        shorts.sort_unstable();
        shorts.dedup_by_key(|(id, _)| *id);
        let consumers = self.consumers.fold(&rows.consumers);
        let labels = |number: u32| &row(number).labels;
        Folded {
            totals: totals.into_iter().map(|((id, n), m)| (id, Arc::clone(labels(n)), m)).collect(),
            quarters: quarters.into_iter().map(|((at, id), m)| (at, id, m)).collect(),
            shorts: shorts.into_iter().map(|(id, n)| (id, labels(n).short())).collect(),
            minutes: minutes.into_iter().map(|((at, id), m)| (at, id, m)).collect(),
            consumers: consumers.labels,
            used: consumers.sums,
        }
    }

    /// Sums of the slots by a key, sorted by it. Keys are sorted apart from the sums, which are
    /// large.
    fn merged<K: Ord + Copy>(&self, key: impl Fn(&Slot) -> K) -> Vec<(K, Measures)> {
        let mut order: Vec<_> = self.slots.iter().map(|slot| (key(slot), &slot.measures)).collect();
        order.sort_unstable_by_key(|(key, _)| *key);
        let mut merged: Vec<(K, Measures)> = Vec::with_capacity(order.len());
        for (key, measures) in order {
            match merged.last_mut() {
                Some((last, sums)) if *last == key => {
                    sums.add(measures).expect("a commit's sums fit 64 bits");
                }
                _ => merged.push((key, measures.clone())),
            }
        }
        merged
    }
}

/// Number of the quarter-hour of a minute.
#[inline]
fn quarter_of(minute: i64) -> i64 {
    minute.div_euclid(QUARTER_MINUTES)
}

/// The rows of each tuple of the current frame.
#[derive(Debug, Default)]
pub struct Tuples {
    known: Vec<Option<Tuple>>,
}

/// The rows of one tuple, and what of its labels an event is counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuple {
    source: UsageSource,
    is_final: bool,
    row: u32,
    consumer: u32,
}

impl Tuples {
    /// Looks up the rows of a frame's tuples; a tuple that does not decode is known as poison.
    pub fn load(&mut self, view: &FrameView<'_>, rows: &mut Rows) {
        self.known.clear();
        let numbers = 0..view.n_tuples();
        self.known.extend(numbers.map(|number| rows.tuple(view.tuple_bytes(number))));
    }

    /// The facts of an event, or `None` if it is poison.
    #[must_use]
    pub fn facts(&self, view: &FrameView<'_>, idx: usize) -> Option<Facts> {
        view.facts(idx, self.known[view.tuple(idx)]?.source)
    }

    /// The slots of an event of a tuple. The tuple must not be poison.
    #[inline]
    pub fn slots(&self, number: usize, time_us: i64, pending: &mut Pending) -> EventSlots {
        let tuple = self.known[number].expect("poison is never counted");
        let minute = time_us.div_euclid(MINUTE_US);
        EventSlots {
            slot: pending.slot(tuple.row, minute),
            consumer_slot: pending.consumers.slot(tuple.consumer, quarter_of(minute)),
            is_final: tuple.is_final,
        }
    }
}

impl Pending {
    /// Accounts events that are not counted.
    pub fn account(&mut self, class: Class, n: u32) {
        self.account.add(class, i64::from(n));
    }
}

#[cfg(test)]
mod tests;
