//! How the poller reads raw topics: a message is handed over once it is certain which topic it is
//! from.
//!
//! Messages that were polled wait until the brokers have answered, to a question that was asked
//! later, that the topic is still the one that the partition was started in (`identity`). If they
//! report another topic, the messages that wait are handed over all the same, because a duplicate
//! does no harm; then the new topic is read from its first offset.

mod answers;
mod assignment;
mod round;

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::CommitMode;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use tokio::sync::mpsc;

use self::answers::{Topic, Waiting, What};
use self::round::Round;
use super::identity::Identity;
use super::poller::{self, Client, Every, Handler, Key, Membership, TICK};
use super::raw_parts::{Part, RawBatch, RawState, committed_in, is_of, lock};
use crate::limits::{
    RAW_HEARTBEAT_MS, RAW_KEEP_MS, RAW_METADATA_MS, RAW_REJOIN_SECONDS, RAW_RESTART_SECONDS,
    RAW_SESSION_MS,
};

/// Pause before a partition that could not be started is tried again.
const START_AGAIN: Duration = Duration::from_millis(100);
/// Longest poll while something waits for an answer about its topic.
const POLL_WAITING: Duration = Duration::from_millis(2);
/// Time between two searches for stalled partitions, and the least time without a message after
/// which a partition is stalled.
const MEND_EVERY: Duration = Duration::from_secs(RAW_RESTART_SECONDS);
/// How often that least time is doubled: up to four minutes.
const MENDED_MAX: u32 = 6;
/// Time that messages stay unread before the group is joined again, and between two rejoins.
const REJOIN_AFTER: Duration = Duration::from_secs(RAW_REJOIN_SECONDS);

/// Reads raw topics.
pub(super) struct RawHandler {
    state: Arc<RawState>,
    identity: Identity,
    topics: Vec<Topic>,
    round: Round,
    batches: mpsc::UnboundedSender<RawBatch>,
    /// Number of the answers that were applied.
    n_answers: u64,
    n_starts: u64,
    /// Whether fetching has to pause until half of what is held is dropped.
    is_full: bool,
    start_again_at: Instant,
    /// Whether a failure to start was logged since the last partition that started.
    has_warned: bool,
    mends: Every,
    joined_at: Instant,
}

impl RawHandler {
    pub(super) fn new(
        state: Arc<RawState>,
        identity: Identity,
        batches: mpsc::UnboundedSender<RawBatch>,
    ) -> RawHandler {
        let topic = |_: &String| Topic { waiting: VecDeque::new(), id: None, gone_since: None };
        let topics = state.topics.iter().map(topic).collect();
        let now = Instant::now();
        RawHandler {
            state,
            identity,
            topics,
            round: Round::default(),
            batches,
            n_answers: 0,
            n_starts: 0,
            is_full: false,
            start_again_at: now,
            has_warned: false,
            mends: Every::new(MEND_EVERY),
            joined_at: now,
        }
    }

    /// Starts the partitions that wait for it.
    fn start_waiting(&mut self, client: &mut Client<RawState>) {
        if !self.state.is_waiting.load(Ordering::Relaxed) || Instant::now() < self.start_again_at {
            return;
        }
        self.state.is_waiting.store(false, Ordering::Relaxed);
        let waiting: Vec<Key> = {
            let parts = self.state.parts();
            parts.iter().filter(|(_, part)| !part.is_started).map(|(key, _)| *key).collect()
        };
        for key in waiting {
            match self.start(client, key) {
                Ok(Started::Yes) => self.has_warned = false,
                Ok(Started::Unknown) => self.start_later(),
                Err(error) => {
                    if !std::mem::replace(&mut self.has_warned, true) {
                        let topic = &self.state.topics[key.0];
                        tracing::warn!(topic, partition = key.1, %error, "waiting for the brokers");
                    }
                    self.start_later();
                }
            }
        }
    }

