//! Raw topics that dead letters name, each opened once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::Context as _;
use bytes::Bytes;
use queue::{KafkaOptions, RawTopic};

use super::Storage;
use super::address::RawAddress;
use crate::services;

/// The topics that were opened so far.
pub struct Topics {
    options: KafkaOptions,
    open: BTreeMap<String, RawTopic>,
}

impl Topics {
    /// No topic is open yet.
    ///
    /// # Errors
    /// The letters are not in a cluster, or its settings are wrong.
    pub fn new(storage: &Storage) -> anyhow::Result<Topics> {
        let options = services::kafka_options(&storage.settings()?)?;
        Ok(Topics { options, open: BTreeMap::new() })
    }

    /// The message at an address, or why it is gone.
    ///
    /// # Errors
    /// There is no such topic, or Kafka does not answer.
    pub async fn message(
        &mut self,
        address: &RawAddress,
    ) -> anyhow::Result<Result<Bytes, &'static str>> {
        let RawAddress { topic_id, partition, offset, .. } = address;
        let topic = self.topic(&address.topic).await?;
        let found = topic.message(*partition, *offset).await?;
        // Asked after the read: a topic that still has the wanted id had it then, too. A broker
        // too old to report ids leaves it open.
        let id = topic.id().await?.to_string();
        if topic_id.as_ref().is_some_and(|wanted| *wanted != id && !id.is_empty()) {
            return Ok(Err("the topic was deleted and created again, and the message with it"));
        }
        Ok(found.ok_or("the topic does not hold the message any more"))
    }

    /// Publishes a message to the topic of this name.
    ///
    /// # Errors
    /// As `message`; the message may be in the topic nonetheless.
    pub async fn publish(&mut self, name: &str, message: Bytes) -> anyhow::Result<()> {
        Ok(self.topic(name).await?.publish(vec![message]).await?)
    }

    async fn topic(&mut self, name: &str) -> anyhow::Result<&RawTopic> {
        Ok(match self.open.entry(name.to_owned()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => {
                let found = RawTopic::find(&self.options, name).await;
                free.insert(found.with_context(|| format!("raw topic {name}"))?)
            }
        })
    }

    /// Waits for what is under way and closes the clients.
    pub async fn close(self) {
        for topic in self.open.into_values() {
            topic.close().await;
        }
    }
}
