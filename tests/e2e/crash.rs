//! `kill -9` at random moments under load: what was answered is counted once, nothing goes back.
//!
//! `GATEMETER_KILL_ROUNDS` sets how often (5 by default), `GATEMETER_KILL_SEED` the moments.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::gatemeter::{Place, program, sum, wait_for};
use crate::referee::Referee;

/// Events of the whole run; the load outlives the last kill.
const EVENTS_PER_ROUND: u64 = 12_000;
/// Pace of the load, 6 s of it for each round: a round takes two seconds, and up to five where many
/// events have to be read again and the senders wait longer between two attempts.
const EVENTS_PER_SECOND: u64 = 2_000;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn start_load(place: &Place, rounds: u64, seed: u64) -> Child {
    Command::new(program())
        .args(["replay", "synthetic", "--json", "--quiet", "--duplicates", "5%", "--late", "1%"])
        .args(["--future", "0.1%", "--malformed", "0.1%", "--batch", "50", "--connections", "4"])
        .args(["--count", &(rounds * EVENTS_PER_ROUND).to_string()])
        .args(["--rate", &EVENTS_PER_SECOND.to_string(), "--seed", &seed.to_string()])
        .args(["--to", &place.url(place.ingest)])
        .args(["--tape".as_ref(), place.file("tape.ndjson").as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the load starts")
}

#[test]
fn killed_at_random_moments_every_answered_event_is_counted_once_and_nothing_goes_back() {
    let rounds = number("GATEMETER_KILL_ROUNDS", 5);
    let seed = number("GATEMETER_KILL_SEED", 1);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let place = Place::new();
    let mut running = place.start();
    let metrics = format!("{}/metrics", place.url(place.aggregator));
    let referee = Referee::start(&metrics, Duration::from_millis(100));
    let load = start_load(&place, rounds, seed);
    for _ in 0..rounds {
        let before = counted(&place);
        wait_for("the load is being counted", || counted(&place) > before);
        std::thread::park_timeout(Duration::from_millis(random.random_range(0..1_500)));
        running.kill();
        running = place.start();
    }
    let output = load.wait_with_output().expect("the load ends");
    assert!(output.status.success(), "replay: {}\n{}", output.status, place.log());
    let sent: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let expected = sent["events"]["counted"].as_i64().expect("whole");
    place.wait_events("counted", expected);
    place.wait_decided();
    let recount = place.recount();
    let report = referee.finish().unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    assert!(report.good > rounds, "{report:?}");
    assert_eq!(recount["classes"]["counted"], sent["events"]["counted"]);
    assert_eq!(place.sum("namespace_requests_total{"), sent["requests"].as_i64().expect("whole"));
    for class in ["duplicate", "late", "future"] {
        // A batch whose answer was lost is sent again: its copies are counted as what they are.
        let exact = sent["events"][class].as_i64().expect("whole");
        let extra = sent["extra_at_most"][class].as_i64().expect("whole");
        let shown = place.sum(&format!("gatemeter_events_total{{class=\"{class}\"}}"));
        assert!((exact..=exact + extra).contains(&shown), "{class}: {shown}, {exact} + {extra}");
    }
    drop(running);
}

/// Counted events on the page, 0 while there is none.
fn counted(place: &Place) -> i64 {
    let page = crate::gatemeter::get(place.aggregator, "/metrics?section=business", &[]);
    page.filter(|answer| answer.status == 200)
        .map_or(0, |answer| sum(&answer.body, "gatemeter_events_total{class=\"counted\"}"))
}
