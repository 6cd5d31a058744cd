//! What the reader's thread does with what brokers say of its topics: hands over what was polled
//! before they were asked, and starts over in a topic that was made anew.
//!
//! Whatever waits when the topic turns out to be another one is handed over as well: nobody can
//! tell whose it is, and a copy costs nothing. What was not polled of the old one is told.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_id::TopicId;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::Poller;
use crate::kafka::raw_parts::signed;
use crate::kafka::raw_parts::{
    Answer, Key, Part, Place, RawMessage, RawPlace, Remade, Shared, Teller, lock,
};
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
    Message(RawMessage),
    /// There is nothing more before this offset.
    Reached(i64),
}

/// What the thread knows of a topic.
pub(super) struct Topic {
    pub name: CString,
    pub waiting: VecDeque<Waiting>,
    /// Which one it was when there was one.
    pub id: Option<TopicId>,
    pub gone_since: Option<Instant>,
}

impl Poller {
    /// Applies the brokers' latest answers.
    pub(super) fn heed_answers(&mut self) {
        let answers = {
            let answers = lock(&self.shared.answers);
            if answers.n == self.n_answers {
                return;
            }
            self.n_answers = answers.n;
            answers.of_topic.clone()
        };
        for (topic, answer) in answers.iter().enumerate().filter(|(_, answer)| answer.is_known) {
            match answer.id {
                Some(id) => self.named(topic, id, answer),
                None => self.missing(topic, answer),
            }
        }
    }

    /// The name stands for this topic.
    fn named(&mut self, topic: usize, id: TopicId, answer: &Answer) {
        let gone_at = self.topics[topic].gone_since.take().unwrap_or_else(Instant::now);
        let mut is_remade = false;
        for part in of_topic(&mut self.shared.parts(), topic) {
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
            let name = self.shared.topics[topic].as_str();
            tracing::warn!(topic = name, %id, "topic was made anew, read from its first offset");
            // These may be from the new topic, so they are not dropped.
            self.hand_over(topic, u64::MAX, None);
            self.tell(topic, id, gone_at);
        } else {
            self.hand_over(topic, answer.asked_at, Some(id));
        }
        if before != Some(id) && !id.is_unknown() {
            let teller = Teller::Observer;
            let seen = Remade { topic, id, place: None, teller, is_quiet: false };
            lock(&self.shared.remade).push(seen);
        }
    }

    /// There is no topic of the name.
    fn missing(&mut self, topic: usize, answer: &Answer) {
        self.hand_over(topic, answer.asked_at, None);
        let since = *self.topics[topic].gone_since.get_or_insert_with(|| {
            tracing::warn!(topic = self.shared.topics[topic], "topic is gone");
            Instant::now()
        });
        if since.elapsed() >= Duration::from_secs(RAW_GONE_SECONDS) {
            self.tell(topic, TopicId::default(), since);
        }
    }

    /// Tells how far topics were read that had the name before, and starts over.
    fn tell(&self, topic: usize, id: TopicId, gone_at: Instant) {
        let mut remade = lock(&self.shared.remade);
        let mut left = lock(&self.shared.left);
        let mut parts = self.shared.parts();
        let mut seen = self.take_seen(topic, id);
        let of_left = left.iter_mut().map(|entry| (entry, false));
        for ((key, part), is_held) in of_left.chain(parts.iter_mut().map(|entry| (entry, true))) {
            if key.0 != topic || part.id.is_unknown() || part.id == id {
                continue;
            }
            let place = part.place(*key).map(|mut place| {
                // What was handed over is real, and is done with in its time.
                place.next = u64::try_from(part.next).unwrap_or(0);
                // It may have been looked at since it was taken away.
                let seen = seen.get(key).filter(|seen| seen.id == place.id);
                place.high = place.high.max(seen.map_or(0, |seen| seen.high)).max(place.next);
                place
            });
            if place.is_some() {
                seen.remove(key);
            }
            let teller = if is_held || part.is_last { Teller::Reader } else { Teller::Former };
            let is_quiet = gone_at.saturating_duration_since(part.moved_at) >= QUIET;
            let tell = |place| Remade { topic, id, place: Some(place), teller, is_quiet };
            remade.extend(place.map(tell));
            *part = Part::new(self.n_answers);
        }
        remade.extend(seen.into_values().map(|place| {
            // More may have been written since, or somebody may have begun to read.
            let (place, teller) = (Some(place), Teller::Observer);
            Remade { topic, id, place, teller, is_quiet: false }
        }));
        left.retain(|_, part| !part.id.is_unknown());
        self.shared.is_waiting.store(true, Ordering::Relaxed);
    }

    /// Takes what was seen from outside of topics that had the name before.
    fn take_seen(&self, topic: usize, id: TopicId) -> BTreeMap<Key, RawPlace> {
        let mut seen = lock(&self.shared.seen);
        let is_old = |place: &RawPlace| place.topic == topic && place.id != id;
        let old = seen.iter().filter(|(_, place)| is_old(place));
        let old: BTreeMap<Key, RawPlace> = old.map(|(key, place)| (*key, *place)).collect();
        seen.retain(|key, _| !old.contains_key(key));
        old
    }

    /// Hands over what was polled up to a number. With an id, only what another member of the
    /// group does not get: the topic is still there.
    fn hand_over(&mut self, topic: usize, until: u64, id: Option<TopicId>) {
        let waiting = &mut self.topics[topic].waiting;
        let mut left = lock(&self.shared.left);
        let mut parts = self.shared.parts();
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
                What::Message(mut message) => {
                    message.id = part.id;
                    part.next = part.next.max(signed(message.offset) + 1);
                    part.handed = part.next;
                    // Nobody takes any more: the process ends, and the message comes again.
                    let _ = self.messages.send(message);
                }
            }
        }
    }
}

/// Takes a message, if its partition was started.
pub(super) fn poll(shared: &Shared, topics: &mut [Topic], message: &BorrowedMessage<'_>) {
    let Some(topic) = shared.topics.iter().position(|topic| topic == message.topic()) else {
        return;
    };
    let (number, offset) = (message.partition(), message.offset());
    let (Ok(partition), Ok(at)) = (u32::try_from(number), u64::try_from(offset)) else { return };
    let (start, id) = {
        let mut parts = shared.parts();
        let Some(part) = parts.get_mut(&(topic, number)).filter(|part| part.is_started) else {
            return;
        };
        if part.polled.is_some_and(|polled| offset < polled) {
            return;
        }
        part.polled = Some(offset + 1);
        part.high = part.high.max(offset + 1);
        part.stale = (-1, -1);
        part.moved_at = Instant::now();
        part.n_mended = 0;
        (part.start, part.id)
    };
    let bytes = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let place = Place::take(&shared.room, bytes.len());
    let message = RawMessage { topic, id, partition, offset: at, bytes, start, _place: place };
    let seq = shared.polled.fetch_add(1, Ordering::AcqRel) + 1;
    topics[topic].waiting.push_back(Waiting { seq, number, start, what: What::Message(message) });
}

/// The partitions of a topic.
fn of_topic(parts: &mut BTreeMap<Key, Part>, topic: usize) -> impl Iterator<Item = &mut Part> {
    parts.iter_mut().filter(move |(key, _)| key.0 == topic).map(|(_, part)| part)
}
