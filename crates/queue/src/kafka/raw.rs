//! Reads messages that others publish straight to Kafka, as a member of the group of ingests.
//!
//! These topics have no ledger: where reading goes on is an offset in Kafka, and it only moves past
//! messages that the caller has marked as durable elsewhere. Whatever fails in between, a message
//! is read again and none is skipped; messages that the brokers deleted unread are counted as lost.
//! A topic is identified by its id: one that was made anew is read from its first offset. Each
//! start of a partition has a number, so that a mark from before the partition moved to another
//! member has no effect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::identity::Identity;
use super::listener::Listener;
use super::options::KafkaOptions;
use super::poller::{Client, Membership, Poller, PollerThread, Stop};
use super::question::Questions;
use super::raw_handler::{self, RawHandler};
use super::raw_parts::{RawBatch, RawMark, RawPlace, RawState, Remade, lock, signed};
use super::topic::{self, Layout};
use crate::error::QueueError;
use crate::limits::RAW_STALL_SECONDS;

/// Reads the messages of some topics.
pub struct RawReader {
    batches: mpsc::UnboundedReceiver<RawBatch>,
    state: Arc<RawState>,
    fatal: watch::Sender<bool>,
    thread: PollerThread,
}

impl fmt::Debug for RawReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReader").field("topics", &self.state.topics).finish_non_exhaustive()
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
        let state = Arc::new(RawState { topics, ..RawState::default() });
        let (sender, batches) = mpsc::unbounded_channel();
        let stop = Stop::default();
        let config = raw_handler::settings(&config, group);
        let (own, ear) = (Arc::clone(&state), listener.clone());
        let client = Client::new(config.clone(), Membership::Group, own, ear)?;
        let identity = Identity::start(&config, &state, listener, stop.clone())?;
        let handler = RawHandler::new(Arc::clone(&state), identity, sender);
        let poller = Poller::new(client, handler);
        let thread = PollerThread::start("kafka-raw", poller, stop, fatal.clone())?;
        Ok(RawReader { batches, state, fatal, thread })
    }

    /// Waits for messages and adds batches until they have `messages_max` messages or more, those
    /// of one partition in their order; false once there will be no more. A batch counts as waiting
    /// until it is dropped, and beyond [`crate::RAW_BYTES_MAX`] nothing more is fetched.
    /// Cancel-safe.
    pub async fn take(&mut self, batches: &mut Vec<RawBatch>, messages_max: usize) -> bool {
        let Some(first) = self.batches.recv().await else { return false };
        let mut n_messages = first.messages.len();
        batches.push(first);
        while n_messages < messages_max
            && let Ok(batch) = self.batches.try_recv()
        {
            n_messages += batch.messages.len();
            batches.push(batch);
        }
        true
    }

    /// Everything before the marks is durable elsewhere and need not be read again.
    pub fn done(&self, marks: &[RawMark]) {
        let mut parts = self.state.parts();
        for mark in marks {
            let key = (mark.topic, i32::try_from(mark.partition).unwrap_or(i32::MAX));
            if let Some(part) = parts.get_mut(&key).filter(|part| part.start == mark.start) {
                part.done(signed(mark.next));
            }
        }
    }

    /// A view of the reader for metrics and health checks.
    pub fn watch(&self) -> RawWatch {
        RawWatch { state: Arc::clone(&self.state) }
    }

    /// Turns true when no message will ever be read again.
    pub fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.subscribe()
    }

    /// Commits offsets, leaves the group and ends the thread, within a bound.
    pub async fn close(self) {
        self.thread.close().await;
    }
}

/// A view of a reader of raw topics. Cheap to clone.
#[derive(Clone)]
pub struct RawWatch {
    state: Arc<RawState>,
}

impl fmt::Debug for RawWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawWatch").field("topics", &self.state.topics).finish_non_exhaustive()
    }
}

impl RawWatch {
    /// Messages of a topic, in the partitions of this member, that are not durable yet: as of about
    /// a second ago.
    pub fn lag(&self, topic: usize) -> u64 {
        let parts = self.state.parts();
        let of_topic = parts.iter().filter(|((other, _), _)| *other == topic);
        of_topic.map(|(_, part)| part.high.saturating_sub(part.done).max(0).unsigned_abs()).sum()
    }

    /// Bytes of messages that were fetched and are not dropped yet.
    pub fn waiting_bytes(&self) -> usize {
        self.state.room.bytes.load(Ordering::Relaxed)
    }

    /// Messages that the brokers deleted unread, since the start. Those of
    /// topics that were deleted as a whole are not among them: see [`RawWatch::remade`].
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Takes the reports of topics that were made anew, and of topics seen for the first time. Each
    /// partition is reported once for each new topic, which bounds their number.
    pub fn remade(&self) -> Vec<Remade> {
        std::mem::take(&mut *lock(&self.state.remade))
    }

    /// How far the partitions of this member are read, and what it has seen of those that no member
    /// reads. Topics whose brokers report no id are left out.
    pub fn places(&self) -> Vec<RawPlace> {
        let mut places: Vec<RawPlace> = lock(&self.state.seen).values().copied().collect();
        places.extend(self.state.parts().iter().filter_map(|(key, part)| part.place(*key)));
        places
    }

    /// Partitions that have messages and have not moved for [`RAW_STALL_SECONDS`], by topic and
    /// number: those of this member, and all of a topic of which it has none.
    pub fn stalled(&self) -> Vec<(usize, u32)> {
        let limit = Duration::from_secs(RAW_STALL_SECONDS);
        let stalled = lock(&self.state.stalled);
        let long = stalled.iter().filter(|(_, stall)| stall.since.elapsed() >= limit);
        long.map(|((topic, number), _)| (*topic, u32::try_from(*number).unwrap_or(0))).collect()
    }
}
