//! A folder that an earlier program has left, killed while it ran, goes on with this one.
//!
//! `fixtures/format-6.tar.gz` is one of the program before version 2 of the frame: 120 events
//! counted, 7 copies, a late one. `fixtures/format-8.tar.gz` is one of the program before times per
//! output token: three frames counted with 140 events and 7 copies, two more with 40 events in the
//! log that it had not come to.

use std::process::Command;

use crate::broken::sql;
use crate::gatemeter::{Place, repository};

/// Input and output tokens of the counted events.
const TOKENS: i64 = 738_163 + 86_308;
/// Those of the 60 events that the program of format 8 took last.
const LATER_TOKENS: i64 = 436_727 + 47_635;

/// A place with the folder of an earlier program.
fn unpacked(fixture: &str) -> Place {
    let place = Place::new();
    std::fs::create_dir_all(place.data()).expect("a folder");
    let archive = repository("tests/e2e/fixtures").join(fixture);
    let unpacked = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(place.data()).status();
    assert!(unpacked.expect("tar").success());
    place
}

#[test]
fn a_folder_from_before_frame_version_2_is_upgraded_in_place() {
    let place = unpacked("format-6.tar.gz");
    let _running = place.start();
    let events = |class: &str| place.sum(&format!("gatemeter_events_total{{class=\"{class}\""));
    place.wait_events("counted", 120);
    assert_eq!((events("duplicate"), events("late"), events("poison")), (7, 1, 0));
    assert_eq!(place.sum("gatemeter_tokens_total"), TOKENS);
    place.recount();
    place.replay(&["synthetic", "--count", "300", "--batch", "50", "--seed", "8"]);
    place.wait_events("counted", 420);
    assert_eq!((events("duplicate"), events("poison")), (7, 0));
    let version = "hex(substr(bytes, 1, 1))";
    let versions = format!("SELECT min({version}), max({version}) FROM log");
    assert_eq!(sql(&place, "queue.db", &versions), "01|02");
    assert_eq!(sql(&place, "ledger.db", "SELECT format, frame_version FROM meta"), "12|2");
    place.recount();
}

#[test]
fn a_folder_from_before_times_per_output_token_has_them_from_its_upgrade_on() {
    let place = unpacked("format-8.tar.gz");
    let mut running = place.start();
    place.wait_events("counted", 180);
    assert_eq!(place.sum("gatemeter_tokens_total"), TOKENS + LATER_TOKENS);
    let first = "gatemeter_time_to_first_token_seconds_count";
    let each = "gatemeter_time_per_output_token_seconds_count";
    let (n_first, n_each) = (place.sum(first), place.sum(each));
    assert!(0 < n_each && n_each <= 40 && n_first > 60, "{n_each} of {n_first}");
    let offsets = "SELECT tpot_from FROM partition_state";
    assert_eq!(sql(&place, "ledger.db", offsets), "3");
    place.recount();
    // What an earlier release counted is no observation of the API either.
    let count = |metric: &str| {
        let path = format!("/api/metrics/latency?timeRange=all&metric={metric}");
        place.api(&path)["totals"]["count"].as_i64().expect("whole")
    };
    assert_eq!((count("ttft"), count("tpot")), (n_first, n_each));
    place.replay(&["synthetic", "--count", "300", "--batch", "50", "--seed", "8"]);
    place.wait_events("counted", 480);
    let (more_first, more_each) = (place.sum(first) - n_first, place.sum(each) - n_each);
    assert!(more_each > 100 && more_each <= more_first, "{more_each} of {more_first}");
    place.recount();
    // The next start has nothing to upgrade.
    running.kill();
    let _running = place.start();
    place.wait_events("counted", 480);
    assert_eq!(sql(&place, "ledger.db", offsets), "3");
    assert_eq!(place.sum(each), n_each + more_each);
    place.recount();
}
