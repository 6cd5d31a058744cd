//! The log as a topic of Kafka: one process appends to it, or reads it as a member of a group, or
//! reads it alone.
//!
//! Opening makes the topic or checks it; then each direction has a client of its own. This file
//! only dispatches to the direction and holds no state of the log itself.

mod options;

mod listener;

mod question;

mod topic;

mod producer;

mod poller;

mod handoff;

mod log_handler;

mod stall;

mod consumer;

mod raw_parts;

mod identity;

mod raw_handler;

mod raw;
mod raw_topic;

use std::fmt;

use kafka_id::TopicId;
use tokio::sync::watch;

pub use self::options::{KafkaOptions, KafkaPassword, KafkaProtocol, KafkaSasl, KafkaSecurity};
pub use self::raw::{RawReader, RawWatch};
pub use self::raw_parts::{RawBatch, RawMark, RawMessage, RawPlace, Remade, Witness};
pub use self::raw_topic::RawTopic;

use self::consumer::Consumer;
use self::listener::Listener;
use self::poller::Membership;
use self::producer::Producer;
use self::question::Questions;
use self::topic::Layout;
use crate::error::QueueError;
use crate::record::{Append, Position, Record, RetainReport, Watermarks};

/// A log in one topic. Made by [`crate::Queue::open_kafka_producer`] and
/// [`crate::Queue::open_kafka_consumer`].
pub struct Kafka {
    pub(crate) generation: u32,
    pub(crate) partitions: u32,
    topic: String,
    options: Box<KafkaOptions>,
    questions: Questions,
    fatal: watch::Sender<bool>,
    direction: Direction,
}

enum Direction {
    Append(Box<Producer>),
    Read(Consumer),
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Append(_) => "append",
            Direction::Read(_) => "read",
        };
        f.debug_struct("Kafka")
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("direction", &direction)
            .finish_non_exhaustive()
    }
}

impl Kafka {
    /// Opens the topic for appends.
    pub(crate) async fn producer(options: &KafkaOptions) -> Result<Kafka, QueueError> {
        let config = options.client("ingest");
        let (fatal, failed) = watch::channel(false);
        let listener = Listener::new(fatal.clone());
        let questions = Questions::new(&config, &options.topic(), listener.clone())?;
        topic::ensure(&Layout::of_log(options), &config, &questions, &listener).await?;
        let producer = Producer::open(options.log(), &config, listener, failed)?;
        Ok(Kafka::new(options, questions, fatal, Direction::Append(Box::new(producer))))
    }

    /// Opens the topic for reading, as a member of the group that shares its partitions.
    pub(crate) async fn consumer(options: &KafkaOptions) -> Result<Kafka, QueueError> {
        let config = options.client("aggregator");
        let fatal = watch::Sender::new(false);
        let listener = Listener::new(fatal.clone());
        let questions = Questions::new(&config, &options.topic(), listener.clone())?;
        topic::ensure(&Layout::of_log(options), &config, &questions, &listener).await?;
        // Asked before the topic is read, so that no replacement goes unnoticed.
        let id = questions.id().await?;
        Kafka::reading(options, &config, Membership::Group, questions, fatal, id)
    }

    /// Opens the topic for reading alone: joins no group, makes nothing.
    pub(crate) async fn alone(options: &KafkaOptions) -> Result<Kafka, QueueError> {
        let config = options.client("reader");
        let fatal = watch::Sender::new(false);
        let listener = Listener::new(fatal.clone());
        let questions = Questions::new(&config, &options.topic(), listener)?;
        topic::find(&Layout::of_log(options), &questions).await?;
        Kafka::reading(options, &config, Membership::Alone, questions, fatal, None)
    }

    /// Opens the same topic for reading alone.
    pub(crate) async fn read_beside(&self) -> Result<Kafka, QueueError> {
        Kafka::alone(&self.options).await
    }

    fn reading(
        options: &KafkaOptions,
        config: &rdkafka::ClientConfig,
        membership: Membership,
        questions: Questions,
        fatal: watch::Sender<bool>,
        id: Option<TopicId>,
    ) -> Result<Kafka, QueueError> {
        let (asked, failed) = (questions.clone(), fatal.clone());
        let consumer = Consumer::open(options.log(), config, membership, asked, failed, id)?;
        Ok(Kafka::new(options, questions, fatal, Direction::Read(consumer)))
    }

