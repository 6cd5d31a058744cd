//! Quantiles and the mean of a histogram, for display.
//!
//! They are worked out in whole microseconds from counts that are not cumulative. Nothing here is
//! added to anything.

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

/// The quantile of a histogram in microseconds, as PromQL's `histogram_quantile` computes it:
/// linear within the bucket, the highest bound for the open one; `None` if nothing was measured.
/// `per_mille` is the rank, 0 ..= 1,000. The result is rounded down. A test holds it to
/// `ledger::histogram`, which computes it for durations.
fn quantile_us(bounds_us: &[u64], counts: &[i64], per_mille: u16) -> Option<u64> {
    let total: i128 = counts.iter().map(|count| i128::from(*count)).sum();
    if total == 0 {
        return None;
    }
    // Ranks are kept in thousandths of a count, so that they stay whole numbers.
    let rank = total * i128::from(per_mille.min(1_000));
    let mut below: i128 = 0;
    let mut start = 0;
    for (end, count) in bounds_us.iter().zip(counts) {
        let count = i128::from(*count) * 1_000;
        if count > 0 && below + count >= rank {
            let share = i128::from(end - start) * (rank - below) / count;
            return u64::try_from(i128::from(start) + share).ok();
        }
        below += count;
        start = *end;
    }
    Some(start)
}

#[cfg(test)]
mod tests;
