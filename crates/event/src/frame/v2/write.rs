//! Encodes columns of events as dictionary and columns of version 2.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::column;
use crate::frame::columns::{EventColumns, LabelIds, Row, TextId, Texts};
use crate::frame::envelope::ENVELOPE_BYTES;
use crate::frame::presence;
use crate::frame::strings::Strings;

/// Bytes of an event, and of a row, that are rarely exceeded: what there is room for at first.
const EVENT_BYTES: usize = 64;
const ROW_BYTES: usize = 16;
/// Bytes of a frame apart from texts, rows and events, rarely exceeded.
const HEADS_BYTES: usize = 256;

/// Encodes payloads. Its buffers are kept from one frame to the next.
#[derive(Debug, Default)]
pub(in crate::frame) struct Writer {
    hasher: DefaultHashBuilder,
    texts: TextTable,
    /// Producers of the frame, one behind the other, and how many there are.
    producers: Vec<u8>,
    n_producers: u16,
    /// Number in the frame of each requested model and each producer of the columns.
    requested_of: Vec<u32>,
    producer_of: Vec<u32>,
    same: HashTable<u32>,
    /// Rows by what chooses them, and in order: the labels of the first event of each.
    numbers: HashTable<u16>,
    rows: Vec<LabelIds>,
    /// Numbers in the frame: rows of events, their consumers, texts of rows.
    row: Vec<u64>,
    consumer: Vec<u64>,
    row_texts: Vec<[u32; 5]>,
}

/// Texts of a frame, numbered from 1.
#[derive(Debug, Default)]
struct TextTable {
    /// Numbers of texts that have one outside the frame.
    numbers: HashMap<TextId, u32, DefaultHashBuilder>,
    lengths: Vec<u8>,
    bytes: Vec<u8>,
}

impl TextTable {
    /// The number of a text of a table.
    #[inline]
    fn number(&mut self, id: TextId, texts: &impl Texts) -> u32 {
        if id == TextId::ABSENT {
            return 0;
        }
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let number = self.add(texts.text(id).as_bytes());
        self.numbers.insert(id, number);
        number
    }

