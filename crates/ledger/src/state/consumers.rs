//! The consumer rows of the frames since the last commit.

use event::{Facts, Labels};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::series::SeriesId;

/// Consumer rows by number; the number of a row is found by the bytes of its identity.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    numbers: HashMap<Box<[u8]>, u32, DefaultHashBuilder>,
    rows: Vec<(SeriesId, ConsumerLabels)>,
    /// Kept to be written over.
    key: Vec<u8>,
}

impl Consumers {
    /// The number of the row of a tuple's labels.
    pub(super) fn number(&mut self, labels: &Labels<'_>) -> u32 {
        self.key.clear();
        ConsumerLabels::encode(labels, &mut self.key);
        if let Some(number) = self.numbers.get(self.key.as_slice()) {
            return *number;
        }
        let number = u32::try_from(self.rows.len()).expect("rows are bounded");
        self.rows.push((ConsumerLabels::id_of(&self.key), ConsumerLabels::of(labels)));
        self.numbers.insert(self.key.as_slice().into(), number);
        number
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
    index: HashMap<(u32, i64), u32, DefaultHashBuilder>,
}

/// Rows of a commit, sorted.
pub(super) struct FoldedConsumers {
    pub labels: Vec<(SeriesId, ConsumerLabels)>,
    pub sums: Vec<(i64, SeriesId, ConsumerSums)>,
}

impl ConsumerSlots {
    /// Number of the slot of a row and a quarter-hour.
    pub(super) fn slot(&mut self, row: u32, quarter: i64) -> u32 {
        *self.index.entry((row, quarter)).or_insert_with(|| {
            let number = u32::try_from(self.slots.len()).expect("slots are bounded by a commit");
            self.slots.push((row, quarter, ConsumerSums::default()));
            number
        })
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
        let row = |number: u32| &consumers.rows[number as usize];
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
