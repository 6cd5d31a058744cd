//! Reads messages that others publish straight to Kafka, as a member of the group of ingests.
//!
//! These topics have no ledger: where reading goes on is an offset in Kafka, and it only moves
//! behind messages of which the caller has said that they are durable elsewhere. Whatever ends in
//! between, a message comes again and none is passed over; what the brokers deleted before it was
//! read is counted as lost. A topic is what its id says: one that was made anew is read from its
//! begin. Each start of a partition has a number, so that word of a message from before it was
//! lost to another member changes nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::listener::Listener;
use super::options::KafkaOptions;
use super::question::Questions;
use super::raw_handler::Poller;
use super::raw_parts::{RawMark, RawMessage, RawPlace, Remade, Shared, lock, signed};
use super::topic::{self, Layout};
use crate::error::QueueError;
use crate::limits::{KAFKA_CLOSE_SECONDS_MAX, RAW_STALL_SECONDS};

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
    /// what offsets are kept under: another name reads every topic from its first offset.
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
                part.done(signed(mark.next));
            }
        }
    }

    /// For whoever looks at the reader from elsewhere.
    pub fn watch(&self) -> RawWatch {
        RawWatch { shared: Arc::clone(&self.shared) }
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

/// Looks at a reader of raw topics. Cheap to clone.
#[derive(Clone)]
pub struct RawWatch {
    shared: Arc<Shared>,
}

impl fmt::Debug for RawWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawWatch").field("topics", &self.shared.topics).finish_non_exhaustive()
    }
}

impl RawWatch {
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

    /// Messages that the brokers deleted before they were done with, since the start. Those of
    /// topics that were deleted as a whole are not among them: see [`RawWatch::remade`].
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Takes what there is to tell of topics that were made anew, and of topics seen for the first
    /// time. Partitions bound how much it is: each is told once for each new topic.
    pub fn remade(&self) -> Vec<Remade> {
        std::mem::take(&mut *lock(&self.shared.remade))
    }

    /// How far the partitions of this member are done with, and what it has seen of those that
    /// nobody reads. Nothing of a topic whose broker does not tell its id.
    pub fn places(&self) -> Vec<RawPlace> {
        let mut places: Vec<RawPlace> = lock(&self.shared.seen).values().copied().collect();
        places.extend(self.shared.parts().iter().filter_map(|(key, part)| part.place(*key)));
        places
    }

    /// Partitions that have messages and have not moved for [`RAW_STALL_SECONDS`], by topic and
    /// number: those of this member, and all of a topic of which it has none.
    pub fn stalled(&self) -> Vec<(usize, u32)> {
        let limit = Duration::from_secs(RAW_STALL_SECONDS);
        let stalled = lock(&self.shared.stalled);
        let long = stalled.iter().filter(|(_, stall)| stall.since.elapsed() >= limit);
        long.map(|((topic, number), _)| (*topic, u32::try_from(*number).unwrap_or(0))).collect()
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
