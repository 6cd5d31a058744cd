//! The consumer's thread: polls the client, follows the group, and hands records over.
//!
//! It alone touches the client that reads. It never waits for a reader: a partition whose place is
//! full is paused, and polling goes on, so that the group never takes us for dead. Where to start
//! comes from readers only, for they know the ledger; offsets in Kafka are shown to tools and
//! never read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::handoff::{Offer, Place, Wish};
use super::listener::Listener;
use crate::error::QueueError;
use crate::limits::{
    KAFKA_FETCH_WAIT_MS_MAX, KAFKA_FETCHED_KBYTES_MAX, KAFKA_POLL_MS_MAX, KAFKA_SESSION_MS,
    KAFKA_SHOW_SECONDS, KAFKA_STATISTICS_MS,
};
use crate::record::Record;

/// How a consumer comes to its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// A group gives them out and takes them back.
    Group,
    /// It takes what it is asked for and never joins a group.
    Alone,
}

/// What the thread and the readers share.
pub(super) struct Shared {
    pub places: Vec<Place>,
    /// Some place may have a wish.
    pub has_wishes: AtomicBool,
    pub is_stopping: AtomicBool,
}

/// Settings of the client. Every start names its offset and no offset is stored, so that nothing
/// but a reader ever decides where reading goes on.
pub(super) fn settings(config: &ClientConfig, group: &str, membership: Membership) -> ClientConfig {
    let mut config = config.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false")
        // Nothing of ours is transactional, and a stranger's open transaction must not hold up
        // what is behind it.
        .set("isolation.level", "read_uncommitted")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", KAFKA_FETCH_WAIT_MS_MAX.to_string())
        .set("queued.max.messages.kbytes", KAFKA_FETCHED_KBYTES_MAX.to_string());
    if membership == Membership::Group {
        config
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", KAFKA_SESSION_MS.to_string())
            .set("heartbeat.interval.ms", (KAFKA_SESSION_MS / 4).to_string())
            .set("statistics.interval.ms", KAFKA_STATISTICS_MS.to_string());
    }
    config
}

/// The thread's own.
pub(super) struct Poller {
    client: BaseConsumer<Member>,
    shared: Arc<Shared>,
    topic: String,
    membership: Membership,
    /// Number of the start that each partition is fetched for.
    nonces: Vec<Option<u64>>,
    committed_at: Instant,
}

impl Poller {
    /// Sets the client up, and joins the group if there is one. Nothing is read before somebody
    /// asks.
    pub(super) fn new(
        config: &ClientConfig,
        topic: &str,
        membership: Membership,
        shared: Arc<Shared>,
        listener: Listener,
    ) -> Result<Poller, QueueError> {
        let member = Member { topic: topic.to_owned(), shared: Arc::clone(&shared), listener };
        let client: BaseConsumer<Member> =
            config.create_with_context(member).map_err(QueueError::kafka("set up the consumer"))?;
        match membership {
            Membership::Group => {
                client.subscribe(&[topic]).map_err(QueueError::kafka("subscribe to the topic"))?;
            }
            Membership::Alone => shared.places.iter().for_each(Place::assign),
        }
        let nonces = vec![None; shared.places.len()];
        let topic = topic.to_owned();
        Ok(Poller { client, shared, topic, membership, nonces, committed_at: Instant::now() })
    }

    /// Polls until somebody stops it, then leaves the group.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _closed = CloseAtEnd(Arc::clone(&shared));
        while !shared.is_stopping.load(Ordering::Acquire) {
            if shared.has_wishes.swap(false, Ordering::AcqRel) {
                self.fulfil();
            }
            match self.client.poll(Duration::from_millis(KAFKA_POLL_MS_MAX)) {
                None => {}
                Some(Ok(message)) => hand_over(&self, &message),
                Some(Err(error)) => self.disturbed(error),
            }
            if self.committed_at.elapsed() >= Duration::from_secs(KAFKA_SHOW_SECONDS) {
                self.commit_offsets();
            }
        }
        self.commit_offsets();
    }

    /// Does what readers want.
    fn fulfil(&mut self) {
        for at in 0..self.shared.places.len() {
            match self.shared.places[at].wish() {
                None => {}
                Some(Wish::Start { from, nonce }) => self.start(at, from, nonce),
                Some(Wish::Resume) => {
                    let list = self.list(at, Offset::Invalid);
                    self.note(at, self.client.resume(&list), "partition not resumed");
                }
            }
        }
    }

    /// Fetches a partition from another offset on: taken from the client and given anew, for a
    /// seek in a client that has paused or lost its place is not to be trusted.
    fn start(&mut self, at: usize, from: u64, nonce: u64) {
        let list = self.list(at, Offset::Invalid);
        let is_held = match self.client.assignment() {
            Ok(held) => held.find_partition(&self.topic, number(at)).is_some(),
            Err(_) => false,
        };
        if is_held {
            self.note(at, self.client.resume(&list), "partition not resumed");
            self.note(at, self.client.incremental_unassign(&list), "partition not given back");
        }
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        let assigned = self.client.incremental_assign(&self.list(at, offset));
        self.nonces[at] = assigned.is_ok().then_some(nonce);
        self.note(at, assigned, "partition not taken");
    }

    /// A list of one partition.
    fn list(&self, at: usize, offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, number(at), offset)
            .expect("a list takes any of our offsets");
        list
    }

    /// A call that failed disturbs its partition: whoever reads it starts over.
    fn note(&self, at: usize, done: KafkaResult<()>, what: &'static str) {
        if let Err(error) = done {
            tracing::warn!(partition = at, %error, what, "kafka client refused");
            self.shared.places[at].disturb(&Arc::new(error));
        }
    }

    /// Sorts an error of the client: some mean that the log is not what it was.
    fn disturbed(&self, error: KafkaError) {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            self.client.context().listener.fail(&error.to_string());
            return;
        }
        if !concerns_the_log(&error) {
            tracing::debug!(%error, "kafka client recovers from an error");
            return;
        }
        // The error does not say which partition it is about: all are looked at anew.
        tracing::warn!(%error, topic = self.topic, "log metadata must be refreshed");
        let error = Arc::new(error);
        self.shared.places.iter().for_each(|place| place.disturb(&error));
    }

    /// Commits offsets for tools that show a lag.
    fn commit_offsets(&mut self) {
        self.committed_at = Instant::now();
        if self.membership == Membership::Alone {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (at, place) in self.shared.places.iter().enumerate() {
            if let Some(next) = place.take_commit() {
                let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
                list.add_partition_offset(&self.topic, number(at), offset)
                    .expect("a list takes any of our offsets");
            }
        }
        if list.count() > 0
            && let Err(error) = self.client.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offset commit failed");
        }
    }
}

