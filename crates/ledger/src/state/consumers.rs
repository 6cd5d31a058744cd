//! The consumer rows of the frames since the last commit.

use std::sync::Arc;

use event::{Facts, Labels};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::series::SeriesId;

use super::slot_numbers::SlotNumbers;

/// Consumer rows by number; the number of a row is found by its origin and the consumer's name.
///
/// The origin is all of the row but the name: namespace and model. All are numbers, so that the
/// table is small: a tenant may have ten thousand consumers, each with several models.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    origins: HashMap<(u32, u32), u32, DefaultHashBuilder>,
    numbers: HashMap<(u32, u32), u32, DefaultHashBuilder>,
    rows: Vec<(SeriesId, Arc<ConsumerLabels>)>,
}

impl Consumers {
    /// The origin of a namespace and a model, given as numbers of texts.
    pub(super) fn origin(&mut self, namespace: u32, model: u32) -> u32 {
        let next = u32::try_from(self.origins.len()).expect("rows are bounded");
        *self.origins.entry((namespace, model)).or_insert(next)
    }

    /// The number of the row of an origin and the number of a consumer's name, if it is known.
    #[inline]
    pub(super) fn find(&self, origin: u32, name: u32) -> Option<u32> {
        self.numbers.get(&(origin, name)).copied()
    }

    /// Adds the row of some labels; its number.
    #[cold]
    pub(super) fn add(&mut self, origin: u32, name: u32, labels: &Labels<'_>) -> u32 {
        let number = u32::try_from(self.rows.len()).expect("rows are bounded");
        let mut bytes = Vec::new();
        ConsumerLabels::encode(labels, &mut bytes);
        self.rows.push((ConsumerLabels::id_of(&bytes), Arc::new(ConsumerLabels::of(labels))));
        self.numbers.insert((origin, name), number);
        number
    }

    /// Identity and labels of a row.
    pub(super) fn row(&self, number: u32) -> &(SeriesId, Arc<ConsumerLabels>) {
        &self.rows[number as usize]
    }

    /// How many rows are remembered.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// The sums of consumer rows, each within one quarter-hour.
#[derive(Debug, Default)]
pub(super) struct ConsumerSlots {
    slots: Vec<(u32, i64, ConsumerSums)>,
    numbers: SlotNumbers,
}

/// Rows of a commit, sorted.
pub(super) struct FoldedConsumers {
    pub labels: Vec<(SeriesId, Arc<ConsumerLabels>)>,
    pub sums: Vec<(i64, SeriesId, ConsumerSums)>,
}

impl ConsumerSlots {
    /// Number of the slot of a row and a quarter-hour.
    #[inline]
    pub(super) fn slot(&mut self, row: u32, quarter: i64) -> u32 {
        let last = self.numbers.last(row);
        if self.slots.get(last as usize).is_some_and(|slot| slot.1 == quarter) {
            return last;
        }
        let ConsumerSlots { numbers, slots } = self;
        numbers.number(row, quarter, || {
            let number = u32::try_from(slots.len()).expect("slots are bounded by a commit");
            slots.push((row, quarter, ConsumerSums::default()));
            number
        })
    }

    /// Fetches the slot that a row had last from memory.
    #[inline]
    pub(super) fn touch(&self, row: u32) {
        let slot = self.slots.get(self.numbers.last(row) as usize);
        std::hint::black_box(slot.map(|slot| slot.1));
    }

    /// Begins anew; see `Pending::clear`.
    pub(super) fn clear(&mut self) {
        let n_used = self.slots.len();
        self.slots.clear();
        self.slots.shrink_to(n_used * super::ROOM_MAX);
        self.numbers.clear();
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Counts an event in its slot.
    #[inline]
    pub(super) fn count(&mut self, slot: u32, facts: &Facts, is_final: bool) {
        self.slots[slot as usize].2.add_event(facts, is_final);
    }

    /// Sorts the slots, each of which is a row of its own.
    pub(super) fn fold(&self, consumers: &Consumers) -> FoldedConsumers {
        let row = |number: u32| consumers.row(number);
        let mut labels: Vec<_> =
            self.slots.iter().map(|(number, _, _)| row(*number).clone()).collect();
        labels.sort_unstable_by_key(|(id, _)| *id);
        labels.dedup_by_key(|(id, _)| *id);
        let slots = self.slots.iter();
        let mut sums: Vec<_> =
            slots.map(|(number, quarter, sums)| (*quarter, row(*number).0, *sums)).collect();
        sums.sort_unstable_by_key(|(quarter, id, _)| (*quarter, *id));
        FoldedConsumers { labels, sums }
    }
}
