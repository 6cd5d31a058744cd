//! Gathers settled events and encodes them as one frame.
//!
//! Requests build small frames side by side; `merge` joins them tuple by tuple, so that the cost
//! of joining is per distinct tuple and the columns are copied whole.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::envelope::{ENVELOPE_BYTES, Envelope, Stamp};
use super::{column, presence};
use crate::labels::{Facts, Labels, TUPLE_BYTES_MAX};
use crate::limits::FRAME_EVENTS_MAX;

/// The frame has its 4,096 events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame is full")]
pub struct Full;

/// Events on their way into one frame.
#[derive(Clone, Debug, Default)]
pub struct FrameBuilder {
    numbers: HashMap<Box<[u8]>, u16, Xxh3DefaultBuilder>,
    tuples: Vec<Box<[u8]>>,
    scratch: Vec<u8>,
    tuple: Vec<u64>,
    presence: Vec<u64>,
    /// time, duration, ttft, the five token counts, cost, attempt.
    columns: [Vec<u64>; 10],
    fingerprints: Vec<u8>,
    keys: Vec<u8>,
}

impl FrameBuilder {
    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tuple.len()
    }

    /// Whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tuple.is_empty()
    }

    /// Adds an event. The labels and facts have been settled and checked.
    ///
    /// # Errors
    /// `Full` when the frame has 4,096 events.
    pub fn push(&mut self, labels: &Labels<'_>, facts: &Facts) -> Result<(), Full> {
        if self.len() >= FRAME_EVENTS_MAX {
            return Err(Full);
        }
        self.scratch.clear();
        labels.encode(&mut self.scratch);
        debug_assert!(self.scratch.len() <= TUPLE_BYTES_MAX);
        let number = match self.numbers.get(self.scratch.as_slice()) {
            Some(number) => *number,
            None => self.add_tuple(self.scratch.clone().into_boxed_slice()),
        };
        let usage = &facts.usage;
        let mut present = 0;
        let mut bit = |is_present: bool, bit: u64| {
            if is_present {
                present |= bit
            }
        };
        bit(facts.ttft_us.is_some(), presence::TTFT);
        bit(usage.input.is_some(), presence::INPUT);
        bit(usage.cache_read.is_some(), presence::CACHE_READ);
        bit(usage.cache_write.is_some(), presence::CACHE_WRITE);
        bit(usage.output.is_some(), presence::OUTPUT);
        bit(usage.reasoning.is_some(), presence::REASONING);
        bit(facts.cost_nano.is_some(), presence::COST);
        let count = |count: Option<u32>| u64::from(count.unwrap_or(0));
        let values = [
            facts.time_us.cast_unsigned(),
            facts.duration_us,
            facts.ttft_us.unwrap_or(0),
            count(usage.input),
            count(usage.cache_read),
            count(usage.cache_write),
            count(usage.output),
            count(usage.reasoning),
            facts.cost_nano.unwrap_or(0).cast_unsigned(),
            u64::from(facts.attempt),
        ];
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
        self.tuple.push(u64::from(number));
        self.presence.push(present);
        self.fingerprints.extend_from_slice(&facts.fingerprint.to_le_bytes());
        self.keys.extend_from_slice(&facts.key.0);
        Ok(())
    }

    /// Adds all events of another builder, or none.
    ///
    /// # Errors
    /// `Full` when both together have more than 4,096 events.
    pub fn merge(&mut self, other: &FrameBuilder) -> Result<(), Full> {
        if self.len() + other.len() > FRAME_EVENTS_MAX {
            return Err(Full);
        }
        let numbers: Vec<u64> = other
            .tuples
            .iter()
            .map(|tuple| match self.numbers.get(tuple) {
                Some(number) => u64::from(*number),
                None => u64::from(self.add_tuple(tuple.clone())),
            })
            .collect();
        self.tuple.extend(other.tuple.iter().map(|number| numbers[*number as usize]));
        self.presence.extend_from_slice(&other.presence);
        for (column, more) in self.columns.iter_mut().zip(&other.columns) {
            column.extend_from_slice(more);
        }
        self.fingerprints.extend_from_slice(&other.fingerprints);
        self.keys.extend_from_slice(&other.keys);
        Ok(())
    }

    /// The frame as bytes. The builder has at least one event.
    #[must_use]
    pub fn encode(&self, stamp: Stamp) -> Vec<u8> {
        assert!(!self.is_empty(), "a frame has at least one event");
        let n = self.len();
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + n * 64 + 256);
        bytes.resize(ENVELOPE_BYTES, 0);
        let n_tuples = u16::try_from(self.tuples.len()).expect("at most one tuple per event");
        bytes.extend_from_slice(&n_tuples.to_le_bytes());
        for tuple in &self.tuples {
            let length = u16::try_from(tuple.len()).expect("a tuple is below 1 KiB");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(tuple);
        }
        let dictionary_bytes = bytes.len() - ENVELOPE_BYTES;
        column::put(&mut bytes, &self.tuple, |_| true);
        column::put(&mut bytes, &self.presence, |_| true);
        let bits = [
            0,
            0,
            presence::TTFT,
            presence::INPUT,
            presence::CACHE_READ,
            presence::CACHE_WRITE,
            presence::OUTPUT,
            presence::REASONING,
            presence::COST,
            0,
        ];
        for (values, bit) in self.columns.iter().zip(bits) {
            column::put(&mut bytes, values, |idx| self.presence[idx] & bit == bit);
        }
        bytes.extend_from_slice(&self.fingerprints);
        bytes.extend_from_slice(&self.keys);
        let payload = &bytes[ENVELOPE_BYTES..];
        let envelope = Envelope {
            n_events: u32::try_from(n).expect("at most 4,096 events"),
            stamp,
            dictionary_bytes: u32::try_from(dictionary_bytes).expect("below 8 MiB"),
            columns_bytes: u32::try_from(payload.len() - dictionary_bytes).expect("below 8 MiB"),
            payload_crc: crc32c::crc32c(payload),
        };
        bytes[..ENVELOPE_BYTES].copy_from_slice(&envelope.encode());
        bytes
    }

    /// Gives a new tuple the next number.
    fn add_tuple(&mut self, tuple: Box<[u8]>) -> u16 {
        let number = u16::try_from(self.tuples.len()).expect("at most one tuple per event");
        self.numbers.insert(tuple.clone(), number);
        self.tuples.push(tuple);
        number
    }
}
