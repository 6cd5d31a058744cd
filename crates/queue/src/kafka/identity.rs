//! Asks the brokers at intervals for the ids of raw topics, and whether any partition has stalled.
//!
//! A question that was asked after a message was polled, and is answered with the id that the
//! message was polled under, proves where the message came from: an id is never reused. So the
//! first thread asks as soon as something waits for an answer, and every [`ASK_EVERY`] if nothing
//! does. The second one asks for the ends of all partitions. Both only record what they find; the
//! poller's thread acts on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use kafka_id::{Described, TopicId, describe};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::listener::Listener;
use super::poller::{Key, Stop, list_of};
use super::question::asking;
use super::raw_parts::{Answer, RawPlace, RawState, Stall, committed_in, is_of, lock};
use crate::error::QueueError;
use crate::limits::{KAFKA_ANSWER_SECONDS_MAX, RAW_ASK_MS, RAW_ASK_MS_MIN, RAW_LOOK_SECONDS};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(KAFKA_ANSWER_SECONDS_MAX);
/// Time between two questions if nothing waits for an answer.
const ASK_EVERY: Duration = Duration::from_millis(RAW_ASK_MS);
/// Least time between two questions.
const ASK_EVERY_MIN: Duration = Duration::from_millis(RAW_ASK_MS_MIN);
/// Time between two checks of the ends.
const CHECK_EVERY: Duration = Duration::from_secs(RAW_LOOK_SECONDS);

type Client = BaseConsumer<Listener>;

/// The two threads; they end when it is dropped.
pub(super) struct Identity {
    notify: SyncSender<()>,
    _ends: SyncSender<()>,
}

impl Identity {
    /// Starts the threads. The configuration has the name of the group, which is never joined.
    pub(super) fn start(
        config: &ClientConfig,
        state: &Arc<RawState>,
        listener: Listener,
        stop: Stop,
    ) -> Result<Identity, QueueError> {
        let client: Client = asking(config)
            .create_with_context(listener)
            .map_err(QueueError::kafka("set up the client that asks about the topics"))?;
        let client = Arc::new(client);
        let (notify, notified) = sync_channel(1);
        let (own, asks) = (Arc::clone(state), Arc::clone(&client));
        spawn("kafka-raw-ids", move || ask_at_intervals(&asks, &own, &notified))?;
        let (ends, dropped) = sync_channel(1);
        let own = Arc::clone(state);
        spawn("kafka-raw-ends", move || check_at_intervals(&client, &own, &stop, &dropped))?;
        Ok(Identity { notify, _ends: ends })
    }

    /// Something waits for an answer.
    pub(super) fn ask_now(&self) {
        // If the channel is full, a question is going to be asked anyway.
        let _ = self.notify.try_send(());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), QueueError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(|_| ()).map_err(|source| QueueError::io("start the thread for", name, source))
}

/// Asks until the sender is dropped.
fn ask_at_intervals(client: &Client, state: &RawState, notified: &Receiver<()>) {
    loop {
        let began = Instant::now();
        // The client delivers its log lines only when it is polled.
        while client.poll(Duration::ZERO).is_some() {}
        ask(client, state);
        let earliest = began + ASK_EVERY_MIN;
        let mut is_wanted = false;
        loop {
            let until = if is_wanted { earliest } else { began + ASK_EVERY.max(ASK_EVERY_MIN) };
            match notified.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) => is_wanted = true,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= earliest {
                break;
            }
        }
    }
}

/// Asks once.
fn ask(client: &Client, state: &RawState) {
    let topics: Vec<&str> = state.topics.iter().map(String::as_str).collect();
    let asked_at = state.polled.load(Ordering::Acquire);
    state.parts().values_mut().for_each(|part| part.high_asked = part.high);
    let described = match describe(client.client(), &topics, ANSWER_MAX) {
        Ok(described) => described,
        Err(error) => {
            tracing::debug!(%error, "topics could not be described");
            return;
        }
    };
    let mut answers = lock(&state.answers);
    answers.of_topic.resize(topics.len(), Answer::default());
    for (answer, found) in answers.of_topic.iter_mut().zip(described) {
        *answer = match found {
            Described::Found { id, partitions } => {
                Answer { id: Some(id), is_known: true, asked_at, partitions }
            }
            Described::Missing => Answer { id: None, is_known: true, asked_at, partitions: 0 },
            Described::Failed(_) => continue,
        };
    }
    answers.n += 1;
}

/// Checks the ends until the sender is dropped.
fn check_at_intervals(client: &Client, state: &RawState, stop: &Stop, dropped: &Receiver<()>) {
    let mut positions = BTreeMap::new();
    while dropped.recv_timeout(CHECK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let of_topic = lock(&state.answers).of_topic.clone();
        let mut unread = Vec::new();
        for (topic, answer) in of_topic.iter().enumerate() {
            let checked = check_topic(client, state, topic, answer, &mut positions);
            match checked {
                Ok(found) => unread.extend(found),
                Err(error) => tracing::debug!(%error, "raw topic could not be described"),
            }
            if stop.is_set() {
                return;
            }
        }
        if !unread.is_empty() {
            remember(client, state, unread);
        }
        let is_there = |(topic, number): &Key| {
            let answer = of_topic.get(*topic);
            answer
                .is_some_and(|answer| usize::try_from(*number).is_ok_and(|n| n < answer.partitions))
        };
        lock(&state.stalled).retain(|key, _| is_there(key));
    }
}

