//! Unit tests of `clock`.

use super::*;

const MINUTE_US: i64 = 60 * SECOND_US;
const START: Reading = Reading { wall_us: 1_700_000_000 * SECOND_US, boot_us: 500 * SECOND_US };

fn guard() -> ClockGuard {
    ClockGuard::open(START, None, ClockPolicy::Check)
}

/// A reading after `passed` minutes of the boot clock, with the wall clock off by `drift`.
fn after(passed: i64, drift: i64) -> Reading {
    Reading {
        wall_us: START.wall_us + (passed + drift) * MINUTE_US,
        boot_us: START.boot_us + passed * MINUTE_US,
    }
}

#[test]
fn sleep_and_small_corrections_are_steady() {
    let mut clock = guard();
    for (passed, drift) in [(1, 0), (600, 0), (601, 2), (602, 0), (603, -2)] {
        assert_eq!(clock.check(after(passed, drift)), Verdict::Steady);
    }
}

#[test]
fn step_above_half_of_f_alarms_once() {
    let mut clock = guard();
    assert_eq!(clock.check(after(1, -3)), Verdict::Alarm { step_us: -3 * MINUTE_US });
    assert_eq!(clock.check(after(2, -3)), Verdict::Steady);
    assert_eq!(clock.check(after(3, 0)), Verdict::Alarm { step_us: 3 * MINUTE_US });
    assert_eq!(clock.check(after(4, 59)), Verdict::Alarm { step_us: 59 * MINUTE_US });
}

#[test]
fn back_by_more_than_f_is_refused_until_opened_again() {
    let mut clock = guard();
    assert!(matches!(clock.check(after(10, -5)), Verdict::Alarm { .. }));
    assert!(matches!(clock.check(after(10, -6)), Verdict::Refused(_)));
    assert!(matches!(clock.check(after(11, 0)), Verdict::Refused(_)));
    let mut again = ClockGuard::open(after(12, 0), Some(START.wall_us), ClockPolicy::Check);
    assert_eq!(again.check(after(13, 0)), Verdict::Steady);
}

#[test]
fn forward_by_more_than_an_hour_is_refused() {
    let mut clock = guard();
    assert!(matches!(clock.check(after(10, 60)), Verdict::Alarm { .. }));
    let refusal = Refusal { wall_us: after(10, 61).wall_us, expected_us: after(10, 0).wall_us };
    assert_eq!(clock.check(after(10, 61)), Verdict::Refused(refusal));
    assert_eq!(clock.refusal(), Some(refusal));
}

#[test]
fn start_before_the_last_append_is_refused_unless_accepted() {
    let last_us = START.wall_us + 5 * MINUTE_US;
    let open = |last_us, policy| ClockGuard::open(START, Some(last_us), policy).refusal();
    assert_eq!(open(last_us, ClockPolicy::Check), None);
    assert!(open(last_us + 1, ClockPolicy::Check).is_some());
    assert_eq!(open(last_us + 1, ClockPolicy::Accept), None);
    assert_eq!(open(i64::MIN, ClockPolicy::Check), None);
}

#[test]
fn accepted_clock_is_still_held_against_later_jumps() {
    let mut clock = ClockGuard::open(START, Some(i64::MAX), ClockPolicy::Accept);
    assert_eq!(clock.check(after(1, 0)), Verdict::Steady);
    assert!(matches!(clock.check(after(2, -6)), Verdict::Refused(_)));
}

#[test]
fn corrections_of_a_minute_a_day_never_add_up_to_a_refusal() {
    let mut clock = guard();
    for day in 1..400 {
        assert_eq!(clock.check(after(day * 24 * 60 + 1, -day)), Verdict::Steady, "day {day}");
    }
}

#[test]
fn system_clocks_can_be_read() {
    let reading = ClockSource::System.read();
    assert!(reading.wall_us > START.wall_us);
    assert!(reading.boot_us > 0);
}
