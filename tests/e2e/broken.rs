//! Log and ledger that are damaged or locked by another process: counting stops with a reason, and
//! the process still ends on request.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::gatemeter::{Place, get, post, wait_for};
use crate::totals::event;

fn send(place: &Place, id: &str) {
    let body = event(id, "wechat").to_string();
    let answer = post(place.ingest, "/v1/events", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Executes a statement in a database of a place; what it prints.
pub fn sql(place: &Place, file: &str, statement: &str) -> String {
    let path = place.data().join(file);
    let done = Command::new("sqlite3").arg(path).arg(statement).output();
    let done = done.expect("sqlite3 is installed by scripts/test.sh");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

#[test]
fn a_hole_in_the_log_halts_the_partition_and_says_where() {
    let place = Place::new();
    let mut running = place.start();
    for n in 0..3 {
        send(&place, &format!("e-{n}"));
        place.wait_events("counted", n + 1);
    }
    let (status, _) = running.terminate();
    assert!(status.success());
    // The frames from the second one on are not counted yet, and the second is gone.
    sql(&place, "queue.db", "DELETE FROM log WHERE id = 2");
    let counted = ["total", "quarter", "minute", "partition_state", "baseline"];
    for table in counted.into_iter().chain(["commit_journal", "commit_range"]) {
        sql(&place, "ledger.db", &format!("DELETE FROM {table}"));
    }
    sql(&place, "ledger.db", "UPDATE ledger_version SET v = 0");

    let mut running = place.start_with(&["--dev"]);
    wait_for("the partition is halted", || {
        get(place.aggregator, "/readyz", &[])
            .is_some_and(|answer| answer.status == 503 && answer.body.contains("no frame at"))
    });
    let reason = get(place.aggregator, "/readyz", &[]).expect("an answer").body;
    assert!(reason.contains("no frame at offset 1, and the next one at 2"), "{reason}");
    assert_eq!(place.sum("gatemeter_events_total{class=\"counted\"}"), 1, "all before it counts");
    let system: Value = place.api("/api/metrics/system");
    assert!(system.to_string().contains("no frame at offset 1"), "{system}");
    let (status, _) = running.terminate();
    assert!(status.success());
}

/// Another process that holds the write lock of a file until it is dropped.
pub struct Stranger(Child);

impl Stranger {
    pub fn at(place: &Place, file: &str) -> Stranger {
        let mut child = Command::new("sqlite3")
            .arg(place.data().join(file))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 is installed by scripts/test.sh");
        let input = child.stdin.as_mut().expect("piped");
        input.write_all(b".timeout 20000\nBEGIN IMMEDIATE;\nSELECT 'held';\n").expect("it reads");
        let mut said = [0; 4];
        let output = child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(output, &mut said).expect("it has the lock");
        Stranger(child)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sigterm_ends_the_process_although_a_stranger_holds_the_ledger_and_nothing_is_lost() {
    let place = Place::new();
    let mut running = place.start();
    send(&place, "before");
    place.wait_events("counted", 1);
    let stranger = Stranger::at(&place, "ledger.db");
    send(&place, "while");
    let (status, took) = running.terminate();
    assert!(status.success(), "{status}\n{}", place.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(stranger);
    let _running = place.start();
    place.wait_events("counted", 2);
    place.recount();
}

#[test]
fn a_log_whose_ledger_is_gone_is_refused_and_not_counted_under_new_keys() {
    let place = Place::new();
    let mut running = place.start();
    send(&place, "once");
    place.wait_events("counted", 1);
    assert!(running.terminate().0.success());
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(place.data().join(file));
    }
    let mut running = place.start_with(&["--dev"]);
    assert!(!running.wait().success());
    assert!(place.log().contains("the ledger was lost or is another one"), "{}", place.log());
}
