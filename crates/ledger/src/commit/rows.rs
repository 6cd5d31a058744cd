//! The rows of a commit, and how those of several partitions become one.

use std::sync::Arc;

use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::measures::Measures;
use crate::series::{FullLabels, SeriesId, ShortLabels};

/// What is added to sums. Rows are sorted by key, each key once, so that two commits never
/// deadlock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRows {
    /// What is added to totals, by id: labels and sums.
    pub totals: Vec<(SeriesId, Arc<FullLabels>, Measures)>,
    /// What is added to quarter-hours: number of the quarter since the epoch, full row.
    pub quarters: Vec<(i64, SeriesId, Measures)>,
    /// Minute rows that `minutes` refers to, by id.
    pub shorts: Vec<(SeriesId, Arc<ShortLabels>)>,
    /// What is added to minutes: number of the minute since the epoch, short row. The buckets of
    /// the time to first token are not stored for minutes.
    pub minutes: Vec<(i64, SeriesId, Measures)>,
    /// Consumer rows that `used` refers to, by id.
    pub consumers: Vec<(SeriesId, Arc<ConsumerLabels>)>,
    /// What is added to consumers: number of the quarter since the epoch, consumer row.
    pub used: Vec<(i64, SeriesId, ConsumerSums)>,
}

impl CommitRows {
    /// Adds up the rows of several parts.
    ///
    /// # Panics
    /// If a sum leaves 64 bits: the limits of events and frames make that impossible.
    #[must_use]
    pub(super) fn merged<'a>(parts: impl Iterator<Item = &'a CommitRows> + Clone) -> CommitRows {
        let add = |sums: &mut Measures, more: &Measures| sums.add(more).expect(FITS);
        let add_used = |sums: &mut ConsumerSums, more: &ConsumerSums| sums.add(more).expect(FITS);
        let each = || parts.clone();
        let totals = each().flat_map(|rows| &rows.totals);
        let totals = merged(totals, |row| row.0, |row, more| add(&mut row.2, &more.2));
        let quarters = each().flat_map(|rows| &rows.quarters);
        let minutes = each().flat_map(|rows| &rows.minutes);
        let used = each().flat_map(|rows| &rows.used);
        CommitRows {
            totals,
            quarters: merged(quarters, |row| (row.0, row.1), |row, more| add(&mut row.2, &more.2)),
            shorts: merged(each().flat_map(|rows| &rows.shorts), |row| row.0, |_, _| {}),
            minutes: merged(minutes, |row| (row.0, row.1), |row, more| add(&mut row.2, &more.2)),
            consumers: merged(each().flat_map(|rows| &rows.consumers), |row| row.0, |_, _| {}),
            used: merged(used, |row| (row.0, row.1), |row, more| add_used(&mut row.2, &more.2)),
        }
    }
}

const FITS: &str = "a commit's sums fit 64 bits";

/// One row for each key of sorted lists that follow each other. Rows are large: only references are
/// sorted, and the sort finds the lists that are sorted already.
fn merged<'a, R: Clone + 'a, K: Ord>(
    rows: impl Iterator<Item = &'a R>,
    key: impl Fn(&R) -> K,
    add: impl Fn(&mut R, &R),
) -> Vec<R> {
    let mut order: Vec<&R> = rows.collect();
    order.sort_by_key(|row| key(row));
    let mut merged: Vec<R> = Vec::with_capacity(order.len());
    for row in order {
        match merged.last_mut() {
            Some(last) if key(last) == key(row) => add(last, row),
            _ => merged.push(row.clone()),
        }
    }
    merged
}
