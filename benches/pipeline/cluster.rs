//! The roles on a real Kafka and a real MariaDB: from the topic of the log to committed counters,
//! and from the raw topic of JSON to committed counters, with an event a message and with 500; CPU
//! of all processes of ours together.
//!
//! Each round has a stack of scripts/stack.sh of its own. What is measured waits in its topic
//! before the processes that work on it start, so that nobody who sends takes their time. Baselines
//! are of the same round and the same topic: reading and decoding the frames from Kafka, reading
//! single messages with librdkafka, and the peer in Go, which counts them; and reading as many JSON
//! events with serde_json.

mod raw;
mod stack;

use std::time::Instant;

use clock::Wall;
use event::frame::FrameReader;
use queue::{KafkaOptions, Queue};

use crate::cpu::{child_nanos, own_nanos};
use crate::events::json;
use crate::process::wait_events;
use crate::recording;
use crate::rounds::{ROUNDS, Rounds, median};
use crate::targets::{Target, Targets};
use crate::{ingest, per_event, row};

use raw::{Ends, Peer};
use stack::{Sent, Stack, Way};

/// Events of each part of a round.
const EVENTS: u64 = 1_000_000;
/// How often librdkafka and the peer read the topic in a round: each takes a second at most, in
/// which anything else on the machine would show.
const READS: usize = 3;
/// The topic that ingest reads JSON from.
const RAW_TOPIC: &str = "gatemeter.raw";
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
const LIBRDKAFKA: &str = "librdkafka reading single events";

/// What the rounds found.
#[derive(Default)]
struct Found {
    log: Rounds,
    frame_bytes: Vec<f64>,
    frame_rows: Vec<f64>,
    message_bytes: Vec<f64>,
    reads: Vec<f64>,
    peer_to_read: Rounds,
    single_to_peer: Rounds,
    single_to_read: Rounds,
    batches_to_read: Rounds,
    batches_to_serde: Rounds,
    idle: Vec<f64>,
}

/// Measures and prints.
pub fn run(targets: &mut Targets) {
    let (peer, mut found) = (Peer::find(), Found::default());
    // One round is enough for a profile.
    for _ in 0..if recording::is_on() { 1 } else { ROUNDS } {
        let stack = Stack::up();
        log(&stack, &mut found);
        raw(&stack, &peer, &mut found);
    }
    found.log.print(
        "Kafka to committed counters, with consumers",
        "reading and decoding the frames from Kafka",
    );
    let (frame_bytes, rows) = (median(&found.frame_bytes), median(&found.frame_rows));
    row(
        "an event of `replay synthetic` in its frame",
        &format!("{frame_bytes:.1} B, {rows:.2} rows"),
        "",
        "",
    );
    let (read, bytes) = (median(&found.reads), median(&found.message_bytes));
    row(
        &format!("{LIBRDKAFKA} of {bytes:.0} B from the raw topic"),
        &format!("{read:.0} ns"),
        &format!("{:.0} events", 1e9 / read),
        "",
    );
    let peer_line = "Go peer on the raw topic, one event a message, exact dedup";
    match peer.missing() {
        None => found.peer_to_read.print(peer_line, LIBRDKAFKA),
        Some(why) => row(peer_line, &format!("not measured: {why}"), "", ""),
    }
    let single = "raw topic to committed counters, one event a message, ingest and aggregator";
    if peer.missing().is_none() {
        found.single_to_peer.print(single, "the Go peer");
    }
    found.single_to_read.print(single, LIBRDKAFKA);
    let batches = "raw topic to committed counters, 500 events a message, ingest and aggregator";
    found.batches_to_read.print(batches, LIBRDKAFKA);
    found.batches_to_serde.print(batches, "reading the JSON with serde_json");
    row("aggregator without work", &format!("{:.1} ms per second", median(&found.idle)), "", "");

    match peer.missing() {
        None => targets.set(Target::RawSingle, found.single_to_peer.ratio()),
        Some(why) => targets.skip(Target::RawSingle, why),
    }
    targets.set(Target::RawBatches, found.batches_to_read.ratio());
    targets.set(Target::Kafka, found.log.ratio());
    targets.set(Target::FrameBytes, frame_bytes);
}

/// A round from the topic of the log: the CPU time of the aggregator from its start.
fn log(stack: &Stack, found: &mut Found) {
    stack.stop("aggregator");
    let sent = stack.send(&Way::Http, EVENTS);
    let began = Instant::now();
    let recording = recording::begin("kafka");
    stack.start();
    let seen = counted(sent.events.all(), began, EVENTS);
    if let Some(recording) = recording {
        recording.end(&[stack.pid("aggregator")], EVENTS);
    }
    let nanos = child_nanos(stack.pid("aggregator"));
    let Decoded { nanos: base, bytes, rows } = decode();
    found.log.add(per_event(nanos, EVENTS), per_event(base, EVENTS), seen);
    found.frame_bytes.push(bytes as f64 / EVENTS as f64);
    found.frame_rows.push(rows as f64 / EVENTS as f64);
}

