//! Quantiles and the mean of a histogram, for display.
//!
//! They are worked out in whole microseconds from counts that are not cumulative. Nothing here is
//! added to anything.

use ledger::histogram::quantile_us;
use ledger::query::QueryError;
use store::{Histogram, Timing};

/// A histogram whose numbers fit an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    timing: Timing,
    sum_us: i128,
    /// All that was measured.
    pub count: i64,
    /// By bucket, not cumulative.
    pub counts: Vec<i64>,
}

impl Shown {
    /// Checks that the numbers fit.
    pub fn of(timing: Timing, histogram: &Histogram) -> Result<Shown, QueryError> {
        let fit = |count: i128| i64::try_from(count).map_err(|_| QueryError::TooLarge);
        let counts: Vec<i64> =
            histogram.counts.iter().map(|count| fit(*count)).collect::<Result<_, _>>()?;
        let count = fit(histogram.counts.iter().sum())?;
        Ok(Shown { timing, sum_us: histogram.sum_us, count, counts })
    }

    /// Mean in microseconds, rounded down; `None` if nothing was measured.
    pub fn mean_us(&self) -> Option<u64> {
        let mean = self.sum_us.checked_div(i128::from(self.count))?;
        u64::try_from(mean).ok()
    }

    /// A quantile in microseconds.
    pub fn quantile_us(&self, per_mille: u16) -> Option<u64> {
        quantile_us(self.timing.bounds_us(), &self.counts, per_mille)
    }
}

#[cfg(test)]
mod tests;
