//! Ranges, in the zones that are hardest to get right.

use super::*;

/// A query string as parameters.
fn params(query: &str) -> Params {
    let uri: http::Uri = format!("/x?{query}").parse().expect("a uri");
    Params::of(&uri, &RANGE_PARAMS).expect("known names")
}

fn at(text: &str) -> i64 {
    event::time::from_text(text).expect("RFC 3339")
}

/// Every row since 1 January 2020.
fn whole() -> Retained {
    let oldest = at("2020-01-01T00:00:00Z");
    Retained {
        oldest_minute: Some(oldest / Rows::Minutes.unit_us()),
        oldest_quarter: Some(oldest / Rows::Quarters.unit_us()),
    }
}

fn window_of(query: &str, now: &str, retained: Retained) -> Window {
    let ask = Ask::of(&params(query), Name::Today, &TimeZone::UTC).expect("a good range");
    ask.window(at(now), retained).expect("a window")
}

/// Checks the number of buckets, the first labels, the last label and the end.
fn check(query: &str, now: &str, n: usize, starts: &[&str], last: &str, end: &str) {
    let window = window_of(query, now, whole());
    let labels = window.labels();
    assert_eq!(labels.len(), n, "{query}: {labels:?}");
    assert_eq!(window.buckets().n(), n, "{query}");
    assert_eq!(&labels[..starts.len()], starts, "{query}");
    assert_eq!(labels[n - 1], last, "{query}");
    assert_eq!(window.cover().to.as_deref(), Some(end), "{query}");
    let whole = window.buckets().whole();
    assert_eq!(whole.end * window.rows.unit_us(), at(end), "{query}");
}

#[test]
fn recent_ranges_end_with_the_current_bucket() {
    let now = "2026-03-05T10:17:42.5Z";
    let day = "2026-03-05T";
    let z = |text: &str| format!("{day}{text}:00+00:00");
    check("timeRange=15m", now, 15, &[&z("10:03"), &z("10:04")], &z("10:17"), &z("10:18"));
    check("timeRange=1h", now, 60, &[&z("09:18")], &z("10:17"), &z("10:18"));
    check("timeRange=6h", now, 72, &[&z("04:20"), &z("04:25")], &z("10:15"), &z("10:20"));
    let first = "2026-03-04T10:30:00+00:00";
    check("timeRange=24h", now, 96, &[first], &z("10:15"), &z("10:30"));
    // Exactly on an edge, the bucket that begins there is the current one.
    check("timeRange=15m", "2026-03-05T10:17:00Z", 15, &[], &z("10:17"), &z("10:18"));
}

#[test]
fn local_days_gain_and_lose_hours_when_clocks_change() {
    let ny = "timeRange=today&tz=America/New_York";
    // 8 March 2026: 2:00 is followed by 3:00, 23 hours.
    check(
        ny,
        "2026-03-08T12:00:00Z",
        23,
        &["2026-03-08T00:00:00-05:00", "2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00"],
        "2026-03-08T23:00:00-04:00",
        "2026-03-09T00:00:00-04:00",
    );
    // 1 November 2026: 1:00 occurs twice, 25 hours.
    check(
        ny,
        "2026-11-01T23:59:00Z",
        25,
        &["2026-11-01T00:00:00-04:00", "2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00"],
        "2026-11-01T23:00:00-05:00",
        "2026-11-02T00:00:00-05:00",
    );
    // Lord Howe changes by half an hour: the last bucket has the half that is left, or more.
    check(
        "timeRange=today&tz=Australia/Lord_Howe",
        "2026-10-04T00:00:00Z",
        24,
        &["2026-10-04T00:00:00+10:30", "2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00"],
        "2026-10-04T23:30:00+11:00",
        "2026-10-05T00:00:00+11:00",
    );
    check(
        "timeRange=yesterday&tz=Australia/Lord_Howe",
        "2026-04-05T20:00:00Z",
        25,
        &["2026-04-05T00:00:00+11:00"],
        "2026-04-05T23:30:00+10:30",
        "2026-04-06T00:00:00+10:30",
    );
    check(
        "timeRange=today&tz=Asia/Kathmandu",
        "2026-03-05T18:14:59Z",
        24,
        &["2026-03-05T00:00:00+05:45"],
        "2026-03-05T23:00:00+05:45",
        "2026-03-06T00:00:00+05:45",
    );
    check(
        "timeRange=yesterday&tz=Asia/Shanghai",
        "2026-03-05T16:00:00Z",
        24,
        &["2026-03-05T00:00:00+08:00"],
        "2026-03-05T23:00:00+08:00",
        "2026-03-06T00:00:00+08:00",
    );
}