/// Checks the partitions of a topic. Returns those of other members, or of none, that have messages
/// and have not moved since the last check.
fn check_topic(
    client: &Client,
    state: &RawState,
    topic: usize,
    answer: &Answer,
    positions: &mut BTreeMap<Key, i64>,
) -> KafkaResult<Vec<RawPlace>> {
    let n = i32::try_from(answer.partitions).unwrap_or(i32::MAX);
    let Some(id) = answer.id.filter(|_| n > 0) else { return Ok(Vec::new()) };
    let name = state.topics[topic].as_str();
    let own: BTreeMap<i32, i64> = {
        let parts = state.parts();
        let own = parts.iter().filter(|((other, _), _)| *other == topic);
        own.map(|((_, number), part)| (*number, part.done)).collect()
    };
    let of_others: Vec<i32> = (0..n).filter(|number| !own.contains_key(number)).collect();
    let committed = match of_others.is_empty() {
        true => TopicPartitionList::new(),
        false => {
            let list = list_of(name, of_others, Offset::Invalid);
            client.committed_offsets(list, ANSWER_MAX)?
        }
    };
    // Asked for after the offsets: an end from before could lie below them.
    let lows = ends(client, name, n, Offset::Beginning)?;
    let highs = ends(client, name, n, Offset::End)?;
    let mut unread = Vec::new();
    for (number, (low, high)) in (0..n).zip(lows.into_iter().zip(highs)) {
        let key = (topic, number);
        let (Some(low), Some(high)) = (low, high) else { continue };
        if let Some(done) = own.get(&number) {
            note(state, key, (*done).max(low), high);
            continue;
        }
        let offset = committed_in(&committed, name, number).filter(|(_, of)| is_of(*of, id));
        let position = offset.map_or(low, |(offset, _)| offset.min(high));
        match own.is_empty() {
            true => note(state, key, position.max(low), high),
            // A member that has another partition of the topic knows that the group works.
            false => drop(lock(&state.stalled).remove(&key)),
        }
        let is_still = positions.insert(key, position).is_none_or(|before| before == position);
        match is_still && position < high {
            true => unread.push(seen_place(key, id, position, high)),
            false => drop(lock(&state.seen).remove(&key)),
        }
    }
    Ok(unread)
}

/// The low or high watermarks of a topic's partitions, where the brokers know them.
fn ends(client: &Client, name: &str, n: i32, side: Offset) -> KafkaResult<Vec<Option<i64>>> {
    let answer = client.offsets_for_times(list_of(name, 0..n, side), ANSWER_MAX)?;
    let offset = |number| {
        let element = answer.find_partition(name, number)?;
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(offset)) => Some(offset),
            _ => None,
        }
    };
    Ok((0..n).map(offset).collect())
}

fn seen_place((topic, number): Key, id: TopicId, next: i64, high: i64) -> RawPlace {
    let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
    let partition = u32::try_from(number).unwrap_or(u32::MAX);
    RawPlace { topic, id, partition, next: offset(next), high: offset(high) }
}

/// Keeps the ends of partitions that no member reads at the moment, if the brokers report the same
/// topic ids afterwards: a report of what was not read of a topic needs its last end, and after the
/// death of a member no one reads its partitions for a while.
fn remember(client: &Client, state: &RawState, unread: Vec<RawPlace>) {
    let topics: Vec<&str> = state.topics.iter().map(String::as_str).collect();
    let described = match describe(client.client(), &topics, ANSWER_MAX) {
        Ok(described) => described,
        Err(error) => {
            tracing::debug!(%error, "topics could not be described");
            return;
        }
    };
    // Held until the end: the thread that applies the answer of another topic must find what was
    // seen of this one.
    let answers = lock(&state.answers);
    for place in unread {
        let now = answers.of_topic.get(place.topic).and_then(|answer| answer.id);
        let is_same = now == Some(place.id)
            && matches!(described[place.topic], Described::Found { id, .. } if id == place.id);
        let key = (place.topic, i32::try_from(place.partition).unwrap_or(i32::MAX));
        if is_same && !place.id.is_unknown() && !state.parts().contains_key(&key) {
            lock(&state.seen).insert(key, place);
        }
    }
}

/// Notes since when a partition has been at its position.
fn note(state: &RawState, key: Key, position: i64, high: i64) {
    if let Some(part) = state.parts().get_mut(&key) {
        part.high = part.high.max(high);
    }
    let mut stalled = lock(&state.stalled);
    if high <= position {
        stalled.remove(&key);
        return;
    }
    let stall = stalled.entry(key).or_insert(Stall { position, since: Instant::now() });
    if stall.position != position {
        *stall = Stall { position, since: Instant::now() };
    }
}
