//! What the reader of raw topics, its thread and its callbacks share.
//!
//! Each partition of this member has an entry from the moment it is given until it is taken away;
//! what was fetched has a place until it is dropped. Nothing here talks to a broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rdkafka::TopicPartitionList;

use crate::limits::{RAW_BYTES_MAX, RAW_MESSAGES_MAX};

/// A message, as somebody published it.
#[derive(Debug)]
pub struct RawMessage {
    /// Index of its topic among those asked for.
    pub topic: usize,
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

/// What the thread, the callbacks and the reader share.
#[derive(Default)]
pub(super) struct Shared {
    pub topics: Vec<String>,
    /// The partitions of this member, by topic and number.
    pub parts: Mutex<BTreeMap<(usize, i32), Part>>,
    /// Changes with every start of a partition.
    pub n_starts: AtomicU64,
    /// Some partition may have to be started.
    pub is_waiting: AtomicBool,
    pub room: Arc<Room>,
    pub lost: AtomicU64,
    pub is_stopping: AtomicBool,
}

impl Shared {
    pub fn parts(&self) -> MutexGuard<'_, BTreeMap<(usize, i32), Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions of a list that belong to our topics.
    pub fn keys(&self, list: &TopicPartitionList) -> Vec<(usize, i32)> {
        let elements = list.elements();
        let key = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let topic = self.topics.iter().position(|topic| topic == element.topic())?;
            Some((topic, element.partition()))
        };
        elements.iter().filter_map(key).collect()
    }
}

/// A partition of this member.
#[derive(Debug)]
pub(super) struct Part {
    /// Whether its messages are handed over; else it waits for a start.
    pub is_started: bool,
    /// Number of the start that it was last placed by.
    pub start: u64,
    /// Offset of the message that is handed over next; nothing before the first start.
    pub next: Option<i64>,
    /// Offset before which everything is done with.
    pub done: i64,
    /// The offset that Kafka keeps, as far as is known; -1 for none.
    pub kept: i64,
    /// The next offset to be written, as last seen.
    pub high: i64,
}

impl Part {
    pub fn new() -> Part {
        Part { is_started: false, start: 0, next: None, done: -1, kept: -1, high: -1 }
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
