//! The reader's side of the consumer: reads pieces of a partition from any offset on.
//!
//! A read at the place where records come in takes what is there. Any other first asks the
//! brokers for the ends, so that a gap or a log that was cut is an answer and never a silent
//! reset, then has the thread start over there and waits for the first record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_id::TopicId;
use rdkafka::ClientConfig;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::handoff::{Broken, Place, Taken};
use super::listener::Listener;
use super::options::Topic;
use super::poller::{self, Membership, Poller, Shared};
use super::question::Questions;
use crate::error::QueueError;
use crate::limits::{KAFKA_CLOSE_SECONDS_MAX, KAFKA_READ_SECONDS_MAX};
use crate::record::{Record, Watermarks};

/// Time between two looks which topic has the name of the log.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads one topic.
pub(super) struct Consumer {
    shared: Arc<Shared>,
    questions: Questions,
    membership: Membership,
    fatal: watch::Sender<bool>,
    /// Tells that the thread has ended. Nobody joins it: a client that cannot leave its group
    /// must not keep the process from ending.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Consumer {
    /// Starts the thread. A member of the group tells once the topic has another id.
    pub(super) fn open(
        topic: Topic,
        config: &ClientConfig,
        membership: Membership,
        questions: Questions,
        fatal: watch::Sender<bool>,
        id: Option<TopicId>,
    ) -> Result<Consumer, QueueError> {
        let shared = Arc::new(Shared {
            places: (0..topic.partitions).map(|_| Place::new()).collect(),
            has_wishes: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        });
        let (group, listener) = (group(&topic, membership), Listener::new(fatal.clone()));
        let config = poller::settings(config, &group, membership);
        let topic = topic.name;
        let poller = Poller::new(&config, &topic, membership, Arc::clone(&shared), listener)?;
        let (end, ended) = oneshot::channel();
        let at_end = AtEnd { shared: Arc::clone(&shared), fatal: fatal.clone(), _end: end };
        std::thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn(move || {
                let _at_end = at_end;
                poller.run();
            })
            .map_err(|source| QueueError::io("start the consumer's thread for", topic, source))?;
        let ended = Mutex::new(Some(ended));
        if membership == Membership::Group {
            tokio::spawn(watch_id(Arc::clone(&shared), questions.clone(), id));
        }
        Ok(Consumer { shared, questions, membership, fatal, ended })
    }

