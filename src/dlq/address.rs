//! How a dead letter is named on the command line.
//!
//! One of the log is `GENERATION/PARTITION/OFFSET/INDEX`, one of a raw topic
//! `raw:TOPIC/PARTITION/OFFSET`, which stands for all letters of that message.

use std::fmt;
use std::str::FromStr;

/// The name of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the log.
    Log {
        /// Generation of the log.
        generation: u32,
        /// Partition of the log.
        partition: u32,
        /// Offset of the frame.
        offset: u64,
        /// Index of the event in the frame.
        index: u32,
    },
    /// Of a raw topic.
    Raw {
        /// The topic.
        topic: String,
        /// Its id, as Kafka's tools write it; without it, whichever topic had the name.
        topic_id: Option<String>,
        /// Partition of the topic.
        partition: u32,
        /// Offset of the message.
        offset: u64,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Log { generation, partition, offset, index } => {
                write!(f, "{generation}/{partition}/{offset}/{index}")
            }
            Address::Raw { topic, topic_id: None, partition, offset } => {
                write!(f, "raw:{topic}/{partition}/{offset}")
            }
            Address::Raw { topic, topic_id: Some(id), partition, offset } => {
                write!(f, "raw:{topic}@{id}/{partition}/{offset}")
            }
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = || {
            format!(
                "`{text}` is no address: give GENERATION/PARTITION/OFFSET/INDEX, as in 1/3/17/0, \
                 or raw:TOPIC@ID/PARTITION/OFFSET; @ID may be left out"
            )
        };
        let parts: Vec<&str> = text.strip_prefix("raw:").unwrap_or(text).split('/').collect();
        let number = |part: &str| part.parse::<u32>().map_err(|_| wrong());
        let offset = |part: &str| part.parse::<u64>().map_err(|_| wrong());
        match (text.starts_with("raw:"), &parts[..]) {
            (false, [generation, partition, at, index]) => Ok(Address::Log {
                generation: number(generation)?,
                partition: number(partition)?,
                offset: offset(at)?,
                index: number(index)?,
            }),
            (true, [name, partition, at]) => {
                // No name of a topic has this sign.
                let (topic, topic_id) = match name.split_once('@') {
                    Some((topic, id)) if !id.is_empty() => (topic, Some(id.to_owned())),
                    Some(_) => return Err(wrong()),
                    None => (*name, None),
                };
                if topic.is_empty() {
                    return Err(wrong());
                }
                let topic = topic.to_owned();
                let (partition, offset) = (number(partition)?, offset(at)?);
                Ok(Address::Raw { topic, topic_id, partition, offset })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests;
