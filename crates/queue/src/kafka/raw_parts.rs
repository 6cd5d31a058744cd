//! What the reader of raw topics, its thread and its callbacks share.
//!
//! Each partition of this member has an entry from the moment it is given until it is taken away;
//! what was fetched has a place until it is dropped. Nothing here talks to a broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use kafka_id::{TopicId, kept_words};
use rdkafka::{Offset, TopicPartitionList};

use crate::limits::{RAW_BYTES_MAX, RAW_MESSAGES_MAX};

/// A message, as somebody published it.
#[derive(Debug)]
pub struct RawMessage {
    /// Index of its topic among those asked for.
    pub topic: usize,
    /// Which topic had the name when it came.
    pub id: TopicId,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// What it says.
    pub bytes: Bytes,
    pub(super) start: u64,
    pub(super) _place: Place,
}

impl RawMessage {
    /// What to tell once this message, and every earlier one of its partition, is done with.
    pub fn mark(&self) -> RawMark {
        let RawMessage { topic, partition, offset, start, .. } = *self;
        RawMark { topic, partition, next: offset + 1, start }
    }
}

/// A place in a partition up to which every message is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawMark {
    pub(super) topic: usize,
    pub(super) partition: u32,
    pub(super) next: u64,
    pub(super) start: u64,
}

/// Name of a partition: index of its topic among those asked for, and its number.
pub(super) type Key = (usize, i32);

/// What the threads, the callbacks and the reader share.
#[derive(Default)]
pub(super) struct Shared {
    pub topics: Vec<String>,
    /// The partitions of this member.
    pub parts: Mutex<BTreeMap<Key, Part>>,
    /// The partitions that it had, as they were when they were taken away.
    pub left: Mutex<BTreeMap<Key, Part>>,
    /// Partitions of others, or of nobody, with messages that nobody read when this member looked
    /// at them last.
    pub seen: Mutex<BTreeMap<Key, RawPlace>>,
    pub answers: Mutex<Answers>,
    /// Places of topics that are no more, for whoever keeps account of them.
    pub remade: Mutex<Vec<Remade>>,
    /// Partitions that stand still although there are messages.
    pub stalled: Mutex<BTreeMap<Key, Stall>>,
    /// Counts what was polled: whatever has a number up to one was there before it was read.
    pub polled: AtomicU64,
    /// Changes with every start of a partition.
    pub n_starts: AtomicU64,
    /// Some partition may have to be started.
    pub is_waiting: AtomicBool,
    pub room: Arc<Room>,
    pub lost: AtomicU64,
    pub is_stopping: AtomicBool,
}

impl Shared {
    pub fn parts(&self) -> MutexGuard<'_, BTreeMap<Key, Part>> {
        lock(&self.parts)
    }

    /// The partitions of a list that belong to our topics.
    pub fn keys(&self, list: &TopicPartitionList) -> Vec<Key> {
        let elements = list.elements();
        let key = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let topic = self.topics.iter().position(|topic| topic == element.topic())?;
            Some((topic, element.partition()))
        };
        elements.iter().filter_map(key).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The brokers' answers about the topics.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How often they have answered.
    pub n: u64,
    pub of_topic: Vec<Answer>,
}

/// The brokers' answer about a topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    /// Which topic has the name; `None` before the first answer, and while there is none.
    pub id: Option<TopicId>,
    /// Whether they have answered, with an id or that there is no such topic.
    pub is_known: bool,
    /// What was polled up to here was polled before the question was asked.
    pub asked_at: u64,
    pub partitions: usize,
}

/// A place in a topic that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remade {
    /// Index of the topic among those asked for.
    pub topic: usize,
    /// The topic that has the name now.
    pub id: TopicId,
    /// How far a partition of the one before was read. Nothing if this process knows no more than
    /// that the topic has this id: the ledger may know of another.
    pub place: Option<RawPlace>,
    /// What this process had to do with the partition.
    pub teller: Teller,
    /// Whether nothing had come for a while when the topic went, so that the end is certain.
    pub is_quiet: bool,
}

/// Who tells of a partition that is no more, in the order of how well it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// It read the partition to its end.
    Reader,
    /// It read the partition before; another member may have read on.
    Former,
    /// It never read it, and has seen from outside that nobody did.
    Observer,
}

/// How far a partition of a raw topic was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPlace {
    /// Index of its topic among those asked for.
    pub topic: usize,
    /// Which topic had the name.
    pub id: TopicId,
    /// Its partition.
    pub partition: u32,
    /// Offset before which everything is done with.
    pub next: u64,
    /// The next offset to be written, as last seen.
    pub high: u64,
}

