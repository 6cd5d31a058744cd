//! Takes messages from raw topics into the log: JSON that gateways publish straight to Kafka.
//!
//! Messages are taken in groups, go the way of every batch under the source of their topic, and
//! are done with only when their events are durable in the log and what could not be taken is kept
//! as a dead letter. Several groups are under way at once and end in their order, so that the
//! offset of a topic never passes a message that is not done with. What cannot be decided now is
//! tried again for as long as it takes: the topic holds what waits, and nothing is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use event::Reject;
use event::limits::BODY_BYTES_MAX;
use queue::{RawMark, RawMessage, RawReader};
use service::config::RawTopic;
use service::shutdown::Shutdown;
use store::{RawLetter, Store};
use tokio::task::{JoinError, JoinHandle};
use tracing::error;

use crate::intake::{Intake, Refusals, Reports, Text, Unready};
use crate::metrics::IngestMetrics;
use crate::raw_account::{Account, Shown};

/// Most messages of one group: enough that a group of small ones is worth an append.
const GROUP_MESSAGES_MAX: usize = 1_000;
/// Groups that are under way at once.
const GROUPS_MAX: usize = 4;
/// First pause before a group is tried again..
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// ..doubled each time up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Kind of a message that is no batch of events.
const UNREADABLE: &str = "unreadable";

/// What the reader of raw topics works on.
#[derive(Debug)]
pub struct RawParts {
    /// Where messages come from.
    pub reader: RawReader,
    /// The group that it reads as.
    pub group: String,
    /// The topics that it reads, in its order, with their sources.
    pub topics: Vec<RawTopic>,
    /// Dead letters of raw topics kept one by one, per hour.
    pub letters_per_hour: u64,
}