#[test]
fn day_begins_where_the_clock_resumes_if_midnight_is_skipped() {
    // Cairo, 24 April 2026: midnight is followed by 1:00.
    check(
        "timeRange=today&tz=Africa/Cairo",
        "2026-04-24T10:00:00Z",
        23,
        &["2026-04-24T01:00:00+03:00", "2026-04-24T02:00:00+03:00"],
        "2026-04-24T23:00:00+03:00",
        "2026-04-25T00:00:00+03:00",
    );
    // Havana, 3 November 2024: midnight occurs twice and the day begins with the first.
    check(
        "timeRange=today&tz=America/Havana",
        "2024-11-03T10:00:00Z",
        25,
        &["2024-11-03T00:00:00-04:00", "2024-11-03T00:00:00-05:00"],
        "2024-11-03T23:00:00-05:00",
        "2024-11-04T00:00:00-05:00",
    );
}

#[test]
fn skipped_day_has_no_bucket() {
    let tz = "tz=Pacific/Apia";
    let now = "2011-12-31T00:00:00Z"; // 14:00 on the 31st in Apia
    check(
        &format!("timeRange=yesterday&{tz}"),
        now,
        24,
        &["2011-12-29T00:00:00-10:00"],
        "2011-12-29T23:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
    );
    check(
        &format!("timeRange=month&{tz}"),
        now,
        30,
        &["2011-12-01T00:00:00-10:00"],
        "2011-12-31T00:00:00+14:00",
        "2012-01-01T00:00:00+14:00",
    );
    check(
        &format!("timeRange=week&{tz}"),
        now,
        6,
        &["2011-12-26T00:00:00-10:00"],
        "2012-01-01T00:00:00+14:00",
        "2012-01-02T00:00:00+14:00",
    );
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    check(
        "timeRange=week&tz=Asia/Shanghai",
        "2026-03-01T15:59:59Z",
        7,
        &["2026-02-23T00:00:00+08:00"],
        "2026-03-01T00:00:00+08:00",
        "2026-03-02T00:00:00+08:00",
    );
    check(
        "timeRange=week&tz=Asia/Shanghai",
        "2026-03-01T16:00:00Z",
        7,
        &["2026-03-02T00:00:00+08:00"],
        "2026-03-08T00:00:00+08:00",
        "2026-03-09T00:00:00+08:00",
    );
    check(
        "timeRange=month&tz=America/New_York",
        "2026-03-31T12:00:00Z",
        31,
        &["2026-03-01T00:00:00-05:00"],
        "2026-03-31T00:00:00-04:00",
        "2026-04-01T00:00:00-04:00",
    );
    check(
        "timeRange=month",
        "2028-02-29T23:59:59Z",
        29,
        &["2028-02-01T00:00:00+00:00"],
        "2028-02-29T00:00:00+00:00",
        "2028-03-01T00:00:00+00:00",
    );
}

#[test]
fn all_has_every_month_and_is_unbounded() {
    let window = window_of("timeRange=all", "2020-03-31T23:56:00Z", whole());
    let labels = window.labels();
    // An event may be five minutes ahead of the clock, in a month that has not begun.
    let months = ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"];
    assert_eq!(labels, months.map(|month| format!("{month}T00:00:00+00:00")));
    assert_eq!((window.cover().from, window.cover().to), (None, None));
    assert_eq!(window.buckets().whole().end, i64::MAX);
    let empty = window_of("timeRange=all", "2026-03-31T12:00:00Z", Retained::default());
    assert_eq!(empty.labels(), ["2026-03-01T00:00:00+00:00"]);
    let behind = window_of("timeRange=all", "2019-12-31T12:00:00Z", whole());
    assert_eq!(behind.labels(), ["2019-12-01T00:00:00+00:00"]);
}

/// Checks rows, step, ends and number of buckets of a range with explicit ends.
fn check_between(query: &str, retained: Retained, expected: (Rows, Step, &str, &str, usize)) {
    let window = window_of(query, "2026-03-05T10:17:42Z", retained);
    let cover = window.cover();
    let (from, to) = (cover.from.expect("an end"), cover.to.expect("an end"));
    let found = (window.rows, window.step, from.as_str(), to.as_str(), window.labels().len());
    assert_eq!(found, expected, "{query}");
}

