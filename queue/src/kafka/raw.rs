//! Reads messages that others publish straight to Kafka, as a member of the group of ingests.
//!
//! These topics have no ledger: where reading goes on is an offset in Kafka, and it only moves
//! behind messages of which the caller has said that they are durable elsewhere. Whatever ends in
//! between, a message comes again and none is passed over; what the brokers deleted before it was
//! read is counted as lost. Each start of a partition has a number, so that word of a message from
//! before it was lost to another member changes nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot, watch};

use super::listener::Listener;
use super::options::KafkaOptions;
use super::poller::{Membership, concerns_the_log, settings};
use super::question::Questions;
use super::raw_parts::{Part, Place, RawMark, RawMessage, Shared, signed};
use super::topic::{self, Layout};
use crate::error::QueueError;
use crate::limits::{
    KAFKA_ANSWER_SECONDS_MAX, KAFKA_CLOSE_SECONDS_MAX, KAFKA_POLL_MS_MAX, KAFKA_SHOW_SECONDS,
};

/// Pause before a partition that could not be started is tried again.
const START_AGAIN: Duration = Duration::from_millis(500);

/// Reads the messages of some topics.
pub struct RawReader {
    messages: mpsc::UnboundedReceiver<RawMessage>,
    shared: Arc<Shared>,
    fatal: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl fmt::Debug for RawReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReader").field("topics", &self.shared.topics).finish_non_exhaustive()
    }
}

impl RawReader {
    /// Makes the topics that are not there, checks the others, and joins the group. The group is
    /// what offsets are kept under: another name reads every topic from its begin.
    ///
    /// # Errors
    /// [`QueueError::TopicSetting`] for a topic that loses messages by its settings, else as
    /// [`crate::Queue::open_kafka_consumer`].
    pub async fn open(
        options: &KafkaOptions,
        group: &str,
        topics: Vec<String>,
    ) -> Result<RawReader, QueueError> {
        let config = options.client("ingest-raw");
        let fatal = watch::Sender::new(false);
        let listener = Listener::new(fatal.clone());
        for name in &topics {
            let questions = Questions::new(&config, name, listener.clone())?;
            let layout = Layout::of_raw(options, name);
            topic::ensure(&layout, &config, &questions, &listener).await?;
        }
        let shared = Arc::new(Shared { topics, ..Shared::default() });
        let (sender, messages) = mpsc::unbounded_channel();
        let poller = Poller::new(&config, group, Arc::clone(&shared), sender, listener)?;
        let (end, ended) = oneshot::channel();
        let at_end = AtEnd { shared: Arc::clone(&shared), fatal: fatal.clone(), _end: end };
        std::thread::Builder::new()
            .name("kafka-raw".to_owned())
            .spawn(move || {
                let _at_end = at_end;
                poller.run();
            })
            .map_err(|source| QueueError::io("start the thread for", "raw topics", source))?;
        Ok(RawReader { messages, shared, fatal, ended })
    }

    /// Waits for messages and adds up to `messages_max` of them, those of one partition in their
    /// order; false once there will be no more. What was taken counts as waiting until it is
    /// dropped, and beyond [`crate::RAW_BYTES_MAX`] nothing more is fetched.
    pub async fn take(&mut self, messages: &mut Vec<RawMessage>, messages_max: usize) -> bool {
        self.messages.recv_many(messages, messages_max).await > 0
    }

    /// Everything before the marks is durable elsewhere: it need not come again.
    pub fn done(&self, marks: &[RawMark]) {
        let mut parts = self.shared.parts();
        for mark in marks {
            let key = (mark.topic, i32::try_from(mark.partition).unwrap_or(i32::MAX));
            if let Some(part) = parts.get_mut(&key).filter(|part| part.start == mark.start) {
                part.done = part.done.max(signed(mark.next));
            }
        }
    }

    /// Messages of a topic, in the partitions of this member, that are not done with: as of about
    /// a second ago.
    pub fn lag(&self, topic: usize) -> u64 {
        let parts = self.shared.parts();
        let of_topic = parts.iter().filter(|((other, _), _)| *other == topic);
        of_topic.map(|(_, part)| part.high.saturating_sub(part.done).max(0).unsigned_abs()).sum()
    }

    /// Bytes of messages that were fetched and are not dropped yet.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.room.bytes.load(Ordering::Relaxed)
    }

    /// Messages that the brokers deleted before they were done with, since the start.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Turns true when no message will ever come again.
    pub fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.subscribe()
    }

    /// Keeps what is done with, leaves the group and ends the thread.
    pub async fn close(mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        let limit = Duration::from_secs(KAFKA_CLOSE_SECONDS_MAX);
        if tokio::time::timeout(limit, &mut self.ended).await.is_err() {
            tracing::warn!("reader of raw topics did not leave in time, the group will notice");
        }
    }
}

impl Drop for RawReader {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
    }
}

/// The thread's own.
struct Poller {
    client: BaseConsumer<Member>,
    shared: Arc<Shared>,
    messages: mpsc::UnboundedSender<RawMessage>,
    /// The starts that there had been when everything was paused.
    paused_at: Option<u64>,
    start_again_at: Instant,
    has_told: bool,
    kept_at: Instant,
}

