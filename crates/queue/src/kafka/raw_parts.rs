//! What the reader of raw topics shares with its handler and the client's callbacks.
//!
//! Each partition of this member has an entry from its assignment until it is revoked. A batch
//! counts against the bounds of memory from the moment it is fetched until it is dropped. Nothing
//! here talks to a broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use kafka_id::{TopicId, kept_words};
use rdkafka::{Offset, TopicPartitionList};

use super::poller::Key;
use crate::limits::{RAW_BYTES_MAX, RAW_MESSAGES_MAX};

/// Messages of one partition of a raw topic, in the order of their offsets; at least one.
#[derive(Debug)]
pub struct RawBatch {
    /// Index of its topic among those asked for.
    pub topic: usize,
    /// Which topic had the name when they were fetched.
    pub id: TopicId,
    /// Their partition.
    pub partition: u32,
    /// Their payloads, one behind the other.
    pub bytes: Bytes,
    /// The messages.
    pub messages: Arc<[RawMessage]>,
    pub(super) start: u64,
    pub(super) _permit: Permit,
}

impl RawBatch {
    /// The mark to report once these messages and every earlier one of their partition are durable.
    pub fn mark(&self) -> RawMark {
        self.mark_behind(self.last())
    }

    /// The mark behind one of the messages.
    pub(crate) fn mark_behind(&self, offset: u64) -> RawMark {
        let RawBatch { topic, partition, start, .. } = *self;
        RawMark { topic, partition, next: offset + 1, start }
    }

    /// Offset of the last message.
    pub(super) fn last(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.offset)
    }
}

/// A message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// Its offset.
    pub offset: u64,
    /// Where its payload ends among those of the batch; it begins where the one before ends.
    pub end: usize,
}

/// A position in a partition before which every message is durable elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawMark {
    pub(super) topic: usize,
    pub(super) partition: u32,
    pub(super) next: u64,
    pub(super) start: u64,
}

/// State of all partitions of the raw topics.
#[derive(Default)]
pub(super) struct RawState {
    pub topics: Vec<String>,
    /// The partitions of this member.
    pub parts: Mutex<BTreeMap<Key, Part>>,
    /// The partitions that it had, as they were when they were revoked.
    pub left: Mutex<BTreeMap<Key, Part>>,
    /// Partitions of other members, or of none, that had unread messages and did not move when this
    /// member last looked at them.
    pub seen: Mutex<BTreeMap<Key, RawPlace>>,
    pub answers: Mutex<Answers>,
    /// Reports of topics that were replaced or deleted, for the account of losses.
    pub remade: Mutex<Vec<Remade>>,
    /// Partitions that stand still although there are messages.
    pub stalled: Mutex<BTreeMap<Key, Stall>>,
    /// Counts batches and positions that were polled. All with a number up to a value of this
    /// counter were polled before that value was read.
    pub polled: AtomicU64,
    /// A partition may be waiting for its start.
    pub is_waiting: AtomicBool,
    /// Counts changes of the assignment.
    pub n_assigned: AtomicU64,
    pub room: Arc<Room>,
    pub lost: AtomicU64,
}

impl RawState {
    pub fn parts(&self) -> MutexGuard<'_, BTreeMap<Key, Part>> {
        lock(&self.parts)
    }

    /// Has all partitions start again, once the brokers have answered a question that is asked
    /// after `n_answers` of them.
    pub fn restart_all(&self, n_answers: u64) {
        self.parts().values_mut().for_each(|part| part.restart(n_answers));
        self.is_waiting.store(true, Ordering::Relaxed);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The brokers' answers about the topics.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Number of their answers.
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
    /// Value of [`RawState::polled`] when the question was asked.
    pub asked_at: u64,
    pub partitions: usize,
}

/// A position in a topic that was replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remade {
    /// Index of the topic among those asked for.
    pub topic: usize,
    /// The topic that has the name now.
    pub id: TopicId,
    /// How far a partition of the earlier topic was read. `None` if this process only knows that
    /// the topic has this id; the ledger may know of an earlier one.
    pub place: Option<RawPlace>,
    /// How this process knows of the partition.
    pub witness: Witness,
    /// Whether no message had been fetched for a while when the topic was deleted, so that its end
    /// is certain.
    pub is_quiet: bool,
}

