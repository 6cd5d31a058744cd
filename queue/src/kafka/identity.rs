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

use kafka_id::{Described, describe};
use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;

use super::listener::Listener;
use super::raw_parts::{Answer, Key, Shared, Stall, lock};
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
            tracing::debug!(%error, "topics not described");
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
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let of_topic = lock(&shared.answers).of_topic.clone();
        for (topic, answer) in of_topic.iter().enumerate() {
            for number in 0..answer.partitions {
                let key = (topic, i32::try_from(number).unwrap_or(i32::MAX));
                if shared.is_stopping.load(Ordering::Acquire) {
                    return;
                }
                match place(client, shared, key) {
                    Ok(Some((place, high))) => note(shared, key, place, high),
                    Ok(None) => drop(lock(&shared.stalled).remove(&key)),
                    Err(error) => tracing::debug!(%error, "raw partition not looked at"),
                }
            }
        }
        let is_there = |(topic, number): &Key| {
            let answer = of_topic.get(*topic);
            answer
                .is_some_and(|answer| usize::try_from(*number).is_ok_and(|n| n < answer.partitions))
        };
        lock(&shared.stalled).retain(|key, _| is_there(key));
    }
}

/// How far a partition is read, and its end. Nothing if another member looks after it.
fn place(client: &Client, shared: &Shared, key: Key) -> KafkaResult<Option<(i64, i64)>> {
    let name = shared.topics[key.0].as_str();
    let own = {
        let parts: std::sync::MutexGuard<'_, BTreeMap<_, _>> = shared.parts();
        match parts.get(&key) {
            Some(part) => Some(part.done),
            // Whoever has another partition of the topic knows that the group works.
            None if parts.keys().any(|(topic, _)| *topic == key.0) => return Ok(None),
            None => None,
        }
    };
    let (low, high) = client.fetch_watermarks(name, key.1, ANSWER_MAX)?;
    let place = match own {
        Some(place) => place,
        None => {
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition(name, key.1);
            let kept = client.committed_offsets(list, ANSWER_MAX)?;
            let kept = kept.find_partition(name, key.1);
            kept.and_then(|kept| kept.offset().to_raw()).unwrap_or(low)
        }
    };
    Ok(Some((place.max(low), high)))
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
