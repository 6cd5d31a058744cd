//! Applies the brokers' answers about the topics: hands over what was polled before they were
//! asked, and starts again in a topic that was made anew.
//!
//! Messages that wait when the topic turns out to be another one are handed over as well: which of
//! the two they are from cannot be known, and a duplicate does no harm. What was not polled of the
//! old topic is reported.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kafka_id::TopicId;

use super::RawHandler;
use crate::kafka::poller::Key;
use crate::kafka::raw_parts::{Answer, Part, RawBatch, RawPlace, Remade, Witness, lock, signed};
use crate::limits::RAW_GONE_SECONDS;

/// Time without messages after which the last end that was seen is taken as the end.
const QUIET: Duration = Duration::from_secs(1);

/// Something that waits for an answer about its topic.
pub(super) struct Waiting {
    pub seq: u64,
    pub number: i32,
    pub start: u64,
    pub what: What,
}

pub(super) enum What {
    Batch(RawBatch),
    /// There are no more messages before this offset.
    Reached(i64),
}

/// What the handler knows of a topic.
pub(super) struct Topic {
    pub waiting: VecDeque<Waiting>,
    /// Which topic last had the name.
    pub id: Option<TopicId>,
    pub gone_since: Option<Instant>,
}

impl RawHandler {
    /// Applies the brokers' latest answers.
    pub(super) fn apply_answers(&mut self) {
        let answers = {
            let answers = lock(&self.state.answers);
            if answers.n == self.n_answers {
                return;
            }
            self.n_answers = answers.n;
            answers.of_topic.clone()
        };
        for (topic, answer) in answers.iter().enumerate().filter(|(_, answer)| answer.is_known) {
            match answer.id {
                Some(id) => self.found(topic, id, answer),
                None => self.missing(topic, answer),
            }
        }
    }

    /// The topic of the name has this id.
    fn found(&mut self, topic: usize, id: TopicId, answer: &Answer) {
        let gone_at = self.topics[topic].gone_since.take().unwrap_or_else(Instant::now);
        let mut is_remade = false;
        for part in of_topic(&mut self.state.parts(), topic) {
            if part.id.is_unknown() {
                // It was started before its broker reported ids, or not at all.
                part.id = if part.is_started { id } else { part.id };
            }
            if part.id == id {
                part.high_sure = part.high_sure.max(part.high_asked);
            }
            is_remade |= !part.id.is_unknown() && part.id != id;
        }
        let before = self.topics[topic].id.replace(id);
        if !id.is_unknown() && (is_remade || before.is_some_and(|before| before != id)) {
            let name = self.state.topics[topic].as_str();
            tracing::warn!(topic = name, %id, "topic was made anew, read from its first offset");
            // These may be from the new topic, so they are not dropped.
            self.hand_over(topic, u64::MAX, None);
            self.report_remade(topic, id, gone_at);
        } else {
            self.hand_over(topic, answer.asked_at, Some(id));
        }
        if before != Some(id) && !id.is_unknown() {
            let witness = Witness::Observer;
            let seen = Remade { topic, id, place: None, witness, is_quiet: false };
            lock(&self.state.remade).push(seen);
        }
    }

    /// There is no topic of the name.
    fn missing(&mut self, topic: usize, answer: &Answer) {
        self.hand_over(topic, answer.asked_at, None);
        let since = *self.topics[topic].gone_since.get_or_insert_with(|| {
            tracing::warn!(topic = self.state.topics[topic], "topic is gone");
            Instant::now()
        });
        if since.elapsed() >= Duration::from_secs(RAW_GONE_SECONDS) {
            self.report_remade(topic, TopicId::default(), since);
        }
    }

    /// Reports how far the topics were read that had the name before, and starts again.
    fn report_remade(&self, topic: usize, id: TopicId, gone_at: Instant) {
        let mut remade = lock(&self.state.remade);
        let mut left = lock(&self.state.left);
        let mut parts = self.state.parts();
        let mut seen = self.take_seen(topic, id);
        let of_left = left.iter_mut().map(|entry| (entry, false));
        for ((key, part), is_held) in of_left.chain(parts.iter_mut().map(|entry| (entry, true))) {
            if key.0 != topic || part.id.is_unknown() || part.id == id {
                continue;
            }
            let place = part.place(*key).map(|mut place| {
                // What was handed over has been read, and becomes durable later.
                place.next = u64::try_from(part.next).unwrap_or(0);
                // Its end may have been seen again after it was revoked.
                let seen = seen.get(key).filter(|seen| seen.id == place.id);
                place.high = place.high.max(seen.map_or(0, |seen| seen.high)).max(place.next);
                place
            });
            if place.is_some() {
                seen.remove(key);
            }
            let witness = if is_held || part.is_last { Witness::Reader } else { Witness::Former };
            let is_quiet = gone_at.saturating_duration_since(part.moved_at) >= QUIET;
            let report = |place| Remade { topic, id, place: Some(place), witness, is_quiet };
            remade.extend(place.map(report));
            *part = Part::new(self.n_answers);
        }
        remade.extend(seen.into_values().map(|place| {
            // More may have been written since, or a member may have begun to read.
            let (place, witness) = (Some(place), Witness::Observer);
            Remade { topic, id, place, witness, is_quiet: false }
        }));
        left.retain(|_, part| !part.id.is_unknown());
        self.state.is_waiting.store(true, Ordering::Relaxed);
    }

    /// Takes what this member saw of unread partitions of topics that had the name before.
    fn take_seen(&self, topic: usize, id: TopicId) -> BTreeMap<Key, RawPlace> {
        let mut seen = lock(&self.state.seen);
        let is_old = |place: &RawPlace| place.topic == topic && place.id != id;
        let old = seen.iter().filter(|(_, place)| is_old(place));
        let old: BTreeMap<Key, RawPlace> = old.map(|(key, place)| (*key, *place)).collect();
        seen.retain(|key, _| !old.contains_key(key));
        old
    }

    /// Hands over what was polled up to a number. With an id, messages of revoked partitions are
    /// dropped: the topic is still there, so another member reads them.
    fn hand_over(&mut self, topic: usize, until: u64, id: Option<TopicId>) {
        let waiting = &mut self.topics[topic].waiting;
        let mut left = lock(&self.state.left);
        let mut parts = self.state.parts();
        while waiting.front().is_some_and(|first| first.seq <= until) {
            let Some(Waiting { number, start, what, .. }) = waiting.pop_front() else { return };
            let key = (topic, number);
            let held = parts.get_mut(&key).filter(|part| part.start == start);
            let part = match (held, id) {
                (Some(part), _) => part,
                (None, Some(_)) => continue,
                (None, None) => match left.get_mut(&key).filter(|part| part.start == start) {
                    Some(part) => part,
                    None => continue,
                },
            };
            match what {
                What::Reached(offset) => {
                    part.next = part.next.max(offset);
                    part.done(part.done);
                }
                What::Batch(mut batch) => {
                    batch.id = part.id;
                    part.next = part.next.max(signed(batch.last()) + 1);
                    part.handed = part.next;
                    // If the reader is gone, the process ends, and the messages are read again.
                    let _ = self.batches.send(batch);
                }
            }
        }
    }
}

/// The partitions of a topic.
fn of_topic(parts: &mut BTreeMap<Key, Part>, topic: usize) -> impl Iterator<Item = &mut Part> {
    parts.iter_mut().filter(move |(key, _)| key.0 == topic).map(|(_, part)| part)
}
