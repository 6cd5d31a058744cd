//! Which topic a partition was counted in: a topic is identified by its id, not by its name.
//!
//! The ledger keeps the id from the first claim on. Frames alone show it only as long as the last
//! counted one still exists, and differs from the record now at its offset.

use queue::TopicId;
use store::{Known, RawPlace};
use tracing::warn;

use super::{Worker, WorkerError};

impl Worker {
    /// Whether the log is in another topic than what was counted before `next`. If nothing was
    /// counted, or the ledger has no id, the current topic becomes the log's.
    pub(super) async fn is_remade(&self, next: u64) -> Result<bool, WorkerError> {
        let Some((topic, id)) = self.parts.queue.topic_id().await? else { return Ok(false) };
        let (reader, partition) = (self.reader(), self.partition);
        let mut ledger = self.parts.store.read().await?;
        let counted = ledger.topic_id(&reader, &topic, partition).await?;
        drop(ledger);
        match counted {
            Some(counted) if counted == id.to_string() => Ok(false),
            Some(counted) if next > 0 => {
                warn!(partition, topic, counted, %id, "log is in another topic than was counted");
                Ok(true)
            }
            _ => self.keep(topic, id).await.map(|()| false),
        }
    }

    /// Whatever topic the log is in now, it is the right one from here on.
    pub(super) async fn adopt(&self) -> Result<(), WorkerError> {
        match self.parts.queue.topic_id().await? {
            Some((topic, id)) => self.keep(topic, id).await,
            None => Ok(()),
        }
    }

    async fn keep(&self, topic: String, id: TopicId) -> Result<(), WorkerError> {
        let (topic_id, partition) = (id.to_string(), self.partition);
        // Offsets are the ledger's own, elsewhere.
        let place = RawPlace { topic, topic_id: topic_id.clone(), partition, next: 0, high: 0 };
        let store = &self.parts.store;
        store.settle_raw_place(&self.reader(), Known::Read(place), topic_id).await?;
        Ok(())
    }

    /// Under whose name the ledger keeps the topic.
    fn reader(&self) -> String {
        format!("gatemeter.aggregator.g{}", self.parts.generation.generation)
    }
}
