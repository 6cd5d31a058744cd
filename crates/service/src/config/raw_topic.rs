//! `kafka.raw_topics`: the topics that gateways publish to, and whose events they hold.
//!
//! One text names them all, so that it can be set in the environment as well.

use serde::{Deserialize, Deserializer, de};

/// Longest name of a topic, as Kafka has it.
const TOPIC_BYTES_MAX: usize = 249;
/// Longest name of a source.
const SOURCE_BYTES_MAX: usize = 64;
/// Maximum number of topics; one consumer cannot follow many more.
const TOPICS_MAX: usize = 16;
/// The source of a topic that is named without one: the one of events that come in over HTTP.
const SOURCE_DEFAULT: &str = "default";
/// What the topics of the log begin with.
const LOG_PREFIX: &str = "gatemeter.events.";

/// A topic of messages that gateways publish, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTopic {
    /// Name of the topic.
    pub topic: String,
    /// Source that its events belong to. An id is unique within its source, and events that arrive
    /// over two paths are recognised as duplicates only under the same one.
    pub source: String,
}

/// The raw topics, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawTopics(pub Vec<RawTopic>);

impl RawTopics {
    /// Reads `topic=source,topic=source`; `None` if it is no such list.
    pub(super) fn read(text: &str) -> Option<RawTopics> {
        let mut topics: Vec<RawTopic> = Vec::new();
        if text.trim().is_empty() {
            return Some(RawTopics(topics));
        }
        for part in text.split(',') {
            let (topic, source) = part.split_once('=').unwrap_or((part, SOURCE_DEFAULT));
            let (topic, source) = (topic.trim(), source.trim());
            let is_good = is_name(topic, TOPIC_BYTES_MAX)
                && is_name(source, SOURCE_BYTES_MAX)
                && !topic.starts_with(LOG_PREFIX)
                && topics.iter().all(|other| other.topic != topic);
            if !is_good || topics.len() == TOPICS_MAX {
                return None;
            }
            topics.push(RawTopic { topic: topic.to_owned(), source: source.to_owned() });
        }
        Some(RawTopics(topics))
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=bytes_max).contains(&text.len()) && text.chars().all(is_known)
}

impl<'de> Deserialize<'de> for RawTopics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawTopics, D::Error> {
        let text = String::deserialize(deserializer)?;
        RawTopics::read(&text).ok_or_else(|| de::Error::custom("not topics with their sources"))
    }
}

#[cfg(test)]
mod tests;
