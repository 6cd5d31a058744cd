//! Unit tests of `time`.

use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: Result<i64, TimeError>) {
    assert_eq!(from_text(text), expected, "{text}");
}

#[test]
fn texts_of_rfc_3339_are_read() {
    for (text, us) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T12:34:56Z", 1_769_862_896_000_000),
        ("2026-01-31T12:34:56.789Z", 1_769_862_896_789_000),
        ("2026-01-31t12:34:56z", 1_769_862_896_000_000),
        ("2026-01-31 12:34:56Z", 1_769_862_896_000_000),
        ("2026-01-31T20:34:56+08:00", 1_769_862_896_000_000),
        ("2026-01-31T07:04:56-05:30", 1_769_862_896_000_000),
        ("2026-01-31T12:34:56-00:00", 1_769_862_896_000_000),
        ("1969-12-31T19:00:00-05:00", 0),
        ("2026-01-31T12:34:56.1234564Z", 1_769_862_896_123_456),
        ("2026-01-31T12:34:56.1234565Z", 1_769_862_896_123_457),
        ("2026-01-31T12:34:56.999999999999Z", 1_769_862_897_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("2017-01-01T07:59:60.5+08:00", 1_483_228_800_500_000),
        ("9999-12-31T23:59:59.999999Z", TIME_US_MAX),
    ] {
        check(text, Ok(us));
    }
}

#[test]
fn other_texts_are_refused_with_their_fault() {
    for text in [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:34:56",
        "2026-01-31T12:34Z",
        "2026-01-31T12:34:56.Z",
        "2026-01-31T12:34:56,5Z",
        "2026-01-31T12:34:56+0800",
        "2026-01-31T12:34:56Z ",
        " 2026-01-31T12:34:56Z",
        "26-01-31T12:34:56Z",
        "20260131T123456Z",
        "+2026-01-31T12:34:56Z",
        "2026-01-31T12:34:56Z[UTC]",
        "2026-01-31T12:34:56+",
        "２026-01-31T12:34:56Z",
        "1769862896",
    ] {
        check(text, Err(TimeError::Format));
    }
    for text in [
        "2026-00-31T12:34:56Z",
        "2026-13-31T12:34:56Z",
        "2026-02-29T12:34:56Z",
        "2100-02-29T12:34:56Z",
        "2026-01-00T12:34:56Z",
        "2026-04-31T12:34:56Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:56Z",
        "2026-01-31T12:34:61Z",
        "2026-01-31T12:34:56+24:00",
        "2026-01-31T12:34:56+08:60",
    ] {
        check(text, Err(TimeError::Calendar));
    }
    check("2026-01-31T12:34:60Z", Err(TimeError::LeapSecond));
    check("2026-01-31T23:59:60+08:00", Err(TimeError::LeapSecond));
    for text in [
        "1969-12-31T23:59:59.999Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59.9999995Z",
        "9999-12-31T23:59:59-00:01",
    ] {
        check(text, Err(TimeError::Range));
    }
}

#[test]
fn epoch_numbers_are_read_by_their_size() {
    for (number, us) in [
        (0, 0),
        (1_769_862_896, 1_769_862_896_000_000),
        (99_999_999_999, 99_999_999_999_000_000),
        (100_000_000_000, 100_000_000_000_000),
        (1_769_862_896_789, 1_769_862_896_789_000),
        (99_999_999_999_999, 99_999_999_999_999_000),
        (100_000_000_000_000, 100_000_000_000_000),
        (1_769_862_896_789_012, 1_769_862_896_789_012),
        (TIME_US_MAX as u64, TIME_US_MAX),
    ] {
        assert_eq!(from_whole(number), Ok(us), "{number}");
    }
    assert_eq!(from_whole(TIME_US_MAX as u64 + 1), Err(TimeError::Range));
    assert_eq!(from_whole(u64::MAX), Err(TimeError::Range));
}

#[test]
fn fractions_are_rounded_to_the_nearest_microsecond() {
    for (number, us) in [
        (0.0, 0),
        (-0.0, 0),
        (0.000_000_4, 0),
        (0.000_000_6, 1),
        (1_769_862_896.123_456, 1_769_862_896_123_456),
        (1_769_862_896.999_999_9, 1_769_862_897_000_000),
        (1_769_862_896_789.5, 1_769_862_896_789_500),
        (1_769_862_896_789.123, 1_769_862_896_789_123),
        (1_769_862_896_789_012.0, 1_769_862_896_789_012),
        (1_769_862_896_789_012.8, 1_769_862_896_789_013),
        (1.769_862_896e9, 1_769_862_896_000_000),
    ] {
        assert_eq!(from_float(number), Ok(us), "{number}");
    }
    for number in [-1.0, -1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e18, 1e300] {
        assert_eq!(from_float(number), Err(TimeError::Range), "{number}");
    }
}

proptest! {
    #[test]
    fn texts_agree_with_another_reader(us in 0..=TIME_US_MAX, offset_min in -1439i32..=1439) {
        let offset = jiff::tz::Offset::from_seconds(offset_min * 60).expect("below a day");
        let instant = jiff::Timestamp::from_microsecond(us);
        prop_assume!(instant.is_ok());
        let instant = instant.expect("checked above");
        let written = instant.display_with_offset(offset).to_string();
        // Beyond the year 9999 in local time there is no RFC 3339 text.
        prop_assume!(!written.starts_with(['+', '-']));
        prop_assert_eq!(from_text(&written), Ok(us), "{}", written);
    }

    #[test]
    fn any_text_is_refused_or_lies_in_range(text in "[0-9TtZz:. +-]{0,40}") {
        if let Ok(us) = from_text(&text) {
            prop_assert!((0..=TIME_US_MAX).contains(&us));
        }
    }

    #[test]
    fn any_number_is_refused_or_lies_in_range(number in any::<f64>(), whole in any::<u64>()) {
        for us in [from_float(number), from_whole(whole)].into_iter().flatten() {
            prop_assert!((0..=TIME_US_MAX).contains(&us));
        }
    }

    #[test]
    fn decimal_seconds_are_exact_to_the_microsecond(us in 0i64..(1 << 33) * US_PER_S) {
        let written = format!("{}.{:06}", us / US_PER_S, us % US_PER_S);
        let number: f64 = written.parse().expect("a decimal number");
        prop_assert_eq!(from_float(number), Ok(us), "{}", written);
    }
}
