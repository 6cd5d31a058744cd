//! Write locks that another process holds on log or ledger, for longer than any timeout: clients
//! are told to retry and why, also during startup, and no process ends and nothing is lost.

use std::time::Duration;

use crate::broken::Stranger;
use crate::gatemeter::{Answer, Place, get, post, wait_for};
use crate::totals::event;

const FILES: [&str; 2] = ["queue.db", "ledger.db"];

fn send(place: &Place, id: &str) -> Answer {
    post(place.ingest, "/v1/events", &[], event(id, "wechat").to_string().as_bytes())
        .expect("an answer")
}

fn check_told(answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.head.to_ascii_lowercase().contains("retry-after"), "{}", answer.head);
    assert!(answer.body.contains(reason), "{}", answer.body);
}

fn wait_told(port: u16, reason: &str) {
    wait_for(&format!("/readyz of {port} says: {reason}"), || {
        get(port, "/readyz", &[])
            .is_some_and(|answer| answer.status == 503 && answer.body.contains(reason))
    });
}

#[test]
fn a_lock_on_log_or_ledger_is_back_pressure_with_its_reason_and_nothing_is_lost() {
    let place = Place::new();
    let mut running = place.start();
    assert_eq!(send(&place, "before").status, 200);
    place.wait_events("counted", 1);
    for (n, file) in (0..).zip(FILES) {
        let stranger = Stranger::at(&place, file);
        let reason = if file == "queue.db" { "the log is locked" } else { "the ledger is locked" };
        wait_told(place.ingest, reason);
        let new = format!(r#"{{"code":"made-{n}","name":"made"}}"#);
        let json = ["content-type: application/json"];
        let make = || post(place.api, "/api/namespaces", &json, new.as_bytes());
        if file == "queue.db" {
            check_told(&send(&place, "while-0"), reason);
            assert_eq!(make().expect("an answer").status, 201, "the ledger is free");
        } else {
            for port in [place.aggregator, place.api] {
                wait_told(port, reason);
            }
            assert_eq!(send(&place, "while-1").status, 200, "its names are known");
            check_told(&make().expect("an answer"), reason);
            let unknown = event("unknown", "never-seen").to_string();
            let answer = post(place.ingest, "/v1/events", &[], unknown.as_bytes());
            check_told(&answer.expect("an answer"), reason);
            let totals = place.api("/api/metrics/system");
            assert_eq!(totals["totalRequests"], 2, "questions are answered: {totals}");
        }
        drop(stranger);
        place.wait_ready(&mut running);
        assert_eq!(send(&place, &format!("while-{n}")).status, 200);
        place.wait_events("counted", n + 2);
    }
    place.recount();
    assert!(running.terminate().0.success());
    assert!(!place.log().contains("panicked"), "{}", place.log());
}

#[test]
fn a_start_waits_for_a_lock_and_says_so_and_ends_when_it_is_asked_to() {
    let place = Place::new();
    assert!(place.start().terminate().0.success());
    for file in FILES {
        let stranger = Stranger::at(&place, file);
        let mut running = place.start_with(&["--dev"]);
        wait_told(place.ingest, "is locked by another process");
        check_told(&send(&place, "early"), "is locked by another process");
        assert_eq!(get(place.ingest, "/healthz", &[]).expect("an answer").status, 200);
        let (status, took) = running.terminate();
        assert!(status.success(), "{status}\n{}", place.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
        let mut running = place.start_with(&["--dev"]);
        wait_told(place.ingest, "is locked by another process");
        drop(stranger);
        place.wait_ready(&mut running);
        assert_eq!(send(&place, file).status, 200);
    }
    assert!(!place.log().contains("panicked"), "{}", place.log());
}
