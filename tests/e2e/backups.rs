//! An embedded ledger is backed up while events come in, lost, and put back beside its log: it
//! catches up to the same numbers, and shows none before.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clock::Wall;
use serde_json::Value;

use crate::gatemeter::{DEADLINE, Place, get, post, program, sum, wait_for};
use crate::referee::Referee;

/// Events of the load: half of them come after the backup.
const EVENTS: i64 = 16_000;
const LOAD: [&str; 14] = [
    "replay",
    "synthetic",
    "--count",
    "16000",
    "--rate",
    "2000",
    "--batch",
    "50",
    "--duplicates",
    "5%",
    "--late",
    "1%",
    "--namespaces",
    "8",
];

/// A load, killed when it is dropped.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file of the place as an argument.
fn path(place: &Place, name: &str) -> String {
    place.file(name).to_str().expect("a path in UTF-8").to_owned()
}

/// Runs a subcommand that must succeed; what it printed as JSON.
fn json(place: &Place, args: &[&str]) -> Value {
    let output = place.run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}\n{}", place.log());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs a subcommand that must be refused; why.
fn refused(place: &Place, args: &[&str]) -> String {
    let output = place.run(args);
    assert!(!output.status.success(), "{args:?} is refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Counters of the page, without what says which version it is.
fn counters(place: &Place) -> BTreeSet<String> {
    let is_counter = |line: &&str| !line.starts_with('#') && !line.contains("_ledger_version");
    place.page().lines().filter(is_counter).map(str::to_owned).collect()
}

#[test]
fn a_ledger_that_is_lost_catches_up_from_its_backup_and_the_log_to_the_same_numbers() {
    let place = Place::new();
    let mut running = place.start();
    let metrics = format!("{}/metrics", place.url(place.aggregator));
    let referee = Referee::start(&metrics, Duration::from_millis(100));
    let (data, file) = (path(&place, "data"), path(&place, "ledger.backup"));
    let load = Command::new(program())
        .args(LOAD)
        .args(["--json", "--quiet", "--to", &place.url(place.ingest)])
        .stdout(Stdio::piped())
        .spawn();
    let mut load = Load(load.expect("the load starts"));
    place.wait_events("counted", EVENTS / 3);
    let made = json(&place, &["backup", &file, "--data", &data, "--json", "--quiet"]);
    assert!(refused(&place, &["backup", &file, "--data", &data]).contains("exists already"));
    assert!(refused(&place, &["restore", &file, "--data", &data]).contains("in use"));
    send_newcomer(&place);
    let checked = json(&place, &["restore", &file, "--check", "--json", "--quiet"]);
    assert_eq!(checked, made);
    let mut report = String::new();
    let stdout = load.0.stdout.as_mut().expect("it is piped");
    stdout.read_to_string(&mut report).expect("a report in UTF-8");
    let sent: Value = serde_json::from_str(&report).expect("a report in JSON");
    let expected = sent["events"]["counted"].as_i64().expect("whole") + 1;
    place.wait_events("counted", expected);
    place.wait_decided();
    place.recount();
    let newcomer = "namespace_requests_total{namespace=\"newcomer\",status=\"success\"}";
    wait_for("what is new is shown", || place.sum(newcomer) == 1);
    wait_for("nothing is held at zero", || place.sum("gatemeter_series_held") == 0);
    let before = counters(&place);
    referee.wait_look();
    running.kill();

    assert!(refused(&place, &["restore", &file, "--data", &data]).contains("move it away first"));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(place.data().join(format!("ledger.db{end}")));
    }
    let restored = json(&place, &["restore", &file, "--data", &data, "--json", "--quiet"]);
    assert_eq!(restored, made);
    let lacks = expected - counted_in(&place);
    assert!(lacks > EVENTS / 4, "the backup lacks {lacks} events");
    let (is_ready, port) = (AtomicBool::new(false), place.aggregator);
    let n_refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let (began, mut n_refused) = (Instant::now(), 0);
            while !is_ready.load(Ordering::SeqCst) && began.elapsed() < DEADLINE {
                match get(port, "/metrics?section=business", &[]) {
                    Some(page) if page.status == 200 => {
                        let series = "gatemeter_events_total{class=\"counted\"}";
                        assert_eq!(sum(&page.body, series), expected, "the first page is whole");
                        break;
                    }
                    Some(page) => n_refused += u32::from(page.status == 503),
                    None => std::thread::park_timeout(Duration::from_millis(2)),
                }
            }
            n_refused
        });
        running = place.start();
        is_ready.store(true, Ordering::SeqCst);
        asked.join().expect("no page before it is whole")
    });
    assert!(n_refused > 0, "no page before the log is counted again");
    let after = counters(&place);
    let differ: Vec<_> = after.symmetric_difference(&before).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    place.recount();
    let report = referee.finish().unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    assert!(report.good > 10 && report.gaps > 0, "{report:?}");
    drop(running);
}

/// An event of a namespace that the backup does not know: what was shown of it must not fall.
fn send_newcomer(place: &Place) {
    let event = serde_json::json!({
        "id": "newcomer-1", "time": Wall::now().as_us(), "namespace": "newcomer",
        "upstream": "openai", "model": "gpt-4o", "method": "POST",
        "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 7,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    });
    let answer = post(place.ingest, "/v1/events", &[], event.to_string().as_bytes());
    assert_eq!(answer.expect("an answer").status, 200);
}

/// Events that a ledger counted which no process has open.
fn counted_in(place: &Place) -> i64 {
    let output = place.run(&[
        "recount",
        "--data",
        place.data().to_str().expect("a path in UTF-8"),
        "--json",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    report["classes"]["counted"].as_i64().expect("whole")
}
