//! An outage of hours: what a spool held is counted once, at its own time, whatever came twice.

use std::collections::BTreeMap;
use std::io::Write as _;

use clock::Wall;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

use crate::gatemeter::{Place, wait_for};

const MINUTE_US: i64 = 60_000_000;
const ZONE: &str = "Asia/Shanghai";

/// Events of the outage: one every few seconds, from ages of minutes to ages of minutes.
fn outage(now_us: i64, ages: std::ops::Range<i64>, n: i64) -> Vec<(String, i64)> {
    let (oldest_us, length_us) = (ages.end * MINUTE_US, (ages.end - ages.start) * MINUTE_US);
    let time = |number: i64| now_us - oldest_us + length_us * number / n;
    (0..n).map(|number| (format!("o-{}-{number}", ages.end), time(number))).collect()
}

/// Writes a spool, in the order in which it is sent.
fn spool(place: &Place, name: &str, events: &[(String, i64)]) -> String {
    let path = place.file(name);
    let mut file = std::fs::File::create(&path).expect("a file");
    for (id, time_us) in events {
        let event = json!({
            "id": id, "time": time_us, "namespace": "spooled", "upstream": "openai",
            "model": "gpt-4o", "method": "POST", "endpoint": "/v1/chat/completions",
            "status": 200, "duration_ms": 40, "usage": {"input_tokens": 7, "output_tokens": 3},
        });
        writeln!(file, "{event}").expect("written");
    }
    format!("ndjson:{}", path.display())
}

/// Start of the local day of a moment, and of the day before, microseconds.
fn days(now_us: i64) -> [i64; 2] {
    let zone = TimeZone::get(ZONE).expect("a zone");
    let now = Timestamp::from_microsecond(now_us).expect("a time").to_zoned_datetime(zone);
    let today = now.start_of_day().expect("a day");
    let yesterday = today.checked_sub(1.day()).expect("a day");
    [today, yesterday].map(|day| day.timestamp().as_microsecond())
}

#[test]
fn a_spool_of_hours_is_counted_once_at_its_own_time_through_kill_and_copies() {
    let place = Place::new();
    let mut running = place.start();
    let now_us = Wall::now().as_us();
    // Counted in time before the outage: copies of these come with the spool.
    let fresh = outage(now_us, 0..50, 200);
    let late = outage(now_us, 70..250, 3_000);
    let older = outage(now_us, 1_300..1_400, 300);
    place.replay(&[&spool(&place, "fresh", &fresh), "--times", "as-is"]);
    let all: Vec<_> = [&late[..], &older, &fresh[..100], &late[..500]].concat();
    let sent = place.replay(&[&spool(&place, "spool", &all), "--times", "as-is"]);
    assert_eq!(sent["events"]["late"], 3_800, "{sent}");
    assert_eq!(sent["requests"], 3_400, "it does not know what others sent: {sent}");
    place.wait_events("late", 3_800);
    running.kill();
    running = place.start();
    let sent = place.replay(&[&spool(&place, "again", &late), "--times", "as-is"]);
    assert_eq!(sent["events"]["late"], 3_000, "{sent}");
    place.wait_events("late", 6_800);
    place.wait_decided();
    place.recount();
    let verdict =
        |verdict: &str| place.sum(&format!("gatemeter_late_events_total{{verdict=\"{verdict}\"}}"));
    assert_eq!((verdict("merged"), verdict("duplicate"), verdict("expired")), (3_300, 3_500, 0));
    let events = place.api("/api/metrics/system");
    assert_eq!(events["events"]["late_merged"], 3_300, "{events}");
    assert_eq!(place.sum("namespace_requests_total{namespace=\"spooled\""), 3_500);
    assert_eq!(
        place.sum("namespace_tokens_total{namespace=\"spooled\",token_type=\"input\""),
        24_500
    );
    let mut minutes: BTreeMap<i64, i64> = BTreeMap::new();
    let unique: Vec<_> = [&fresh[..], &late, &older].concat();
    for (_, time_us) in &unique {
        *minutes.entry(time_us.div_euclid(MINUTE_US)).or_default() += 1;
    }
    check_days(&place, now_us, &unique);
    check_minutes(&place, &minutes);
    assert!(running.terminate().0.success());
    let _running = place.start();
    place.recount();
    assert_eq!(verdict("merged"), 3_300, "nothing is decided again");
}

/// Local days are those of the events.
fn check_days(place: &Place, now_us: i64, events: &[(String, i64)]) {
    let [today, yesterday] = days(now_us);
    let within =
        |from: i64, to: i64| events.iter().filter(|(_, us)| (from..to).contains(us)).count() as u64;
    for (range, expected) in
        [("today", within(today, i64::MAX)), ("yesterday", within(yesterday, today))]
    {
        let path = format!("/api/metrics/namespaces/spooled/tokens?timeRange={range}&tz={ZONE}");
        let answer = place.api(&path);
        assert_eq!(answer["totals"]["input"], 7 * expected, "{range}: {answer}");
    }
}

/// Each minute has the events of it.
fn check_minutes(place: &Place, minutes: &BTreeMap<i64, i64>) {
    let database = place.data().join("ledger.db");
    let sql = "SELECT at, sum(n) FROM minute GROUP BY at ORDER BY at";
    wait_for("the minutes are read", || {
        let output = std::process::Command::new("sqlite3").arg(&database).arg(sql).output();
        let output = output.expect("sqlite3 runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: BTreeMap<i64, i64> = text
            .lines()
            .filter_map(|line| line.split_once('|'))
            .map(|(at, n)| (at.parse().expect("a minute"), n.parse().expect("a number")))
            .collect();
        assert!(!output.status.success() || found == *minutes, "{found:?} {minutes:?}");
        output.status.success()
    });
}
