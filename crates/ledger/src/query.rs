//! Queries of the ledger, answered from its rows.
//!
//! A caller reads sums of one version and hands them in, in any order; `sums` adds up what they
//! measure, `distribution` how requests ended, and a `Series` keeps sums per bucket of time. Sums
//! are kept in 128 bits and checked when they are shown, so that no order overflows on the way to a
//! sum that fits. Nothing here knows calendars: buckets are numbers with edges.

pub mod sums;
pub mod distribution;
#[cfg(test)]
mod tests;

use std::ops::Range;

use sums::Sums;

/// Why a query fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A sum is beyond 64 bits.
    #[error("a sum is too large to be shown")]
    TooLarge,
    /// The rows of the buckets hold more than the totals, which hold everything.
    #[error("the rows of the buckets add up to more than the totals")]
    AboveTotals,
}

/// Neighbouring buckets: the edges of the first and the last, and those between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    edges: Vec<i64>,
}

/// Pieces of one length that time is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Start of the first one, not after that of the first bucket.
    pub from: i64,
    /// Length of each.
    pub length: i64,
}

impl Buckets {
    /// Buckets between these edges; `None` unless there are two or more and they rise.
    #[must_use]
    pub fn new(edges: Vec<i64>) -> Option<Buckets> {
        let is_rising = edges.windows(2).all(|pair| pair[0] < pair[1]);
        (edges.len() >= 2 && is_rising).then_some(Buckets { edges })
    }

    /// How many there are, at least one.
    #[must_use]
    pub fn n(&self) -> usize {
        self.edges.len() - 1
    }

    /// Start of the first and end of the last.
    #[must_use]
    pub fn whole(&self) -> Range<i64> {
        self.edges[0]..self.edges[self.n()]
    }

    /// The longest pieces of one length that each lie in one bucket: sums of such pieces can be
    /// added up to buckets. The first bucket may begin within a piece, and the last one end there:
    /// neither must make all pieces short.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        let inner = &self.edges[1..self.n()];
        let length = inner.windows(2).fold(0, |length, pair| divisor(length, pair[1] - pair[0]));
        match (length, inner.first()) {
            (_, None) => Pieces { from: self.edges[0], length: i64::MAX },
            // The edge between two buckets: a piece on each side.
            (0, Some(edge)) => {
                let length = (edge - self.edges[0]).max(self.edges[2] - edge);
                Pieces { from: edge - length, length }
            }
            (length, Some(edge)) => {
                let before = (edge - self.edges[0]).rem_euclid(length);
                let cut = if before == 0 { 0 } else { length - before };
                Pieces { from: self.edges[0] - cut, length }
            }
        }
    }

    /// The bucket of a moment.
    #[must_use]
    pub fn idx(&self, at: i64) -> Option<usize> {
        let n_begun = self.edges.partition_point(|edge| *edge <= at);
        n_begun.checked_sub(1).filter(|idx| *idx < self.n())
    }
}

/// Greatest common divisor of two lengths; that of a length and 0 is the length.
fn divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Sums per bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    buckets: Buckets,
    sums: Vec<Sums>,
}

impl Series {
    /// Nothing yet in any bucket.
    #[must_use]
    pub fn new(buckets: Buckets) -> Series {
        let sums = vec![Sums::default(); buckets.n()];
        Series { buckets, sums }
    }

    /// Adds sums to the bucket of a moment; those that lie in none add nothing.
    pub fn add(&mut self, at: i64, sums: &Sums) {
        if let Some(idx) = self.buckets.idx(at) {
            self.sums[idx].merge(sums);
        }
    }

    /// The sums of each bucket, in order of time.
    #[must_use]
    pub fn sums(&self) -> &[Sums] {
        &self.sums
    }

    /// The sums of all buckets together.
    #[must_use]
    pub fn total(&self) -> Sums {
        let mut total = Sums::default();
        for sums in &self.sums {
            total.merge(sums);
        }
        total
    }

    /// What the totals have beyond the buckets: rows that retention deleted.
    ///
    /// # Errors
    /// `AboveTotals` if the buckets have more, which breaks I7.
    pub fn earlier(&self, totals: &Sums) -> Result<Sums, QueryError> {
        totals.minus(&self.total()).ok_or(QueryError::AboveTotals)
    }
}