/// Hands a record to the place of its partition.
fn hand_over(poller: &Poller, message: &BorrowedMessage<'_>) {
    let at = usize::try_from(message.partition()).unwrap_or(usize::MAX);
    let Some((place, Some(nonce))) =
        poller.shared.places.get(at).zip(poller.nonces.get(at).copied())
    else {
        return;
    };
    let Ok(offset) = u64::try_from(message.offset()) else { return };
    let record = Record {
        offset,
        append_time_us: message.timestamp().to_millis().unwrap_or(0).saturating_mul(1_000),
        bytes: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        // The client has checked the batch; one that is garbled is never delivered.
        intact: true,
    };
    match place.offer(nonce, record) {
        Offer::Accepted | Offer::Dropped => {}
        Offer::Full => {
            let list = poller.list(at, Offset::Invalid);
            poller.note(at, poller.client.pause(&list), "partition not paused");
        }
        Offer::Again => {
            tracing::warn!(partition = at, offset, "offsets are missing, fetching them again");
            poller.shared.has_wishes.store(true, Ordering::Release);
        }
    }
}

/// Whether an error says that offsets are not where they were, or that the topic is another.
pub(super) fn concerns_the_log(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::LogTruncation
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicId
                | RDKafkaErrorCode::BadMessage
        )
    )
}

fn number(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

/// Tells readers that the thread has ended, however it ended.
struct CloseAtEnd(Arc<Shared>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.places.iter().for_each(Place::close);
    }
}

/// A member of the group, as the client calls it back: on the thread, within a poll.
pub(super) struct Member {
    topic: String,
    shared: Arc<Shared>,
    listener: Listener,
}

impl Member {
    /// The places of a list.
    fn places<'a>(
        &'a self,
        list: &TopicPartitionList,
    ) -> impl Iterator<Item = (usize, &'a Place)> + use<'a> {
        let of_topic = list.elements_for_topic(&self.topic);
        let numbers: Vec<i32> = of_topic.iter().map(|element| element.partition()).collect();
        numbers.into_iter().filter_map(|number| {
            let at = usize::try_from(number).ok()?;
            Some((at, self.shared.places.get(at)?))
        })
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener::line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.global(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let ends: BTreeMap<i32, (i64, i64)> =
            topic.partitions.iter().map(|(n, p)| (*n, (p.lo_offset, p.hi_offset))).collect();
        for (number, (low, high)) in ends {
            let place = usize::try_from(number).ok().and_then(|at| self.shared.places.get(at));
            // Below zero: nothing is known yet.
            if let (Some(place), Ok(low), Ok(high)) =
                (place, u64::try_from(low), u64::try_from(high))
            {
                place.seen(low, high);
            }
        }
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Offsets in Kafka are never read: a partition waits at its end for a reader that
            // says where to start, and nothing before that is accepted.
            let mut at_end = TopicPartitionList::new();
            for (at, place) in self.places(list) {
                at_end
                    .add_partition_offset(&self.topic, number(at), Offset::End)
                    .expect("a list takes any of our offsets");
                place.assign();
                tracing::info!(partition = at, topic = self.topic, "partition assigned");
            }
            client.incremental_assign(&at_end)
        } else {
            for (at, place) in self.places(list) {
                place.revoke();
                tracing::info!(partition = at, topic = self.topic, "partition revoked");
            }
            client.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::error!(%error, topic = self.topic, "group assignment failed");
        }
    }
}
