//! Consumes raw topics: JSON that gateways publish straight to Kafka.
//!
//! Messages are processed in groups, which take the same path as every batch, under the source of
//! their topic. An offset is committed only once the events are durable in the log and whatever was
//! not accepted is stored as a dead letter. Several groups are in flight at once and complete in
//! order, so that a committed offset never passes an unprocessed message. What cannot be decided
//! now is retried with backoff for as long as it takes: the topic is the buffer, and nothing may be
//! dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use event::Reject;
use event::native::BodyError;
use queue::{RawBatch, RawMark, RawReader};
use service::config::RawTopic;
use service::shutdown::Shutdown;
use store::{RawLetter, Store};
use tokio::task::{JoinError, JoinHandle};
use tracing::error;

use crate::intake::{Intake, Refusals, Reports, Unready};
use crate::metrics::{IngestMetrics, RAW_RESULTS};
use crate::parsed::Texts;
use crate::raw_account::{PositionTracker, RawGauges};
use crate::stamp::Stamped;

/// Messages after which a group takes no further batch: enough that a group of small ones is worth
/// an append.
const GROUP_MESSAGES_MIN: usize = 1_000;
/// Most groups in flight.
const GROUPS_MAX: usize = 4;
/// First delay before a group is retried..
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// ..doubled each time up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What became of a message, by its place in `RAW_RESULTS`.
const TAKEN: usize = 0;
const REJECTED: usize = 1;
const UNREADABLE: usize = 2;

/// The raw topics to consume, and how.
#[derive(Debug)]
pub struct RawParts {
    /// Reader of the topics.
    pub reader: RawReader,
    /// Consumer group of the reader.
    pub group: String,
    /// Topics of the reader, in its order, with their sources.
    pub topics: Vec<RawTopic>,
    /// Most dead letters of raw topics that are stored one by one, per hour.
    pub letters_per_hour: u64,
}