#[test]
fn ranges_with_explicit_ends_are_aligned_outward_to_the_retained_rows() {
    let ends = |from: &str, to: &str| format!("from={from}&to={to}");
    let near = ends("2026-03-05T09:00:01Z", "2026-03-05T10:00:59.999999Z");
    let (from, to) = ("2026-03-05T09:00:00+00:00", "2026-03-05T10:01:00+00:00");
    check_between(&near, whole(), (Rows::Minutes, Step::Minute, from, to, 61));
    // The same range, in quarter-hours because its minutes are deleted.
    let pruned =
        Retained { oldest_minute: Some(at("2026-03-05T09:00:00Z") / 60_000_000), ..whole() };
    let to = "2026-03-05T10:15:00+00:00";
    check_between(&near, pruned, (Rows::Quarters, Step::Quarter, from, to, 5));
    let day = ends("2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z");
    let (from, to) = ("2026-03-04T00:00:00+00:00", "2026-03-05T00:00:00+00:00");
    check_between(&day, whole(), (Rows::Minutes, Step::Minutes5, from, to, 288));
    // 48 hours ago to the second is still minutes; a second earlier is not.
    let edge = ends("2026-03-03T10:17:42Z", "2026-03-03T10:30:00Z");
    let (from, to) = ("2026-03-03T10:17:00+00:00", "2026-03-03T10:30:00+00:00");
    check_between(&edge, whole(), (Rows::Minutes, Step::Minute, from, to, 13));
    let old = ends("2026-03-03T10:17:41Z", "2026-03-03T10:30:00Z");
    let from = "2026-03-03T10:15:00+00:00";
    check_between(&old, whole(), (Rows::Quarters, Step::Quarter, from, to, 1));
    let long = "from=1767225600&to=1772323200000&tz=Asia/Kathmandu";
    let (from, to) = ("2026-01-01T05:45:00+05:45", "2026-03-01T05:45:00+05:45");
    check_between(long, whole(), (Rows::Quarters, Step::Day, from, to, 60));
    let plus = ends("2026-03-05T09:00:00+08:00", "2026-03-05T09:30:00%2B08:00");
    let (from, to) = ("2026-03-05T01:00:00+00:00", "2026-03-05T01:30:00+00:00");
    check_between(&plus, whole(), (Rows::Minutes, Step::Minute, from, to, 30));
    let years = ends("2000-01-15T00:00:00Z", "2026-01-15T00:00:00Z");
    let (from, to) = ("2000-01-15T00:00:00+00:00", "2026-01-15T00:00:00+00:00");
    check_between(&years, whole(), (Rows::Quarters, Step::Month, from, to, 313));
}

#[test]
fn the_period_before_is_that_of_the_calendar_and_ends_where_the_range_begins() {
    let ny = "tz=America/New_York";
    for (query, now, from) in [
        // Days of 23 and of 25 hours.
        (format!("timeRange=today&{ny}"), "2026-03-09T12:00:00Z", "2026-03-08T00:00:00-05:00"),
        (format!("timeRange=today&{ny}"), "2026-11-02T12:00:00Z", "2026-11-01T00:00:00-04:00"),
        (format!("timeRange=yesterday&{ny}"), "2026-03-10T12:00:00Z", "2026-03-08T00:00:00-05:00"),
        (format!("timeRange=week&{ny}"), "2026-03-10T12:00:00Z", "2026-03-02T00:00:00-05:00"),
        (format!("timeRange=month&{ny}"), "2026-03-31T12:00:00Z", "2026-02-01T00:00:00-05:00"),
        ("timeRange=month".to_owned(), "2026-01-31T12:00:00Z", "2025-12-01T00:00:00+00:00"),
        ("timeRange=24h".to_owned(), "2026-03-05T10:17:42Z", "2026-03-03T10:30:00+00:00"),
        // Aligned to 15 minutes, it has half an hour.
        ("timeRange=15m".to_owned(), "2026-03-05T10:17:42Z", "2026-03-05T09:30:00+00:00"),
        // No 30 December.
        (
            "timeRange=today&tz=Pacific/Apia".to_owned(),
            "2011-12-31T00:00:00Z",
            "2011-12-29T00:00:00-10:00",
        ),
        // Three local days of 71 hours, and the same 71 hours, from a quarter past.
        (
            format!("from=2026-03-07T05:00:00Z&to=2026-03-10T04:00:00Z&{ny}"),
            "2026-03-10T12:00:00Z",
            "2026-03-04T00:00:00-05:00",
        ),
        (
            format!("from=2026-03-07T05:15:00Z&to=2026-03-10T04:15:00Z&{ny}"),
            "2026-03-10T12:00:00Z",
            "2026-03-04T01:15:00-05:00",
        ),
    ] {
        let ask = Ask::of(&params(&query), Name::Today, &TimeZone::UTC).expect("a good range");
        let window = ask.window(at(now), whole()).expect("a window");
        let window = window.in_quarters(None).expect("a window");
        let before = ask.before(&window).expect("a period").cover();
        assert_eq!(before.from.as_deref(), Some(from), "{query}");
        assert_eq!(before.to, window.cover().from, "{query}");
    }
    let all = Ask::of(&params("timeRange=all"), Name::Today, &TimeZone::UTC).expect("a range");
    assert!(all.is_all());
}

