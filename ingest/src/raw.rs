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
use event::limits::{BATCH_EVENTS_MAX, BODY_BYTES_MAX, FRAME_EVENTS_MAX};
use event::native::parse;
use queue::{RawMark, RawMessage, RawReader};
use service::config::RawTopic;
use service::shutdown::Shutdown;
use store::RawLetter;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::error;

use crate::intake::{Intake, Unready};
use crate::raw_account::{Account, Shown};
use crate::stamp::Stamped;

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
pub(crate) async fn run(intake: Intake, parts: RawParts, shutdown: Shutdown) -> bool {
    let RawParts { mut reader, group, topics, letters_per_hour } = parts;
    topics.iter().for_each(|topic| intake.metrics.begin_raw(&topic.topic));
    let (store, metrics) = (Arc::clone(&intake.parts.store), intake.metrics.clone());
    let shown = Shown { watch: reader.watch(), topics: topics.clone(), metrics: metrics.clone() };
    let mut account = Account::new(reader.watch(), store, group, topics.clone(), metrics);
    let way = Arc::new(Way { intake, topics, letters_per_hour, shutdown: shutdown.clone() });
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
        error!(%error, "the account of raw topics ended by a defect");
    }
    is_good
}

/// A group under way: what to say when it is done with, or nothing if it was given up.
type Carried = JoinHandle<Option<Vec<RawMark>>>;

/// Waits for the first group, which must not be taken out before. Safe to be given up.
async fn first(groups: &mut VecDeque<Carried>) -> Result<Option<Vec<RawMark>>, JoinError> {
    let Some(group) = groups.front_mut() else { return Ok(None) };
    group.await.inspect_err(|error| error!(%error, "a group of raw messages ended by a defect"))
}

/// What every group needs.
struct Way {
    intake: Intake,
    topics: Vec<RawTopic>,
    letters_per_hour: u64,
    shutdown: Shutdown,
}

/// Messages whose events fit a frame, ready for the log, and what goes elsewhere.
#[derive(Default)]
struct Piece {
    /// Index behind the last message that is in it.
    until: usize,
    stamped: Stamped,
    left: Left,
}

/// What came of messages, apart from the events that are in the log.
#[derive(Default)]
struct Left {
    letters: Vec<RawLetter>,
    rejects: Vec<Reject>,
    /// Topic and result of each message.
    results: Vec<(usize, &'static str)>,
    n_events: usize,
}

impl Way {
    /// Carries a group to its end; nothing if the process is to end before.
    async fn carry(self: Arc<Self>, group: Vec<RawMessage>) -> Option<Vec<RawMark>> {
        let group = Arc::new(group);
        let mut pause = PAUSE_MIN;
        let left = loop {
            match Way::enter(&self, &group).await {
                Ok(left) => break left,
                Err(unready) => self.rest(&unready, &mut pause).await?,
            }
        };
        while let Err(unready) = self.keep(&left.letters).await {
            self.rest(&unready, &mut pause).await?;
        }
        let metrics = &self.intake.metrics;
        metrics.note_taken(left.n_events, &left.rejects);
        for (topic, result) in left.results {
            let topic = self.topics[topic].topic.as_str();
            metrics.raw_messages.with_label_values(&[topic, result]).inc();
        }
        Some(last_marks(&group))
    }

    /// Waits before another try; nothing if the process is to end.
    async fn rest(&self, unready: &Unready, pause: &mut Duration) -> Option<()> {
        self.intake.note(unready);
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = self.shutdown.requested() => return None,
        }
        *pause = (*pause * 2).min(PAUSE_MAX);
        Some(())
    }

    /// Puts the events of a group into the log.
    async fn enter(way: &Arc<Way>, group: &Arc<Vec<RawMessage>>) -> Result<Left, Unready> {
        way.intake.check_pressure()?;
        let mut left = Left::default();
        let mut from = 0;
        while from < group.len() {
            let (own, messages) = (Arc::clone(way), Arc::clone(group));
            let runtime = tokio::runtime::Handle::current();
            // Away from the async threads, where others wait for answers.
            let work = move || runtime.block_on(own.prepare(&messages, from));
            let piece = match spawn_blocking(work).await {
                Ok(piece) => piece?,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            let Piece { until, stamped, left: piece } = piece;
            way.intake.append(stamped.builders).await?;
            if let Err(unready) = way.intake.keep_connections(stamped.connections).await {
                // A gauge of a minute: it is not worth holding up what counts.
                way.intake.note(&unready);
            }
            left.n_events += stamped.n_events;
            left.letters.extend(piece.letters);
            left.rejects.extend(piece.rejects);
            left.results.extend(piece.results);
            from = until;
        }
        Ok(left)
    }

    /// Parses and stamps messages from one on, as many as certainly fit a frame.
    async fn prepare(&self, group: &[RawMessage], from: usize) -> Result<Piece, Unready> {
        let mut piece = Piece { until: from, ..Piece::default() };
        for message in &group[from..] {
            if piece.stamped.n_events + BATCH_EVENTS_MAX > FRAME_EVENTS_MAX {
                break;
            }
            self.prepare_one(message, &mut piece).await?;
            piece.until += 1;
        }
        Ok(piece)
    }

    async fn prepare_one(&self, message: &RawMessage, piece: &mut Piece) -> Result<(), Unready> {
        let topic = &self.topics[message.topic];
        let batch = match message.bytes.len() {
            ..=BODY_BYTES_MAX => parse(&message.bytes).map_err(|error| error.to_string()),
            _ => Err(format!("the message is above the limit of {BODY_BYTES_MAX} bytes")),
        };
        let result = match batch {
            Err(reason) => {
                piece.left.letters.push(unreadable(&topic.topic, message, reason));
                "unreadable"
            }
            Ok(batch) => {
                self.intake.prepare(batch, &topic.source, &mut piece.stamped).await?;
                piece.stamped.late.clear();
                piece.stamped.future.clear();
                let rejects = std::mem::take(&mut piece.stamped.rejects);
                let result = if rejects.is_empty() { "taken" } else { "rejected" };
                let letters = rejects.iter().map(|reject| rejected(&topic.topic, message, reject));
                piece.left.letters.extend(letters);
                piece.left.rejects.extend(rejects);
                result
            }
        };
        piece.left.results.push((message.topic, result));
        Ok(())
    }

    /// Keeps what could not be taken.
    async fn keep(&self, letters: &[RawLetter]) -> Result<(), Unready> {
        if letters.is_empty() {
            return Ok(());
        }
        let hour_max = i64::try_from(self.letters_per_hour).unwrap_or(i64::MAX);
        let kept = self.intake.parts.store.put_raw_letters(letters.to_vec(), hour_max).await;
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