    pub(super) async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let place = self.place(partition)?;
        let _turn = place.turn.lock().await;
        let taken = self.take(place, from, bytes_max);
        match (taken, self.membership) {
            // A consumer hears of more by the subscription.
            (Taken::Nothing, Membership::Group) => Ok(Vec::new()),
            // Others want to know whether it is the end.
            (Taken::Nothing, Membership::Alone) => {
                match self.ends_around(partition, from).await?.high == from {
                    true => Ok(Vec::new()),
                    false => self.wait(place, partition, from, bytes_max).await,
                }
            }
            (Taken::Elsewhere, _) => self.start(place, partition, from, bytes_max).await,
            (Taken::Broken(broken), _) => Err(self.explain(place, partition, from, broken).await),
            (other, _) => self.settled(partition, other),
        }
    }

    /// Has the thread start at another offset.
    async fn start(
        &self,
        place: &Place,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let ends = self.ends_around(partition, from).await?;
        if !place.start(from) {
            return Err(QueueError::NotAssigned { partition });
        }
        self.shared.has_wishes.store(true, Ordering::Release);
        if from == ends.high {
            return Ok(Vec::new());
        }
        self.wait(place, partition, from, bytes_max).await
    }

    /// Waits for a record that is known to be in the log.
    async fn wait(
        &self,
        place: &Place,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let deadline = Instant::now() + Duration::from_secs(KAFKA_READ_SECONDS_MAX);
        let mut pulse = place.pulse();
        loop {
            pulse.borrow_and_update();
            match self.take(place, from, bytes_max) {
                Taken::Nothing => {}
                Taken::Broken(broken) => {
                    return Err(self.explain(place, partition, from, broken).await);
                }
                other => return self.settled(partition, other),
            }
            if tokio::time::timeout_at(deadline, pulse.changed()).await.is_err() {
                // The next read starts over: whatever went wrong is not waited for again.
                place.forget();
                return Err(QueueError::Slow { partition, offset: from });
            }
        }
    }

    /// Takes what is there, and has the thread go on if that made room.
    fn take(&self, place: &Place, from: u64, bytes_max: usize) -> Taken {
        let taken = place.take(from, bytes_max);
        if let Taken::Records(_) = taken {
            self.shared.has_wishes.store(true, Ordering::Release);
        }
        taken
    }

    /// What needs no more waiting.
    fn settled(&self, partition: u32, taken: Taken) -> Result<Vec<Record>, QueueError> {
        match taken {
            Taken::Records(records) => Ok(records),
            Taken::Nothing => Ok(Vec::new()),
            Taken::Closed => Err(self.gone()),
            Taken::Remade => Err(QueueError::Remade { topic: self.questions.topic() }),
            // A place that was lost and given again in between starts over as well.
            Taken::NotAssigned | Taken::Elsewhere | Taken::Broken(_) => {
                Err(QueueError::NotAssigned { partition })
            }
        }
    }

    /// Why a partition does not go on at `from`. Offsets that were deleted, or taken back, are
    /// the likely reason, and the brokers are asked for that first.
    async fn explain(
        &self,
        place: &Place,
        partition: u32,
        from: u64,
        broken: Broken,
    ) -> QueueError {
        place.forget();
        if let Err(error) = self.ends_around(partition, from).await {
            return error;
        }
        match broken {
            Broken::Hole { next } => QueueError::Hole { offset: from, next },
            Broken::Disturbed(source) => QueueError::Kafka { action: "read on", source },
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
        let place = self.place(partition)?;
        if place.is_closed() {
            return Err(self.gone());
        }
        let ends = self.questions.ends(partition).await?;
        place.seen(ends.low, ends.high);
        Ok(ends)
    }

    /// Waits until the partition is ours.
    pub(super) async fn assigned(&self, partition: u32) -> Result<(), QueueError> {
        let place = self.place(partition)?;
        let waited = place.assigned().wait_for(|is_assigned| *is_assigned).await.map(|_| ());
        match (waited, place.is_closed()) {
            (Ok(()), false) => Ok(()),
            _ => Err(self.gone()),
        }
    }

    /// Follows the offset behind the last record that can be read without waiting.
    pub(super) fn subscribe(&self, partition: u32) -> Result<watch::Receiver<u64>, QueueError> {
        Ok(self.place(partition)?.subscribe())
    }

    /// Oldest offset and the one to be written next, as last seen.
    pub(super) fn ends(&self, partition: u32) -> Result<(u64, u64), QueueError> {
        Ok(self.place(partition)?.ends())
    }

    /// The ledger has counted up to `next`: tools may see it.
    pub(super) fn commit_offset(&self, partition: u32, next: u64) {
        if let Ok(place) = self.place(partition) {
            place.commit_offset(next);
        }
    }

    /// The topic is the right one for this partition, whatever it was.
    pub(super) fn trust(&self, partition: u32) {
        if let Ok(place) = self.place(partition) {
            place.trust();
        }
    }

    /// Bytes that wait to be read.
    pub(super) fn bytes(&self) -> u64 {
        self.shared.places.iter().map(|place| place.bytes() as u64).sum()
    }

    /// Leaves the group and ends the thread.
    pub(super) async fn close(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ended) = ended else { return };
        let limit = Duration::from_secs(KAFKA_CLOSE_SECONDS_MAX);
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::warn!("consumer did not leave in time, the group will notice");
        }
    }

    fn place(&self, partition: u32) -> Result<&Place, QueueError> {
        let partitions = u32::try_from(self.shared.places.len()).unwrap_or(u32::MAX);
        let place = usize::try_from(partition).ok().and_then(|at| self.shared.places.get(at));
        place.ok_or(QueueError::Partition { partition, partitions })
    }

    /// Why nothing is answered.
    fn gone(&self) -> QueueError {
        match *self.fatal.borrow() {
            true => QueueError::Fatal,
            false => QueueError::Closed,
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
    }
}

/// Looks which topic has the name until the consumer ends, and tells once it is another one: the
/// client itself reads on in the new one as if nothing had been.
async fn watch_id(shared: Arc<Shared>, questions: Questions, id: Option<TopicId>) {
    let mut first = id.filter(|id| !id.is_unknown());
    while !shared.is_stopping.load(Ordering::Acquire) {
        match questions.id().await {
            Ok(Some(id)) if !id.is_unknown() => {
                let known = *first.get_or_insert(id);
                if known != id {
                    let topic = questions.topic();
                    tracing::error!(topic, %known, %id, "topic of the log was made anew");
                    shared.places.iter().for_each(Place::remake);
                    first = Some(id);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "topic of the log could not be described"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Members of the group share the partitions of one topic. Whoever reads alone needs a name too,
/// and under one of its own it can never disturb them.
fn group(topic: &Topic, membership: Membership) -> String {
    let generation = topic.generation;
    match membership {
        Membership::Group => format!("gatemeter.aggregator.g{generation}"),
        Membership::Alone => format!("gatemeter.reader.g{generation}"),
    }
}

/// Tells that the thread has ended, however it did. One that ends by itself has failed, and the
/// process must hear of it.
struct AtEnd {
    shared: Arc<Shared>,
    fatal: watch::Sender<bool>,
    /// Its receiver hears when this is dropped.
    _end: oneshot::Sender<()>,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        if !self.shared.is_stopping.load(Ordering::Acquire) {
            tracing::error!("the consumer's thread ended, the process must exit");
            self.fatal.send_replace(true);
        }
    }
}
