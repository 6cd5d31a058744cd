//! Others that read the raw topic: librdkafka, which drops what it reads, and the peer in Go, which
//! counts it. Both read what was sent since a moment, and do not join the group of ingest.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::RAW_TOPIC;
use super::stack::{Sent, Stack, Tokens};
use crate::cpu::own_nanos;

/// How long the broker may take for an answer or the next message.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Ends of the partitions of the topic: the offsets of the next messages.
pub struct Ends(Vec<i64>);

impl Ends {
    /// The ends as they are now.
    pub fn now() -> Ends {
        let consumer = consumer();
        let found = consumer.fetch_metadata(Some(RAW_TOPIC), TIMEOUT).expect("the topic");
        let partitions = found.topics()[0].partitions().iter();
        let end =
            |partition| consumer.fetch_watermarks(RAW_TOPIC, partition, TIMEOUT).expect("an end").1;
        Ends(partitions.map(|partition| end(partition.id())).collect())
    }

    fn pairs(&self) -> impl Iterator<Item = (i32, i64)> {
        (0..).zip(self.0.iter().copied())
    }
}

fn consumer() -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", Stack::brokers())
        .set("group.id", "gatemeter.bench")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    config.create().expect("a consumer")
}

/// What librdkafka read.
pub struct Read {
    /// Bytes of the messages.
    pub bytes: u64,
    /// CPU time of all threads of the client, from its start to the last message.
    pub nanos: u128,
}

/// Reads messages and drops them, with the client's default settings: larger or smaller fetches and
/// queues cost as much or more. Messages are taken one by one, for `rdkafka` has no call for many;
/// librdkafka's own takes the lock of the queue for each of them as well.
pub fn read(from: &Ends, n_messages: u64) -> Read {
    let before = own_nanos();
    let consumer = consumer();
    let mut partitions = TopicPartitionList::new();
    for (partition, offset) in from.pairs() {
        let added = partitions.add_partition_offset(RAW_TOPIC, partition, Offset::Offset(offset));
        added.expect("an offset");
    }
    consumer.assign(&partitions).expect("assigned");
    let mut bytes = 0;
    for _ in 0..n_messages {
        let message = consumer.poll(TIMEOUT).expect("in time").expect("a message");
        bytes += message.payload_len() as u64;
    }
    Read { bytes, nanos: own_nanos() - before }
}

/// The peer in Go, or why there is none.
pub struct Peer(Result<PathBuf, String>);

/// What the peer prints.
#[derive(Deserialize)]
struct Counted {
    events: u64,
    unique: u64,
    attempts: u64,
    requests: u64,
    tokens: Tokens,
    cpu_nanos: u64,
}

impl Peer {
    /// The peer that scripts/bench.sh has built.
    pub fn find() -> Peer {
        let missing = std::env::var("GATEMETER_PEER_MISSING")
            .unwrap_or_else(|_| "scripts/bench.sh builds the peer in Go".to_owned());
        Peer(std::env::var_os("GATEMETER_PEER").map(PathBuf::from).ok_or(missing))
    }

    /// Why there is none.
    pub fn missing(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    /// Lets it count what was sent, and checks every total; its CPU time, if there is one.
    pub fn count(&self, from: &Ends, sent: &Sent) -> Option<u128> {
        let program = self.0.as_ref().ok()?;
        let from: Vec<String> =
            from.pairs().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
        let counted = Command::new(program)
            .args(["-brokers", &Stack::brokers(), "-topic", RAW_TOPIC, "-from", &from.join(",")])
            .args(["-events", &sent.events.all().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("the peer runs");
        assert!(counted.status.success(), "the peer failed");
        let counted: Counted = serde_json::from_slice(&counted.stdout).expect("its totals");
        assert_eq!(counted.events, sent.events.all(), "events that the peer read");
        assert_eq!(counted.unique, sent.events.counted, "events without duplicates");
        assert_eq!(counted.attempts, sent.attempts, "attempts that the peer counted");
        assert_eq!(counted.requests, sent.requests, "requests that the peer counted");
        assert_eq!(counted.tokens, sent.tokens, "tokens that the peer counted");
        Some(u128::from(counted.cpu_nanos))
    }
}
