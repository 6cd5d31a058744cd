//! Bucket bounds of the three histograms, and the quantiles that are read from them.
//!
//! Counts are kept per bucket, not cumulative; a page adds them up. Bounds are whole microseconds,
//! so that no float decides where a value belongs. The bounds are those of the OpenTelemetry
//! semantic conventions for generative AI metrics, with two more at the top of the duration. Those
//! of the time per output token begin at 10 ms and end at 2.5 s there; three more at the bottom
//! tell fast models apart, and one at the top what is slow from what stalls. Bounds are whole
//! milliseconds, which the API shows.

/// Number of buckets of the duration, with the one for +Inf.
pub const N_DURATION: usize = 17;
/// Number of buckets of the time to first token, with the one for +Inf.
pub const N_TTFT: usize = 18;
/// Number of buckets of the time per output token, with the one for +Inf.
pub const N_TPOT: usize = 18;

/// Upper bounds of the duration in microseconds, inclusive; +Inf follows.
pub const DURATION_BOUNDS_US: [u64; N_DURATION - 1] = [
    10_000,
    20_000,
    40_000,
    80_000,
    160_000,
    320_000,
    640_000,
    1_280_000,
    2_560_000,
    5_120_000,
    10_240_000,
    20_480_000,
    40_960_000,
    81_920_000,
    163_840_000,
    327_680_000,
];
/// The duration's bounds as `le` labels, in seconds.
pub const DURATION_LABELS: [&str; N_DURATION] = [
    "0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.28", "2.56", "5.12", "10.24",
    "20.48", "40.96", "81.92", "163.84", "327.68", "+Inf",
];
/// Upper bounds of the time to first token in microseconds, inclusive; +Inf follows.
pub const TTFT_BOUNDS_US: [u64; N_TTFT - 1] = [
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000,
];
/// The bounds of the time to first token as `le` labels, in seconds.
pub const TTFT_LABELS: [&str; N_TTFT] = [
    "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75", "1.0",
    "2.5", "5.0", "7.5", "10.0", "30.0", "+Inf",
];
/// Upper bounds of the time per output token in microseconds, inclusive; +Inf follows.
pub const TPOT_BOUNDS_US: [u64; N_TPOT - 1] = [
    1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000,
    400_000, 500_000, 750_000, 1_000_000, 2_500_000, 10_000_000,
];
/// The bounds of the time per output token as `le` labels, in seconds.
pub const TPOT_LABELS: [&str; N_TPOT] = [
    "0.001", "0.002", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3",
    "0.4", "0.5", "0.75", "1.0", "2.5", "10.0", "+Inf",
];

/// Bucket of a duration.
#[must_use]
pub fn duration_bucket(us: u64) -> usize {
    DURATION_BOUNDS_US.partition_point(|bound| *bound < us)
}

/// Bucket of a time to first token.
#[must_use]
pub fn ttft_bucket(us: u64) -> usize {
    TTFT_BOUNDS_US.partition_point(|bound| *bound < us)
}

/// Bucket of a time per output token.
#[must_use]
pub fn tpot_bucket(us: u64) -> usize {
    TPOT_BOUNDS_US.partition_point(|bound| *bound < us)
}

/// The quantile of a histogram in microseconds, as Prometheus' `histogram_quantile` computes it
/// (promql/quantile.go): linear within the bucket, the highest bound for the open one that follows
/// the bounds. Counts are not cumulative, `per_mille` is the rank, 0 ..= 1,000. `None` if there are
/// no observations. Whole numbers throughout; the result is rounded down.
#[must_use]
pub fn quantile_us(bounds_us: &[u64], counts: &[i64], per_mille: u16) -> Option<u64> {
    let total: i128 = counts.iter().map(|count| i128::from(*count)).sum();
    if total == 0 {
        return None;
    }
    // Ranks are kept in thousandths of an observation, so that they stay whole numbers.
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

/// The quantile of a duration histogram; see [`quantile_us`].
#[must_use]
pub fn duration_quantile_us(buckets: &[i64; N_DURATION], per_mille: u16) -> Option<u64> {
    quantile_us(&DURATION_BOUNDS_US, buckets, per_mille)
}

#[cfg(test)]
mod tests;