impl Poller {
    fn new(
        config: &ClientConfig,
        group: &str,
        shared: Arc<Shared>,
        messages: mpsc::UnboundedSender<RawMessage>,
        listener: Listener,
    ) -> Result<Poller, QueueError> {
        let mut config = settings(config, group, Membership::Group);
        // Messages of a transaction that was given up were never published.
        config.set("isolation.level", "read_committed");
        let member = Member { shared: Arc::clone(&shared), listener };
        let client: BaseConsumer<Member> =
            config.create_with_context(member).map_err(QueueError::kafka("set up the consumer"))?;
        let topics: Vec<&str> = shared.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics).map_err(QueueError::kafka("subscribe to the raw topics"))?;
        let now = Instant::now();
        Ok(Poller {
            client,
            shared,
            messages,
            paused_at: None,
            start_again_at: now,
            has_told: false,
            kept_at: now,
        })
    }

    fn run(mut self) {
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            self.control_flow();
            self.start_waiting();
            match self.client.poll(Duration::from_millis(KAFKA_POLL_MS_MAX)) {
                None => {}
                Some(Ok(message)) => hand_over(&self.shared, &self.messages, &message),
                Some(Err(error)) => self.disturbed(error),
            }
            if self.kept_at.elapsed() >= Duration::from_secs(KAFKA_SHOW_SECONDS) {
                self.kept_at = Instant::now();
                keep(&self.client, &self.shared, CommitMode::Async);
            }
        }
        keep(&self.client, &self.shared, CommitMode::Sync);
    }

    /// Stops fetching while too much waits, also in partitions that came meanwhile. Polling goes
    /// on, so that the group never takes us for dead.
    fn control_flow(&mut self) {
        let n_starts = self.shared.n_starts.load(Ordering::Relaxed);
        if self.shared.room.is_full() && self.paused_at != Some(n_starts) {
            let paused = self.client.assignment().and_then(|held| self.client.pause(&held));
            self.paused_at = paused.is_ok().then_some(n_starts);
            note(paused, "partitions not paused");
        } else if self.paused_at.is_some() && self.shared.room.is_half_empty() {
            let resumed = self.client.assignment().and_then(|held| self.client.resume(&held));
            if resumed.is_ok() {
                self.paused_at = None;
            }
            note(resumed, "partitions not resumed");
        }
    }

    /// Starts the partitions that wait for it.
    fn start_waiting(&mut self) {
        if !self.shared.is_waiting.load(Ordering::Relaxed) || Instant::now() < self.start_again_at {
            return;
        }
        self.shared.is_waiting.store(false, Ordering::Relaxed);
        let waiting: Vec<(usize, i32)> = {
            let parts = self.shared.parts();
            parts.iter().filter(|(_, part)| !part.is_started).map(|(key, _)| *key).collect()
        };
        for key in waiting {
            match self.start(key) {
                Ok(()) => self.has_told = false,
                Err(error) => {
                    if !std::mem::replace(&mut self.has_told, true) {
                        let topic = &self.shared.topics[key.0];
                        tracing::warn!(topic, partition = key.1, %error, "waiting for the brokers");
                    }
                    self.shared.is_waiting.store(true, Ordering::Relaxed);
                    self.start_again_at = Instant::now() + START_AGAIN;
                }
            }
        }
    }

    /// Fetches a partition from where its messages are not done with.
    fn start(&self, key: (usize, i32)) -> KafkaResult<()> {
        let (topic, number) = (self.shared.topics[key.0].as_str(), key.1);
        let limit = Duration::from_secs(KAFKA_ANSWER_SECONDS_MAX);
        let list = list_of(topic, number, Offset::Invalid);
        let kept = self.client.committed_offsets(list.clone(), limit)?;
        let kept = match kept.find_partition(topic, number).map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        };
        let (low, high) = self.client.fetch_watermarks(topic, number, limit)?;
        let handed = self.shared.parts().get(&key).and_then(|part| part.next);
        let from = self.begin(key, handed.or(kept), low, high);
        if self.client.assignment()?.find_partition(topic, number).is_some() {
            self.client.incremental_unassign(&list)?;
        }
        self.client.incremental_assign(&list_of(topic, number, Offset::Offset(from)))?;
        let start = self.shared.n_starts.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(part) = self.shared.parts().get_mut(&key) {
            let kept = kept.unwrap_or(-1);
            if handed != Some(from) {
                // Word of messages from before speaks of other places.
                *part = Part { is_started: true, start, next: Some(from), done: from, kept, high };
            }
            part.is_started = true;
        }
        Ok(())
    }

    /// Where a partition begins, if it would go on at `from`; accounts for what is gone.
    fn begin(&self, key: (usize, i32), from: Option<i64>, low: i64, high: i64) -> i64 {
        let (topic, partition) = (self.shared.topics[key.0].as_str(), key.1);
        match from {
            None => low,
            Some(from) if from < low => {
                let lost = low - from;
                self.shared.lost.fetch_add(lost.unsigned_abs(), Ordering::Relaxed);
                tracing::error!(topic, partition, from, lost, "raw messages were deleted unread");
                low
            }
            Some(from) if from > high => {
                tracing::warn!(
                    topic,
                    partition,
                    from,
                    high,
                    "topic was made anew, read from its begin"
                );
                low
            }
            Some(from) => from,
        }
    }

    /// Sorts an error of the client: some mean that a topic is not what it was.
    fn disturbed(&self, error: KafkaError) {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            self.client.context().listener.fail(&error.to_string());
            return;
        }
        if !concerns_the_log(&error) {
            tracing::debug!(%error, "kafka client copes with an error");
            return;
        }
        // The error does not say which partition it is about: all are looked at anew.
        tracing::warn!(%error, "raw topics must be looked at anew");
        self.shared.parts().values_mut().for_each(|part| part.is_started = false);
        self.shared.is_waiting.store(true, Ordering::Relaxed);
    }
}

