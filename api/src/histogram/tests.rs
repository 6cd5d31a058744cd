//! Quantiles are those of the ledger, and of Prometheus where the ledger has none.

use ledger::histogram::{DURATION_BOUNDS_US, N_DURATION, TTFT_BOUNDS_US, duration_quantile_us};
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_quantile_of_durations_is_that_of_the_ledger(
        counts in prop::array::uniform17(prop_oneof![3 => Just(0_i64), 2 => 0..1_000_000_i64]),
        per_mille in prop_oneof![Just(0), Just(500), Just(950), Just(990), 0..=1_000_u16],
    ) {
        let counts: [i64; N_DURATION] = counts;
        prop_assert_eq!(
            quantile_us(&DURATION_BOUNDS_US, &counts, per_mille),
            duration_quantile_us(&counts, per_mille)
        );
    }
}

#[test]
fn times_to_first_token_have_quantiles_by_their_own_bounds() {
    let mut counts = [0; TTFT_BOUNDS_US.len() + 1];
    assert_eq!(quantile_us(&TTFT_BOUNDS_US, &counts, 500), None);
    // Ten from 250 to 500 ms: the median lies in the middle.
    counts[9] = 10;
    assert_eq!(quantile_us(&TTFT_BOUNDS_US, &counts, 500), Some(375_000));
    // Beyond the last bound nothing is known but that.
    counts[17] = 1_000;
    assert_eq!(quantile_us(&TTFT_BOUNDS_US, &counts, 990), Some(30_000_000));
}

#[test]
fn numbers_beyond_64_bits_are_refused_and_nothing_has_no_mean() {
    let mut histogram = Histogram::new(Timing::FirstToken);
    let shown = Shown::of(Timing::FirstToken, &histogram).expect("zeros");
    assert_eq!((shown.count, shown.mean_us(), shown.quantile_us(500)), (0, None, None));
    histogram.counts[0] = i128::from(i64::MAX);
    histogram.sum_us = 500 * i128::from(i64::MAX);
    let shown = Shown::of(Timing::FirstToken, &histogram).expect("it fits");
    assert_eq!((shown.count, shown.mean_us()), (i64::MAX, Some(500)));
    histogram.counts[1] = 1;
    assert_eq!(Shown::of(Timing::FirstToken, &histogram), Err(QueryError::TooLarge));
}
