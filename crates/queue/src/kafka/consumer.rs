//! The reader's side of the log's consumer: reads a partition in pieces from any offset on.
//!
//! A read that goes on where the last one ended takes what was delivered. Any other first asks the
//! brokers for the ends of the partition, so that a gap or a log that was cut is an error and never
//! a silent reset. Then it requests a start at its offset and waits for the first record.

use std::sync::Arc;
use std::time::Duration;

use kafka_id::TopicId;
use rdkafka::ClientConfig;
use tokio::sync::watch;
use tokio::time::Instant;

use super::handoff::{Broken, Slot, Taken};
use super::listener::Listener;
use super::log_handler::{self, LogHandler, Slots};
use super::options::Topic;
use super::poller::{Client, Membership, Poller, PollerThread, Stop};
use super::question::Questions;
use super::stall::Stalls;
use crate::error::QueueError;
use crate::limits::KAFKA_READ_SECONDS_MAX;
use crate::record::{Record, Watermarks};

/// Time between two checks of the topic's id.
const ID_CHECK_EVERY: Duration = Duration::from_millis(500);

/// Reads one topic.
pub(super) struct Consumer {
    slots: Arc<Slots>,
    questions: Questions,
    membership: Membership,
    fatal: watch::Sender<bool>,
    thread: PollerThread,
}

impl Consumer {
    /// Starts the thread. A member of the group refuses to read once the topic has another id than
    /// `id`, or than the first that the brokers report.
    pub(super) fn open(
        topic: Topic,
        config: &ClientConfig,
        membership: Membership,
        questions: Questions,
        fatal: watch::Sender<bool>,
        id: Option<TopicId>,
    ) -> Result<Consumer, QueueError> {
        let group = group(&topic, membership);
        let slots = Arc::new(Slots::new(topic.name, topic.partitions));
        let config = log_handler::settings(config, &group, membership);
        let listener = Listener::new(fatal.clone());
        let client = Client::new(config, membership, Arc::clone(&slots), listener)?;
        if membership == Membership::Alone {
            slots.all().iter().for_each(Slot::assign);
        }
        let poller = Poller::new(client, LogHandler::new(Arc::clone(&slots)));
        let stop = Stop::default();
        let thread = PollerThread::start("kafka-consumer", poller, stop.clone(), fatal.clone())?;
        if membership == Membership::Group {
            let stalls = Stalls::new(Arc::clone(&slots), questions.clone());
            tokio::spawn(stalls.watch(stop.clone()));
            tokio::spawn(watch_id(Arc::clone(&slots), stop, questions.clone(), id));
        }
        Ok(Consumer { slots, questions, membership, fatal, thread })
    }

