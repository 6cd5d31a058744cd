//! Dead letters of a real process: listed by the api, and sent through its ingest again.

use clock::Wall;
use serde_json::{Value, json};

use crate::gatemeter::{Answer, Place, get, post, wait_for};

/// How far ahead of the clock an event may be, microseconds.
const AHEAD_US: i64 = 300_000_000;
/// How far beyond that the planted event is: it is due after as long.
const BEYOND_US: i64 = 4_000_000;

fn event(id: &str, time_us: i64) -> Value {
    json!({
        "id": id, "time": time_us, "namespace": "wechat", "upstream": "openai",
        "method": "POST", "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 800,
        "text": {"output": "planted prompt"},
    })
}

fn send_again(place: &Place, letters: &Value, headers: &[&str]) -> Answer {
    let body = json!({"letters": letters}).to_string();
    let headers = [&["content-type: application/json"], headers].concat();
    post(place.api, "/api/dead-letters/replay", &headers, body.as_bytes()).expect("an answer")
}

fn data(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut value: Value = serde_json::from_str(&answer.body).expect("JSON");
    value["data"].take()
}

#[test]
fn a_letter_of_the_future_is_sent_again_from_the_api_and_counted_once() {
    let place = Place::new();
    let _running = place.start();
    let now = Wall::now().as_us();
    let events = [
        event("now", now),
        event("late", now - 2 * 3_600_000_000),
        event("ahead", now + AHEAD_US + BEYOND_US),
    ];
    let body = Value::from(events.to_vec()).to_string();
    let answer = post(place.ingest, "/v1/events", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    for class in ["counted", "late", "future"] {
        place.wait_events(class, 1);
    }
    let listed = place.api("/api/dead-letters?source=log");
    assert_eq!(listed["total"], 2, "{listed}");
    assert!(!listed.to_string().contains("planted"), "{listed}");
    let items = listed["items"].as_array().expect("letters");
    let of = |class: &str| items.iter().find(|item| item["class"] == class).expect(class);
    let (late, ahead) = (of("late"), of("future"));
    assert_eq!((&late["replayable"], &ahead["replayable"]), (&json!(false), &json!(true)));
    assert_eq!(place.api("/api/dead-letters/replay")["available"], true);

    let foreign = ["origin: http://evil.example"];
    assert_eq!(send_again(&place, &json!([ahead["letter"]]), &foreign).status, 403);
    let refused = data(&send_again(&place, &json!([late["letter"]]), &[]));
    assert_eq!((&refused["accepted"], &refused["rejected"][0]["index"]), (&json!(0), &json!(0)));
    let reason = refused["rejected"][0]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "it is late: it is counted at its own time, unless a copy of it was");
    // It is refused until it is due.
    wait_for("the letter is taken", || {
        let result = data(&send_again(&place, &json!([ahead["letter"]]), &[]));
        result["accepted"] == 1
    });
    place.wait_events("counted", 2);
    // However often: a copy is a duplicate.
    for copies in 1..=3 {
        let result = data(&send_again(&place, &json!([ahead["letter"]]), &[]));
        assert_eq!(result["accepted"], 1, "{result}");
        place.wait_events("duplicate", copies);
    }
    assert_eq!(place.sum("gatemeter_events_total{class=\"counted\"}"), 2);
    // The late one is counted by itself.
    place.wait_decided();
    assert_eq!(place.api("/api/metrics/latency?timeRange=all")["totals"]["count"], 3);
    assert_eq!(place.api("/api/metrics/system")["totalRequests"], 3);
    place.recount();
    assert_eq!(get(place.api, "/readyz", &[]).expect("an answer").status, 200);
}

#[test]
fn a_process_with_open_letters_ends_in_time() {
    let place = Place::new();
    let mut running = place.start();
    let answer = send_again(&place, &json!([]), &[]);
    assert_eq!(data(&answer)["accepted"], 0);
    let (status, took) = running.terminate();
    assert!(status.success() && took.as_secs() < 5, "{status} after {took:?}\n{}", place.log());
    assert!(!place.log().contains("were abandoned"), "{}", place.log());
}
