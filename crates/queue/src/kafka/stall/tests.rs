//! How long a partition may stand still. That it is fetched again is tested on a broker.

use super::*;

#[test]
fn each_attempt_at_an_offset_waits_twice_as_long_up_to_a_bound() {
    let mut stall = Stall::at(7);
    let limits: Vec<u64> = std::iter::repeat_with(|| {
        let limit = stall.limit.as_secs() / KAFKA_STALL_SECONDS;
        stall.fetched_again();
        limit
    })
    .take(7)
    .collect();
    assert_eq!(limits, [1, 2, 4, 8, 16, 16, 16]);
}

#[test]
fn a_partition_at_its_end_is_asked_about_at_intervals() {
    let mut stall = Stall::at(7);
    for n in 1..4 {
        stall.at_end(STALL * n);
        assert_eq!(stall.limit, STALL * (n + 1));
    }
}