/// A partition that may stand still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    pub place: i64,
    pub since: Instant,
}

/// A partition of this member.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Whether its messages are handed over; else it waits for a start.
    pub is_started: bool,
    /// Number of the start that it was last placed by.
    pub start: u64,
    /// Which topic it was started in.
    pub id: TopicId,
    /// Offset that is polled next; `None` before the first start.
    pub polled: Option<i64>,
    /// Offset of the message that is handed over next.
    pub next: i64,
    /// Offset behind the last message that was handed over.
    pub handed: i64,
    /// Offset before which everything is done with.
    pub done: i64,
    /// The offset that Kafka keeps, as far as is known; -1 for none.
    pub kept: i64,
    /// The next offset to be written, as last seen.
    pub high: i64,
    /// The same when the brokers were last asked which topic it is..
    pub high_asked: i64,
    /// ..and when they last confirmed it.
    pub high_sure: i64,
    /// Position and end that the client had before the start and may tell for a while.
    pub stale: (i64, i64),
    /// Whether it was taken away because its topic was gone.
    pub is_last: bool,
    /// Answers that there had been when a start was last wanted.
    pub wanted_at: u64,
    /// How often it was started anew since a message last came.
    pub n_mended: u32,
    /// When a message last came, or it was started.
    pub moved_at: Instant,
}

impl Part {
    /// One that waits for its start, and for an answer that is newer than those before.
    pub fn new(wanted_at: u64) -> Part {
        Part {
            is_started: false,
            start: 0,
            id: TopicId::default(),
            polled: None,
            next: -1,
            handed: -1,
            done: -1,
            kept: -1,
            high: -1,
            high_asked: -1,
            high_sure: -1,
            stale: (-1, -1),
            is_last: false,
            wanted_at,
            n_mended: 0,
            moved_at: Instant::now(),
        }
    }

    /// Everything before `next` is done with. Behind the last message that was handed over there
    /// is nothing to be done up to the place that was reached.
    pub fn done(&mut self, next: i64) {
        self.done = self.done.max(next);
        if self.done >= self.handed {
            self.done = self.done.max(self.next);
        }
    }

    /// Where it stands, for whoever must know it after this process.
    pub fn place(&self, key: Key) -> Option<RawPlace> {
        if self.id.is_unknown() || self.next < 0 {
            return None;
        }
        let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
        Some(RawPlace {
            topic: key.0,
            id: self.id,
            partition: u32::try_from(key.1).unwrap_or(u32::MAX),
            next: offset(self.done),
            high: offset(self.high_sure.max(self.done)),
        })
    }
}

/// What waits between the thread and the end of the work on it.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub bytes: AtomicUsize,
    pub messages: AtomicUsize,
}

impl Room {
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= RAW_BYTES_MAX
            || self.messages.load(Ordering::Relaxed) >= RAW_MESSAGES_MAX
    }

    pub fn is_half_empty(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) <= RAW_BYTES_MAX / 2
            && self.messages.load(Ordering::Relaxed) <= RAW_MESSAGES_MAX / 2
    }
}

/// The place of one message.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: usize,
}

impl Place {
    pub fn take(room: &Arc<Room>, bytes: usize) -> Place {
        room.bytes.fetch_add(bytes, Ordering::Relaxed);
        room.messages.fetch_add(1, Ordering::Relaxed);
        Place { room: Arc::clone(room), bytes }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.messages.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// Partitions of a topic, each with this offset.
pub(super) fn list_of(
    topic: &str,
    numbers: impl IntoIterator<Item = i32>,
    offset: Offset,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for number in numbers {
        list.add_partition_offset(topic, number, offset).expect("a list takes any of our offsets");
    }
    list
}

/// The offset of a partition in a list of those that were kept, and the id of the topic that it was
/// kept under. Words that are no id are somebody else's, in whatever encoding.
pub(super) fn kept_in(
    list: &TopicPartitionList,
    topic: &str,
    number: i32,
) -> Option<(i64, TopicId)> {
    match list.find_partition(topic, number)?.offset() {
        Offset::Offset(offset) => {
            let words = kept_words(list, topic, number);
            Some((offset, TopicId::try_from(&words[..]).unwrap_or_default()))
        }
        _ => None,
    }
}

/// Whether an offset that was kept under one id holds in the topic with another. Brokers that tell
/// no ids leave nothing to compare, and neither does an offset that somebody else set.
pub(super) fn is_of(kept: TopicId, id: TopicId) -> bool {
    kept == id || kept.is_unknown() || id.is_unknown()
}
