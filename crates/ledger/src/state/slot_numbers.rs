//! Numbers of slots by row and time, with the last slot of each row at hand.
//!
//! Events come more or less in the order of time, so that the slot of a row is nearly always the
//! one that it had last. The caller sees from the slot whether it is; if not, the number is looked
//! up by row and time.

use hashbrown::{DefaultHashBuilder, HashMap};

/// Slot numbers of rows of one kind.
#[derive(Debug, Default)]
pub(super) struct SlotNumbers {
    /// The slot that each row had last, by the row's number; `NONE` if it had none.
    last: Vec<u32>,
    all: HashMap<(u32, i64), u32, DefaultHashBuilder>,
}

/// Stands for no slot; slots of one commit never reach this number.
const NONE: u32 = u32::MAX;

impl SlotNumbers {
    /// The slot that a row had last, whatever its time; larger than any number if it had none.
    #[inline]
    pub(super) fn last(&self, row: u32) -> u32 {
        self.last.get(row as usize).copied().unwrap_or(NONE)
    }

    /// Forgets all slots.
    pub(super) fn clear(&mut self) {
        let n_used = self.all.len();
        self.last.clear();
        self.all.clear();
        self.all.shrink_to(n_used * super::ROOM_MAX);
    }

    /// The slot of a row and a time, which is the row's last one from now on; `add` makes one and
    /// gives its number.
    #[cold]
    pub(super) fn number(&mut self, row: u32, at: i64, add: impl FnOnce() -> u32) -> u32 {
        let number = *self.all.entry((row, at)).or_insert_with(add);
        let row = row as usize;
        if row >= self.last.len() {
            self.last.resize(row + 1, NONE);
        }
        self.last[row] = number;
        number
    }
}
