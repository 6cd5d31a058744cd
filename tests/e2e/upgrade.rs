//! A folder that the program before version 2 of the frame has left, killed while it ran, goes on
//! with this one.
//!
//! `fixtures/format-6.tar.gz` is such a folder: 120 events counted, 7 copies, a late one.

use std::process::Command;

use crate::broken::sql;
use crate::gatemeter::{Place, repository};

/// Input and output tokens of the counted events.
const TOKENS: i64 = 738_163 + 86_308;

#[test]
fn a_folder_from_before_frame_version_2_is_upgraded_in_place() {
    let place = Place::new();
    std::fs::create_dir_all(place.data()).expect("a folder");
    let archive = repository("tests/e2e/fixtures/format-6.tar.gz");
    let unpacked = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(place.data()).status();
    assert!(unpacked.expect("tar").success());
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
    assert_eq!(sql(&place, "ledger.db", "SELECT format, frame_version FROM meta"), "9|2");
    place.recount();
}