/// Hands a message over, if its partition was started.
fn hand_over(
    shared: &Shared,
    messages: &mpsc::UnboundedSender<RawMessage>,
    message: &BorrowedMessage<'_>,
) {
    let Some(topic) = shared.topics.iter().position(|topic| topic == message.topic()) else {
        return;
    };
    let (number, offset) = (message.partition(), message.offset());
    let (Ok(partition), Ok(at)) = (u32::try_from(number), u64::try_from(offset)) else { return };
    let start = {
        let mut parts = shared.parts();
        let Some(part) = parts.get_mut(&(topic, number)).filter(|part| part.is_started) else {
            return;
        };
        if part.next.is_some_and(|next| offset < next) {
            return;
        }
        part.next = Some(offset + 1);
        part.start
    };
    let bytes = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let place = Place::take(&shared.room, bytes.len());
    let message = RawMessage { topic, partition, offset: at, bytes, start, _place: place };
    // Nobody takes any more: the process ends, and the message comes again.
    let _ = messages.send(message);
}

/// Has Kafka keep how far the work is done.
fn keep(client: &BaseConsumer<Member>, shared: &Shared, mode: CommitMode) {
    let mut list = TopicPartitionList::new();
    for (key, part) in shared.parts().iter_mut().filter(|(_, part)| part.done > part.kept) {
        part.kept = part.done;
        list.add_partition_offset(&shared.topics[key.0], key.1, Offset::Offset(part.done))
            .expect("a list takes any of our offsets");
    }
    if list.count() > 0
        && let Err(error) = client.commit(&list, mode)
    {
        tracing::debug!(%error, "offsets of raw topics not kept");
        forget_kept(shared);
    }
}

/// Has every offset kept again.
fn forget_kept(shared: &Shared) {
    shared.parts().values_mut().for_each(|part| part.kept = -1);
}

fn note(done: KafkaResult<()>, what: &'static str) {
    if let Err(error) = done {
        tracing::debug!(%error, what, "kafka client refused");
    }
}

fn list_of(topic: &str, number: i32, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, number, offset).expect("a list takes any of our offsets");
    list
}

/// A member of the group, as the client calls it back: on the thread, within a poll.
struct Member {
    shared: Arc<Shared>,
    listener: Listener,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener::line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.global(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut parts = self.shared.parts();
        for ((topic, number), part) in parts.iter_mut() {
            let topic = statistics.topics.get(&self.shared.topics[*topic]);
            let seen = topic.and_then(|topic| topic.partitions.get(number));
            if let Some(seen) = seen {
                part.high = part.high.max(seen.hi_offset);
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
            // A partition waits at its end until it is known where to start; nothing that comes
            // before that is handed over.
            let mut at_end = TopicPartitionList::new();
            for (topic, number) in self.shared.keys(list) {
                let name = &self.shared.topics[topic];
                at_end
                    .add_partition_offset(name, number, Offset::End)
                    .expect("a list takes any of our offsets");
                self.shared.parts().insert((topic, number), Part::new());
                tracing::info!(topic = name, partition = number, "raw partition assigned");
            }
            self.shared.is_waiting.store(true, Ordering::Relaxed);
            client.incremental_assign(&at_end)
        } else {
            keep(client, &self.shared, CommitMode::Async);
            for (topic, number) in self.shared.keys(list) {
                self.shared.parts().remove(&(topic, number));
                let name = &self.shared.topics[topic];
                tracing::info!(topic = name, partition = number, "raw partition revoked");
            }
            client.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::error!(%error, "group assignment of raw topics not carried out");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offsets of raw topics not kept");
            forget_kept(&self.shared);
        }
    }
}

/// Tells that the thread has ended. One that ends by itself has failed, and the process must hear
/// of it.
struct AtEnd {
    shared: Arc<Shared>,
    fatal: watch::Sender<bool>,
    /// Its receiver hears when this is dropped.
    _end: oneshot::Sender<()>,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        if !self.shared.is_stopping.load(Ordering::Acquire) {
            tracing::error!("the reader of raw topics ended, the process must exit");
            self.fatal.send_replace(true);
        }
    }
}
