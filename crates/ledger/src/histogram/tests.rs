//! Unit tests of `histogram`.

use super::*;

#[test]
fn a_bound_belongs_to_its_own_bucket() {
    for (us, bucket) in [(0, 0), (10_000, 0), (10_001, 1), (327_680_000, 15), (327_680_001, 16)] {
        assert_eq!(duration_bucket(us), bucket, "{us}");
    }
    for (us, bucket) in [(0, 0), (1_000, 0), (1_001, 1), (1_000_000, 11), (30_000_001, 17)] {
        assert_eq!(ttft_bucket(us), bucket, "{us}");
    }
}

#[test]
fn labels_are_the_bounds_in_seconds() {
    for (bound, label) in DURATION_BOUNDS_US.iter().zip(DURATION_LABELS) {
        assert_eq!((label.parse::<f64>().unwrap() * 1e6).round() as u64, *bound);
    }
    for (bound, label) in TTFT_BOUNDS_US.iter().zip(TTFT_LABELS) {
        assert_eq!((label.parse::<f64>().unwrap() * 1e6).round() as u64, *bound);
    }
}

#[test]
fn quantiles_are_those_of_histogram_quantile() {
    let mut buckets = [0; N_DURATION];
    assert_eq!(duration_quantile_us(&buckets, 500), None);
    buckets[7] = 10; // (0.64 s, 1.28 s]
    buckets[8] = 10; // (1.28 s, 2.56 s]
    assert_eq!(duration_quantile_us(&buckets, 500), Some(1_280_000));
    assert_eq!(duration_quantile_us(&buckets, 250), Some(960_000));
    assert_eq!(duration_quantile_us(&buckets, 950), Some(2_432_000));
    buckets[16] = 100;
    assert_eq!(duration_quantile_us(&buckets, 990), Some(327_680_000));
}
