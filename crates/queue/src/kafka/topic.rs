//! A topic: made as the counting needs it, or checked and refused with what is wrong.
//!
//! A topic that stamps other times, compacts, or deletes early would spoil counts silently, so no
//! topic is read or written before it was checked. Less is required of a topic that others write
//! to. An existing topic is never changed.

use std::time::Duration;

use rdkafka::ClientConfig;
use tokio::time::Instant;

use super::listener::Listener;
use super::options::KafkaOptions;
use super::question::{Admin, Questions, Shape};
use crate::error::QueueError;
use crate::limits::{KAFKA_BATCH_BYTES_MAX, KAFKA_TOPIC_SECONDS_MAX};

/// Time between two checks for a topic that was just made.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a setting of a topic must be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// This and nothing else.
    Exactly(&'static str),
    /// A whole number not below this; -1 stands for no bound.
    AtLeast(i64),
}

impl Wanted {
    fn allows(&self, found: &str) -> bool {
        match self {
            Wanted::Exactly(value) => found == *value,
            Wanted::AtLeast(min) => {
                found.parse::<i64>().is_ok_and(|found| found >= *min || found == -1)
            }
        }
    }

    /// What a new topic gets.
    fn value(&self) -> String {
        match self {
            Wanted::Exactly(value) => (*value).to_owned(),
            Wanted::AtLeast(min) => min.to_string(),
        }
    }

    fn words(&self) -> String {
        match self {
            Wanted::Exactly(value) => (*value).to_owned(),
            Wanted::AtLeast(min) => format!("{min} or more"),
        }
    }
}