    /// See [`handoff::Slot::stop_fetching`].
    #[cfg(test)]
    pub(crate) fn stop_fetching(&self, partition: u32) {
        let Direction::Read(consumer) = &self.direction else { panic!("it reads") };
        consumer.stop_fetching(partition);
    }

    fn new(
        options: &KafkaOptions,
        questions: Questions,
        fatal: watch::Sender<bool>,
        direction: Direction,
    ) -> Kafka {
        Kafka {
            generation: options.generation,
            partitions: options.partitions,
            topic: options.topic(),
            options: Box::new(options.clone()),
            questions,
            fatal,
            direction,
        }
    }

    pub(crate) async fn append(&self, records: Vec<Append>) -> Result<Vec<Position>, QueueError> {
        match &self.direction {
            Direction::Append(producer) => producer.append(records).await,
            Direction::Read(_) => Err(QueueError::Direction { opened_to: "read" }),
        }
    }

    pub(crate) async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        match &self.direction {
            Direction::Append(_) => Err(QueueError::Direction { opened_to: "append" }),
            Direction::Read(consumer) => consumer.read(partition, from, bytes_max).await,
        }
    }

    pub(crate) async fn assigned(&self, partition: u32) -> Result<(), QueueError> {
        match &self.direction {
            Direction::Append(_) => Err(QueueError::Direction { opened_to: "append" }),
            Direction::Read(consumer) => consumer.assigned(partition).await,
        }
    }

    pub(crate) async fn revoked(&self, partition: u32) {
        match &self.direction {
            Direction::Append(_) => std::future::pending().await,
            Direction::Read(consumer) => consumer.revoked(partition).await,
        }
    }

    pub(crate) fn subscribe(&self, partition: u32) -> watch::Receiver<u64> {
        let followed = match &self.direction {
            Direction::Append(producer) => producer.subscribe(partition),
            Direction::Read(consumer) => consumer.subscribe(partition),
        };
        followed.expect("the caller has checked the partition")
    }

    pub(crate) async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        self.check_partition(partition)?;
        match &self.direction {
            Direction::Append(_) => self.questions.ends(partition).await,
            Direction::Read(consumer) => consumer.watermarks(partition).await,
        }
    }

    pub(crate) async fn topic_id(&self) -> Result<Option<(String, TopicId)>, QueueError> {
        let id = self.questions.id().await?.filter(|id| !id.is_unknown());
        Ok(id.map(|id| (self.topic.clone(), id)))
    }

    /// The next offset to be written, as last seen.
    pub(crate) fn high(&self, partition: u32) -> u64 {
        match &self.direction {
            Direction::Append(producer) => producer.subscribe(partition).map_or(0, |h| *h.borrow()),
            Direction::Read(consumer) => consumer.ends(partition).map_or(0, |(_, high)| high),
        }
    }

    /// The brokers delete by age; nothing is done here.
    pub(crate) fn retain(&self, partition: u32) -> Result<RetainReport, QueueError> {
        self.check_partition(partition)?;
        let low = match &self.direction {
            Direction::Append(_) => 0,
            Direction::Read(consumer) => consumer.ends(partition)?.0,
        };
        Ok(RetainReport { deleted: 0, deleted_bytes: 0, low, more: false })
    }

    pub(crate) fn commit_offset(&self, partition: u32, next: u64) {
        if let Direction::Read(consumer) = &self.direction {
            consumer.commit_offset(partition, next);
        }
    }

    pub(crate) fn trust(&self, partition: u32) {
        if let Direction::Read(consumer) = &self.direction {
            consumer.trust(partition);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match &self.direction {
            Direction::Append(producer) => producer.bytes(),
            Direction::Read(consumer) => consumer.bytes(),
        }
    }

    pub(crate) fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.subscribe()
    }

    pub(crate) async fn close(&self) {
        match &self.direction {
            Direction::Append(producer) => producer.close().await,
            Direction::Read(consumer) => consumer.close().await,
        }
    }

    fn check_partition(&self, partition: u32) -> Result<(), QueueError> {
        if partition < self.partitions {
            return Ok(());
        }
        Err(QueueError::Partition { partition, partitions: self.partitions })
    }
}
