//! Unit tests of `body`.

use super::*;

#[test]
fn time_allowed_grows_with_what_has_come_between_grace_and_limit() {
    let limits = BodyLimits { timeout: Duration::from_secs(15), bytes_per_second_min: 1_024 };
    for (n_bytes, expected_ms) in [
        (0, 3_000),
        (1_024, 3_000),
        (4 * 1_024, 4_000),
        (14 * 1_024, 14_000),
        (1 << 20, 15_000),
        (u64::MAX, 15_000),
    ] {
        assert_eq!(limits.allowed(n_bytes), Duration::from_millis(expected_ms), "{n_bytes}");
    }
    let without_rate = BodyLimits { bytes_per_second_min: 0, ..limits };
    assert_eq!(without_rate.allowed(0), Duration::from_secs(15));
}
