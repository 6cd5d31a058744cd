//! What one row measures: whole numbers only, each the sum of its events.
//!
//! Every addition is checked. Limits of the event make an overflow impossible for the first
//! hundred million events of one row at the largest values there are.

use event::Facts;
use event::usage::N_TOKEN_CLASSES;

use crate::histogram::{N_DURATION, N_TPOT, N_TTFT, duration_bucket, tpot_bucket, ttft_bucket};

/// Sums of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Number of attempts.
    pub n: i64,
    /// Sum of the durations, microseconds.
    pub duration_us: i64,
    /// Attempts per duration bucket, not cumulative; they add up to `n`.
    pub duration: [i64; N_DURATION],
    /// Sum of the times to first token, microseconds.
    pub ttft_us: i64,
    /// Attempts per bucket of the time to first token, not cumulative.
    pub ttft: [i64; N_TTFT],
    /// Tokens per additive class, in the order of `event::usage::TOKEN_CLASSES`.
    pub tokens: [i64; N_TOKEN_CLASSES],
    /// Cost, nano-dollars.
    pub cost_nano: i64,
    /// Sum of the times per output token, microseconds.
    pub tpot_us: i64,
    /// Attempts per bucket of the time per output token, not cumulative.
    pub tpot: [i64; N_TPOT],
}

const DURATION: usize = 2;
const TTFT_US: usize = DURATION + N_DURATION;
const TTFT: usize = TTFT_US + 1;
const TOKENS: usize = TTFT + N_TTFT;
const COST: usize = TOKENS + N_TOKEN_CLASSES;
const TPOT_US: usize = COST + 1;
const TPOT: usize = TPOT_US + 1;
/// Number of whole numbers in a `Measures`.
pub const N_MEASURES: usize = TPOT + N_TPOT;

/// Whether rows of minutes keep a number, by its index in `Measures::to_array`: they have neither
/// the buckets of the time to first token nor anything of the time per output token.
#[must_use]
pub const fn is_in_minutes(idx: usize) -> bool {
    !(TTFT <= idx && idx < TOKENS || TPOT_US <= idx)
}

/// Time per output token of an attempt, microseconds, rounded down: from its first token to its
/// end, for each of the tokens that followed. `None` unless two or more tokens are known, and the
/// first one before the end. docs/counting.md, Time per output token.
#[inline]
#[must_use]
pub fn tpot_us(facts: &Facts) -> Option<u64> {
    let ttft_us = facts.ttft_us?;
    let n_followed = facts.usage.output?.checked_sub(1)?;
    let rest_us = facts.duration_us.checked_sub(ttft_us)?;
    rest_us.checked_div(u64::from(n_followed))
}

impl Measures {
    /// Adds one event.
    #[inline]
    pub fn add_event(&mut self, facts: &Facts) {
        self.n += 1;
        self.duration_us += facts.duration_us.cast_signed();
        self.duration[duration_bucket(facts.duration_us)] += 1;
        if let Some(ttft_us) = facts.ttft_us {
            self.ttft_us += ttft_us.cast_signed();
            self.ttft[ttft_bucket(ttft_us)] += 1;
            if let Some(tpot_us) = tpot_us(facts) {
                self.tpot_us += tpot_us.cast_signed();
                self.tpot[tpot_bucket(tpot_us)] += 1;
            }
        }
        for (sum, tokens) in self.tokens.iter_mut().zip(facts.usage.classes()) {
            *sum += i64::from(tokens);
        }
        self.cost_nano += facts.cost_nano.unwrap_or(0);
    }

    /// Adds another row's sums; `None` if a sum would overflow, and then the row is spoiled.
    #[must_use]
    pub fn add(&mut self, other: &Measures) -> Option<()> {
        let mut sums = self.to_array();
        for (sum, more) in sums.iter_mut().zip(other.to_array()) {
            *sum = sum.checked_add(more)?;
        }
        *self = Measures::from_array(&sums);
        Some(())
    }

    /// What was added to an earlier state of this row; `None` if a sum is lower than it was.
    #[must_use]
    pub fn since(&self, earlier: &Measures) -> Option<Measures> {
        let mut sums = self.to_array();
        for (sum, before) in sums.iter_mut().zip(earlier.to_array()) {
            *sum = sum.checked_sub(before).filter(|more| *more >= 0)?;
        }
        Some(Measures::from_array(&sums))
    }

    /// Number of attempts that had a first token.
    #[must_use]
    pub fn n_ttft(&self) -> i64 {
        self.ttft.iter().sum()
    }

    /// Number of attempts that have a time per output token.
    #[must_use]
    pub fn n_tpot(&self) -> i64 {
        self.tpot.iter().sum()
    }

    /// Input tokens, with those of the cache.
    #[must_use]
    pub fn input(&self) -> i64 {
        self.tokens[..event::usage::N_INPUT_CLASSES].iter().sum()
    }

    /// Output tokens, with those of reasoning.
    #[must_use]
    pub fn output(&self) -> i64 {
        self.tokens[event::usage::N_INPUT_CLASSES..].iter().sum()
    }

    /// The sums in the order of the SQL columns: n, duration_us, duration buckets, ttft_us, ttft
    /// buckets, tokens, cost_nano, tpot_us, tpot buckets.
    #[must_use]
    pub fn to_array(&self) -> [i64; N_MEASURES] {
        let mut sums = [0; N_MEASURES];
        sums[0] = self.n;
        sums[1] = self.duration_us;
        sums[DURATION..TTFT_US].copy_from_slice(&self.duration);
        sums[TTFT_US] = self.ttft_us;
        sums[TTFT..TOKENS].copy_from_slice(&self.ttft);
        sums[TOKENS..COST].copy_from_slice(&self.tokens);
        sums[COST] = self.cost_nano;
        sums[TPOT_US] = self.tpot_us;
        sums[TPOT..].copy_from_slice(&self.tpot);
        sums
    }

    /// The inverse of `to_array`.
    #[must_use]
    pub fn from_array(sums: &[i64; N_MEASURES]) -> Measures {
        let mut measures = Measures {
            n: sums[0],
            duration_us: sums[1],
            ttft_us: sums[TTFT_US],
            cost_nano: sums[COST],
            tpot_us: sums[TPOT_US],
            ..Measures::default()
        };
        measures.duration.copy_from_slice(&sums[DURATION..TTFT_US]);
        measures.ttft.copy_from_slice(&sums[TTFT..TOKENS]);
        measures.tokens.copy_from_slice(&sums[TOKENS..COST]);
        measures.tpot.copy_from_slice(&sums[TPOT..]);
        measures
    }

    /// Names of the SQL columns in the order of `to_array`.
    #[must_use]
    pub fn columns() -> Vec<String> {
        let mut names = vec!["n".to_owned(), "duration_us".to_owned()];
        names.extend((0..N_DURATION).map(|idx| format!("duration_{idx}")));
        names.push("ttft_us".to_owned());
        names.extend((0..N_TTFT).map(|idx| format!("ttft_{idx}")));
        names.extend(event::usage::TOKEN_CLASSES.iter().map(|class| (*class).to_owned()));
        names.push("cost_nano".to_owned());
        names.push("tpot_us".to_owned());
        names.extend((0..N_TPOT).map(|idx| format!("tpot_{idx}")));
        names
    }
}

#[cfg(test)]
mod tests;