/// Runs until shutdown, then drains the groups in flight and commits their offsets. Returns false
/// if it ended for another reason: the process must exit, and unprocessed messages are redelivered.
pub(crate) async fn run(deps: RawDeps, parts: RawParts, shutdown: Shutdown) -> bool {
    let RawParts { mut reader, group, topics, letters_per_hour } = parts;
    let (store, metrics) = (Arc::clone(&deps.store), deps.metrics.clone());
    topics.iter().for_each(|topic| metrics.raw.begin(&topic.topic));
    let gauges =
        RawGauges { watch: reader.watch(), topics: topics.clone(), metrics: metrics.clone() };
    let mut tracker = PositionTracker::new(reader.watch(), store, group, topics.clone(), metrics);
    let sources = topics.iter().map(|topic| topic.source.as_str().into()).collect();
    let worker_shutdown = shutdown.clone();
    let worker = Worker { deps, topics, sources, letters_per_hour, shutdown: worker_shutdown };
    let worker = Arc::new(worker);
    let mut groups = VecDeque::new();
    let mut fatal = reader.fatal();
    let mut stopping = std::pin::pin!(shutdown.requested());
    let mut batches = Vec::new();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let tracking = tokio::spawn(async move {
        tokio::select! {
            () = tracker.run() => {}
            () = gauges.run() => {}
            _ = ended => {}
        }
        tracker.finish().await;
    });
    let is_good = loop {
        let may_take = groups.len() < GROUPS_MAX;
        tokio::select! {
            biased;
            () = &mut stopping => break true,
            _ = fatal.wait_for(|is_fatal| *is_fatal) => break false,
            oldest = oldest(&mut groups), if !groups.is_empty() => {
                groups.pop_front();
                match oldest {
                    Ok(Some(marks)) => reader.done(&marks),
                    // Offsets of later groups must not pass this one.
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            }
            has_more = reader.take(&mut batches, GROUP_MESSAGES_MIN), if may_take => {
                if !has_more {
                    break false;
                }
                let (worker, group) = (Arc::clone(&worker), std::mem::take(&mut batches));
                groups.push_back(tokio::spawn(worker.process(group)));
            }
        }
    };
    // Commits what becomes durable, so that it is not redelivered.
    while is_good
        && !groups.is_empty()
        && let Ok(Some(marks)) = oldest(&mut groups).await
    {
        groups.pop_front();
        reader.done(&marks);
    }
    drop(end);
    let (tracked, ()) = tokio::join!(tracking, reader.close());
    if let Err(error) = tracked {
        error!(%error, "tracking positions of raw topics panicked");
    }
    is_good
}

/// A group in flight. Ends with the marks to commit, or `None` if it was given up at shutdown.
type GroupTask = JoinHandle<Option<Vec<RawMark>>>;

/// Waits for the oldest group and leaves it in the queue. Cancel-safe.
async fn oldest(groups: &mut VecDeque<GroupTask>) -> Result<Option<Vec<RawMark>>, JoinError> {
    let Some(group) = groups.front_mut() else { return Ok(None) };
    group.await.inspect_err(|error| error!(%error, "processing a group of raw messages panicked"))
}

/// What consuming raw topics needs from ingest.
#[derive(Clone, Debug)]
pub struct RawDeps {
    pub intake: Intake,
    /// Stores dead letters and positions.
    pub store: Arc<Store>,
    pub metrics: IngestMetrics,
    pub refusals: Arc<Refusals>,
}

/// Processes groups; shared by all in flight.
struct Worker {
    deps: RawDeps,
    topics: Vec<RawTopic>,
    /// By index of the topic.
    sources: Vec<Arc<str>>,
    letters_per_hour: u64,
    shutdown: Shutdown,
}

impl Worker {
    /// Processes a group to its end. Returns `None` if the process shuts down before.
    async fn process(self: Arc<Self>, group: Vec<RawBatch>) -> Option<Vec<RawMark>> {
        let mut pause = PAUSE_MIN;
        let taken = loop {
            match self.take(&group).await {
                Ok(taken) => break taken,
                Err(Unready::Defect(error)) => std::panic::resume_unwind(error.into_panic()),
                Err(_) => self.back_off(&mut pause).await?,
            }
        };
        let mut letters = Vec::new();
        let mut n_messages = vec![[0; RAW_RESULTS.len()]; self.topics.len()];
        let messages = group
            .iter()
            .flat_map(|batch| batch.messages.iter().map(move |message| (batch, message.offset)));
        for ((batch, offset), result) in messages.zip(taken) {
            let topic = self.topics[batch.topic].topic.as_str();
            let result = match result {
                Ok(stamped) if stamped.rejects.is_empty() => TAKEN,
                Ok(stamped) => {
                    let rejects = stamped.rejects.iter();
                    letters.extend(rejects.map(|reject| rejected(topic, batch, offset, reject)));
                    REJECTED
                }
                Err(error) => {
                    letters.push(unreadable(topic, batch, offset, error.to_string()));
                    UNREADABLE
                }
            };
            n_messages[batch.topic][result] += 1;
        }
        while let Err(unready) = self.store_letters(&letters).await {
            self.deps.refusals.note(&unready);
            self.back_off(&mut pause).await?;
        }
        for (topic, n) in self.topics.iter().zip(n_messages) {
            for (result, n) in RAW_RESULTS.into_iter().zip(n).filter(|(_, n)| *n > 0) {
                let labels = [topic.topic.as_str(), result];
                self.deps.metrics.raw.messages.with_label_values(&labels).inc_by(n);
            }
        }
        Some(last_marks(&group))
    }

    /// Waits before a retry. Returns `None` if the process shuts down.
    async fn back_off(&self, pause: &mut Duration) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = self.shutdown.requested() => return None,
        }
        *pause = (*pause * 2).min(PAUSE_MAX);
        Some(())
    }

    /// Appends the events of a group to the log. Returns the outcome of each message.
    async fn take(&self, group: &[RawBatch]) -> Result<Vec<Result<Stamped, BodyError>>, Unready> {
        let texts =
            |batch: &RawBatch| Texts::of_messages(batch, Arc::clone(&self.sources[batch.topic]));
        let texts = group.iter().map(texts).collect();
        Ok(self.deps.intake.take(texts, Reports::BestEffort).await?.texts)
    }

    /// Stores what was not accepted.
    async fn store_letters(&self, letters: &[RawLetter]) -> Result<(), Unready> {
        if letters.is_empty() {
            return Ok(());
        }
        let hour_max = i64::try_from(self.letters_per_hour).unwrap_or(i64::MAX);
        let kept = self.deps.store.put_raw_letters(letters.to_vec(), hour_max).await;
        kept.map_err(Unready::Store)
    }
}

/// The marks that commit a processed group: the last one of each partition.
fn last_marks(group: &[RawBatch]) -> Vec<RawMark> {
    // Batches of a partition are in offset order.
    let marks = group.iter().map(|batch| ((batch.topic, batch.partition), batch.mark()));
    marks.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// The dead letter of a message that is not a batch of events. Its content stays in the topic: it
/// may hold what must not be stored.
fn unreadable(topic: &str, batch: &RawBatch, offset: u64, reason: String) -> RawLetter {
    RawLetter {
        topic: topic.to_owned(),
        topic_id: batch.id.to_string(),
        partition: batch.partition,
        offset,
        idx: 0,
        until: offset,
        n: 1,
        kind: RAW_RESULTS[UNREADABLE].to_owned(),
        field: String::new(),
        reason,
        event_id: None,
        stored_us: 0,
    }
}

/// The dead letter of a rejected event.
fn rejected(topic: &str, batch: &RawBatch, offset: u64, reject: &Reject) -> RawLetter {
    RawLetter {
        idx: u32::try_from(reject.index).unwrap_or(u32::MAX),
        kind: reject.kind.to_owned(),
        field: reject.field.to_owned(),
        event_id: reject.id.clone(),
        ..unreadable(topic, batch, offset, reject.reason.clone().into_owned())
    }
}
