//! A 200 means that the events are in the log: exactly those, once per delivery, as a separate
//! reader finds them in the file.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use clock::Wall;
use event::Key;
use event::limits::FRAME_EVENTS_MAX;
use http::StatusCode;
use hyper::body::Frame;
use queue::Queue;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fixture::{
    Logged, Options, Running, ask, batch, event, event_with, indexes, logged_by, post,
};

/// The number of copies of each key in the log.
fn copies(events: &[Logged]) -> HashMap<Key, usize> {
    let mut copies = HashMap::new();
    for event in events {
        *copies.entry(event.facts.key).or_default() += 1;
    }
    copies
}

#[tokio::test]
async fn events_are_in_the_file_at_the_returned_position_once_per_delivery() {
    let (folder, running) = Running::fresh().await;
    let reader = Queue::open_embedded_read_only(folder.path()).await.expect("a log");
    let mut expected = Vec::new();
    for round in 0..5 {
        // The last event of a round is sent again in the next one.
        let ids: Vec<String> = (round * 7..=round * 7 + 7).map(|id| id.to_string()).collect();
        let answer = running.send(batch(ids.clone())).await;
        assert_eq!(answer.accepted(8), 8);
        let offsets = answer.offsets();
        assert_eq!(offsets, [round]);
        let found = logged_by(&reader).await;
        let keys: Vec<Key> =
            found.iter().filter(|e| e.offset == round).map(|e| e.facts.key).collect();
        let sent: Vec<Key> = ids.iter().map(|id| running.key(id)).collect();
        assert_eq!(keys, sent);
        expected.extend(sent);
        let all: Vec<Key> = found.iter().map(|event| event.facts.key).collect();
        assert_eq!(all, expected);
    }
    reader.close().await;
    running.stop().await;
}

#[tokio::test]
async fn facts_and_labels_reach_the_log_as_they_were_sent() {
    let (_folder, running) = Running::fresh().await;
    let sent = event_with(
        "full",
        &json!({
            "time": "2026-01-31T12:34:56.789Z", "requested_model": "gpt-4o-mini",
            "duration_ms": 12.3456, "ttft_ms": 0.25, "stream": true, "attempt": 2,
            "consumer": "Zoë", "limited_by": "token_limit", "status": 429,
            "usage": {"input_tokens": 9, "cache_read_tokens": 4, "cache_write_tokens": 5,
                "output_tokens": 3, "reasoning_tokens": 0},
        }),
    );
    assert_eq!(running.send(sent.to_string()).await.accepted(1), 1);
    let found = running.logged().await;
    let [found] = found.as_slice() else { panic!("one event: {found:?}") };
    let facts = &found.facts;
    assert_eq!(facts.key, running.key("full"));
    assert_eq!(facts.time_us, 1_769_862_896_789_000);
    assert_eq!((facts.duration_us, facts.ttft_us, facts.attempt), (12_346, Some(250), 2));
    let usage = facts.usage;
    assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(9), Some(4), Some(5)));
    assert_eq!((usage.output, usage.reasoning), (Some(3), Some(0)));
    assert_eq!(
        (&*found.namespace, &*found.upstream, &*found.model),
        ("wechat", "openai", "gpt-4o")
    );
    assert_eq!(found.endpoint, "/v1/chat/completions");
    assert_eq!(found.limited_by.as_deref(), Some("token_limit"));
    assert_eq!(found.requested_model.as_deref(), Some("gpt-4o-mini"));
    assert_eq!(found.consumer.as_deref(), Some("Zoë"));
    running.stop().await;
}

#[tokio::test]
async fn retry_has_the_same_keys_and_fingerprints_even_after_a_restart() {
    let (folder, running) = Running::fresh().await;
    let body = batch(["a", "b"].map(str::to_owned));
    assert_eq!(running.send(body.clone()).await.accepted(2), 2);
    running.stop().await;
    let running = Running::start(folder.path(), Options::default()).await;
    assert_eq!(running.send(body).await.accepted(2), 2);
    let found = running.logged().await;
    assert_eq!(copies(&found), HashMap::from([(running.key("a"), 2), (running.key("b"), 2)]));
    let facts: Vec<_> = found.iter().map(|event| event.facts).collect();
    assert_eq!(facts[..2], facts[2..]);
    running.stop().await;
}

#[tokio::test]
async fn late_and_future_events_are_accepted_and_marked() {
    let (_folder, running) = Running::fresh().await;
    let window = running.generation.window;
    let margin_us = 60_000_000;
    let at =
        |id: &str, ahead_us: i64| event_with(id, &json!({"time": Wall::now().as_us() + ahead_us}));
    let body = json!([
        at("now", 0),
        at("late", -window.past_us - 1),
        at("still", margin_us - window.past_us),
        {"id": "bad"},
        at("ahead", window.ahead_us - margin_us),
        at("future", window.ahead_us + margin_us),
        at("ancient", 1 - Wall::now().as_us()),
    ]);
    let answer = running.send(body.to_string()).await;
    assert_eq!(answer.accepted(7), 6);
    let value = answer.json();
    assert_eq!((indexes(&value["late"]), indexes(&value["future"])), (vec![1, 6], vec![5]));
    assert_eq!(answer.rejects()[0]["index"], 3);
    assert_eq!(running.logged().await.len(), 6);
    running.stop().await;
}