/// A round from the raw topic in both forms, after one from the log. The aggregator keeps running;
/// it has nothing to do until ingest starts.
fn raw(stack: &Stack, peer: &Peer, found: &mut Found) {
    let (sent, from) = fill(stack, &Way::RawSingle, found);
    let n_single = sent.events.all();
    let (mut reads, mut peers, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..READS {
        let read = raw::read(&from, n_single);
        found.message_bytes.push(read.bytes as f64 / n_single as f64);
        reads.push(per_event(read.nanos, n_single));
        let began = Instant::now();
        if let Some(nanos) = peer.count(&from, &sent) {
            peers.push(per_event(nanos, n_single));
            rates.push(n_single as f64 / began.elapsed().as_secs_f64());
        }
    }
    let read = median(&reads);
    found.reads.push(read);
    let (single, seen) = take(stack, "raw", n_single, EVENTS + n_single);
    if !peers.is_empty() {
        found.peer_to_read.add(median(&peers), read, median(&rates));
        found.single_to_peer.add(single, median(&peers), seen);
    }
    found.single_to_read.add(single, read, seen);

    let (sent, _) = fill(stack, &Way::RawBatches, found);
    let n_batches = sent.events.all();
    let (batches, seen) = take(stack, "raw-batches", n_batches, EVENTS + n_single + n_batches);
    found.batches_to_read.add(batches, read, seen);
    found.batches_to_serde.add(batches, per_event(serde(EVENTS), EVENTS), seen);
}

/// Stops ingest and sends to the raw topic; where the partitions ended before that.
fn fill(stack: &Stack, way: &Way, found: &mut Found) -> (Sent, Ends) {
    stack.stop("ingest");
    let from = Ends::now();
    let aggregator = stack.pid("aggregator");
    let (before, began) = (child_nanos(aggregator), Instant::now());
    let sent = stack.send(way, EVENTS);
    let idle = (child_nanos(aggregator) - before) as f64 / 1e6;
    found.idle.push(idle / began.elapsed().as_secs_f64());
    (sent, from)
}

/// Starts ingest and waits until what waits in the raw topic is counted, and with it `all` that
/// was ever sent. `path` is its name in a recording. Nanoseconds of both roles for each of its
/// events, and events per second.
fn take(stack: &Stack, path: &str, n_events: u64, all: u64) -> (f64, f64) {
    let before = child_nanos(stack.pid("aggregator"));
    let began = Instant::now();
    let recording = recording::begin(path);
    stack.start();
    let seen = counted(all, began, n_events);
    if let Some(recording) = recording {
        recording.end(&["ingest", "aggregator"].map(|name| stack.pid(name)), n_events);
    }
    let both = child_nanos(stack.pid("ingest")) + child_nanos(stack.pid("aggregator"));
    (per_event(both - before, n_events), seen)
}

/// Waits until `all` events are counted or known as duplicates; events per second, for `n_events`
/// that were new since `began`.
fn counted(all: u64, began: Instant, n_events: u64) -> f64 {
    let done = wait_events(Stack::port(8002), &["counted", "duplicate"], all);
    n_events as f64 / done.duration_since(began).as_secs_f64()
}

/// CPU time for reading as many events as JSON.
fn serde(n_events: u64) -> u128 {
    let now_us = Wall::now().as_us();
    let bodies: Vec<String> = (0..n_events / 500)
        .map(|body| {
            let events: Vec<String> = (0..500).map(|n| json(body * 500 + n, now_us)).collect();
            format!("[{}]", events.join(","))
        })
        .collect();
    let began = own_nanos();
    let n: usize = bodies.iter().map(|body| ingest::read_with_serde(body)).sum();
    assert_eq!(n as u64, n_events);
    own_nanos() - began
}

/// The log, read and decoded.
struct Decoded {
    nanos: u128,
    bytes: u64,
    rows: u64,
}

/// CPU time for reading the log from Kafka and decoding every event, and what its frames take.
fn decode() -> Decoded {
    let options = KafkaOptions {
        brokers: Stack::brokers(),
        partitions: 6,
        replication_factor: 1,
        ..KafkaOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let log = Queue::open_kafka_read_only(&options).await.expect("the log");
        let began = own_nanos();
        let (mut reader, mut n_events) = (FrameReader::default(), 0);
        let mut decoded = Decoded { nanos: 0, bytes: 0, rows: 0 };
        for partition in 0..log.partitions() {
            let high = log.watermarks(partition).await.expect("ends").high;
            let mut next = 0;
            while next < high {
                let records = log.read(partition, next, READ_BYTES_MAX).await.expect("records");
                for record in &records {
                    let view = reader.read(&record.bytes).expect("a frame");
                    for idx in 0..view.len() {
                        let labels = view.labels(idx).expect("labels");
                        std::hint::black_box(view.facts(idx, labels.source));
                    }
                    n_events += view.len() as u64;
                    decoded.bytes += record.bytes.len() as u64;
                    decoded.rows += view.rows().len() as u64;
                    next = record.offset + 1;
                }
            }
        }
        assert_eq!(n_events, EVENTS);
        decoded.nanos = own_nanos() - began;
        log.close().await;
        decoded
    })
}
