//! Encodes columns of events as dictionary and columns of version 1.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::column;
use crate::code::Outcome;
use crate::frame::columns::{EventColumns, LabelIds, Row, TextId, Texts};
use crate::frame::decoded::N_NUMBERS;
use crate::frame::envelope::ENVELOPE_BYTES;
use crate::frame::presence;
use crate::labels::{Labels, TUPLE_BYTES_MAX};

/// Presence bit of each column of numbers; 0 for those that every event has.
const BITS: [u64; N_NUMBERS] = [
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

/// Encodes payloads. Its buffers are kept from one frame to the next.
#[derive(Debug, Default)]
pub(in crate::frame) struct Writer {
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

impl Writer {
    /// Writes room for the envelope, dictionary and columns of numbers; gives the bytes of the
    /// dictionary.
    pub fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        columns: &EventColumns,
        texts: &impl Texts,
    ) -> usize {
        self.find_tuples(columns);
        bytes.reserve(ENVELOPE_BYTES + columns.len() * 64 + self.tuples.len() * 80);
        bytes.resize(ENVELOPE_BYTES, 0);
        self.put_dictionary(bytes, columns, texts);
        let dictionary_bytes = bytes.len() - ENVELOPE_BYTES;
        column::put(bytes, &self.tuple, |_| true);
        column::put(bytes, &columns.presence, |_| true);
        for (values, bit) in columns.numbers.iter().zip(BITS) {
            column::put(bytes, values, |idx| columns.presence[idx] & bit == bit);
        }
        dictionary_bytes
    }

    /// Numbers the distinct tuples in order of appearance.
    fn find_tuples(&mut self, columns: &EventColumns) {
        self.find_models(columns);
        self.numbers.clear();
        self.tuples.clear();
        self.tuple.clear();
        let Writer { hasher, numbers, tuples, tuple, requested, .. } = self;
        for row in &columns.rows {
            let requested = requested.get(row.requested as usize);
            let requested = requested.copied().unwrap_or(row.requested);
            let row = Row { requested, producer: 0, ..*row };
            let hash = hasher.hash_one(words(&row));
            let number = match numbers.find(hash, |number| tuples[usize::from(*number)] == row) {
                Some(number) => *number,
                None => {
                    let number = u16::try_from(tuples.len()).expect("at most one tuple per event");
                    tuples.push(row);
                    let again =
                        |number: &u16| hasher.hash_one(words(&tuples[usize::from(*number)]));
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
        let texts = &columns.requested;
        let n = texts.len();
        if n < 2 {
            return;
        }
        self.requested.push(0);
        for number in 1..=n {
            let text = texts.get(number);
            let hash = self.hasher.hash_one(text);
            let same = self.models.find(hash, |other| texts.get(*other) == text).copied();
            if same.is_none() {
                let again = |other: &u32| self.hasher.hash_one(texts.get(*other));
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
            labels(row, columns, texts).encode(bytes);
            let length = bytes.len() - at - 2;
            debug_assert!(length <= TUPLE_BYTES_MAX);
            let length = u16::try_from(length).expect("a tuple is below 1 KiB");
            bytes[at..at + 2].copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// All of a row, to be hashed.
fn words(row: &Row) -> [u64; 5] {
    let ids = &row.ids;
    let [a, b, c] = ids.row_words();
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let consumer = pair(ids.consumer.0, u32::from(ids.stream));
    [a, b, c, consumer, pair(ids.limited_by.0, row.requested)]
}

/// The labels of a row.
fn labels<'a>(row: &Row, columns: &'a EventColumns, texts: &'a impl Texts) -> Labels<'a> {
    let ids = &row.ids;
    let some = |id: TextId| (id != TextId::ABSENT).then(|| texts.text(id));
    let requested = (row.requested > 0).then(|| columns.requested.get(row.requested));
    let LabelIds { status, outcome, .. } = *ids;
    Labels {
        status,
        method: ids.method,
        // Readers of this version know no other.
        outcome: if outcome <= Outcome::Policy { outcome } else { Outcome::of(status, None) },
        service_tier: ids.service_tier,
        source: ids.source,
        is_final: ids.is_final,
        namespace: texts.text(ids.namespace),
        upstream: texts.text(ids.upstream),
        model: texts.text(ids.model),
        endpoint: texts.text(ids.endpoint),
        limited_by: some(ids.limited_by),
        stream: ids.stream,
        requested_model: requested
            .map(|text| std::str::from_utf8(text).expect("it was added as a text")),
        consumer: some(ids.consumer),
    }
}