    fn start_later(&mut self) {
        self.state.is_waiting.store(true, Ordering::Relaxed);
        self.start_again_at = Instant::now() + START_AGAIN;
        self.identity.ask_now();
    }

    /// Fetches a partition from the first message that is not known to be durable.
    fn start(&mut self, client: &mut Client<RawState>, key: Key) -> KafkaResult<Started> {
        let topic = &self.topics[key.0];
        let Some(id) = topic.id else { return Ok(Started::Unknown) };
        let Some(part) = self.state.parts().get(&key).cloned() else { return Ok(Started::Yes) };
        // One question may have been under way when the start was requested.
        let is_old = self.n_answers < part.requested_at + 2;
        if is_old || topic.gone_since.is_some() {
            return Ok(Started::Unknown);
        }
        let committed = committed_in(&client.committed(key)?, &self.state.topics[key.0], key.1);
        let (low, high) = client.watermarks(key)?;
        let polled = part.polled.filter(|_| part.id == id);
        let committed = committed.filter(|(_, of)| is_of(*of, id)).map(|(offset, _)| offset);
        let from = self.start_offset(key, polled.or(committed), low, high);
        let stale = (client.position(key), client.fetched_high(key));
        client.start(key, from)?;
        self.n_starts += 1;
        lock(&self.state.left).remove(&key);
        lock(&self.state.seen).remove(&key);
        if let Some(part) = self.state.parts().get_mut(&key) {
            if polled != Some(from) {
                // Marks of messages from before refer to other offsets: the new number voids them.
                let (start, polled) = (self.n_starts, Some(from));
                *part = Part { start, id, polled, next: from, done: from, high, ..part.clone() };
                part.handed = from;
                part.high_asked = -1;
                part.high_sure = -1;
            }
            part.committed = -1;
            part.is_started = true;
            part.stale = stale;
            part.moved_at = Instant::now();
        }
        Ok(Started::Yes)
    }

