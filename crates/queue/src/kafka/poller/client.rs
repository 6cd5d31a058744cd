//! The consumer client of a poller and its callbacks.
//!
//! Callbacks run on the poller's thread, within a poll or while the client is dropped. A partition
//! that is assigned waits at its end until the handler has decided where to start: offsets that a
//! group keeps in Kafka are never applied by the client itself.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use kafka_id::seen_ends;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::error::QueueError;
use crate::kafka::listener::Listener;
use crate::limits::{
    KAFKA_ANSWER_SECONDS_MAX, KAFKA_FETCH_WAIT_MS_MAX, KAFKA_FETCHED_KBYTES_MAX, KAFKA_SESSION_MS,
};

/// Longest wait for an answer of the brokers.
const ANSWER_MAX: Duration = Duration::from_secs(KAFKA_ANSWER_SECONDS_MAX);

/// A partition: index of its topic in [`Assignment::topics`], and its number.
pub(crate) type Key = (usize, i32);

/// How a consumer comes to its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    /// A group assigns and revokes them.
    Group,
    /// It reads what it is asked for and never joins a group.
    Alone,
}

/// The partitions of this member, as the callbacks of the client change them.
pub(crate) trait Assignment: Send + Sync + 'static {
    /// Names of the topics.
    fn topics(&self) -> &[String];

    /// The group has assigned these partitions. None of them has started.
    fn assign(&self, keys: &[Key]);

    /// The group has revoked these partitions.
    fn revoke(&self, keys: &[Key]);

    /// Lowest offset and the next to be written, as the client's statistics report them.
    fn ends(&self, _key: Key, _low: u64, _high: u64) {}

    /// The offsets that are to be committed: those that changed since the last call.
    fn take_offsets(&self) -> TopicPartitionList;

    /// An offset commit failed.
    fn commit_failed(&self) {}

    /// The thread has ended.
    fn close(&self) {}
}

/// Settings that every consumer has. Every start names its offset and no offset is stored by the
/// client, so that nothing but a handler ever decides where reading goes on.
pub(crate) fn settings(config: &ClientConfig, group: &str, membership: Membership) -> ClientConfig {
    let mut config = config.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", KAFKA_FETCH_WAIT_MS_MAX.to_string())
        .set("queued.max.messages.kbytes", KAFKA_FETCHED_KBYTES_MAX.to_string());
    if membership == Membership::Group {
        config
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", KAFKA_SESSION_MS.to_string())
            .set("heartbeat.interval.ms", (KAFKA_SESSION_MS / 4).to_string());
    }
    config
}

/// The client of a poller, used by its thread only.
pub(crate) struct Client<A: Assignment> {
    consumer: BaseConsumer<Context<A>>,
    config: ClientConfig,
    membership: Membership,
    shared: Arc<A>,
    listener: Listener,
    topics: Vec<CString>,
    /// The partitions that are paused.
    paused: BTreeSet<Key>,
    /// Whether the last call to pause or resume partitions failed.
    is_flow_refused: bool,
    /// Whether a partition was started since this was last asked.
    was_started: bool,
}

impl<A: Assignment> Client<A> {
    /// Sets the client up, and joins the group if there is one. Nothing is read before a start.
    ///
    /// # Errors
    /// [`QueueError::Kafka`] if the settings are refused.
    pub(crate) fn new(
        config: ClientConfig,
        membership: Membership,
        shared: Arc<A>,
        listener: Listener,
    ) -> Result<Client<A>, QueueError> {
        let consumer = connect(&config, membership, &shared, &listener)?;
        let topics = shared.topics().iter();
        let topics = topics.map(|name| CString::new(name.as_str()).unwrap_or_default()).collect();
        Ok(Client {
            consumer,
            config,
            membership,
            shared,
            listener,
            topics,
            paused: BTreeSet::new(),
            is_flow_refused: false,
            was_started: false,
        })
    }

    /// What the callbacks change.
    pub(crate) fn shared(&self) -> &Arc<A> {
        &self.shared
    }

