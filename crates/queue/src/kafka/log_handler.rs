//! How the poller reads the log: each partition starts where its reader asks, and records go to
//! the reader's slot.
//!
//! Where to start comes from readers only, because they know the ledger. Offsets are committed to
//! Kafka for tools that show a lag, and never read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::CommitMode;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::handoff::{Offer, Request, Slot};
use super::poller::{self, Assignment, Client, Handler, Key, Membership};
use crate::limits::{KAFKA_SHOW_SECONDS, KAFKA_STATISTICS_MS};
use crate::record::Record;

/// The slots of all partitions, shared by the poller's thread and the readers.
pub(super) struct Slots {
    topic: [String; 1],
    slots: Vec<Slot>,
    /// A reader may have requested a start or made room.
    has_requests: AtomicBool,
}

impl Slots {
    pub(super) fn new(topic: String, partitions: u32) -> Slots {
        let slots = (0..partitions).map(|_| Slot::new()).collect();
        Slots { topic: [topic], slots, has_requests: AtomicBool::new(false) }
    }

    pub(super) fn all(&self) -> &[Slot] {
        &self.slots
    }

    /// Has the thread check the readers' requests before its next poll.
    pub(super) fn notify(&self) {
        self.has_requests.store(true, Ordering::Release);
    }

    fn of(&self, keys: &[Key]) -> impl Iterator<Item = &Slot> {
        keys.iter().filter_map(|(_, number)| self.slots.get(usize::try_from(*number).ok()?))
    }
}

impl Assignment for Slots {
    fn topics(&self) -> &[String] {
        &self.topic
    }

    fn assign(&self, keys: &[Key]) {
        self.of(keys).for_each(Slot::assign);
    }

    fn revoke(&self, keys: &[Key]) {
        self.of(keys).for_each(Slot::revoke);
    }

    fn ends(&self, key: Key, low: u64, high: u64) {
        self.of(&[key]).for_each(|slot| slot.ends_seen(low, high));
    }

    fn take_offsets(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (idx, slot) in self.slots.iter().enumerate() {
            if let Some(next) = slot.take_commit() {
                list.add_partition_offset(
                    &self.topic[0],
                    number(idx),
                    Offset::Offset(signed(next)),
                )
                .expect("a list takes any of our offsets");
            }
        }
        list
    }

    fn close(&self) {
        self.slots.iter().for_each(Slot::close);
    }
}

/// Reads the log.
pub(super) struct LogHandler {
    slots: Arc<Slots>,
    /// Number of the start that each partition is fetched for.
    starts: Vec<Option<u64>>,
    flow_changed: bool,
}

impl LogHandler {
    pub(super) fn new(slots: Arc<Slots>) -> LogHandler {
        let starts = vec![None; slots.slots.len()];
        LogHandler { slots, starts, flow_changed: false }
    }

    fn start(&mut self, client: &mut Client<Slots>, idx: usize, request: &Request) {
        let started = client.start((0, number(idx)), signed(request.from));
        self.starts[idx] = started.is_ok().then_some(request.start);
        if let Err(error) = started {
            self.reset(idx, &Arc::new(error), "partition not started");
        }
    }

    /// A call for a partition failed: its reader has to start over.
    fn reset(&self, idx: usize, error: &Arc<KafkaError>, what: &'static str) {
        if self.slots.slots[idx].reset(error) {
            tracing::warn!(partition = idx, %error, what, "kafka client refused");
        }
    }
}

impl Handler for LogHandler {
    type Assignment = Slots;
    const COMMIT_EVERY: Duration = Duration::from_secs(KAFKA_SHOW_SECONDS);
    const LAST_COMMIT: CommitMode = CommitMode::Async;

    fn before_poll(&mut self, client: &mut Client<Slots>) {
        if !self.slots.has_requests.swap(false, Ordering::AcqRel) {
            return;
        }
        // A reader may have made room.
        self.flow_changed = true;
        for idx in 0..self.starts.len() {
            if let Some(request) = self.slots.slots[idx].take_request() {
                self.start(client, idx, &request);
            }
        }
    }

    fn message(&mut self, message: &BorrowedMessage<'_>) -> ControlFlow<()> {
        let idx = usize::try_from(message.partition()).unwrap_or(usize::MAX);
        let start = self.starts.get(idx).copied().flatten();
        let (Some(start), Ok(offset)) = (start, u64::try_from(message.offset())) else {
            return ControlFlow::Break(());
        };
        let record = Record {
            offset,
            append_time_us: message.timestamp().to_millis().unwrap_or(0).saturating_mul(1_000),
            bytes: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            // The client has checked the batch and never delivers a damaged one.
            intact: true,
        };
        match self.slots.slots[idx].offer(start, record) {
            Offer::Accepted | Offer::Dropped => {}
            Offer::Full => self.flow_changed = true,
            Offer::Refetch => {
                tracing::warn!(partition = idx, offset, "offsets are missing, fetching them again");
                self.slots.notify();
            }
        }
        // A record is a frame of many events: what a round costs is shared by them already, and a
        // request of a reader is seen before the next record.
        ControlFlow::Break(())
    }

    fn flow_changed(&mut self) -> bool {
        std::mem::take(&mut self.flow_changed)
    }

    fn full(&self) -> BTreeSet<Key> {
        let slots = self.slots.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.is_full()).map(|(idx, _)| (0, number(idx))).collect()
    }

    fn flow_refused(&mut self, keys: &[Key], error: KafkaError) {
        let error = Arc::new(error);
        for idx in keys.iter().filter_map(|(_, number)| usize::try_from(*number).ok()) {
            self.reset(idx, &error, "partition not paused or resumed");
        }
    }

    fn log_changed(&mut self, error: KafkaError) {
        let error = Arc::new(error);
        for slot in self.slots.all() {
            slot.reset(&error);
        }
    }
}

/// Settings of the client that reads the log.
pub(super) fn settings(config: &ClientConfig, group: &str, membership: Membership) -> ClientConfig {
    let mut config = poller::settings(config, group, membership);
    // Nothing of ours is transactional, and a foreign transaction that stays open must not hold
    // up what is behind it.
    config.set("isolation.level", "read_uncommitted");
    if membership == Membership::Group {
        config.set("statistics.interval.ms", KAFKA_STATISTICS_MS.to_string());
    }
    config
}

fn number(idx: usize) -> i32 {
    i32::try_from(idx).unwrap_or(i32::MAX)
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
