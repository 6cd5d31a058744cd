//! The thread that reads raw topics: polls the client, follows the group, and hands messages over
//! once it is certain which topic they came from.
//!
//! It never waits for anybody but a broker. What it polls waits until the brokers have said, asked
//! later, that the topic is still the one that the partition was started in (`identity`). What
//! waits when they name another topic is handed over all the same, for a copy costs nothing; then
//! the new topic is read from its first offset.

mod answers;
mod assignment;

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kafka_id::seen_ends;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::mpsc;

use self::answers::{Topic, Waiting, What, poll};
use self::assignment::{Member, keep};
use super::identity::Identity;
use super::listener::Listener;
use super::poller::{Membership, concerns_the_log, settings};
use super::raw_parts::{Key, Part, RawMessage, Shared, is_of, kept_in, list_of, lock};
use crate::error::QueueError;
use crate::limits::{
    KAFKA_ANSWER_SECONDS_MAX, KAFKA_POLL_MS_MAX, RAW_HEARTBEAT_MS, RAW_KEEP_MS, RAW_METADATA_MS,
    RAW_REJOIN_SECONDS, RAW_RESTART_SECONDS, RAW_SESSION_MS,
};

/// Pause before a partition that could not be started is tried again.
const START_AGAIN: Duration = Duration::from_millis(100);
/// Longest poll while something waits for an answer about its topic.
const POLL_WAITING: Duration = Duration::from_millis(2);
/// How often places are looked at that no message tells.
const LOOK_EVERY: Duration = Duration::from_millis(KAFKA_POLL_MS_MAX);
/// How often it is looked for partitions that stand still.
const MEND_EVERY: Duration = Duration::from_secs(RAW_RESTART_SECONDS);
/// How often the time until a partition is mended again is doubled: up to four minutes.
const MENDED_MAX: u32 = 6;

/// The thread's own.
pub(super) struct Poller {
    client: BaseConsumer<Member>,
    config: ClientConfig,
    listener: Listener,
    shared: Arc<Shared>,
    identity: Identity,
    topics: Vec<Topic>,
    messages: mpsc::UnboundedSender<RawMessage>,
    /// Answers that were heeded.
    n_answers: u64,
    /// The starts that there had been when everything was paused.
    paused_at: Option<u64>,
    start_again_at: Instant,
    has_told: bool,
    kept_at: Instant,
    looked_at: Instant,
    mended_at: Instant,
    joined_at: Instant,
}

impl Poller {
    pub(super) fn new(
        config: &ClientConfig,
        group: &str,
        shared: Arc<Shared>,
        messages: mpsc::UnboundedSender<RawMessage>,
        listener: Listener,
    ) -> Result<Poller, QueueError> {
        let mut config = settings(config, group, Membership::Group);
        config
            // Messages of a transaction that was given up were never published.
            .set("isolation.level", "read_committed")
            .set("session.timeout.ms", RAW_SESSION_MS.to_string())
            .set("heartbeat.interval.ms", RAW_HEARTBEAT_MS.to_string())
            .set("topic.metadata.refresh.interval.ms", RAW_METADATA_MS.to_string());
        let topics = shared.topics.iter().map(|name| Topic {
            name: CString::new(name.as_str()).unwrap_or_default(),
            waiting: VecDeque::new(),
            id: None,
            gone_since: None,
        });
        let topics = topics.collect();
        let client = join(&config, &shared, &listener)?;
        let identity = Identity::start(&config, &shared, listener.clone())?;
        let now = Instant::now();
        Ok(Poller {
            client,
            config,
            listener,
            shared,
            identity,
            topics,
            messages,
            n_answers: 0,
            paused_at: None,
            start_again_at: now,
            has_told: false,
            kept_at: now,
            looked_at: now,
            mended_at: now,
            joined_at: now,
        })
    }

