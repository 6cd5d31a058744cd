//! What the frames since the last commit add up to: the only place where a counter grows.
//!
//! An event is added to the slot of its full row and minute, and to that of its consumer; totals,
//! quarter-hours and minute rows are folded from the slots when a commit is made.

mod interner;
mod slot_numbers;
mod rows;
mod consumers;
mod frame_rows;

use std::sync::Arc;

use event::Facts;

use crate::account::{Account, Class};
use crate::commit::{CommitRows, DeadLetter, Merged, RangeSums};
use crate::measures::Measures;
use crate::window::{MINUTE_US, QUARTER_MINUTES};

pub use frame_rows::{EventRow, FrameRows};
pub use rows::Rows;

use consumers::ConsumerSlots;
use slot_numbers::SlotNumbers;

/// Room that is kept for slots, as a multiple of what the last commit used.
const ROOM_MAX: usize = 8;

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
    /// Sums of the range.
    pub sums: RangeSums,
    /// Dead letters in address order.
    pub letters: Vec<DeadLetter>,
    /// What the second pass has decided.
    pub late: PendingLate,
}

/// What the second pass has decided since the last commit.
#[derive(Debug, Default)]
pub struct PendingLate {
    /// Offset before which all late events are decided; `None` if nothing was decided.
    pub next: Option<u64>,
    /// Events that were counted.
    pub merged: Vec<Merged>,
    /// Their input and output tokens.
    pub tokens: [i64; 2],
}

/// The slots in which an event is counted.
#[derive(Clone, Copy, Debug)]
pub struct EventSlots {
    slot: u32,
    consumer_slot: u32,
    is_final: bool,
}

impl Pending {
    /// Fetches the slots in which the events of a group will likely be counted from memory.
    pub fn touch(&self, group: &FrameRows) {
        group.consumers().for_each(|row| self.consumers.touch(row));
    }

    /// The slots of an event.
    #[inline]
    pub fn slots(&mut self, event: EventRow, time_us: i64) -> EventSlots {
        let minute = time_us.div_euclid(MINUTE_US);
        EventSlots {
            slot: self.slot(event.row, minute),
            consumer_slot: self.consumers.slot(event.consumer, quarter_of(minute)),
            is_final: event.is_final,
        }
    }

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

    /// Accounts events that are not counted.
    pub fn account(&mut self, class: Class, n: u32) {
        self.account.add(class, i64::from(n));
        if class == Class::Late {
            self.sums.late += i64::from(n);
        }
    }

    /// Counts an event in its slots.
    #[inline]
    pub fn count(&mut self, slots: EventSlots, facts: &Facts) {
        let usage = &facts.usage;
        self.add(slots, facts);
        self.sums.counted += 1;
        self.sums.input_tokens += i64::from(usage.input.unwrap_or(0));
        self.sums.output_tokens += i64::from(usage.output.unwrap_or(0));
        self.sums.digest = self.sums.digest.wrapping_add(facts.key.low().cast_signed());
    }

    /// Counts a late event of the frame at `offset` in its slots.
    pub fn merge(&mut self, slots: EventSlots, facts: &Facts, offset: u64) {
        let usage = &facts.usage;
        self.add(slots, facts);
        self.late.tokens[0] += i64::from(usage.input.unwrap_or(0));
        self.late.tokens[1] += i64::from(usage.output.unwrap_or(0));
        self.late.merged.push(Merged { key: facts.key, time_us: facts.time_us, offset });
    }

    #[inline]
    fn add(&mut self, slots: EventSlots, facts: &Facts) {
        self.slots[slots.slot as usize].measures.add_event(facts);
        self.consumers.count(slots.consumer_slot, facts, slots.is_final);
    }

    /// Folds the slots into sorted rows.
    ///
    /// # Panics
    /// If a sum of one commit leaves 64 bits: the limits of events and frames make that impossible
    /// for as many frames as fit between two commits.
    #[must_use]
    pub fn fold(&self, rows: &Rows) -> CommitRows {
        let row = |number: u32| rows.row(number);
        let totals = self.merged(|slot| (row(slot.row).id, slot.row));
        let quarters = self.merged(|slot| (quarter_of(slot.minute), row(slot.row).id));
        let minutes = self.merged(|slot| (slot.minute, row(slot.row).short.0));
        let shorts = totals.iter().map(|((_, number), _)| &row(*number).short);
        let mut shorts: Vec<_> = shorts.collect();
        shorts.sort_unstable_by_key(|(id, _)| *id);
        shorts.dedup_by_key(|(id, _)| *id);
        let consumers = self.consumers.fold(rows.consumers());
        let labels = |number: u32| Arc::clone(&row(number).labels);
        CommitRows {
            shorts: shorts.into_iter().cloned().collect(),
            totals: totals.into_iter().map(|((id, n), m)| (id, labels(n), m)).collect(),
            quarters: quarters.into_iter().map(|((at, id), m)| (at, id, m)).collect(),
            minutes: minutes.into_iter().map(|((at, id), m)| (at, id, m)).collect(),
            consumers: consumers.labels,
            used: consumers.sums,
        }
    }

    /// Begins anew, in the room that there is: the next commit needs about as much. After a commit
    /// that was many times larger than most, the room is given back.
    pub fn clear(&mut self) {
        let n_used = self.slots.len();
        self.slots.clear();
        self.slots.shrink_to(n_used * ROOM_MAX);
        self.numbers.clear();
        self.consumers.clear();
        self.account = Account::default();
        self.sums = RangeSums::default();
        self.letters.clear();
        self.late = PendingLate::default();
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

#[cfg(test)]
mod tests;
