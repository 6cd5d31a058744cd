//! What a clock shows at its edges.

use std::time::{Duration, UNIX_EPOCH};

use super::Wall;

#[test]
fn a_moment_is_whole_microseconds_since_the_epoch() {
    let time = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    assert_eq!(Wall::of(time), Wall::from_us(1_700_000_000_123_456));
}

#[test]
fn a_clock_before_the_epoch_reads_zero() {
    assert_eq!(Wall::of(UNIX_EPOCH - Duration::from_secs(1)).as_us(), 0);
}

#[test]
fn a_clock_far_ahead_reads_the_largest_number() {
    assert_eq!(Wall::of(UNIX_EPOCH + Duration::from_secs(1 << 60)).as_us(), i64::MAX);
}

#[test]
fn the_clock_of_this_machine_is_past_the_year_2020() {
    assert!(Wall::now() > Wall::from_us(1_577_836_800_000_000));
}