/// How a process knows of a partition that is gone, best knowledge first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// It read the partition to its end.
    Reader,
    /// It read the partition before; another member may have read on.
    Former,
    /// It never read the partition, and saw its ends while no member read it.
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
    /// Offset before which every message is durable elsewhere.
    pub next: u64,
    /// The next offset to be written, as last seen.
    pub high: u64,
}

/// Since when a partition with messages has not moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    pub position: i64,
    pub since: Instant,
}

/// A partition of this member.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Whether it was started; else it waits for that, and its messages are dropped.
    pub is_started: bool,
    /// Number of the start that last set its position.
    pub start: u64,
    /// Which topic it was started in.
    pub id: TopicId,
    /// Offset that is polled next; `None` before the first start.
    pub polled: Option<i64>,
    /// Offset of the message that is handed over next.
    pub next: i64,
    /// Offset behind the last message that was handed over.
    pub handed: i64,
    /// Offset before which every message is durable elsewhere.
    pub done: i64,
    /// The offset that was last committed to Kafka; -1 for none.
    pub committed: i64,
    /// The next offset to be written, as last seen.
    pub high: i64,
    /// The same when the brokers were last asked which topic it is..
    pub high_asked: i64,
    /// ..and when they last confirmed it.
    pub high_sure: i64,
    /// Position and end that the client had before the start and may still report for a while.
    pub stale: (i64, i64),
    /// Whether it was revoked because its topic was gone.
    pub is_last: bool,
    /// Number of answers when a start was last requested.
    pub requested_at: u64,
    /// How often it was started again since its last message.
    pub n_mended: u32,
    /// When its last message was polled, or it was started.
    pub moved_at: Instant,
}

impl Part {
    /// One that waits for its start, and for an answer to a question that is asked from now on.
    pub fn new(requested_at: u64) -> Part {
        Part {
            is_started: false,
            start: 0,
            id: TopicId::default(),
            polled: None,
            next: -1,
            handed: -1,
            done: -1,
            committed: -1,
            high: -1,
            high_asked: -1,
            high_sure: -1,
            stale: (-1, -1),
            is_last: false,
            requested_at,
            n_mended: 0,
            moved_at: Instant::now(),
        }
    }

    /// Has it start again, after an answer to a question that is asked from now on.
    pub fn restart(&mut self, n_answers: u64) {
        self.is_started = false;
        self.requested_at = n_answers;
    }

    /// Everything before `next` is durable. If that covers the last message that was handed over,
    /// so is everything up to the position that was reached: there are no messages in between.
    pub fn done(&mut self, next: i64) {
        self.done = self.done.max(next);
        if self.done >= self.handed {
            self.done = self.done.max(self.next);
        }
    }

    /// Its position, for those who need it after this process.
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

/// Memory that messages take from when they are fetched until they are dropped.
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

/// The memory of some messages.
#[derive(Debug)]
pub(super) struct Permit {
    room: Arc<Room>,
    bytes: usize,
    messages: usize,
}

impl Permit {
    pub fn take(room: &Arc<Room>, bytes: usize, messages: usize) -> Permit {
        room.bytes.fetch_add(bytes, Ordering::Relaxed);
        room.messages.fetch_add(messages, Ordering::Relaxed);
        Permit { room: Arc::clone(room), bytes, messages }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.messages.fetch_sub(self.messages, Ordering::Relaxed);
    }
}

pub(super) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// The committed offset of a partition, and the id of the topic that was committed with it as
/// metadata. Metadata that is no id was written by a foreign tool, in any encoding.
pub(super) fn committed_in(
    list: &TopicPartitionList,
    topic: &str,
    number: i32,
) -> Option<(i64, TopicId)> {
    match list.find_partition(topic, number)?.offset() {
        Offset::Offset(offset) => {
            let metadata = kept_words(list, topic, number);
            Some((offset, TopicId::try_from(&metadata[..]).unwrap_or_default()))
        }
        _ => None,
    }
}

/// Whether an offset that was committed under one id is valid in the topic with another. Brokers
/// that report no ids leave nothing to compare, and neither does an offset set by a foreign tool.
pub(super) fn is_of(committed: TopicId, id: TopicId) -> bool {
    committed == id || committed.is_unknown() || id.is_unknown()
}
