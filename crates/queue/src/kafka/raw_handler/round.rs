//! The messages of one round of polls, gathered into a batch for each partition.
//!
//! What a message costs here is its bytes: locks are taken, the clock is read and memory is
//! accounted for once for each batch. Nothing of a round outlasts a change of the assignment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rdkafka::message::{BorrowedMessage, Message as _};

use super::answers::{Topic, Waiting, What};
use crate::kafka::poller::Key;
use crate::kafka::raw_parts::{Permit, RawBatch, RawMessage, RawState};
use crate::limits::RAW_ROUND_BYTES_MAX;

/// The messages of a round.
#[derive(Default)]
pub(super) struct Round {
    open: Vec<Open>,
    /// Changes of the assignment before the first message of the round.
    n_assigned: u64,
    n_bytes: usize,
}

/// The messages of a partition.
struct Open {
    key: Key,
    start: u64,
    /// Offset of the message that comes next; earlier ones are dropped.
    next: i64,
    bytes: Vec<u8>,
    messages: Vec<RawMessage>,
}

impl Round {
    /// Whether the round has to end.
    pub fn is_full(&self) -> bool {
        self.n_bytes >= RAW_ROUND_BYTES_MAX
    }

    /// Takes a message, if its partition was started. False if the assignment has changed since the
    /// first message: the round has to end before this one is taken.
    pub fn take(&mut self, state: &RawState, message: &BorrowedMessage<'_>) -> bool {
        let n_assigned = state.n_assigned.load(Ordering::Acquire);
        if self.open.is_empty() {
            self.n_assigned = n_assigned;
        } else if self.n_assigned != n_assigned {
            return false;
        }
        let number = message.partition();
        let is_it =
            |open: &Open| open.key.1 == number && state.topics[open.key.0] == message.topic();
        let at = self.open.iter().position(is_it).or_else(|| self.begin(state, message));
        let Some(open) = at.map(|at| &mut self.open[at]) else { return true };
        let (offset, Ok(at)) = (message.offset(), u64::try_from(message.offset())) else {
            return true;
        };
        if offset < open.next {
            return true;
        }
        let payload = message.payload().unwrap_or_default();
        open.next = offset + 1;
        open.bytes.extend_from_slice(payload);
        open.messages.push(RawMessage { offset: at, end: open.bytes.len() });
        self.n_bytes += payload.len();
        true
    }

    /// Begins the batch of a partition, if it was started.
    fn begin(&mut self, state: &RawState, message: &BorrowedMessage<'_>) -> Option<usize> {
        let topic = state.topics.iter().position(|topic| topic == message.topic())?;
        let key = (topic, message.partition());
        let parts = state.parts();
        let part = parts.get(&key).filter(|part| part.is_started)?;
        let (start, next) = (part.start, part.polled.unwrap_or(0));
        let (bytes, messages) = (Vec::new(), Vec::new());
        self.open.push(Open { key, start, next, bytes, messages });
        Some(self.open.len() - 1)
    }

    /// Ends the round: its batches wait for an answer about their topics. Returns how many.
    pub fn end(&mut self, state: &RawState, topics: &mut [Topic]) -> usize {
        self.n_bytes = 0;
        let (now, mut n_batches) = (Instant::now(), 0);
        for open in self.open.drain(..) {
            let Open { key: (topic, number), start, next, bytes, messages } = open;
            let Ok(partition) = u32::try_from(number) else { continue };
            if messages.is_empty() {
                continue;
            }
            let mut parts = state.parts();
            let part = parts.get_mut(&(topic, number)).filter(|part| part.start == start);
            let id = part.map(|part| {
                part.polled = Some(next);
                part.high = part.high.max(next);
                part.stale = (-1, -1);
                part.moved_at = now;
                part.n_mended = 0;
                part.id
            });
            drop(parts);
            let _permit = Permit::take(&state.room, bytes.len(), messages.len());
            let (bytes, messages) = (bytes.into(), Arc::from(messages));
            let id = id.unwrap_or_default();
            let batch = RawBatch { topic, id, partition, bytes, messages, start, _permit };
            // Only now: whoever reads the counter later asks after all of these were polled.
            let seq = state.polled.fetch_add(1, Ordering::AcqRel) + 1;
            topics[topic].waiting.push_back(Waiting {
                seq,
                number,
                start,
                what: What::Batch(batch),
            });
            n_batches += 1;
        }
        n_batches
    }
}
