//! How long sends took: counts in bins that grow with the value.
//!
//! A latency in microseconds goes in, quantiles in milliseconds come out, at most 3 % too high.
//! The memory is fixed, whatever the length of the run. Nothing that must be exact may use it.

use serde::Serialize;

/// Bins between two powers of two; with 32 a bin is at most 1/32 of its value wide.
const BINS_PER_DOUBLING: u64 = 32;
/// Powers of two in a u64 of which each gets its bins.
const N_BINS: usize = 64 * BINS_PER_DOUBLING as usize;

/// Latencies of a run.
pub struct Latencies {
    bins: Vec<u64>,
    n_samples: u64,
    max_us: u64,
}

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of the sends took no longer.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The slowest, exact.
    pub max: f64,
}

impl Latencies {
    /// No sends yet.
    pub fn new() -> Latencies {
        Latencies { bins: vec![0; N_BINS], n_samples: 0, max_us: 0 }
    }

    /// Adds a send.
    pub fn add(&mut self, latency_us: u64) {
        self.bins[bin(latency_us)] += 1;
        self.n_samples += 1;
        self.max_us = self.max_us.max(latency_us);
    }

    /// The quantiles so far; zeros before the first send.
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.quantile_ms(50),
            p95: self.quantile_ms(95),
            p99: self.quantile_ms(99),
            max: self.max_us as f64 / 1_000.0,
        }
    }

    fn quantile_ms(&self, percent: u64) -> f64 {
        let rank = (self.n_samples * percent).div_ceil(100);
        let mut n_seen = 0;
        for (place, count) in self.bins.iter().enumerate() {
            n_seen += count;
            if n_seen >= rank && *count > 0 {
                return upper_us(place).min(self.max_us) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

fn bin(value: u64) -> usize {
    if value < BINS_PER_DOUBLING {
        return value as usize;
    }
    let doubling = u64::from(value.ilog2() - BINS_PER_DOUBLING.ilog2());
    // The top bits below the leading one tell the bin within the doubling.
    let within = (value >> doubling) - BINS_PER_DOUBLING;
    ((doubling + 1) * BINS_PER_DOUBLING + within) as usize
}

fn upper_us(place: usize) -> u64 {
    let place = place as u64;
    if place < BINS_PER_DOUBLING {
        return place;
    }
    let doubling = place / BINS_PER_DOUBLING - 1;
    let within = place % BINS_PER_DOUBLING + BINS_PER_DOUBLING;
    ((within + 1) << doubling) - 1
}

#[cfg(test)]
mod tests;
