//! What fits an answer, and what an empty histogram shows.

use super::*;

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
