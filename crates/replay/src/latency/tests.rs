//! Unit tests of `latency`.

use super::*;

#[test]
fn every_value_lies_in_its_bin_and_at_most_three_percent_below_its_end() {
    for value in (0..100_000).chain([1 << 40, (1 << 40) + 12_345, 1 << 57]) {
        let upper = upper_us(bin(value));
        assert!(upper >= value && (upper - value) * 32 <= value.max(1), "{value} {upper}");
    }
    assert!(bin(u64::MAX) < N_BINS);
}

#[test]
fn quantiles_are_close_and_the_maximum_is_exact() {
    let mut latencies = Latencies::new();
    assert_eq!(latencies.quantiles(), Quantiles::default());
    (1..=10_000).for_each(|latency_us| latencies.add(latency_us * 10));
    let quantiles = latencies.quantiles();
    assert!((50.0..51.6).contains(&quantiles.p50), "{quantiles:?}");
    assert!((99.0..100.1).contains(&quantiles.p99), "{quantiles:?}");
    assert_eq!(quantiles.max, 100.0);
}
