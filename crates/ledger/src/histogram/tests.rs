//! Unit tests of `histogram`.

use proptest::prelude::*;

use super::*;

#[test]
fn a_bound_belongs_to_its_own_bucket() {
    for (us, bucket) in [(0, 0), (10_000, 0), (10_001, 1), (327_680_000, 15), (327_680_001, 16)] {
        assert_eq!(duration_bucket(us), bucket, "{us}");
    }
    for (us, bucket) in [(0, 0), (1_000, 0), (1_001, 1), (1_000_000, 11), (30_000_001, 17)] {
        assert_eq!(ttft_bucket(us), bucket, "{us}");
    }
    for (us, bucket) in [(0, 0), (1_000, 0), (1_001, 1), (75_000, 6), (10_000_001, 17)] {
        assert_eq!(tpot_bucket(us), bucket, "{us}");
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
    for (bound, label) in TPOT_BOUNDS_US.iter().zip(TPOT_LABELS) {
        assert_eq!((label.parse::<f64>().unwrap() * 1e6).round() as u64, *bound);
    }
}

#[test]
fn bounds_rise_and_are_whole_milliseconds() {
    for bounds in [&DURATION_BOUNDS_US[..], &TTFT_BOUNDS_US, &TPOT_BOUNDS_US] {
        assert!(bounds.is_sorted_by(|one, next| one < next));
        assert!(bounds.iter().all(|us| us.is_multiple_of(1_000)));
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

#[test]
fn times_to_first_token_have_quantiles_by_their_own_bounds() {
    let mut counts = [0; N_TTFT];
    assert_eq!(quantile_us(&TTFT_BOUNDS_US, &counts, 500), None);
    // Ten from 250 to 500 ms: the median lies in the middle.
    counts[9] = 10;
    assert_eq!(quantile_us(&TTFT_BOUNDS_US, &counts, 500), Some(375_000));
    // Beyond the last bound nothing is known but that.
    counts[17] = 1_000;
    assert_eq!(quantile_us(&TTFT_BOUNDS_US, &counts, 990), Some(30_000_000));
}

proptest! {
    /// Found another way: the bucket by the ranks of its observations, then the share of it.
    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_rank_and_is_rounded_down(
        counts in prop::array::uniform17(prop_oneof![3 => Just(0_i64), 2 => 0..1_000_000_i64]),
        per_mille in prop_oneof![Just(0), Just(500), Just(950), Just(990), 0..=1_000_u16],
    ) {
        let total: i64 = counts.iter().sum();
        let found = duration_quantile_us(&counts, per_mille);
        let below = |idx: usize| counts[..idx].iter().sum::<i64>() * 1_000;
        let rank = total * i64::from(per_mille);
        let idx = (0..N_DURATION).find(|idx| counts[*idx] > 0 && below(idx + 1) >= rank);
        let expected = idx.map(|idx| match DURATION_BOUNDS_US.get(idx) {
            None => DURATION_BOUNDS_US[N_DURATION - 2],
            Some(end) => {
                let start = idx.checked_sub(1).map_or(0, |before| DURATION_BOUNDS_US[before]);
                let (width, within) = (u128::from(end - start), (rank - below(idx)) as u128);
                start + (width * within / (counts[idx] as u128 * 1_000)) as u64
            }
        });
        prop_assert_eq!(found, expected);
    }
}