    /// Where a partition starts that would go on at `from`; counts the messages that were deleted.
    fn start_offset(&self, key: Key, from: Option<i64>, low: i64, high: i64) -> i64 {
        let (topic, partition) = (self.state.topics[key.0].as_str(), key.1);
        match from {
            None => low,
            Some(from) if from < low => {
                let lost = low - from;
                self.state.lost.fetch_add(lost.unsigned_abs(), Ordering::Relaxed);
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

    /// Takes in what no message reports: positions behind the last message, where a transaction
    /// was committed or aborted, and ends.
    fn read_positions(&mut self, client: &Client<RawState>) {
        let keys: Vec<Key> = self.state.parts().keys().copied().collect();
        for key in keys {
            let (position, high) = (client.position(key), client.fetched_high(key));
            let mut parts = self.state.parts();
            let Some(part) = parts.get_mut(&key).filter(|part| part.is_started) else { continue };
            // The client forgets a position from before the start soon, but not at once.
            let is_settled = part.moved_at.elapsed() >= Duration::from_secs(RAW_RESTART_SECONDS);
            if high != part.stale.1 || is_settled {
                part.high = part.high.max(high);
            }
            let is_new = position != part.stale.0 || is_settled;
            if part.polled.is_some_and(|polled| position > polled) && is_new {
                part.polled = Some(position);
                let (number, start) = (key.1, part.start);
                drop(parts);
                let seq = self.state.polled.fetch_add(1, Ordering::AcqRel) + 1;
                let what = What::Reached(position);
                self.topics[key.0].waiting.push_back(Waiting { seq, number, start, what });
                self.identity.ask_now();
            }
        }
    }

    /// Helps a client that stands still although there are messages: starts the partition again,
    /// and joins the group again if no member reads the topic.
    fn mend(&mut self, client: &mut Client<RawState>) {
        if self.is_full || client.has_paused() || self.state.is_waiting.load(Ordering::Relaxed) {
            return;
        }
        let of_group = {
            let stalled = lock(&self.state.stalled);
            let parts = self.state.parts();
            let is_free = |key: &Key| !parts.keys().any(|(topic, _)| *topic == key.0);
            stalled.iter().any(|(key, stall)| is_free(key) && stall.since.elapsed() >= REJOIN_AFTER)
        };
        for ((topic, partition), part) in self.state.parts().iter_mut() {
            let is_behind = part.polled.is_some_and(|polled| part.high > polled);
            // Longer each time: a transaction that is never ended looks the same.
            let limit = MEND_EVERY * (1 << part.n_mended.min(MENDED_MAX));
            if is_behind && part.moved_at.elapsed() >= limit {
                let topic = self.state.topics[*topic].as_str();
                tracing::warn!(topic, partition, "partition stalled, fetching it again");
                part.restart(self.n_answers);
                part.n_mended += 1;
                self.state.is_waiting.store(true, Ordering::Relaxed);
            }
        }
        if of_group && self.joined_at.elapsed() >= REJOIN_AFTER {
            tracing::warn!("raw topics are not being read, rejoining the group");
            self.joined_at = Instant::now();
            if let Err(error) = client.rejoin() {
                tracing::warn!(%error, "joining the group of raw topics failed");
            }
        }
    }
}

/// Whether a partition was started.
enum Started {
    /// It was, or this member no longer has it.
    Yes,
    /// It is not known yet which topic it belongs to.
    Unknown,
}

impl Handler for RawHandler {
    type Assignment = RawState;
    const COMMIT_EVERY: Duration = Duration::from_millis(RAW_KEEP_MS);
    const LAST_COMMIT: CommitMode = CommitMode::Sync;

    fn before_poll(&mut self, client: &mut Client<RawState>) {
        self.apply_answers();
        self.start_waiting(client);
    }

    fn poll_max(&self) -> Duration {
        let is_waiting = self.topics.iter().any(|topic| !topic.waiting.is_empty());
        if is_waiting { POLL_WAITING } else { TICK }
    }

    fn message(&mut self, message: &BorrowedMessage<'_>) -> ControlFlow<()> {
        if !self.round.take(&self.state, message) {
            self.end_round();
            self.round.take(&self.state, message);
        }
        if self.round.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end_round(&mut self) {
        if self.round.end(&self.state, &mut self.topics) > 0 {
            self.identity.ask_now();
        }
    }

    fn tick(&mut self, client: &mut Client<RawState>, now: Instant) {
        self.read_positions(client);
        if self.mends.is_due(now) {
            self.mend(client);
        }
    }

    fn flow_changed(&mut self) -> bool {
        let room = &self.state.room;
        let was_full = self.is_full;
        self.is_full = if was_full { !room.is_half_empty() } else { room.is_full() };
        if was_full && !self.is_full {
            // A partition that was paused has not stalled.
            self.state.parts().values_mut().for_each(|part| part.moved_at = Instant::now());
        }
        was_full != self.is_full
    }

    /// All partitions, also those that were assigned meanwhile: the bound is on all of them.
    fn full(&self) -> BTreeSet<Key> {
        match self.is_full {
            true => self.state.parts().keys().copied().collect(),
            false => BTreeSet::new(),
        }
    }

    fn flow_refused(&mut self, _keys: &[Key], error: KafkaError) {
        tracing::debug!(%error, what = "partitions not paused or resumed", "kafka client refused");
    }

    fn log_changed(&mut self, _error: KafkaError) {
        self.state.restart_all(self.n_answers);
        self.identity.ask_now();
    }
}

/// Settings of the client that reads raw topics.
pub(super) fn settings(config: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = poller::settings(config, group, Membership::Group);
    config
        // Messages of an aborted transaction were never published.
        .set("isolation.level", "read_committed")
        .set("session.timeout.ms", RAW_SESSION_MS.to_string())
        .set("heartbeat.interval.ms", RAW_HEARTBEAT_MS.to_string())
        .set("topic.metadata.refresh.interval.ms", RAW_METADATA_MS.to_string());
    config
}
