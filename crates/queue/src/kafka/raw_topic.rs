//! One raw topic from the outside: publishes to it as a gateway does, and reads single messages.
//!
//! For tools: replays publish, and the command that shows a dead letter reads its message.
//! Nothing here joins a group or moves an offset.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use kafka_id::TopicId;
use rdkafka::ClientConfig;
use tokio::sync::watch;

use super::consumer::Consumer;
use super::listener::Listener;
use super::options::{KafkaOptions, Topic};
use super::poller::Membership;
use super::producer::Producer;
use super::question::Questions;
use crate::error::QueueError;
use crate::record::Append;

/// A raw topic.
pub struct RawTopic {
    topic: Topic,
    config: ClientConfig,
    questions: Questions,
    producer: Producer,
    /// Partition of the next message.
    turn: AtomicU32,
}

impl fmt::Debug for RawTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl RawTopic {
    /// Finds the topic; makes and changes nothing.
    ///
    /// # Errors
    /// [`QueueError::TopicMissing`] if there is none, [`QueueError::KafkaSetting`], or
    /// [`QueueError::Kafka`] if no broker answers.
    pub async fn find(options: &KafkaOptions, name: &str) -> Result<RawTopic, QueueError> {
        let config = options.client("tool");
        let (fatal, failed) = watch::channel(false);
        let listener = Listener::new(fatal);
        let questions = Questions::new(&config, name, listener.clone())?;
        let shape = questions.shape().await?;
        let shape = shape.ok_or_else(|| QueueError::TopicMissing { topic: name.to_owned() })?;
        let partitions = u32::try_from(shape.partitions).unwrap_or(u32::MAX);
        let topic = Topic { name: name.to_owned(), generation: 0, partitions };
        let producer = Producer::open(topic.clone(), &config, listener, failed)?;
        Ok(RawTopic { topic, config, questions, producer, turn: AtomicU32::new(0) })
    }

    /// Which topic has the name now; the default id if the broker is too old to report one.
    ///
    /// # Errors
    /// [`QueueError::TopicMissing`] if it was deleted, or [`QueueError::Kafka`] if no broker
    /// answers.
    pub async fn id(&self) -> Result<TopicId, QueueError> {
        let missing = || QueueError::TopicMissing { topic: self.topic.name.clone() };
        self.questions.id().await?.ok_or_else(missing)
    }

    /// Publishes messages and waits until the brokers have acknowledged all of them. They go to
    /// one partition after the other.
    ///
    /// # Errors
    /// As [`crate::Queue::append`]: any of them may be in the topic nonetheless.
    pub async fn publish(&self, messages: Vec<Bytes>) -> Result<(), QueueError> {
        let record = |bytes| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            Append { partition: turn % self.topic.partitions.max(1), bytes }
        };
        let records = messages.into_iter().map(record).collect();
        self.producer.append(records).await.map(|_| ())
    }

    /// The message at an offset, or `None` if the topic does not hold it any more, or not yet.
    ///
    /// # Errors
    /// [`QueueError::Partition`], or [`QueueError::Kafka`] and [`QueueError::Slow`] if it cannot
    /// be read now.
    pub async fn message(&self, partition: u32, offset: u64) -> Result<Option<Bytes>, QueueError> {
        let fatal = watch::Sender::new(false);
        let (topic, questions) = (self.topic.clone(), self.questions.clone());
        let reader =
            Consumer::open(topic, &self.config, Membership::Alone, questions, fatal, None)?;
        let read = reader.read(partition, offset, 1).await;
        reader.close().await;
        match read {
            Ok(records) => Ok(records.into_iter().next().map(|record| record.bytes)),
            Err(QueueError::Gap { .. } | QueueError::PastEnd { .. } | QueueError::Hole { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for what is under way and ends the client.
    pub async fn close(&self) {
        self.producer.close().await;
    }
}
