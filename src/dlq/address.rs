//! How a dead letter is named on the command line.
//!
//! One of the log is `GENERATION/PARTITION/OFFSET/INDEX`, one of a raw topic
//! `raw:TOPIC/PARTITION/OFFSET`, which stands for all letters of that message.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use service::letters::LetterAddress;

/// The name of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the log.
    Log(LetterAddress),
    /// Of a raw topic.
    Raw(RawAddress),
}

/// A message of a raw topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawAddress {
    /// The topic.
    pub topic: String,
    /// Its id, as Kafka's tools write it; without it, whichever topic has the name.
    pub topic_id: Option<String>,
    /// Partition of the topic.
    pub partition: u32,
    /// Offset of the message.
    pub offset: u64,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Log(LetterAddress { generation, partition, offset, index }) => {
                write!(f, "{generation}/{partition}/{offset}/{index}")
            }
            Address::Raw(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for RawAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RawAddress { topic, topic_id, partition, offset } = self;
        match topic_id {
            None => write!(f, "raw:{topic}/{partition}/{offset}"),
            Some(id) => write!(f, "raw:{topic}@{id}/{partition}/{offset}"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
            (false, [generation, partition, at, index]) => Ok(Address::Log(LetterAddress {
                generation: number(generation)?,
                partition: number(partition)?,
                offset: offset(at)?,
                index: number(index)?,
            })),
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
                Ok(Address::Raw(RawAddress { topic, topic_id, partition, offset }))
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests;
