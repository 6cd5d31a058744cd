//! Unit tests of `timing`.

use super::*;
use crate::item::MINUTE_US;

#[test]
fn a_trace_fills_its_window_to_both_ends() {
    let base_us = 1_700_000_000_000_000;
    let times = Times::Fit { window_us: 45 * MINUTE_US };
    let timing = Timing::new(times, base_us, Some((1_000, 3_000)));
    assert_eq!(timing.event_time_us(1_000, 7), base_us - 45 * MINUTE_US);
    assert_eq!(timing.event_time_us(2_000, 7), base_us - 45 * MINUTE_US / 2);
    assert_eq!(timing.event_time_us(3_000, 7), base_us);
    assert_eq!(timing.run_deadline_us(), Some(base_us + 14 * MINUTE_US));
    let instant = Timing::new(times, base_us, Some((5, 5)));
    assert_eq!(instant.event_time_us(5, 7), base_us);
}
