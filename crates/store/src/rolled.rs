//! How far rows are rolled up, and which rows and roll-ups a range is read from.
//!
//! `roll_up` says what roll-ups are.

use std::ops::Range;

use ledger::window::QUARTER_MINUTES;

use crate::error::Result;
use crate::sql::Row;

/// Quarter-hours of a UTC day.
pub(crate) const DAY_QUARTERS: i64 = 96;
/// The name of all namespaces together: no namespace has an empty one.
pub(crate) const ALL: &str = "";

/// How far rows are rolled up, and where they begin, in the units of their tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rolled {
    /// Quarter-hours before this one are rolled up.
    pub quarter: i64,
    pub oldest_minute: Option<i64>,
    pub oldest_quarter: Option<i64>,
    pub oldest_used: Option<i64>,
}

/// What a range is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Rows themselves, before and after what is rolled up.
    pub raw: [Range<i64>; 2],
    /// Roll-ups, in their own unit.
    pub rolled: Range<i64>,
}

impl Rolled {
    /// The columns of a first statement that are read here.
    pub(crate) fn read(row: &Row, first: usize) -> Result<Rolled> {
        Ok(Rolled {
            quarter: row.get(first)?,
            oldest_minute: row.get(first + 1)?,
            oldest_quarter: row.get(first + 2)?,
            oldest_used: row.get(first + 3)?,
        })
    }

    /// A range of minutes, read from roll-ups by namespace where there are any.
    pub(crate) fn minutes(&self, range: &Range<i64>) -> Split {
        split(range, self.oldest_minute, self.quarter * QUARTER_MINUTES, 1)
    }

    /// A range of quarter-hours, read from roll-ups by namespace where there are any.
    pub(crate) fn quarters(&self, range: &Range<i64>) -> Split {
        split(range, self.oldest_quarter, self.quarter, 1)
    }

    /// A range of quarter-hours, read from roll-ups by day where there are any.
    pub(crate) fn days(&self, range: &Range<i64>) -> Split {
        split(range, self.oldest_quarter, self.quarter, DAY_QUARTERS)
    }

    /// A range of quarter-hours of consumers, read from roll-ups by day where there are any.
    pub(crate) fn used_days(&self, range: &Range<i64>) -> Split {
        split(range, self.oldest_used, self.quarter, DAY_QUARTERS)
    }
}

impl Split {
    /// Nothing of it is rolled up.
    pub(crate) fn raw(range: &Range<i64>) -> Split {
        Split { raw: [range.clone(), range.end..range.end], rolled: 0..0 }
    }
}

/// Splits a range: `unit` rows are rolled up into one, up to the row `to`. The oldest row may be
/// one of those that are being deleted: what it is rolled up into is not relied on.
fn split(range: &Range<i64>, oldest: Option<i64>, to: i64, unit: i64) -> Split {
    let Some(oldest) = oldest else { return Split::raw(range) };
    let up = |row: i64| -(-row).div_euclid(unit);
    let first = up(range.start.max(oldest + 1));
    // The last roll-up ends with the mark if the range goes on past it.
    let (last, after) = match range.end >= to {
        true => (up(to), to),
        false => (range.end.div_euclid(unit), range.end.div_euclid(unit) * unit),
    };
    if first >= last {
        return Split::raw(range);
    }
    Split { raw: [range.start..first * unit, after..range.end], rolled: first..last }
}

#[cfg(test)]
mod tests;