#[tokio::test]
async fn concurrent_requests_share_frames() {
    const REQUESTS: usize = 16;
    const EVENTS: usize = FRAME_EVENTS_MAX / REQUESTS;
    // A full frame is sealed at once, so no request waits the whole minute.
    let mut options = Options::default();
    options.settings.gather_ms = 60_000;
    let (_folder, running) = Running::fresh_with(options).await;
    let mut requests = JoinSet::new();
    for request in 0..REQUESTS {
        let ids = (0..EVENTS).map(move |event| format!("{request}-{event}"));
        requests.spawn(ask(running.router(), post(batch(ids))));
    }
    for answer in requests.join_all().await {
        assert_eq!(answer.accepted(EVENTS), EVENTS);
        assert_eq!(answer.offsets(), [0]);
    }
    let found = running.logged().await;
    assert_eq!(found.len(), FRAME_EVENTS_MAX);
    let copies = copies(&found);
    for id in (0..REQUESTS).flat_map(|r| (0..EVENTS).map(move |e| format!("{r}-{e}"))) {
        assert_eq!(copies.get(&running.key(&id)), Some(&1), "{id}");
    }
    assert_eq!(running.metric("gatemeter_ingest_frames_total").await, Some(1));
    assert_eq!(running.metric("gatemeter_ingest_waiting_events").await, Some(0));
    running.stop().await;
}

#[tokio::test]
async fn requests_that_do_not_fit_one_frame_are_never_split() {
    let mut options = Options::default();
    options.settings.gather_ms = 50;
    let (_folder, running) = Running::fresh_with(options).await;
    let mut requests = JoinSet::new();
    for request in 0..5 {
        let ids = (0..1_500).map(move |event| format!("{request}-{event}"));
        requests.spawn(ask(running.router(), post(batch(ids))));
    }
    let mut n_frames = 0;
    for answer in requests.join_all().await {
        assert_eq!(answer.accepted(1_500), 1_500);
        n_frames = n_frames.max(answer.offsets()[0] + 1);
    }
    assert!((3..=5).contains(&n_frames), "{n_frames}");
    assert!(copies(&running.logged().await).values().all(|n| *n == 1));
    assert_eq!(running.logged().await.len(), 7_500);
    running.stop().await;
}

#[tokio::test]
async fn all_events_of_a_client_that_disconnects_are_in_the_log() {
    let mut options = Options::default();
    options.settings.gather_ms = 60_000;
    let (folder, running) = Running::fresh_with(options).await;
    let body = batch((0..20).map(|id| id.to_string()));
    let request = tokio::spawn(ask(running.router(), post(body.clone())));
    running.until_metric("gatemeter_ingest_waiting_events", 20).await;
    assert!(running.logged().await.is_empty(), "nothing is durable yet");
    request.abort();
    assert!(request.await.is_err_and(|error| error.is_cancelled()));
    running.stop().await;
    let running = Running::start(folder.path(), Options::default()).await;
    assert_eq!(running.logged().await.len(), 20);
    assert_eq!(running.send(body).await.accepted(20), 20);
    assert!(copies(&running.logged().await).values().all(|n| *n == 2));
    running.stop().await;
}

#[tokio::test]
async fn not_durable_within_the_limit_is_503_and_the_retry_has_the_same_keys() {
    let mut options = Options::default();
    options.settings.gather_ms = 60_000;
    // Long enough for the event to be submitted on a busy machine.
    options.settings.durable_timeout_ms = 2_000;
    let (folder, running) = Running::fresh_with(options).await;
    let body = event("slow").to_string();
    let answer = running.send(body.clone()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.message().contains("not durable in time"), "{}", answer.message());
    running.stop().await;
    let running = Running::start(folder.path(), Options::default()).await;
    assert_eq!(running.send(body).await.accepted(1), 1);
    assert_eq!(copies(&running.logged().await), HashMap::from([(running.key("slow"), 2)]));
    running.stop().await;
}

/// A body whose connection is reset.
struct Broken(Option<Bytes>);

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let end = || Err(io::Error::from(io::ErrorKind::ConnectionReset));
        Poll::Ready(Some(self.0.take().map_or_else(end, |bytes| Ok(Frame::data(bytes)))))
    }
}

#[tokio::test]
async fn incomplete_body_is_400_and_no_part_of_it_is_accepted() {
    let (_folder, running) = Running::fresh().await;
    let whole = format!("{}\n", event("a"));
    let answer = running.send(Body::new(Broken(Some(whole.into())))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.message().contains("ended early"), "{}", answer.message());
    assert!(running.logged().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn body_parsed_on_a_blocking_thread_has_the_same_answer() {
    let (_folder, running) = Running::fresh().await;
    let padding = " ".repeat(1 << 20);
    let body = format!("{padding}{}", json!([event("a"), Value::Null]));
    let answer = running.send(body).await;
    assert_eq!(answer.accepted(2), 1);
    assert_eq!(running.logged().await.len(), 1);
    let answer = running.send(format!("{padding}[")).await;
    assert_eq!(answer.status, 400);
    tokio::time::timeout(Duration::from_secs(30), running.stop()).await.expect("it ends");
}