    pub(super) fn poll(&self, wait_max: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.consumer.poll(wait_max)
    }

    /// The client can do nothing more.
    pub(super) fn fail(&self, reason: &str) {
        self.listener.fail(reason);
    }

    /// Fetches a partition from an offset on. It is taken from the client and assigned anew, for a
    /// seek in a client that has paused the partition or lost its position is not to be trusted.
    /// It is not paused then.
    ///
    /// # Errors
    /// What the client refused; the partition may then be assigned or not, until the next start.
    pub(crate) fn start(&mut self, key: Key, from: i64) -> KafkaResult<()> {
        let (topic, number) = (self.shared.topics()[key.0].as_str(), key.1);
        let list = list_of(topic, [number], Offset::Invalid);
        if self.consumer.assignment()?.find_partition(topic, number).is_some() {
            // A pause would outlast the assignment.
            self.consumer.resume(&list)?;
            self.consumer.incremental_unassign(&list)?;
        }
        self.consumer.incremental_assign(&list_of(topic, [number], Offset::Offset(from)))?;
        self.paused.remove(&key);
        self.was_started = true;
        Ok(())
    }

    /// Whether a partition was started since the last call.
    pub(super) fn take_started(&mut self) -> bool {
        std::mem::take(&mut self.was_started)
    }

    /// Whether the last call of `pause_only` failed.
    pub(super) fn is_flow_refused(&self) -> bool {
        self.is_flow_refused
    }

    /// Whether any partition is paused.
    pub(crate) fn has_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    /// Pauses these partitions and resumes all others. One that was revoked while it was paused is
    /// resumed as well, which does nothing.
    ///
    /// # Errors
    /// What the client refused, and for which partitions.
    pub(super) fn pause_only(
        &mut self,
        full: &BTreeSet<Key>,
    ) -> Result<(), (Vec<Key>, KafkaError)> {
        self.is_flow_refused = true;
        let resumed: Vec<Key> = self.paused.difference(full).copied().collect();
        if !resumed.is_empty() {
            let done = self.consumer.resume(&self.list(&resumed));
            done.map_err(|error| (resumed.clone(), error))?;
            self.paused.retain(|key| full.contains(key));
        }
        let paused: Vec<Key> = full.difference(&self.paused).copied().collect();
        if !paused.is_empty() {
            let done = self.consumer.pause(&self.list(&paused));
            done.map_err(|error| (paused.clone(), error))?;
            self.paused.extend(paused);
        }
        self.is_flow_refused = false;
        Ok(())
    }

    /// Commits the offsets that changed. Nothing happens without a group.
    pub(crate) fn commit(&self, mode: CommitMode) {
        if self.membership == Membership::Group {
            commit(&self.consumer, self.shared.as_ref(), mode);
        }
    }

    /// Leaves the group and joins it with a new client, which has none of the old one's state.
    ///
    /// # Errors
    /// As [`Client::new`]; the old client is kept then.
    pub(crate) fn rejoin(&mut self) -> Result<(), QueueError> {
        self.commit(CommitMode::Sync);
        self.consumer = connect(&self.config, self.membership, &self.shared, &self.listener)?;
        self.paused.clear();
        Ok(())
    }

    /// The offset of a partition that is committed in Kafka, in a list of one.
    ///
    /// # Errors
    /// [`KafkaError`] if no broker answers in time.
    pub(crate) fn committed(&self, key: Key) -> KafkaResult<TopicPartitionList> {
        self.consumer.committed_offsets(self.list(&[key]), ANSWER_MAX)
    }

    /// The oldest offset and the next to be written, as the brokers answer.
    ///
    /// # Errors
    /// [`KafkaError`] if no broker answers in time.
    pub(crate) fn watermarks(&self, key: Key) -> KafkaResult<(i64, i64)> {
        self.consumer.fetch_watermarks(&self.shared.topics()[key.0], key.1, ANSWER_MAX)
    }

