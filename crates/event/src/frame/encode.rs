//! Encodes columns of events as a frame.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::columns::{EventColumns, Row, Texts};
use super::envelope::{ENVELOPE_BYTES, Envelope, Stamp};
use super::{column, presence};
use crate::labels::TUPLE_BYTES_MAX;

/// Presence bit of each column of numbers; 0 for those that every event has.
const BITS: [u64; 10] = [
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

/// Encodes frames. Its buffers are kept from one frame to the next.
#[derive(Debug, Default)]
pub struct FrameEncoder {
    hasher: DefaultHashBuilder,
    /// Tuples by their rows.
    numbers: HashTable<u16>,
    /// The first row of each tuple.
    tuples: Vec<Row>,
    /// The tuple of each event.
    tuple: Vec<u64>,
    /// The first number of each requested model that has an equal one before it; else its own.
    requested: Vec<u32>,
    models: HashTable<u32>,
}

impl FrameEncoder {
    /// The frame of at least one event as bytes. `texts` is the table that the labels' numbers are
    /// of.
    #[must_use]
    pub fn encode(&mut self, columns: &EventColumns, texts: &impl Texts, stamp: Stamp) -> Vec<u8> {
        assert!(!columns.is_empty(), "a frame has at least one event");
        self.find_tuples(columns);
        let n = columns.len();
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + n * 64 + self.tuples.len() * 80);
        bytes.resize(ENVELOPE_BYTES, 0);
        self.put_dictionary(&mut bytes, columns, texts);
        let dictionary_bytes = bytes.len() - ENVELOPE_BYTES;
        column::put(&mut bytes, &self.tuple, |_| true);
        column::put(&mut bytes, &columns.presence, |_| true);
        for (values, bit) in columns.numbers.iter().zip(BITS) {
            column::put(&mut bytes, values, |idx| columns.presence[idx] & bit == bit);
        }
        bytes.extend_from_slice(&columns.fingerprints);
        bytes.extend_from_slice(&columns.keys);
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

    /// Numbers the distinct tuples in order of appearance.
    fn find_tuples(&mut self, columns: &EventColumns) {
        self.find_models(columns);
        self.numbers.clear();
        self.tuples.clear();
        self.tuple.clear();
        let FrameEncoder { hasher, numbers, tuples, tuple, requested, .. } = self;
        for row in &columns.rows {
            let requested = requested.get(row.requested as usize);
            let row = Row { requested: requested.copied().unwrap_or(row.requested), ..*row };
            let hash = hasher.hash_one(row.words());
            let number = match numbers.find(hash, |number| tuples[usize::from(*number)] == row) {
                Some(number) => *number,
                None => {
                    let number = u16::try_from(tuples.len()).expect("at most one tuple per event");
                    tuples.push(row);
                    let again =
                        |number: &u16| hasher.hash_one(tuples[usize::from(*number)].words());
                    numbers.insert_unique(hash, number, again);
                    number
                }
            };
            tuple.push(u64::from(number));
        }
    }

    /// Finds equal requested models, which requests add apart from each other.
    fn find_models(&mut self, columns: &EventColumns) {
        self.requested.clear();
        self.models.clear();
        let n = columns.n_requested();
        if n < 2 {
            return;
        }
        self.requested.push(0);
        for number in 1..=n {
            let text = columns.requested(number);
            let hash = self.hasher.hash_one(text);
            let same = self.models.find(hash, |other| columns.requested(*other) == text).copied();
            if same.is_none() {
                let again = |other: &u32| self.hasher.hash_one(columns.requested(*other));
                self.models.insert_unique(hash, number, again);
            }
            self.requested.push(same.unwrap_or(number));
        }
    }

    fn put_dictionary(&self, bytes: &mut Vec<u8>, columns: &EventColumns, texts: &impl Texts) {
        let n_tuples = u16::try_from(self.tuples.len()).expect("at most one tuple per event");
        bytes.extend_from_slice(&n_tuples.to_le_bytes());
        for row in &self.tuples {
            let at = bytes.len();
            bytes.extend_from_slice(&[0, 0]);
            columns.labels(row, texts).encode(bytes);
            let length = bytes.len() - at - 2;
            debug_assert!(length <= TUPLE_BYTES_MAX);
            let length = u16::try_from(length).expect("a tuple is below 1 KiB");
            bytes[at..at + 2].copy_from_slice(&length.to_le_bytes());
        }
    }
}