    fn add(&mut self, text: &[u8]) -> u32 {
        self.lengths.push(u8::try_from(text.len()).expect("labels are at most 128 bytes"));
        self.bytes.extend_from_slice(text);
        u32::try_from(self.lengths.len()).expect("at most seven an event")
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.lengths.clear();
        self.bytes.clear();
    }
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
        self.texts.clear();
        self.find_rows(columns, texts);
        self.find_strings(columns);
        let dictionary =
            self.texts.bytes.len() + self.producers.len() + self.rows.len() * ROW_BYTES;
        bytes.reserve(HEADS_BYTES + dictionary + columns.len() * EVENT_BYTES);
        bytes.resize(ENVELOPE_BYTES, 0);
        self.put_dictionary(bytes);
        let dictionary_bytes = bytes.len() - ENVELOPE_BYTES;
        self.put_columns(bytes, columns);
        dictionary_bytes
    }

    /// Numbers the distinct rows and the texts of rows and consumers, in order of appearance.
    fn find_rows(&mut self, columns: &EventColumns, texts: &impl Texts) {
        self.numbers.clear();
        self.rows.clear();
        self.row.clear();
        self.row_texts.clear();
        self.consumer.clear();
        let Writer { hasher, numbers, rows, row, row_texts, consumer, texts: table, .. } = self;
        let mut last = 0;
        for Row { ids, .. } in &columns.rows {
            let is_same = |number: &u16| is_same_row(&rows[usize::from(*number)], ids);
            if rows.is_empty() || !is_same(&last) {
                let hash = hasher.hash_one(words(ids));
                last = numbers.find(hash, is_same).copied().unwrap_or_else(|| {
                    let number = u16::try_from(rows.len()).expect("at most one row per event");
                    rows.push(*ids);
                    let LabelIds { namespace, upstream, model, endpoint, limited_by, .. } = *ids;
                    let of_row = [namespace, upstream, model, endpoint, limited_by];
                    row_texts.push(of_row.map(|id| table.number(id, texts)));
                    let again = |number: &u16| hasher.hash_one(words(&rows[usize::from(*number)]));
                    numbers.insert_unique(hash, number, again);
                    number
                });
            }
            row.push(last.into());
            consumer.push(table.number(ids.consumer, texts).into());
        }
    }

    /// Numbers requested models and producers, of which requests add equal ones apart.
    fn find_strings(&mut self, columns: &EventColumns) {
        let Writer { hasher, texts, producers, same, requested_of, producer_of, .. } = self;
        let add_text = |text: &[u8]| texts.add(text);
        number_all(&columns.requested, hasher, same, requested_of, add_text);
        producers.clear();
        let mut n = 0;
        number_all(&columns.producers, hasher, same, producer_of, |producer| {
            producers.extend_from_slice(producer);
            n += 1;
            n
        });
        self.n_producers = u16::try_from(n).expect("at most one producer per event");
    }

    fn put_dictionary(&self, bytes: &mut Vec<u8>) {
        let n_texts = u16::try_from(self.texts.lengths.len()).expect("at most seven an event");
        bytes.extend_from_slice(&n_texts.to_le_bytes());
        bytes.extend_from_slice(&self.texts.lengths);
        bytes.extend_from_slice(&self.texts.bytes);
        bytes.extend_from_slice(&self.n_producers.to_le_bytes());
        bytes.extend_from_slice(&self.producers);
        let n_rows = u16::try_from(self.rows.len()).expect("at most one row per event");
        bytes.extend_from_slice(&n_rows.to_le_bytes());
        for at in 0..5 {
            column::put(bytes, self.row_texts.iter().map(|texts| texts[at].into()));
        }
        let codes: [fn(&LabelIds) -> u64; 6] = [
            |ids| ids.status.into(),
            |ids| ids.method.code().into(),
            |ids| ids.outcome.code().into(),
            |ids| ids.service_tier.code().into(),
            |ids| ids.source.code().into(),
            |ids| ids.is_final.into(),
        ];
        for code in codes {
            column::put(bytes, self.rows.iter().map(code));
        }
    }

    fn put_columns(&self, bytes: &mut Vec<u8>, columns: &EventColumns) {
        let rows = columns.rows.iter();
        let number = |of: &[u32], number: u32| match number.checked_sub(1) {
            Some(at) => u64::from(of[at as usize]),
            None => 0,
        };
        column::put(bytes, self.row.iter().copied());
        column::put(bytes, self.consumer.iter().copied());
        column::put(bytes, rows.clone().map(|row| number(&self.requested_of, row.requested)));
        column::put(bytes, rows.clone().map(|row| number(&self.producer_of, row.producer)));
        let stream = |row: &Row| if row.ids.stream { presence::STREAM } else { 0 };
        let presence = columns.presence.iter().zip(rows);
        column::put(bytes, presence.map(|(bits, row)| bits | stream(row)));
        let [
            time,
            duration,
            ttft,
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            cost,
            attempt,
        ] = &columns.numbers;
        for values in [time, duration, attempt] {
            column::put(bytes, values.iter().copied());
        }
        for (values, bit) in [
            (ttft, presence::TTFT),
            (input, presence::INPUT),
            (cache_read, presence::CACHE_READ),
            (cache_write, presence::CACHE_WRITE),
            (output, presence::OUTPUT),
            (reasoning, presence::REASONING),
            (cost, presence::COST),
        ] {
            let present = values.iter().zip(&columns.presence);
            let present = present.filter(|(_, bits)| *bits & bit != 0);
            column::put(bytes, present.map(|(value, _)| *value));
        }
        column::put(bytes, columns.seqs.iter().copied());
    }
}

/// Gives each string the number that `add` returns for the first one that is equal to it.
fn number_all(
    strings: &Strings,
    hasher: &DefaultHashBuilder,
    same: &mut HashTable<u32>,
    numbers: &mut Vec<u32>,
    mut add: impl FnMut(&[u8]) -> u32,
) {
    same.clear();
    numbers.clear();
    for at in 1..=strings.len() {
        let string = strings.get(at);
        let hash = hasher.hash_one(string);
        let first = same.find(hash, |other| strings.get(*other) == string).copied();
        let number = match first {
            Some(first) => numbers[first as usize - 1],
            None => {
                let again = |other: &u32| hasher.hash_one(strings.get(*other));
                same.insert_unique(hash, at, again);
                add(string)
            }
        };
        numbers.push(number);
    }
}

/// What chooses a row, to be hashed.
fn words(ids: &LabelIds) -> [u64; 4] {
    let [a, b, c] = ids.row_words();
    [a, b, c, ids.limited_by.0.into()]
}

fn is_same_row(one: &LabelIds, other: &LabelIds) -> bool {
    words(one) == words(other)
}
