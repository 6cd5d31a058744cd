//! Asks the brokers, again and again, which topics the names of raw topics stand for, and whether
//! any partition stands still.
//!
//! A question that was asked after a message was polled, and is answered with the id that the
//! message was polled under, proves where the message came from: an id is never given twice. So
//! the first thread asks as soon as something waits for that, and every little while if nothing
//! does. The second one looks at the ends of all partitions. Both only look; the reader's thread
//! acts.

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
use super::raw_parts::{Answer, Key, RawPlace, Shared, Stall, is_of, kept_in, list_of, lock};
use crate::error::QueueError;
use crate::limits::{KAFKA_ANSWER_SECONDS_MAX, RAW_ASK_MS, RAW_ASK_MS_MIN, RAW_LOOK_SECONDS};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(KAFKA_ANSWER_SECONDS_MAX);
/// Time between two questions if nothing waits for an answer.
const ASK_EVERY: Duration = Duration::from_millis(RAW_ASK_MS);
/// Least time between two questions.
const ASK_EVERY_MIN: Duration = Duration::from_millis(RAW_ASK_MS_MIN);
/// Time between two looks at the ends.
const LOOK_EVERY: Duration = Duration::from_secs(RAW_LOOK_SECONDS);

type Client = BaseConsumer<Listener>;

/// The two threads; they end when it is dropped.
pub(super) struct Identity {
    wake: SyncSender<()>,
    _looks: SyncSender<()>,
}

impl Identity {
    /// Starts the threads. The configuration has the name of the group, which is never joined.
    pub(super) fn start(
        config: &ClientConfig,
        shared: &Arc<Shared>,
        listener: Listener,
    ) -> Result<Identity, QueueError> {
        let client: Client = config
            .create_with_context(listener)
            .map_err(QueueError::kafka("set up the client that asks about the topics"))?;
        let client = Arc::new(client);
        let (wake, woken) = sync_channel(1);
        let (own, asked) = (Arc::clone(shared), Arc::clone(&client));
        spawn("kafka-raw-ids", move || ask_on(&asked, &own, &woken))?;
        let (looks, stop) = sync_channel(1);
        let own = Arc::clone(shared);
        spawn("kafka-raw-ends", move || look_on(&client, &own, &stop))?;
        Ok(Identity { wake, _looks: looks })
    }

    /// Something waits for an answer.
    pub(super) fn ask_now(&self) {
        // A full channel: a question will be asked anyway.
        let _ = self.wake.try_send(());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), QueueError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(|_| ()).map_err(|source| QueueError::io("start the thread for", name, source))
}

