//! What rows add up to: requests by final attempts, tokens and cost by all attempts.
//!
//! A store adds up rows in the columns that a question needs and hands the results in; `tokens` and
//! `latency` show what fits 64 bits and refuse what does not.

use event::usage::N_TOKEN_CLASSES;

use crate::histogram::{N_DURATION, duration_quantile_us};
use crate::query::QueryError;

/// Tokens per additive class, in the order of `event::usage::TOKEN_CLASSES`.
pub type Classes = [i64; N_TOKEN_CLASSES];

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

/// Number of columns in `Sums`.
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
    /// Failed requests.
    pub errors: i64,
    /// Sum of their durations, microseconds.
    pub duration_us: i128,
    /// Requests per duration bucket, not cumulative.
    pub duration: [i64; N_DURATION],
}

impl Sums {
    /// Adds requests, and how many of them failed.
    pub fn add_requests(&mut self, requests: i64, errors: i64) {
        self.requests += i128::from(requests);
        self.errors += i128::from(errors);
    }

    /// Adds durations of requests: their sum in microseconds, and requests per duration bucket.
    pub fn add_durations(&mut self, duration_us: i64, duration: &[i64; N_DURATION]) {
        self.duration_us += i128::from(duration_us);
        for (sum, n) in self.duration.iter_mut().zip(duration) {
            *sum += i128::from(*n);
        }
    }

    /// Adds tokens of attempts, those of them that were counted from text and not reported, and
    /// their cost in nano-dollars.
    pub fn add_tokens(&mut self, tokens: &Classes, estimated: &Classes, cost_nano: i64) {
        let [uncached, cache_read, cache_write, text, reasoning] = tokens.map(i128::from);
        self.input += uncached + cache_read + cache_write;
        self.output += text + reasoning;
        self.cache_read += cache_read;
        self.cache_write += cache_write;
        self.reasoning += reasoning;
        self.estimated += estimated.iter().copied().map(i128::from).sum::<i128>();
        self.cost_nano += i128::from(cost_nano);
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

    /// Number of requests.
    ///
    /// # Errors
    /// `TooLarge`; likewise for the other methods.
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

    /// All sums, for operations on every one.
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
    /// Mean duration in microseconds, rounded down; `None` without requests.
    #[must_use]
    pub fn mean_us(&self) -> Option<i64> {
        let mean = self.duration_us.checked_div(i128::from(self.n))?;
        i64::try_from(mean).ok()
    }

    /// A quantile of the durations in microseconds, as `histogram_quantile` computes it from the
    /// buckets; `None` without requests. `per_mille` is the rank, 0 ..= 1,000.
    #[must_use]
    pub fn quantile_us(&self, per_mille: u16) -> Option<u64> {
        duration_quantile_us(&self.duration, per_mille)
    }
}

/// A sum in its displayed form.
pub(crate) fn shown(sum: i128) -> Result<i64, QueryError> {
    i64::try_from(sum).map_err(|_| QueryError::TooLarge)
}
