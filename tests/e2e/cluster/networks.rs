//! Brokers whose answers are lost, that take half of a batch, or that take nothing at all.

use std::time::Duration;

use gatemeter_proxy::faults::{Accept, Flow};
use serde_json::{Value, json};

use super::LOAD;
use super::strangers::now_us;
use crate::gatemeter::{post, wait_for};
use crate::stack::{Books, Stack};

/// Events of a probe.
const PROBE: i64 = 1_000;
/// What ingest may hold while nothing is acknowledged, bytes.
const MEMORY_MAX: u64 = 600 << 20;

pub fn brokers_are_slow_or_their_answers_are_lost(stack: &Stack, books: &mut Books) {
    let refused = || {
        let line = "gatemeter_ingest_requests_total{status_code=\"503\"}";
        stack.own("ingest", line)
    };
    let (before, copies) = (refused(), stack.events("duplicate"));
    let sent = stack.under_load("answers of the brokers are lost", books, &LOAD, || {
        stack.kafka.set(|faults| faults.to_client.flow = Flow::Blackhole);
        wait_for("ingest gives up", || refused() > before);
        stack.kafka.heal();
    });
    let drawn = sent["events"]["duplicate"].as_i64().expect("whole");
    let found = stack.events("duplicate") - copies;
    assert!(found > drawn, "what was given up was there all the same: {found} copies");

    let before = refused();
    stack.under_load("half of a batch is delivered", books, &LOAD, || {
        stack.kafka.set(|faults| {
            faults.to_server.n_bytes_left = Some(40_000);
            faults.accept = Accept::Reset;
        });
        stack.kafka.cut();
        wait_for("ingest gives up", || refused() > before);
        stack.kafka.heal();
    });

    // A broker that stands still: too much waits, and the rest is refused at once.
    let flood = [
        "synthetic",
        "--count",
        "300000",
        "--batch",
        "2000",
        "--connections",
        "64",
        "--namespaces",
        "8",
    ];
    stack.signal("kafka", "STOP");
    let flood = stack.load(&flood);
    // More than the room that batches of the flood leave.
    let run = now_us();
    let events: Vec<Value> = (0..PROBE)
        .map(|n| {
            json!({
                "id": format!("probe-{run}-{n}"), "time": now_us(), "namespace": "stranger",
                "upstream": "openai", "method": "POST", "endpoint": "/v1/chat/completions",
                "status": 200, "duration_ms": 1,
            })
        })
        .collect();
    let probe = Value::from(events).to_string();
    wait_for("ingest refuses at once", || {
        let answer = post(stack.port("ingest"), "/v1/events", &[], probe.as_bytes());
        let answer = answer.expect("it answers");
        assert!(stack.memory("ingest") < MEMORY_MAX, "the memory of ingest is bounded");
        answer.status == 503
            && answer.head.to_ascii_lowercase().contains("retry-after")
            && (answer.body.contains("too many events wait") || answer.body.contains("full"))
    });
    std::thread::park_timeout(Duration::from_secs(3));
    assert!(stack.memory("ingest") < MEMORY_MAX, "the memory of ingest is bounded");
    stack.signal("kafka", "CONT");
    books.add(&stack.sent(flood));
    // The probe was refused each time, or taken in the end: it is sent until it is taken.
    wait_for("the probe is taken", || {
        let answer = post(stack.port("ingest"), "/v1/events", &[], probe.as_bytes());
        answer.is_some_and(|answer| answer.status == 200)
    });
    books.counted += PROBE;
    books.requests += PROBE;
    stack.settle("a broker that stands still", books);
}
