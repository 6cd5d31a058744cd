//! Unit tests of `classify`.

use super::*;
use crate::window::MINUTE_US;

#[test]
fn the_bounds_of_the_window_are_admissible() {
    let window = Window::default();
    let now = 1_000 * MINUTE_US;
    let clock = Clock::at(Some(now));
    for (time_us, class) in [
        (now - 60 * MINUTE_US, None),
        (now - 60 * MINUTE_US - 1, Some(Class::Late)),
        (now + 5 * MINUTE_US, None),
        (now + 5 * MINUTE_US + 1, Some(Class::Future)),
    ] {
        assert_eq!(out_of_window(time_us, clock, &window), class);
    }
}

#[test]
fn either_clock_alone_makes_nothing_late() {
    let window = Window::default();
    let now = 1_000 * MINUTE_US;
    let day = 1_440 * MINUTE_US;
    assert_eq!(frame_time(now + day, now, &window), now + window.ahead_us);
    assert_eq!(frame_time(now, now + day, &window), now);
    assert_eq!(frame_time(i64::MIN, i64::MAX, &window), 0);
}