    /// The offset that the client delivers next, or -1.
    pub(crate) fn position(&self, key: Key) -> i64 {
        let topic = self.shared.topics()[key.0].as_str();
        let positions = self.consumer.position();
        let found = positions.as_ref().ok().and_then(|all| all.find_partition(topic, key.1));
        match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => -1,
        }
    }

    /// The next offset to be written as of the last fetch, or -1.
    pub(crate) fn fetched_high(&self, key: Key) -> i64 {
        let ends = seen_ends(self.consumer.client(), &self.topics[key.0], key.1);
        ends.map_or(-1, |(_, high)| high)
    }

    fn list(&self, keys: &[Key]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(keys.len());
        for (topic, number) in keys {
            list.add_partition(&self.shared.topics()[*topic], *number);
        }
        list
    }
}

/// A client that is a member of the group, if there is one.
fn connect<A: Assignment>(
    config: &ClientConfig,
    membership: Membership,
    shared: &Arc<A>,
    listener: &Listener,
) -> Result<BaseConsumer<Context<A>>, QueueError> {
    let context = Context { shared: Arc::clone(shared), listener: listener.clone() };
    let consumer: BaseConsumer<Context<A>> =
        config.create_with_context(context).map_err(QueueError::kafka("set up the consumer"))?;
    if membership == Membership::Group {
        let topics: Vec<&str> = shared.topics().iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(QueueError::kafka("subscribe to the topics"))?;
    }
    Ok(consumer)
}

fn commit<A: Assignment>(consumer: &BaseConsumer<Context<A>>, shared: &A, mode: CommitMode) {
    let list = shared.take_offsets();
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, mode)
    {
        tracing::debug!(%error, "offset commit failed");
        shared.commit_failed();
    }
}

/// The callbacks of the client.
struct Context<A> {
    shared: Arc<A>,
    listener: Listener,
}

impl<A: Assignment> Context<A> {
    /// The partitions of a list that belong to our topics.
    fn keys(&self, list: &TopicPartitionList) -> Vec<Key> {
        let elements = list.elements();
        let key = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let topic = self.shared.topics().iter().position(|topic| topic == element.topic())?;
            Some((topic, element.partition()))
        };
        elements.iter().filter_map(key).collect()
    }
}

impl<A: Assignment> ClientContext for Context<A> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener::line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.global(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        for (topic, name) in self.shared.topics().iter().enumerate() {
            let Some(of_topic) = statistics.topics.get(name) else { continue };
            for (number, ends) in &of_topic.partitions {
                // Below zero: not known yet.
                let low = u64::try_from(ends.lo_offset);
                let high = u64::try_from(ends.hi_offset);
                if let (Ok(low), Ok(high)) = (low, high) {
                    self.shared.ends((topic, *number), low, high);
                }
            }
        }
    }
}

impl<A: Assignment> ConsumerContext for Context<A> {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let keys = self.keys(list);
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Nothing that is delivered before the start is accepted.
            let mut at_end = TopicPartitionList::with_capacity(keys.len());
            for (topic, partition) in &keys {
                let topic = self.shared.topics()[*topic].as_str();
                at_end
                    .add_partition_offset(topic, *partition, Offset::End)
                    .expect("a list takes any of our offsets");
                tracing::info!(topic, partition, "partition assigned");
            }
            self.shared.assign(&keys);
            consumer.incremental_assign(&at_end)
        } else {
            commit(consumer, self.shared.as_ref(), CommitMode::Async);
            self.shared.revoke(&keys);
            for (topic, partition) in &keys {
                let topic = self.shared.topics()[*topic].as_str();
                tracing::info!(topic, partition, "partition revoked");
            }
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::error!(%error, topics = ?self.shared.topics(), "group assignment failed");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offset commit failed");
            self.shared.commit_failed();
        }
    }
}

/// Partitions of a topic, each with this offset.
pub(crate) fn list_of(
    topic: &str,
    numbers: impl IntoIterator<Item = i32>,
    offset: Offset,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for number in numbers {
        list.add_partition_offset(topic, number, offset).expect("a list takes any of our offsets");
    }
    list
}