/// Asks until nobody wants to know any more.
fn ask_on(client: &Client, shared: &Shared, woken: &Receiver<()>) {
    loop {
        let began = Instant::now();
        // Log lines of the client wait until somebody polls it.
        while client.poll(Duration::ZERO).is_some() {}
        ask(client, shared);
        let earliest = began + ASK_EVERY_MIN;
        let mut is_wanted = false;
        loop {
            let until = if is_wanted { earliest } else { began + ASK_EVERY.max(ASK_EVERY_MIN) };
            match woken.recv_timeout(until.saturating_duration_since(Instant::now())) {
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
fn ask(client: &Client, shared: &Shared) {
    let topics: Vec<&str> = shared.topics.iter().map(String::as_str).collect();
    let asked_at = shared.polled.load(Ordering::Acquire);
    shared.parts().values_mut().for_each(|part| part.high_asked = part.high);
    let described = match describe(client.client(), &topics, ANSWER_MAX) {
        Ok(described) => described,
        Err(error) => {
            tracing::debug!(%error, "topics could not be described");
            return;
        }
    };
    let mut answers = lock(&shared.answers);
    answers.of_topic.resize(topics.len(), Answer::default());
    for (answer, said) in answers.of_topic.iter_mut().zip(described) {
        *answer = match said {
            Described::Found { id, partitions } => {
                Answer { id: Some(id), is_known: true, asked_at, partitions }
            }
            Described::Missing => Answer { id: None, is_known: true, asked_at, partitions: 0 },
            Described::Failed(_) => continue,
        };
    }
    answers.n += 1;
}

/// Looks until nobody wants to know any more.
fn look_on(client: &Client, shared: &Shared, stop: &Receiver<()>) {
    let mut places = BTreeMap::new();
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let of_topic = lock(&shared.answers).of_topic.clone();
        let mut unread = Vec::new();
        for (topic, answer) in of_topic.iter().enumerate() {
            let looked = look_at(client, shared, topic, answer, &mut places);
            match looked {
                Ok(found) => unread.extend(found),
                Err(error) => tracing::debug!(%error, "raw topic could not be described"),
            }
            if shared.is_stopping.load(Ordering::Acquire) {
                return;
            }
        }
        if !unread.is_empty() {
            remember(client, shared, unread);
        }
        let is_there = |(topic, number): &Key| {
            let answer = of_topic.get(*topic);
            answer
                .is_some_and(|answer| usize::try_from(*number).is_ok_and(|n| n < answer.partitions))
        };
        lock(&shared.stalled).retain(|key, _| is_there(key));
    }
}

/// Looks at the partitions of a topic. Gives those of others, or of nobody, that have messages and
/// have not moved since the last look.
fn look_at(
    client: &Client,
    shared: &Shared,
    topic: usize,
    answer: &Answer,
    places: &mut BTreeMap<Key, i64>,
) -> KafkaResult<Vec<RawPlace>> {
    let n = i32::try_from(answer.partitions).unwrap_or(i32::MAX);
    let Some(id) = answer.id.filter(|_| n > 0) else { return Ok(Vec::new()) };
    let name = shared.topics[topic].as_str();
    let own: BTreeMap<i32, i64> = {
        let parts = shared.parts();
        let own = parts.iter().filter(|((other, _), _)| *other == topic);
        own.map(|((_, number), part)| (*number, part.done)).collect()
    };
    let of_others: Vec<i32> = (0..n).filter(|number| !own.contains_key(number)).collect();
    let kept = match of_others.is_empty() {
        true => TopicPartitionList::new(),
        false => {
            let list = list_of(name, of_others, Offset::Invalid);
            client.committed_offsets(list, ANSWER_MAX)?
        }
    };
    // What is behind an end that is asked for later is read later.
    let lows = ends(client, name, n, Offset::Beginning)?;
    let highs = ends(client, name, n, Offset::End)?;
    let mut unread = Vec::new();
    for (number, (low, high)) in (0..n).zip(lows.into_iter().zip(highs)) {
        let key = (topic, number);
        let (Some(low), Some(high)) = (low, high) else { continue };
        if let Some(place) = own.get(&number) {
            note(shared, key, (*place).max(low), high);
            continue;
        }
        let kept = kept_in(&kept, name, number).filter(|(_, of)| is_of(*of, id));
        let place = kept.map_or(low, |(offset, _)| offset.min(high));
        match own.is_empty() {
            true => note(shared, key, place.max(low), high),
            // Whoever has another partition of the topic knows that the group works.
            false => drop(lock(&shared.stalled).remove(&key)),
        }
        let is_still = places.insert(key, place).is_none_or(|before| before == place);
        match is_still && place < high {
            true => unread.push(seen_place(key, id, place, high)),
            false => drop(lock(&shared.seen).remove(&key)),
        }
    }
    Ok(unread)
}

/// The low or high watermarks of a topic's partitions, where the brokers know them.
fn ends(client: &Client, name: &str, n: i32, side: Offset) -> KafkaResult<Vec<Option<i64>>> {
    let told = client.offsets_for_times(list_of(name, 0..n, side), ANSWER_MAX)?;
    let offset = |number| {
        let element = told.find_partition(name, number)?;
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

/// Keeps what was seen of partitions that nobody reads at the moment, if the brokers name the same
/// topics afterwards: whoever tells what was not read of a topic must know where it ended, and
/// after the death of a member nobody reads for a while.
fn remember(client: &Client, shared: &Shared, unread: Vec<RawPlace>) {
    let topics: Vec<&str> = shared.topics.iter().map(String::as_str).collect();
    let described = match describe(client.client(), &topics, ANSWER_MAX) {
        Ok(described) => described,
        Err(error) => {
            tracing::debug!(%error, "topics could not be described");
            return;
        }
    };
    // Held until the end: whoever hears of another topic finds what was seen of this one.
    let answers = lock(&shared.answers);
    for place in unread {
        let now = answers.of_topic.get(place.topic).and_then(|answer| answer.id);
        let is_same = now == Some(place.id)
            && matches!(described[place.topic], Described::Found { id, .. } if id == place.id);
        let key = (place.topic, i32::try_from(place.partition).unwrap_or(i32::MAX));
        if is_same && !place.id.is_unknown() && !shared.parts().contains_key(&key) {
            lock(&shared.seen).insert(key, place);
        }
    }
}

/// Notes since when a partition stands where it stands.
fn note(shared: &Shared, key: Key, place: i64, high: i64) {
    if let Some(part) = shared.parts().get_mut(&key) {
        part.high = part.high.max(high);
    }
    let mut stalled = lock(&shared.stalled);
    if high <= place {
        stalled.remove(&key);
        return;
    }
    let stall = stalled.entry(key).or_insert(Stall { place, since: Instant::now() });
    if stall.place != place {
        *stall = Stall { place, since: Instant::now() };
    }
}