    pub(super) async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let slot = self.slot(partition)?;
        let _turn = slot.turn.lock().await;
        let taken = self.take(slot, from, bytes_max);
        match (taken, self.membership) {
            // The subscription notifies a consumer of more.
            (Taken::Nothing, Membership::Group) => Ok(Vec::new()),
            // Others need to know whether it is the end.
            (Taken::Nothing, Membership::Alone) => {
                match self.ends_around(partition, from).await?.high == from {
                    true => Ok(Vec::new()),
                    false => self.wait(slot, partition, from, bytes_max).await,
                }
            }
            (Taken::Elsewhere, _) => self.start(slot, partition, from, bytes_max).await,
            (Taken::Broken(broken), _) => Err(self.explain(slot, partition, from, broken).await),
            (other, _) => self.settled(partition, other),
        }
    }

    /// Requests a start at another offset.
    async fn start(
        &self,
        slot: &Slot,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let ends = self.ends_around(partition, from).await?;
        if !slot.request_start(from) {
            return Err(QueueError::NotAssigned { partition });
        }
        self.slots.notify();
        if from == ends.high {
            return Ok(Vec::new());
        }
        self.wait(slot, partition, from, bytes_max).await
    }

    /// Waits for a record that is known to be in the log.
    async fn wait(
        &self,
        slot: &Slot,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let deadline = Instant::now() + Duration::from_secs(KAFKA_READ_SECONDS_MAX);
        let mut pulse = slot.pulse();
        loop {
            pulse.borrow_and_update();
            match self.take(slot, from, bytes_max) {
                Taken::Nothing => {}
                Taken::Broken(broken) => {
                    return Err(self.explain(slot, partition, from, broken).await);
                }
                other => return self.settled(partition, other),
            }
            if tokio::time::timeout_at(deadline, pulse.changed()).await.is_err() {
                // The next read starts over instead of waiting for this start again.
                slot.forget();
                return Err(QueueError::Slow { partition, offset: from });
            }
        }
    }

    /// Takes what was delivered, and notifies the thread, which may resume the partition.
    fn take(&self, slot: &Slot, from: u64, bytes_max: usize) -> Taken {
        let taken = slot.take(from, bytes_max);
        if let Taken::Records(_) = taken {
            self.slots.notify();
        }
        taken
    }

    /// The answer to a read that need not wait.
    fn settled(&self, partition: u32, taken: Taken) -> Result<Vec<Record>, QueueError> {
        match taken {
            Taken::Records(records) => Ok(records),
            Taken::Nothing => Ok(Vec::new()),
            Taken::Closed => Err(self.gone()),
            Taken::Remade => Err(QueueError::Remade { topic: self.questions.topic() }),
            // A partition that was revoked and assigned again in between starts over as well.
            Taken::NotAssigned | Taken::Elsewhere | Taken::Broken(_) => {
                Err(QueueError::NotAssigned { partition })
            }
        }
    }

    /// Why a partition is not read on at `from`. That the offset was deleted or truncated is the
    /// likely reason, so the brokers are asked for the ends first.
    async fn explain(&self, slot: &Slot, partition: u32, from: u64, broken: Broken) -> QueueError {
        slot.forget();
        if let Err(error) = self.ends_around(partition, from).await {
            return error;
        }
        match broken {
            Broken::Hole { next } => QueueError::Hole { offset: from, next },
            Broken::Reset(source) => QueueError::Kafka { action: "read on", source },
        }
    }

    /// The ends of a partition, if `from` lies within them.
    async fn ends_around(&self, partition: u32, from: u64) -> Result<Watermarks, QueueError> {
        let ends = self.watermarks(partition).await?;
        if from < ends.low {
            return Err(QueueError::Gap { low: ends.low });
        }
        if from > ends.high {
            return Err(QueueError::PastEnd { high: ends.high });
        }
        Ok(ends)
    }

    pub(super) async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        let slot = self.slot(partition)?;
        if slot.is_closed() {
            return Err(self.gone());
        }
        let ends = self.questions.ends(partition).await?;
        slot.ends_seen(ends.low, ends.high);
        Ok(ends)
    }

    /// Waits until the partition is assigned to this member.
    pub(super) async fn assigned(&self, partition: u32) -> Result<(), QueueError> {
        let slot = self.slot(partition)?;
        let waited = slot.assigned().wait_for(|is_assigned| *is_assigned).await.map(|_| ());
        match (waited, slot.is_closed()) {
            (Ok(()), false) => Ok(()),
            _ => Err(self.gone()),
        }
    }

    /// Waits until the partition is not assigned to this member, or never will be.
    pub(super) async fn revoked(&self, partition: u32) {
        if let Ok(slot) = self.slot(partition) {
            // An error is the end of the client, and nothing is assigned to it any more.
            let _ = slot.assigned().wait_for(|is_assigned| !*is_assigned).await;
        }
    }

    /// Follows the offset behind the last record that can be read without waiting.
    pub(super) fn subscribe(&self, partition: u32) -> Result<watch::Receiver<u64>, QueueError> {
        Ok(self.slot(partition)?.subscribe())
    }

    /// Oldest offset and the one to be written next, as last seen.
    pub(super) fn ends(&self, partition: u32) -> Result<(u64, u64), QueueError> {
        Ok(self.slot(partition)?.ends())
    }

    /// Has `next` committed to Kafka, for tools that show a lag.
    pub(super) fn commit_offset(&self, partition: u32, next: u64) {
        if let Ok(slot) = self.slot(partition) {
            slot.commit_offset(next);
        }
    }

    /// The topic is the right one for this partition, although it was replaced.
    pub(super) fn trust(&self, partition: u32) {
        if let Ok(slot) = self.slot(partition) {
            slot.trust();
        }
    }

    /// Bytes of records that wait to be read.
    pub(super) fn bytes(&self) -> u64 {
        self.slots.all().iter().map(|slot| slot.bytes() as u64).sum()
    }

    /// Leaves the group and ends the thread.
    pub(super) async fn close(&self) {
        self.thread.close().await;
    }

    #[cfg(test)]
    pub(super) fn stop_fetching(&self, partition: u32) {
        self.slot(partition).expect("a partition").stop_fetching();
    }

    fn slot(&self, partition: u32) -> Result<&Slot, QueueError> {
        let partitions = u32::try_from(self.slots.all().len()).unwrap_or(u32::MAX);
        let slot = usize::try_from(partition).ok().and_then(|at| self.slots.all().get(at));
        slot.ok_or(QueueError::Partition { partition, partitions })
    }

    /// Why a call cannot be answered any more.
    fn gone(&self) -> QueueError {
        match *self.fatal.borrow() {
            true => QueueError::Fatal,
            false => QueueError::Closed,
        }
    }
}

/// Asks for the topic's id until the consumer ends, and stops all reads once it is another one: the
/// client itself reads on in the new topic without an error.
async fn watch_id(slots: Arc<Slots>, stop: Stop, questions: Questions, id: Option<TopicId>) {
    let mut first = id.filter(|id| !id.is_unknown());
    while !stop.is_set() {
        match questions.id().await {
            Ok(Some(id)) if !id.is_unknown() => {
                let known = *first.get_or_insert(id);
                if known != id {
                    let topic = questions.topic();
                    tracing::error!(topic, %known, %id, "topic of the log was made anew");
                    slots.all().iter().for_each(Slot::remake);
                    first = Some(id);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "topic of the log could not be described"),
        }
        tokio::time::sleep(ID_CHECK_EVERY).await;
    }
}

/// Members of the group share the partitions of one topic. A client that reads alone needs a group
/// name too, and one of its own keeps it from affecting them.
fn group(topic: &Topic, membership: Membership) -> String {
    let generation = topic.generation;
    match membership {
        Membership::Group => format!("gatemeter.aggregator.g{generation}"),
        Membership::Alone => format!("gatemeter.reader.g{generation}"),
    }
}
