//! Brokers whose answers are lost, that take half of a batch, or that take nothing at all.

use std::time::{Duration, Instant};

use clock::Wall;
use proxy::faults::{Accept, Flow};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::LOAD;
use super::strangers::with_messages_of;
use crate::gatemeter::{post, wait_for};
use crate::stack::{Books, Stack};

/// Events of a probe.
const PROBE: i64 = 1_000;
/// What ingest may hold while nothing is acknowledged, bytes.
const MEMORY_MAX: u64 = 600 << 20;
/// What it may grow by once it refuses, bytes.
const GROWTH_MAX: u64 = 48 << 20;
/// Events of a batch of which a part is delivered: more than there are partitions.
const TORN: i64 = 8;
/// Events of which every partition gets some.
const EVERYWHERE: i64 = 300;

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

    half_of_the_partitions_refuse(stack, books);
    broker_stands_still(stack, books);
}

/// The broker takes the records of some partitions of a batch, and refuses those of the others as
/// too large: the whole is refused, and a second try counts each event once.
fn half_of_the_partitions_refuse(stack: &Stack, books: &mut Books) {
    let send = |events: &[Value]| {
        let body = Value::from(events).to_string();
        post(stack.port("ingest"), "/v1/events", &[], body.as_bytes()).expect("it answers").status
    };
    // Frames of one event pass below some size, and frames of two do not.
    let is_torn = (300..1_000).step_by(50).any(|bytes_max| {
        let batch = events(&format!("torn-{bytes_max}"), TORN);
        let copies = stack.events("duplicate");
        let status = with_messages_of(stack, bytes_max, || send(&batch));
        assert!(status == 503 || status == 200, "{status}");
        assert_eq!(send(&batch), 200, "the broker takes everything again");
        // What comes behind the copies is counted after them.
        assert_eq!(send(&events(&format!("behind-{bytes_max}"), EVERYWHERE)), 200);
        books.counted += TORN + EVERYWHERE;
        books.requests += TORN + EVERYWHERE;
        stack.settle("part of a batch is refused", books);
        let delivered = stack.events("duplicate") - copies;
        assert_eq!(status == 200, delivered == TORN, "200 means all, and nothing else does");
        delivered > 0 && delivered < TORN
    });
    assert!(is_torn, "no batch was delivered in part");
}

/// Events without usage, of consumers whose names cannot be compressed.
fn events(name: &str, n: i64) -> Vec<Value> {
    let run = Wall::now().as_us();
    let event = |n| {
        let id = format!("{name}-{run}-{n}");
        let consumer: String =
            Sha256::digest(&id).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "id": id, "time": Wall::now().as_us(), "namespace": "stranger", "upstream": "openai",
            "method": "POST", "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 1,
            "consumer": consumer,
        })
    };
    (0..n).map(event).collect()
}

/// A broker that stands still: too much waits, and the rest is refused at once.
fn broker_stands_still(stack: &Stack, books: &mut Books) {
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
    let probe = Value::from(events("probe", PROBE)).to_string();
    wait_for("ingest refuses at once", || {
        let answer = post(stack.port("ingest"), "/v1/events", &[], probe.as_bytes());
        let answer = answer.expect("it answers");
        assert!(stack.memory("ingest") < MEMORY_MAX, "the memory of ingest is bounded");
        answer.status == 503
            && answer.head.to_ascii_lowercase().contains("retry-after")
            && ["too many events wait to be written", "the queue is full"]
                .iter()
                .any(|reason| answer.body.contains(reason))
    });
    let (full, began) = (stack.memory("ingest"), Instant::now());
    while began.elapsed() < Duration::from_secs(4) {
        let grown = stack.memory("ingest").saturating_sub(full);
        assert!(grown < GROWTH_MAX, "memory stays where it was: {grown} more than {full}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
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