#[test]
fn bad_range_is_refused_with_the_reason() {
    for (query, expected) in [
        (
            "timeRange=2h",
            "timeRange must be one of 15m, 1h, 6h, 24h, today, yesterday, week, \
                          month, all, not \"2h\"",
        ),
        ("timeRange=Today", "timeRange must be one of"),
        ("tz=Mars/Olympus", "tz must be an IANA time zone such as Asia/Shanghai, not \"Mars"),
        ("tz=%2B08:00", "tz must be an IANA time zone"),
        ("tz=Etc/Unknown", "tz must be an IANA time zone"),
        ("from=1", "from and to must be given together"),
        ("timeRange=1h&from=1&to=2", "give either timeRange or from and to, not both"),
        ("from=2&to=2", "from must be before to"),
        ("from=yesterday&to=2", "from must be RFC 3339 with an offset"),
        ("from=1&to=2026-02-30T00:00:00Z", "to names a date or an hour that does not exist"),
        ("from=-1&to=2", "from must be RFC 3339"),
        ("from=1&to=99999999999999999999", "to must be between 1970"),
        ("from=0&to=9999-12-30T00:00:00Z", "from and to are more than 2000 months apart"),
        ("from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59Z", "the range reaches beyond the years"),
    ] {
        let window = Ask::of(&params(query), Name::Today, &TimeZone::UTC)
            .and_then(|ask| ask.window(at("2026-03-05T10:17:42Z"), whole()));
        let error = window.expect_err("must be refused").to_string();
        assert!(error.starts_with(expected), "{query}: {error}");
    }
}

#[test]
fn minute_rows_are_relied_on_only_where_none_is_missing() {
    let retained = |minute: Option<i64>, quarter: Option<i64>| Retained {
        oldest_minute: minute,
        oldest_quarter: quarter,
    };
    for (retained, expected) in [
        (retained(None, None), i64::MIN),
        (retained(None, Some(1)), i64::MAX),
        (retained(Some(29), Some(1)), i64::MIN),
        (retained(Some(30), Some(1)), 31),
        (retained(Some(30), Some(9)), i64::MIN),
    ] {
        assert_eq!(retained.minutes_complete_from(), expected, "{retained:?}");
    }
}

#[test]
fn buckets_of_minutes_become_quarters_aligned_outward_and_others_stay() {
    let now = "2026-03-05T10:17:42.5Z";
    let widened = |query: &str| {
        let window = window_of(query, now, whole()).without_minutes().expect("a window");
        let (labels, cover) = (window.labels(), window.cover());
        let n_buckets = window.buckets().n();
        assert_eq!((labels.len(), window.rows), (n_buckets, Rows::Quarters), "{query}");
        (n_buckets, window.step, labels[0].clone(), cover.to.expect("an end"))
    };
    let at = |time: &str| format!("2026-03-05T{time}:00+00:00");
    let wanted = (2, Step::Quarter, at("10:00"), at("10:30"));
    assert_eq!(widened("timeRange=15m"), wanted);
    assert_eq!(widened("timeRange=1h"), (5, Step::Quarter, at("09:15"), at("10:30")));
    assert_eq!(widened("timeRange=6h"), (25, Step::Quarter, at("04:15"), at("10:30")));
    let query = "from=2026-03-05T08:05:00Z&to=2026-03-05T08:20:01Z";
    assert_eq!(widened(query), (2, Step::Quarter, at("08:00"), at("08:30")));
    for query in ["timeRange=24h", "timeRange=today", "timeRange=month", "timeRange=all"] {
        let window = window_of(query, now, whole());
        assert_eq!(window.clone().without_minutes().expect("a window"), window, "{query}");
    }
}