/// What is required of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    topic: String,
    /// Of a topic that is made; with `is_frozen`, of any.
    partitions: u32,
    copies: u32,
    /// Whether another number of partitions, or fewer copies, are refused.
    is_frozen: bool,
    /// Every setting that counts depend on.
    wanted: Vec<(&'static str, Wanted)>,
    /// Settings of a topic that is made, which one that is there may have otherwise.
    made_with: Vec<(&'static str, String)>,
}

impl Layout {
    /// The topic of the log.
    pub(super) fn of_log(options: &KafkaOptions) -> Layout {
        // A majority of the copies: what is acknowledged outlives the loss of any one broker.
        let in_sync_min = i64::from(options.replication_factor / 2 + 1);
        let bytes_max = i64::try_from(KAFKA_BATCH_BYTES_MAX).unwrap_or(i64::MAX);
        Layout {
            topic: options.topic(),
            partitions: options.partitions,
            copies: options.replication_factor,
            is_frozen: true,
            wanted: vec![
                // A producer's clock decides nothing about lateness.
                ("message.timestamp.type", Wanted::Exactly("LogAppendTime")),
                // Compaction would take records out of the middle.
                ("cleanup.policy", Wanted::Exactly("delete")),
                ("retention.ms", Wanted::AtLeast(options.retention_us / 1_000)),
                // A bound in bytes would delete what is not counted yet.
                ("retention.bytes", Wanted::Exactly("-1")),
                ("max.message.bytes", Wanted::AtLeast(bytes_max)),
                ("min.insync.replicas", Wanted::AtLeast(in_sync_min)),
                // A leader that lacks records would take back what was acknowledged.
                ("unclean.leader.election.enable", Wanted::Exactly("false")),
            ],
            made_with: Vec::new(),
        }
    }

    /// A topic of messages that others write: its layout is their choice, except for settings that
    /// would lose messages silently.
    pub(super) fn of_raw(options: &KafkaOptions, topic: &str) -> Layout {
        let retention_ms = options.retention_us / 1_000;
        Layout {
            topic: topic.to_owned(),
            partitions: options.partitions,
            copies: options.replication_factor,
            is_frozen: false,
            // Compaction would drop messages that have the same key.
            wanted: vec![("cleanup.policy", Wanted::Exactly("delete"))],
            made_with: vec![
                ("retention.ms", retention_ms.to_string()),
                ("max.message.bytes", KAFKA_BATCH_BYTES_MAX.to_string()),
            ],
        }
    }
}

/// Makes the topic unless it is there, then checks it.
pub(super) async fn ensure(
    layout: &Layout,
    config: &ClientConfig,
    questions: &Questions,
    listener: &Listener,
) -> Result<(), QueueError> {
    let topic = &layout.topic;
    let admin = Admin::new(config, listener.clone())?;
    if questions.shape().await?.is_none() {
        let wanted = layout.wanted.iter().map(|(name, wanted)| (*name, wanted.value()));
        let settings: Vec<(&str, String)> =
            wanted.chain(layout.made_with.iter().cloned()).collect();
        admin.create(topic, layout.partitions, layout.copies, &settings).await?;
        tracing::info!(topic, layout.partitions, layout.copies, "topic created");
    }
    let shape = appears(topic, questions).await?;
    check_shape(layout, shape)?;
    check_settings(layout, &reported(layout, &admin).await?)?;
    if shape.copies_min == 1 {
        tracing::warn!(
            topic,
            "the topic has one copy: an acknowledged record is in the page cache of one broker"
        );
    }
    Ok(())
}

/// Checks that the topic is there with the right number of partitions; makes and changes nothing.
pub(super) async fn find(layout: &Layout, questions: &Questions) -> Result<(), QueueError> {
    let shape = questions.shape().await?;
    let shape = shape.ok_or_else(|| QueueError::TopicMissing { topic: layout.topic.clone() })?;
    check_partitions(layout, shape)
}

/// Waits until the brokers know a topic that was made a moment ago.
async fn appears(topic: &str, questions: &Questions) -> Result<Shape, QueueError> {
    let deadline = Instant::now() + Duration::from_secs(KAFKA_TOPIC_SECONDS_MAX);
    loop {
        match questions.shape().await? {
            Some(shape) => return Ok(shape),
            None if Instant::now() >= deadline => {
                return Err(QueueError::TopicMissing { topic: topic.to_owned() });
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The settings of the topic, once a broker reports those that matter. One that does not know the
/// topic yet, since it was made a moment ago by way of another one, reports none.
async fn reported(layout: &Layout, admin: &Admin) -> Result<Vec<(String, String)>, QueueError> {
    let deadline = Instant::now() + Duration::from_secs(KAFKA_TOPIC_SECONDS_MAX);
    loop {
        let settings = admin.settings(&layout.topic).await?;
        if is_whole(layout, &settings) || Instant::now() >= deadline {
            return Ok(settings);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether there is a value for every setting that is checked.
fn is_whole(layout: &Layout, settings: &[(String, String)]) -> bool {
    let is_there = |wanted: &str| settings.iter().any(|(name, _)| name == wanted);
    layout.wanted.iter().all(|(name, _)| is_there(name))
}

fn check_partitions(layout: &Layout, shape: Shape) -> Result<(), QueueError> {
    if !layout.is_frozen || shape.partitions as u64 == u64::from(layout.partitions) {
        return Ok(());
    }
    Err(QueueError::TopicSetting {
        topic: layout.topic.clone(),
        setting: "partitions",
        found: shape.partitions.to_string(),
        wanted: layout.partitions.to_string(),
    })
}

fn check_shape(layout: &Layout, shape: Shape) -> Result<(), QueueError> {
    check_partitions(layout, shape)?;
    if !layout.is_frozen || shape.copies_min as u64 >= u64::from(layout.copies) {
        return Ok(());
    }
    Err(QueueError::TopicSetting {
        topic: layout.topic.clone(),
        setting: "replication factor",
        found: shape.copies_min.to_string(),
        wanted: format!("{} or more", layout.copies),
    })
}

fn check_settings(layout: &Layout, settings: &[(String, String)]) -> Result<(), QueueError> {
    for (setting, wanted) in &layout.wanted {
        let found = settings.iter().find(|(name, _)| name == setting);
        let found = found.map_or("(not reported)", |(_, value)| value.as_str());
        if !wanted.allows(found) {
            return Err(QueueError::TopicSetting {
                topic: layout.topic.clone(),
                setting,
                found: found.to_owned(),
                wanted: wanted.words(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
