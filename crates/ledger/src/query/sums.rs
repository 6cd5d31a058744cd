//! What rows add up to: requests by final attempts, tokens and cost by all attempts.
//!
//! A `Row` is what totals, quarter-hours and minutes have in common. `Sums` takes any number of
//! them; `tokens` and `latency` show what fits 64 bits and refuse what does not.

use event::{Outcome, UsageSource};

use crate::histogram::{N_DURATION, duration_quantile_us};
use crate::measures::Measures;
use crate::query::QueryError;
use crate::series::{FullLabels, ShortLabels};

/// A row of any kind, as far as questions go.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Tenant.
    pub namespace: &'a str,
    /// Success or kind of error.
    pub outcome: Outcome,
    /// Where token counts come from.
    pub source: UsageSource,
    /// Whether the row is of final attempts, which are what requests are counted by.
    pub is_final: bool,
    /// What it measures.
    pub measures: &'a Measures,
}

impl<'a> Row<'a> {
    /// A total or a full quarter-hour.
    #[must_use]
    pub fn full(labels: &'a FullLabels, measures: &'a Measures) -> Row<'a> {
        let FullLabels { namespace, outcome, source, is_final, .. } = labels;
        Row { namespace, outcome: *outcome, source: *source, is_final: *is_final, measures }
    }

    /// A minute, or a quarter-hour summed to the labels of one.
    #[must_use]
    pub fn short(labels: &'a ShortLabels, measures: &'a Measures) -> Row<'a> {
        let ShortLabels { namespace, outcome, source, is_final, .. } = labels;
        Row { namespace, outcome: *outcome, source: *source, is_final: *is_final, measures }
    }
}

/// Sums of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    requests: i128,
    errors: i128,
    duration_us: i128,
    duration: [i128; N_DURATION],
    input: i128,
    output: i128,
    cache_read: i128,
    cache_write: i128,
    reasoning: i128,
    estimated: i128,
    cost_nano: i128,
}

/// How many numbers `Sums` has.
const N_SUMS: usize = 10 + N_DURATION;

/// Tokens of all attempts, and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input, with those of the cache.
    pub input: i64,
    /// Output, with those of reasoning.
    pub output: i64,
    /// Part of the input that a cache served.
    pub cache_read: i64,
    /// Part of the input that was written to a cache.
    pub cache_write: i64,
    /// Part of the output that was reasoning.
    pub reasoning: i64,
    /// Part of input and output that was counted from text and not reported.
    pub estimated: i64,
    /// Cost, nano-dollars.
    pub cost_nano: i64,
}

/// How many requests there were, how many failed and how long they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Requests.
    pub n: i64,
    /// Those that failed.
    pub errors: i64,
    /// Sum of their durations, microseconds.
    pub duration_us: i128,
    /// Requests per duration bucket, not cumulative.
    pub duration: [i64; N_DURATION],
}

impl Sums {
    /// Adds a row.
    pub fn add(&mut self, row: &Row<'_>) {
        let measures = row.measures;
        if row.is_final {
            self.requests += i128::from(measures.n);
            if row.outcome != Outcome::Success {
                self.errors += i128::from(measures.n);
            }
            self.duration_us += i128::from(measures.duration_us);
            for (sum, n) in self.duration.iter_mut().zip(measures.duration) {
                *sum += i128::from(n);
            }
        }
        let [uncached, cache_read, cache_write, text, reasoning] = measures.tokens.map(i128::from);
        let (input, output) = (uncached + cache_read + cache_write, text + reasoning);
        self.input += input;
        self.output += output;
        self.cache_read += cache_read;
        self.cache_write += cache_write;
        self.reasoning += reasoning;
        if row.source == UsageSource::Estimated {
            self.estimated += input + output;
        }
        self.cost_nano += i128::from(measures.cost_nano);
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Sums) {
        for (sum, more) in self.each_mut().into_iter().zip(other.each()) {
            *sum += more;
        }
    }

    /// These without others that are a part of them; `None` if they are not.
    #[must_use]
    pub fn minus(&self, part: &Sums) -> Option<Sums> {
        let mut rest = self.clone();
        for (sum, less) in rest.each_mut().into_iter().zip(part.each()) {
            *sum -= less;
            if *sum < 0 {
                return None;
            }
        }
        Some(rest)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Sums::default()
    }

    /// Number of requests.
    ///
    /// # Errors
    /// `TooLarge`; so for the others.
    pub fn requests(&self) -> Result<i64, QueryError> {
        shown(self.requests)
    }

    /// Requests and their durations.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn latency(&self) -> Result<Requests, QueryError> {
        let mut duration = [0; N_DURATION];
        for (n, sum) in duration.iter_mut().zip(self.duration) {
            *n = shown(sum)?;
        }
        Ok(Requests {
            n: shown(self.requests)?,
            errors: shown(self.errors)?,
            duration_us: self.duration_us,
            duration,
        })
    }

    /// Tokens and cost.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn tokens(&self) -> Result<Tokens, QueryError> {
        Ok(Tokens {
            input: shown(self.input)?,
            output: shown(self.output)?,
            cache_read: shown(self.cache_read)?,
            cache_write: shown(self.cache_write)?,
            reasoning: shown(self.reasoning)?,
            estimated: shown(self.estimated)?,
            cost_nano: shown(self.cost_nano)?,
        })
    }

    fn each(&self) -> [i128; N_SUMS] {
        self.clone().each_mut().map(|sum| *sum)
    }

    /// Every sum, for what is done to all of them.
    fn each_mut(&mut self) -> [&mut i128; N_SUMS] {
        let mut rest = [
            &mut self.requests,
            &mut self.errors,
            &mut self.duration_us,
            &mut self.input,
            &mut self.output,
            &mut self.cache_read,
            &mut self.cache_write,
            &mut self.reasoning,
            &mut self.estimated,
            &mut self.cost_nano,
        ]
        .into_iter()
        .chain(&mut self.duration);
        std::array::from_fn(|_| rest.next().expect("ten sums and the buckets"))
    }
}

impl Requests {
    /// Mean duration in microseconds, rounded down; nothing without requests.
    #[must_use]
    pub fn mean_us(&self) -> Option<i64> {
        let mean = self.duration_us.checked_div(i128::from(self.n))?;
        i64::try_from(mean).ok()
    }

    /// A quantile of the durations in microseconds, as `histogram_quantile` computes it from the
    /// buckets; nothing without requests. `per_mille` is the rank, 0 ..= 1,000.
    #[must_use]
    pub fn quantile_us(&self, per_mille: u16) -> Option<u64> {
        duration_quantile_us(&self.duration, per_mille)
    }
}

/// A sum as it is shown.
pub(crate) fn shown(sum: i128) -> Result<i64, QueryError> {
    i64::try_from(sum).map_err(|_| QueryError::TooLarge)
}