    pub(super) fn run(mut self) {
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            self.control_flow();
            self.heed_answers();
            self.start_waiting();
            let is_waiting = self.topics.iter().any(|topic| !topic.waiting.is_empty());
            let longest = if is_waiting { POLL_WAITING } else { LOOK_EVERY };
            match self.client.poll(longest) {
                None => {}
                Some(Ok(message)) => {
                    poll(&self.shared, &mut self.topics, &message);
                    self.identity.ask_now();
                }
                Some(Err(error)) => self.disturbed(error),
            }
            if self.looked_at.elapsed() >= LOOK_EVERY {
                self.looked_at = Instant::now();
                self.look();
            }
            if self.kept_at.elapsed() >= Duration::from_millis(RAW_KEEP_MS) {
                self.kept_at = Instant::now();
                keep(&self.client, &self.shared, CommitMode::Async);
            }
            if self.mended_at.elapsed() >= MEND_EVERY {
                self.mended_at = Instant::now();
                self.mend();
            }
        }
        keep(&self.client, &self.shared, CommitMode::Sync);
    }

    /// Stops fetching while too much waits, also in partitions that came meanwhile. Polling goes
    /// on, so that the group never takes us for dead.
    fn control_flow(&mut self) {
        let n_starts = self.shared.n_starts.load(Ordering::Relaxed);
        if self.shared.room.is_full() && self.paused_at != Some(n_starts) {
            let paused = self.client.assignment().and_then(|held| self.client.pause(&held));
            self.paused_at = paused.is_ok().then_some(n_starts);
            note(paused, "partitions not paused");
        } else if self.paused_at.is_some() && self.shared.room.is_half_empty() {
            let resumed = self.client.assignment().and_then(|held| self.client.resume(&held));
            if resumed.is_ok() {
                self.paused_at = None;
                self.shared.parts().values_mut().for_each(|part| part.moved_at = Instant::now());
            }
            note(resumed, "partitions not resumed");
        }
    }

    /// Starts the partitions that wait for it.
    fn start_waiting(&mut self) {
        if !self.shared.is_waiting.load(Ordering::Relaxed) || Instant::now() < self.start_again_at {
            return;
        }
        self.shared.is_waiting.store(false, Ordering::Relaxed);
        let waiting: Vec<Key> = {
            let parts = self.shared.parts();
            parts.iter().filter(|(_, part)| !part.is_started).map(|(key, _)| *key).collect()
        };
        for key in waiting {
            match self.start(key) {
                Ok(true) => self.has_told = false,
                Ok(false) => self.wait_to_start(),
                Err(error) => {
                    if !std::mem::replace(&mut self.has_told, true) {
                        let topic = &self.shared.topics[key.0];
                        tracing::warn!(topic, partition = key.1, %error, "waiting for the brokers");
                    }
                    self.wait_to_start();
                }
            }
        }
    }

    fn wait_to_start(&mut self) {
        self.shared.is_waiting.store(true, Ordering::Relaxed);
        self.start_again_at = Instant::now() + START_AGAIN;
        self.identity.ask_now();
    }

    /// Fetches a partition from where its messages are not done with. False while it is not known
    /// which topic it is of.
    fn start(&self, key: Key) -> KafkaResult<bool> {
        let (topic, number) = (self.shared.topics[key.0].as_str(), key.1);
        let Some(id) = self.topics[key.0].id else { return Ok(false) };
        let Some(part) = self.shared.parts().get(&key).cloned() else { return Ok(true) };
        // One question may have been under way when the start was wanted.
        let is_old = self.n_answers < part.wanted_at + 2;
        if is_old || self.topics[key.0].gone_since.is_some() {
            return Ok(false);
        }
        let limit = Duration::from_secs(KAFKA_ANSWER_SECONDS_MAX);
        let list = list_of(topic, [number], Offset::Invalid);
        let committed = self.client.committed_offsets(list.clone(), limit)?;
        let kept = kept_in(&committed, topic, number);
        let (low, high) = self.client.fetch_watermarks(topic, number, limit)?;
        let handed = part.polled.filter(|_| part.id == id);
        let from = handed.or(kept.filter(|(_, of)| is_of(*of, id)).map(|(offset, _)| offset));
        let from = self.begin(key, from, low, high);
        let stale = (self.position(key), self.seen_high(key));
        if self.client.assignment()?.find_partition(topic, number).is_some() {
            self.client.incremental_unassign(&list)?;
        }
        self.client.incremental_assign(&list_of(topic, [number], Offset::Offset(from)))?;
        let start = self.shared.n_starts.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.shared.left).remove(&key);
        lock(&self.shared.seen).remove(&key);
        if let Some(part) = self.shared.parts().get_mut(&key) {
            if handed != Some(from) {
                // Word of messages from before speaks of other places.
                let polled = Some(from);
                *part = Part { start, id, polled, next: from, done: from, high, ..part.clone() };
                part.handed = from;
                part.high_asked = -1;
                part.high_sure = -1;
            }
            part.kept = -1;
            part.is_started = true;
            part.stale = stale;
            part.moved_at = Instant::now();
        }
        Ok(true)
    }

    /// Where a partition begins, if it would go on at `from`; accounts for what is gone.
    fn begin(&self, key: Key, from: Option<i64>, low: i64, high: i64) -> i64 {
        let (topic, partition) = (self.shared.topics[key.0].as_str(), key.1);
        match from {
            None => low,
            Some(from) if from < low => {
                let lost = low - from;
                self.shared.lost.fetch_add(lost.unsigned_abs(), Ordering::Relaxed);
                tracing::error!(topic, partition, from, lost, "raw messages were deleted unread");
                low
            }
            Some(from) if from > high => {
                tracing::warn!(
                    topic,
                    partition,
                    from,
                    high,
                    "topic ends earlier, read from its first offset"
                );
                low
            }
            Some(from) => from,
        }
    }

    /// Takes in what no message tells: places behind the last one, where a transaction ended or
    /// was given up, and ends.
    fn look(&mut self) {
        let keys: Vec<Key> = self.shared.parts().keys().copied().collect();
        for key in keys {
            let (position, high) = (self.position(key), self.seen_high(key));
            let mut parts = self.shared.parts();
            let Some(part) = parts.get_mut(&key).filter(|part| part.is_started) else { continue };
            // The client forgets a place that is over within moments, but not at once.
            let is_settled = part.moved_at.elapsed() >= Duration::from_secs(RAW_RESTART_SECONDS);
            if high != part.stale.1 || is_settled {
                part.high = part.high.max(high);
            }
            let is_new = position != part.stale.0 || is_settled;
            if part.polled.is_some_and(|polled| position > polled) && is_new {
                part.polled = Some(position);
                let (number, start) = (key.1, part.start);
                drop(parts);
                let seq = self.shared.polled.fetch_add(1, Ordering::AcqRel) + 1;
                let what = What::Reached(position);
                self.topics[key.0].waiting.push_back(Waiting { seq, number, start, what });
                self.identity.ask_now();
            }
        }
    }

    /// The offset that the client brings next, or -1.
    fn position(&self, key: Key) -> i64 {
        let topic = self.shared.topics[key.0].as_str();
        let positions = self.client.position();
        let found = positions.as_ref().ok().and_then(|all| all.find_partition(topic, key.1));
        match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => -1,
        }
    }

    /// The end that the last fetch brought, or -1.
    fn seen_high(&self, key: Key) -> i64 {
        let ends = seen_ends(self.client.client(), &self.topics[key.0].name, key.1);
        ends.map_or(-1, |(_, high)| high)
    }

    /// Sorts an error of the client: some mean that a topic is not what it was.
    fn disturbed(&self, error: KafkaError) {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            self.client.context().listener.fail(&error.to_string());
            return;
        }
        if !concerns_the_log(&error) {
            tracing::debug!(%error, "kafka client recovers from an error");
            return;
        }
        // The error does not say which partition it is about: all are looked at anew.
        tracing::warn!(%error, "metadata of raw topics must be refreshed");
        for part in self.shared.parts().values_mut() {
            part.is_started = false;
            part.wanted_at = self.n_answers;
        }
        self.shared.is_waiting.store(true, Ordering::Relaxed);
        self.identity.ask_now();
    }

    /// Helps a client that stands still although there are messages: starts the partition anew,
    /// and joins the group anew if nobody reads.
    fn mend(&mut self) {
        if self.paused_at.is_some() || self.shared.is_waiting.load(Ordering::Relaxed) {
            return;
        }
        let of_group = {
            let stalled = lock(&self.shared.stalled);
            let parts = self.shared.parts();
            let is_free = |key: &Key| !parts.keys().any(|(topic, _)| *topic == key.0);
            let long = Duration::from_secs(RAW_REJOIN_SECONDS);
            stalled.iter().any(|(key, stall)| is_free(key) && stall.since.elapsed() >= long)
        };
        for ((topic, partition), part) in self.shared.parts().iter_mut() {
            let is_behind = part.polled.is_some_and(|polled| part.high > polled);
            // Longer each time: a transaction that is never ended looks the same.
            let limit = MEND_EVERY * (1 << part.n_mended.min(MENDED_MAX));
            if is_behind && part.moved_at.elapsed() >= limit {
                let topic = self.shared.topics[*topic].as_str();
                tracing::warn!(topic, partition, "partition stalled, fetching it again");
                part.is_started = false;
                part.wanted_at = self.n_answers;
                part.n_mended += 1;
                self.shared.is_waiting.store(true, Ordering::Relaxed);
            }
        }
        let long = Duration::from_secs(RAW_REJOIN_SECONDS);
        if of_group && self.joined_at.elapsed() >= long {
            self.join_anew();
        }
    }

    /// Leaves the group and joins it with a client that knows nothing of what was.
    fn join_anew(&mut self) {
        tracing::warn!("raw topics are not being read, rejoining the group");
        self.joined_at = Instant::now();
        keep(&self.client, &self.shared, CommitMode::Sync);
        match join(&self.config, &self.shared, &self.listener) {
            Ok(client) => self.client = client,
            Err(error) => tracing::warn!(%error, "joining the group of raw topics failed"),
        }
    }
}

/// A client that is a member of the group.
fn join(
    config: &ClientConfig,
    shared: &Arc<Shared>,
    listener: &Listener,
) -> Result<BaseConsumer<Member>, QueueError> {
    let member = Member { shared: Arc::clone(shared), listener: listener.clone() };
    let client: BaseConsumer<Member> =
        config.create_with_context(member).map_err(QueueError::kafka("set up the consumer"))?;
    let topics: Vec<&str> = shared.topics.iter().map(String::as_str).collect();
    client.subscribe(&topics).map_err(QueueError::kafka("subscribe to the raw topics"))?;
    Ok(client)
}

fn note(done: KafkaResult<()>, what: &'static str) {
    if let Err(error) = done {
        tracing::debug!(%error, what, "kafka client refused");
    }
}