/// Works until the shutdown, then ends what is under way and keeps the offsets. False if it ended
/// for another reason: the process must exit, and whatever is not done with comes again.
pub(crate) async fn run(door: RawDoor, parts: RawParts, shutdown: Shutdown) -> bool {
    let RawParts { mut reader, group, topics, letters_per_hour } = parts;
    let (store, metrics) = (Arc::clone(&door.store), door.metrics.clone());
    topics.iter().for_each(|topic| metrics.begin_raw(&topic.topic));
    let shown = Shown { watch: reader.watch(), topics: topics.clone(), metrics: metrics.clone() };
    let mut account = Account::new(reader.watch(), store, group, topics.clone(), metrics);
    let sources = topics.iter().map(|topic| topic.source.as_str().into()).collect();
    let shutdown_of_way = shutdown.clone();
    let way = Way { door, topics, sources, letters_per_hour, shutdown: shutdown_of_way };
    let way = Arc::new(way);
    let mut groups = VecDeque::new();
    let mut fatal = reader.fatal();
    let mut stopping = std::pin::pin!(shutdown.requested());
    let mut messages = Vec::new();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let accounting = tokio::spawn(async move {
        tokio::select! {
            () = account.follow() => {}
            () = shown.follow() => {}
            _ = ended => {}
        }
        account.end().await;
    });
    let is_good = loop {
        let may_take = groups.len() < GROUPS_MAX;
        tokio::select! {
            biased;
            () = &mut stopping => break true,
            _ = fatal.wait_for(|is_fatal| *is_fatal) => break false,
            first = first(&mut groups), if !groups.is_empty() => {
                groups.pop_front();
                match first {
                    Ok(Some(marks)) => reader.done(&marks),
                    // Nothing that came later may pass it.
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            }
            has_more = reader.take(&mut messages, GROUP_MESSAGES_MAX), if may_take => {
                if !has_more {
                    break false;
                }
                let (way, group) = (Arc::clone(&way), std::mem::take(&mut messages));
                groups.push_back(tokio::spawn(way.carry(group)));
            }
        }
    };
    // What is durable already need not come again.
    while is_good
        && !groups.is_empty()
        && let Ok(Some(marks)) = first(&mut groups).await
    {
        groups.pop_front();
        reader.done(&marks);
    }
    drop(end);
    let (accounted, ()) = tokio::join!(accounting, reader.close());
    if let Err(error) = accounted {
        error!(%error, "the account of raw topics panicked");
    }
    is_good
}

/// A group under way: the marks of what is done with, or `None` if it was given up.
type Carried = JoinHandle<Option<Vec<RawMark>>>;

/// Waits for the first group, which must not be taken out before. Safe to be given up.
async fn first(groups: &mut VecDeque<Carried>) -> Result<Option<Vec<RawMark>>, JoinError> {
    let Some(group) = groups.front_mut() else { return Ok(None) };
    group.await.inspect_err(|error| error!(%error, "processing a group of raw messages panicked"))
}

/// What messages of raw topics need of ingest.
#[derive(Clone, Debug)]
pub struct RawDoor {
    /// The way into the log.
    pub intake: Intake,
    /// Where dead letters and places are kept.
    pub store: Arc<Store>,
    /// What is measured.
    pub metrics: IngestMetrics,
    /// Whether batches are refused.
    pub refusals: Arc<Refusals>,
}

/// What every group needs.
struct Way {
    door: RawDoor,
    topics: Vec<RawTopic>,
    /// By topic.
    sources: Vec<Arc<str>>,
    letters_per_hour: u64,
    shutdown: Shutdown,
}

impl Way {
    /// Carries a group to its end; `None` if the process ends before.
    async fn carry(self: Arc<Self>, group: Vec<RawMessage>) -> Option<Vec<RawMark>> {
        let mut pause = PAUSE_MIN;
        let taken = loop {
            match self.take(&group).await {
                Ok(taken) => break taken,
                Err(Unready::Defect(error)) => std::panic::resume_unwind(error.into_panic()),
                Err(_) => self.rest(&mut pause).await?,
            }
        };
        let (mut letters, mut results) = (Vec::new(), Vec::new());
        for (message, result) in group.iter().zip(taken) {
            let topic = self.topics[message.topic].topic.as_str();
            let result = match result {
                Err(reason) => {
                    letters.push(unreadable(topic, message, reason));
                    "unreadable"
                }
                Ok(rejects) if rejects.is_empty() => "taken",
                Ok(rejects) => {
                    letters.extend(rejects.iter().map(|reject| rejected(topic, message, reject)));
                    "rejected"
                }
            };
            results.push([topic, result]);
        }
        while let Err(unready) = self.keep(&letters).await {
            self.door.refusals.note(&unready);
            self.rest(&mut pause).await?;
        }
        for result in results {
            self.door.metrics.raw_messages.with_label_values(&result).inc();
        }
        Some(last_marks(&group))
    }

    /// Waits before another try; `None` if the process ends.
    async fn rest(&self, pause: &mut Duration) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = self.shutdown.requested() => return None,
        }
        *pause = (*pause * 2).min(PAUSE_MAX);
        Some(())
    }

    /// Puts the events of a group into the log. Gives the rejects of each message, or why it is no
    /// batch.
    async fn take(
        &self,
        group: &[RawMessage],
    ) -> Result<Vec<Result<Vec<Reject>, String>>, Unready> {
        let fits = |message: &&RawMessage| message.bytes.len() <= BODY_BYTES_MAX;
        let text = |message: &RawMessage| Text {
            bytes: message.bytes.clone(),
            source: Arc::clone(&self.sources[message.topic]),
        };
        let texts = group.iter().filter(fits).map(text).collect();
        let taken = self.door.intake.take(texts, Reports::Spare).await?;
        let mut taken = taken.texts.into_iter();
        let too_large = || format!("the message is above the limit of {BODY_BYTES_MAX} bytes");
        let result = |message: &RawMessage| match fits(&message) {
            true => match taken.next().expect("each text has its place") {
                Ok(stamped) => Ok(stamped.rejects),
                Err(error) => Err(error.to_string()),
            },
            false => Err(too_large()),
        };
        Ok(group.iter().map(result).collect())
    }

    /// Keeps what could not be taken.
    async fn keep(&self, letters: &[RawLetter]) -> Result<(), Unready> {
        if letters.is_empty() {
            return Ok(());
        }
        let hour_max = i64::try_from(self.letters_per_hour).unwrap_or(i64::MAX);
        let kept = self.door.store.put_raw_letters(letters.to_vec(), hour_max).await;
        kept.map_err(Unready::Store)
    }
}

/// What to say once every message of a group is done with.
fn last_marks(group: &[RawMessage]) -> Vec<RawMark> {
    let mut last = BTreeMap::new();
    for message in group {
        // Messages of a partition are in their order.
        last.insert((message.topic, message.partition), message.mark());
    }
    last.into_values().collect()
}

/// The dead letter of a message that is no batch of events. Its content stays where it is, in the
/// topic: it may hold what must not be stored.
fn unreadable(topic: &str, message: &RawMessage, reason: String) -> RawLetter {
    RawLetter {
        topic: topic.to_owned(),
        topic_id: message.id.to_string(),
        partition: message.partition,
        offset: message.offset,
        idx: 0,
        until: message.offset,
        n: 1,
        kind: UNREADABLE.to_owned(),
        field: String::new(),
        reason,
        event_id: None,
        stored_us: 0,
    }
}

/// The dead letter of one event of a message.
fn rejected(topic: &str, message: &RawMessage, reject: &Reject) -> RawLetter {
    RawLetter {
        idx: u32::try_from(reject.index).unwrap_or(u32::MAX),
        kind: reject.kind.to_owned(),
        field: reject.field.to_owned(),
        event_id: reject.id.clone(),
        ..unreadable(topic, message, reject.reason.clone().into_owned())
    }
}
