//! Histograms of how long attempts took, of a range and of its buckets of time, in one statement.
//!
//! Durations are those of final attempts, as in every count of requests; times to first token are
//! those of all attempts that reported one, and times per output token those of all that have one.
//! Minute rows hold neither models nor histograms of these two: who asks for them reads
//! quarter-hours.

use ledger::histogram::{DURATION_BOUNDS_US, TPOT_BOUNDS_US, TTFT_BOUNDS_US};
use ledger::query::Buckets;

use crate::error::{Result, StoreError};
use crate::part::{Mine, Rows};
use crate::read::Reader;
use crate::sql::Row;
use crate::term::{self, Term};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// How long final attempts took.
    Duration,
    /// How long attempts waited for their first token.
    FirstToken,
    /// How long each token after the first one took.
    PerToken,
}

/// Which attempts are measured: those that have every label that is given.
#[derive(Clone, Copy, Debug)]
pub struct LatencyAsk<'a> {
    /// What is measured.
    pub timing: Timing,
    /// Tenant.
    pub namespace: Option<&'a str>,
    /// Provider.
    pub upstream: Option<&'a str>,
    /// Model that answered.
    pub model: Option<&'a str>,
}

/// A histogram: attempts by bucket, not cumulative, and the sum of what was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Sum, microseconds.
    pub sum_us: i128,
    /// Attempts per bucket, one more than there are bounds: the last bucket is open.
    pub counts: Vec<i128>,
}

impl Timing {
    /// Upper bounds of the buckets in microseconds, inclusive; an open bucket follows.
    #[must_use]
    pub fn bounds_us(self) -> &'static [u64] {
        match self {
            Timing::Duration => &DURATION_BOUNDS_US,
            Timing::FirstToken => &TTFT_BOUNDS_US,
            Timing::PerToken => &TPOT_BOUNDS_US,
        }
    }

    /// The sum and each bucket.
    fn terms(self) -> Vec<Term> {
        match self {
            Timing::Duration => term::durations(),
            Timing::FirstToken => term::first_tokens(),
            Timing::PerToken => term::per_token(),
        }
    }
}

impl LatencyAsk<'_> {
    /// Whether minute rows hold what is asked for.
    #[must_use]
    pub fn is_in_minutes(&self) -> bool {
        self.timing == Timing::Duration && self.model.is_none()
    }
}

impl Histogram {
    /// Nothing was measured.
    #[must_use]
    pub fn new(timing: Timing) -> Histogram {
        Histogram { sum_us: 0, counts: vec![0; timing.bounds_us().len() + 1] }
    }

    /// Adds another one of the same bounds.
    pub fn merge(&mut self, other: &Histogram) {
        self.sum_us += other.sum_us;
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// This one without another that is a part of it; `None` if it is not.
    #[must_use]
    pub fn minus(&self, part: &Histogram) -> Option<Histogram> {
        let counts = self.counts.iter().zip(&part.counts).map(|(all, less)| all - less);
        let rest = Histogram { sum_us: self.sum_us - part.sum_us, counts: counts.collect() };
        (rest.sum_us >= 0 && rest.counts.iter().all(|count| *count >= 0)).then_some(rest)
    }

    /// Reads the columns of `Timing::terms` that begin at column 1.
    fn read(timing: Timing, row: &Row) -> Result<Histogram> {
        let buckets = 2..2 + timing.bounds_us().len() + 1;
        let counts = buckets.map(|at| Ok(i128::from(row.sum(at)?))).collect::<Result<_>>()?;
        Ok(Histogram { sum_us: row.sum(1)?.into(), counts })
    }
}

impl Reader {
    /// The histogram of each bucket of a range, and of all of it; of counter totals as in
    /// [`Reader::series`].
    ///
    /// # Errors
    /// See [`Reader`]; `Fatal` if minute rows are asked for what they do not hold.
    pub async fn latency(
        &mut self,
        rows: Rows,
        buckets: &Buckets,
        ask: LatencyAsk<'_>,
    ) -> Result<(Vec<Histogram>, Histogram)> {
        if rows == Rows::Minutes && !ask.is_in_minutes() {
            let reason = "minute rows were asked for what they do not hold".to_owned();
            return Err(StoreError::Fatal { reason });
        }
        let LatencyAsk { timing, namespace, upstream, model } = ask;
        let mine = Mine { namespace, upstream, model };
        let found = self.pieces(rows, buckets, mine, &timing.terms()).await?;
        let mut each = vec![Histogram::new(timing); buckets.n()];
        let mut total = Histogram::new(timing);
        for (piece, row) in found {
            let histogram = Histogram::read(timing, &row)?;
            match piece {
                None => total = histogram,
                Some(piece) => {
                    if let Some(idx) = buckets.idx(piece) {
                        each[idx].merge(&histogram);
                    }
                }
            }
        }
        if rows != Rows::Totals {
            each.iter().for_each(|histogram| total.merge(histogram));
        }
        Ok((each, total))
    }
}
