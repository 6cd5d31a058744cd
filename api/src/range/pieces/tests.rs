//! Every quarter-hour lies in the hour, day and month that the calendar says.

use super::*;

/// Zones with their ranges: around changes of the clock by an hour and by half an hour, where they
/// are at midnight, and around a day that a zone left out.
const RANGES: [(&str, &str, &str); 8] = [
    ("UTC", "2026-02-27T00:00:00Z", "2026-03-04T12:00:00Z"),
    ("America/New_York", "2026-03-05T05:15:00Z", "2026-03-10T00:00:00Z"),
    ("America/New_York", "2026-10-30T00:00:00Z", "2026-11-04T00:45:00Z"),
    ("America/St_Johns", "2026-10-30T00:00:00Z", "2026-11-04T00:00:00Z"),
    ("Asia/Kathmandu", "2026-01-30T00:00:00Z", "2026-02-02T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-02T00:00:00Z", "2026-10-06T00:00:00Z"),
    ("America/Havana", "2026-03-06T00:00:00Z", "2026-03-10T00:00:00Z"),
    ("Pacific/Apia", "2011-12-28T00:00:00Z", "2012-01-02T00:00:00Z"),
];

fn at(text: &str) -> i64 {
    event::time::from_text(text).expect("RFC 3339")
}

fn window(zone: &TimeZone, from: &str, to: &str) -> Window {
    Window::new(Rows::Quarters, Step::Day, vec![at(from), at(to)], zone.clone()).expect("a window")
}

/// The piece of a quarter-hour, as the store works it out.
fn start(runs: &[Run], quarter: i64) -> i64 {
    let run = runs.iter().rfind(|run| run.from <= quarter).expect("the first begins before");
    run.from + (quarter - run.from) / run.step * run.step
}

#[test]
fn every_quarter_hour_is_in_its_hour_day_and_month() {
    for (name, from, to) in RANGES {
        let zone = TimeZone::get(name).expect("a zone");
        let window = window(&zone, from, to);
        let whole = window.buckets().whole();
        let runs = |piece: Piece| {
            let runs = piece.runs(&window, Some(whole.start), at(to)).expect("runs");
            assert!(runs.len() < 8, "{name} {piece:?}: {runs:?}");
            runs
        };
        let (hours, days, months) = (runs(Piece::Hour), runs(Piece::Day), runs(Piece::Month));
        for quarter in whole {
            let moment = Timestamp::from_microsecond(quarter * QUARTER_US).expect("a moment");
            let local = zone.to_datetime(moment);
            let day = start(&days, quarter);
            assert_eq!(Piece::Day.name(&zone, day), local.date().to_string(), "{name}");
            let month = Piece::Month.name(&zone, start(&months, quarter));
            assert_eq!(month, local.strftime("%Y-%m").to_string(), "{name}");
            // Hours are counted from the start of the day.
            let hour = start(&hours, quarter);
            assert!((0..HOUR).contains(&(quarter - hour)), "{name} {moment}");
            assert_eq!((hour - day) % HOUR, 0, "{name} {moment}");
            let shown: Timestamp = Piece::Hour.name(&zone, hour).parse().expect("RFC 3339");
            assert_eq!(shown.as_microsecond(), hour * QUARTER_US, "{name}");
        }
    }
}

#[test]
fn pieces_begin_with_the_rows_that_are_kept() {
    let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
    let (from, to) = ("1970-01-02T00:00:00Z", "2100-01-01T00:00:00Z");
    let now = at("2026-03-05T10:00:00Z");
    let window = window(&zone, from, to);
    for oldest in [None, Some(now / QUARTER_US - 400 * 96)] {
        for (piece, most) in [(Piece::Hour, 1), (Piece::Day, 2), (Piece::Month, 15)] {
            let runs = piece.runs(&window, oldest, now).expect("runs");
            assert!((1..=most).contains(&runs.len()), "{piece:?}: {runs:?}");
            let first = oldest.unwrap_or((now + AHEAD_US) / QUARTER_US);
            assert!((0..31 * 96).contains(&(first - runs[0].from)), "{piece:?}: {runs:?}");
        }
    }
}
