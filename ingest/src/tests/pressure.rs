//! What cannot be accepted now is 503 with `Retry-After`, is in the log at most as a duplicate, and
//! uses no memory.

use std::sync::atomic::Ordering;

use clock::Wall;
use http::StatusCode;
use queue::EmbeddedOptions;
use serde_json::json;
use tokio::task::JoinSet;

use super::fixture::{Answer, Ledger, Options, Running, ask, batch, event, event_with, post};

const WAITING: &str = "gatemeter_ingest_waiting_events";

/// Checks for a 503 that asks for a retry; `message` checks `Retry-After`.
#[track_caller]
fn check_unavailable(answer: &Answer, words: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    let message = answer.message();
    assert!(message.contains(words), "{message:?} does not say {words:?}");
    assert!(message.contains("same ids and times"), "{message:?}");
}

fn ids(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|id| id.to_string())
}

#[tokio::test]
async fn full_dedup_set_is_503_until_it_has_room() {
    let (_folder, running) = Running::fresh().await;
    running.pressure.store(true, Ordering::Relaxed);
    check_unavailable(&running.send(batch(ids(2))).await, "recognising copies is full");
    let ready = running.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text.contains("recognising copies is full"), "{}", ready.text);
    assert_eq!(running.get("/healthz").await.status, StatusCode::OK);
    assert!(running.logged().await.is_empty());
    running.pressure.store(false, Ordering::Relaxed);
    assert_eq!(running.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(running.send(batch(ids(2))).await.accepted(2), 2);
    running.stop().await;
}

#[tokio::test]
async fn events_above_the_limit_in_flight_are_503_at_once_and_the_others_become_durable() {
    const ROOM: usize = 100;
    let mut options = Options::default();
    options.settings.gather_ms = 60_000;
    options.settings.queue_events_max = ROOM;
    let (folder, running) = Running::fresh_with(options).await;
    let mut waiting = JoinSet::new();
    for request in 0..4 {
        let ids = (0..ROOM / 4).map(move |event| format!("{request}-{event}"));
        waiting.spawn(ask(running.router(), post(batch(ids))));
    }
    running.until_metric(WAITING, 100).await;
    for n in [1, 10, 2_000] {
        check_unavailable(&running.send(batch(ids(n))).await, "too many events wait");
        assert_eq!(running.metric(WAITING).await, Some(100));
    }
    // A batch without a valid event needs no capacity and is still answered.
    assert_eq!(running.send("[]").await.accepted(0), 0);
    assert_eq!(running.send("[1]").await.accepted(1), 0);
    waiting.abort_all();
    while waiting.join_next().await.is_some() {}
    running.stop().await;
    let running = Running::start(folder.path(), Options::default()).await;
    assert_eq!(running.logged().await.len(), ROOM);
    running.stop().await;
}

#[tokio::test]
async fn full_log_is_503_and_releases_the_reserved_capacity() {
    let log =
        EmbeddedOptions { bytes_max: 4_096, disk_reserve_bytes: 0, ..EmbeddedOptions::default() };
    let (folder, running) = Running::fresh_with(Options { log, ..Options::default() }).await;
    let mut n_sent = 0;
    let answer = loop {
        let answer = running.send(batch((n_sent..n_sent + 20).map(|id| id.to_string()))).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        n_sent += 20;
        assert!(n_sent < 2_000, "4 KiB hold fewer events");
    };
    check_unavailable(&answer, "the queue is full");
    assert!(n_sent > 0);
    assert_eq!(running.logged().await.len(), n_sent);
    assert_eq!(running.metric(WAITING).await, Some(0));
    running.stop().await;
    let running = Running::start(folder.path(), Options::default()).await;
    let retry = batch((n_sent..n_sent + 20).map(|id| id.to_string()));
    assert_eq!(running.send(retry).await.accepted(20), 20);
    let found = running.logged().await;
    assert!((0..n_sent + 20).all(|id| found[id].facts.key == running.key(&id.to_string())));
    running.stop().await;
}

#[tokio::test]
async fn full_disk_is_503_and_nothing_is_written() {
    let log = EmbeddedOptions { disk_reserve_bytes: u64::MAX, ..EmbeddedOptions::default() };
    let (_folder, running) = Running::fresh_with(Options { log, ..Options::default() }).await;
    check_unavailable(&running.send(batch(ids(3))).await, "the disk of the queue is full");
    assert!(running.logged().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn closed_log_is_503() {
    let (_folder, running) = Running::fresh().await;
    running.queue.close().await;
    check_unavailable(&running.send(batch(ids(1))).await, "closed");
    running.stop().await;
}

#[tokio::test]
async fn read_only_ledger_refuses_only_bodies_with_new_names_or_connection_reports() {
    let (folder, running) = Running::fresh().await;
    assert_eq!(running.send(event("a").to_string()).await.accepted(1), 1);
    running.stop().await;
    let options = Options { ledger: Ledger::ReadOnly, ..Options::default() };
    let running = Running::start(folder.path(), options).await;
    assert_eq!(running.send(event("b").to_string()).await.accepted(1), 1);
    let new = event_with("c", &json!({"model": "never-seen"}));
    let report = json!({"kind": "connections", "namespace": "wechat", "gateway": "gw",
        "active": 1, "time": Wall::now().as_us()});
    for other in [new, event_with("d", &json!({"namespace": "new"})), report] {
        let body = json!([event("e"), other]).to_string();
        check_unavailable(&running.send(body).await, "the ledger does not answer");
    }
    assert_eq!(running.logged().await.len(), 2, "a refused body leaves nothing behind");
    running.stop().await;
}
