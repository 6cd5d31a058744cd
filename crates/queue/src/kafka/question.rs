//! Asks the brokers about the topic: its layout, its settings and the ends of a partition.
//!
//! The client library answers by blocking, so that every question is asked on a thread for such
//! calls and has a time limit. It asks through a client of its own that reads no record and joins
//! no group, and changes nothing but in `create`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_id::{Described, TopicId, describe};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::listener::Listener;
use crate::error::QueueError;
use crate::limits::KAFKA_ANSWER_SECONDS_MAX;
use crate::record::Watermarks;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(KAFKA_ANSWER_SECONDS_MAX);

/// Pause before a partition without a leader is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How a topic is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Number of partitions.
    pub partitions: usize,
    /// Copies of the partition that has the fewest.
    pub copies_min: usize,
}

/// The configuration of a client that only asks. It must give a connection up as soon as nobody
/// waits for its answers any more: with the default of 60 s, a connection that has died silently
/// would keep all later questions waiting too, and a metadata request on its way holds back others.
pub(super) fn asking(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.set("socket.timeout.ms", ANSWER_MAX.as_millis().to_string());
    config
}

/// Asks about one topic. Cheap to clone.
#[derive(Clone)]
pub(super) struct Questions {
    client: Arc<BaseConsumer<Listener>>,
    topic: Arc<str>,
}

impl Questions {
    pub(super) fn new(
        config: &ClientConfig,
        topic: &str,
        listener: Listener,
    ) -> Result<Questions, QueueError> {
        let client = asking(config)
            .create_with_context(listener)
            .map_err(QueueError::kafka("set up the client that asks about the topic"))?;
        Ok(Questions { client: Arc::new(client), topic: topic.into() })
    }

    /// How the topic is laid out; `None` if it is not there.
    pub(super) async fn shape(&self) -> Result<Option<Shape>, QueueError> {
        self.ask("ask the brokers for the topic", |client, topic| {
            let metadata = client.fetch_metadata(Some(topic), ANSWER_MAX)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let Some(found) = found else { return Ok(None) };
            match found.error() {
                None => {}
                Some(
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                    | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
                ) => return Ok(None),
                Some(error) => return Err(KafkaError::MetadataFetch(error.into())),
            }
            let partitions = found.partitions();
            let copies = partitions.iter().map(|partition| partition.replicas().len());
            let copies_min = copies.min().unwrap_or(0);
            Ok(Some(Shape { partitions: partitions.len(), copies_min }))
        })
        .await
    }

    /// Its name.
    pub(super) fn topic(&self) -> String {
        self.topic.as_ref().to_owned()
    }

    /// Which topic has the name; `None` if there is none.
    pub(super) async fn id(&self) -> Result<Option<TopicId>, QueueError> {
        self.ask("ask the brokers for the id of the topic", |client, topic| {
            match describe(client.client(), &[topic], ANSWER_MAX)?.first() {
                Some(Described::Found { id, .. }) => Ok(Some(*id)),
                Some(Described::Failed(code)) => Err(KafkaError::MetadataFetch(*code)),
                Some(Described::Missing) | None => Ok(None),
            }
        })
        .await
    }

    /// Both ends of a partition.
    pub(super) async fn ends(&self, partition: u32) -> Result<Watermarks, QueueError> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let (low, high) = self
            .ask("ask the brokers for the ends of the log", move |client, topic| {
                let began = Instant::now();
                loop {
                    match client.fetch_watermarks(topic, number, ANSWER_MAX) {
                        Err(error) if is_moving(&error) && began.elapsed() < ANSWER_MAX => {
                            // A pause that also delivers the client's log lines.
                            let _ = client.poll(ASK_AGAIN);
                        }
                        answer => return answer,
                    }
                }
            })
            .await?;
        let offset = |end: i64| u64::try_from(end).unwrap_or(0);
        Ok(Watermarks { low: offset(low), high: offset(high) })
    }

    async fn ask<T, Q>(&self, action: &'static str, question: Q) -> Result<T, QueueError>
    where
        T: Send + 'static,
        Q: FnOnce(&BaseConsumer<Listener>, &str) -> Result<T, KafkaError> + Send + 'static,
    {
        let Questions { client, topic } = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            // The client delivers its log lines only when it is polled.
            while client.poll(Duration::ZERO).is_some() {}
            question(&client, &topic)
        });
        match asked.await {
            Ok(answer) => answer.map_err(QueueError::kafka(action)),
            Err(_) => Err(QueueError::Closed),
        }
    }
}

/// Whether a partition has no leader at the moment: it was just made, or its broker has died.
fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable)
    )
}

/// Makes and describes topics.
pub(super) struct Admin {
    client: AdminClient<Listener>,
}

impl Admin {
    pub(super) fn new(config: &ClientConfig, listener: Listener) -> Result<Admin, QueueError> {
        let client = asking(config)
            .create_with_context(listener)
            .map_err(QueueError::kafka("set up the client that makes the topic"))?;
        Ok(Admin { client })
    }

    /// Makes the topic. Another process may have been faster; the topic is checked next either way.
    pub(super) async fn create(
        &self,
        topic: &str,
        partitions: u32,
        copies: u32,
        settings: &[(&str, String)],
    ) -> Result<(), QueueError> {
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(number(copies));
        let mut new = NewTopic::new(topic, number(partitions), replication);
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let action = "make the topic";
        let made = self.client.create_topics([&new], &options()).await;
        for result in made.map_err(QueueError::kafka(action))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(QueueError::kafka(action)(KafkaError::AdminOp(code))),
            }
        }
        Ok(())
    }

    /// The settings of the topic by their names; those that have no value are left out.
    pub(super) async fn settings(&self, topic: &str) -> Result<Vec<(String, String)>, QueueError> {
        let action = "ask the brokers for the settings of the topic";
        let about = ResourceSpecifier::Topic(topic);
        let answers = self.client.describe_configs([&about], &options()).await;
        let mut settings = Vec::new();
        for answer in answers.map_err(QueueError::kafka(action))? {
            let resource =
                answer.map_err(|code| QueueError::kafka(action)(KafkaError::AdminOp(code)))?;
            let entries = resource.entries.into_iter();
            settings.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX))
}
