//! Frames of version 2 that tests write byte by byte, as docs/format.md draws them.
//!
//! A writer as plain as the page, which shares nothing with the product: it writes whatever it is
//! told, also what no ingest would.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::frame::{Event, Record, Sound, read};
use crate::labels::{Consumer, Row};

pub const STAMP_US: i64 = 1_753_000_000_000_000;
const TIME_US: u64 = 1_753_000_000_123_456;
/// Columns of the dictionary, which come first in the numbers of columns here.
pub const DICTIONARY_COLUMNS: usize = 11;
/// All columns of numbers.
pub const COLUMNS: usize = DICTIONARY_COLUMNS + 16;
/// Numbers of columns.
pub const STATUS: usize = 5;
pub const TIME: usize = DICTIONARY_COLUMNS + 5;
pub const DURATION: usize = DICTIONARY_COLUMNS + 6;

/// How a column is written: bytes of a value, bytes of the base, and the base.
pub type Shape = (u8, u8, u64);

/// A producer.
#[derive(Clone, Debug)]
pub struct Producer {
    pub source: Vec<u8>,
    pub producer: Vec<u8>,
    pub epoch: u64,
}

/// An event; of `present` only what presence says is written.
#[derive(Clone, Debug)]
pub struct HandEvent {
    pub row: u64,
    pub consumer: u64,
    pub requested_model: u64,
    pub producer: u64,
    pub presence: u64,
    pub time: u64,
    pub duration: u64,
    pub attempt: u64,
    /// First token, input, cache read, cache write, output, reasoning, cost.
    pub present: [u64; 7],
    pub seq: u64,
    pub fingerprint: u64,
    pub key: [u8; 16],
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Hand {
    pub texts: Vec<Vec<u8>>,
    pub producers: Vec<Producer>,
    /// The eleven numbers of each row in the order of the page.
    pub rows: Vec<[u64; DICTIONARY_COLUMNS]>,
    pub events: Vec<HandEvent>,
    /// Columns that are written in another shape than eight bytes a value without a base.
    pub shapes: BTreeMap<usize, Shape>,
}

/// The texts of `good`.
const TEXTS: [&str; 6] = ["wechat", "openai", "gpt-4o", "/v1/chat", "user 用户", "gpt-4"];
/// The row of `good`: texts, status 200, POST, success, standard, reported, final.
pub const ROW: [u64; DICTIONARY_COLUMNS] = [1, 2, 3, 4, 0, 200, 2, 0, 1, 1, 1];

/// An event of row 0 with input and output.
fn event() -> HandEvent {
    HandEvent {
        row: 0,
        consumer: 5,
        requested_model: 6,
        producer: 0,
        presence: 2 | 16,
        time: TIME_US,
        duration: 1_500_000,
        attempt: 1,
        present: [0, 100, 0, 0, 20, 0, 0],
        seq: 0,
        fingerprint: 0x0123_4567_89ab_cdef,
        key: *b"0123456789abcdef",
    }
}

/// The event of `event` as it has to be read.
pub fn event_read() -> Event {
    Event {
        row: Rc::new(row_read()),
        consumer: Rc::new(consumer_read("user 用户")),
        key: *b"0123456789abcdef",
        fingerprint: 0x0123_4567_89ab_cdef,
        time_us: 1_753_000_000_123_456,
        duration_us: 1_500_000,
        ttft_us: None,
        tokens: [100, 0, 0, 20, 0],
        cost_nano: 0,
    }
}

/// The row of `ROW` as it has to be read.
pub fn row_read() -> Row {
    Row {
        namespace: "wechat".to_owned(),
        upstream: "openai".to_owned(),
        model: "gpt-4o".to_owned(),
        method: "POST",
        endpoint: "/v1/chat".to_owned(),
        status: 200,
        outcome: "success",
        tier: "standard",
        source: "reported",
        is_final: true,
        limited_by: None,
    }
}

/// A consumer beside that row.
pub fn consumer_read(consumer: &str) -> Consumer {
    Consumer {
        namespace: "wechat".to_owned(),
        consumer: consumer.to_owned(),
        model: "gpt-4o".to_owned(),
    }
}

/// A frame with `n` times the event.
pub fn good(n: usize) -> Hand {
    Hand {
        texts: TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        producers: vec![Producer { source: b"gw".to_vec(), producer: b"a".to_vec(), epoch: 7 }],
        rows: vec![ROW],
        events: vec![event(); n],
        shapes: BTreeMap::new(),
    }
}

impl Hand {
    /// Adds a text and gives its number.
    pub fn text(&mut self, text: &[u8]) -> u64 {
        self.texts.push(text.to_vec());
        self.texts.len() as u64
    }

    pub fn dictionary(&self) -> Vec<u8> {
        let mut out = (self.texts.len() as u16).to_le_bytes().to_vec();
        out.extend(self.texts.iter().map(|text| text.len() as u8));
        out.extend(self.texts.iter().flatten());
        out.extend((self.producers.len() as u16).to_le_bytes());
        for producer in &self.producers {
            for text in [&producer.source, &producer.producer] {
                out.push(text.len() as u8);
                out.extend(text);
            }
            out.extend(producer.epoch.to_le_bytes());
        }
        out.extend((self.rows.len() as u16).to_le_bytes());
        for number in 0..DICTIONARY_COLUMNS {
            let values: Vec<u64> = self.rows.iter().map(|row| row[number]).collect();
            self.column(&mut out, number, &values);
        }
        out
    }

    pub fn columns(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let dense: [fn(&HandEvent) -> u64; 8] = [
            |event| event.row,
            |event| event.consumer,
            |event| event.requested_model,
            |event| event.producer,
            |event| event.presence,
            |event| event.time,
            |event| event.duration,
            |event| event.attempt,
        ];
        let mut number = DICTIONARY_COLUMNS;
        for value in dense {
            let values: Vec<u64> = self.events.iter().map(value).collect();
            self.column(&mut out, number, &values);
            number += 1;
        }
        for (idx, bit) in [1, 2, 4, 8, 16, 32, 64].into_iter().enumerate() {
            let has = self.events.iter().filter(|event| event.presence & bit != 0);
            let values: Vec<u64> = has.map(|event| event.present[idx]).collect();
            self.column(&mut out, number, &values);
            number += 1;
        }
        let has = self.events.iter().filter(|event| event.producer != 0);
        let values: Vec<u64> = has.map(|event| event.seq).collect();
        self.column(&mut out, number, &values);
        out.extend(self.events.iter().flat_map(|event| event.fingerprint.to_le_bytes()));
        out.extend(self.events.iter().flat_map(|event| event.key));
        out
    }

    fn column(&self, out: &mut Vec<u8>, number: usize, values: &[u64]) {
        let (width, base_bytes, base) = self.shapes.get(&number).copied().unwrap_or((8, 0, 0));
        out.push(width + 16 * base_bytes);
        put(out, base, base_bytes);
        for value in values {
            put(out, value.wrapping_sub(base), width);
        }
    }

    /// The record.
    pub fn bytes(&self) -> Vec<u8> {
        framed(self.events.len(), &self.dictionary(), &self.columns())
    }

    /// The events as they are read.
    pub fn read(&self) -> Vec<Option<Event>> {
        match read(&self.bytes(), Sound::Yes) {
            Record::Frame { stamp_us: STAMP_US, events } => events,
            other => panic!("{other:?}"),
        }
    }
}

/// A number in so many bytes; the ninth and later ones are 0.
fn put(out: &mut Vec<u8>, number: u64, bytes: u8) {
    let whole = [number.to_le_bytes(), [0; 8]].concat();
    let (kept, dropped) = whole.split_at(usize::from(bytes));
    assert!(dropped.iter().all(|byte| *byte == 0), "{number} has more than {bytes} bytes");
    out.extend(kept);
}

/// Dictionary and columns behind an envelope.
pub fn framed(n: usize, dictionary: &[u8], columns: &[u8]) -> Vec<u8> {
    let mut out = b"\x02GMF".to_vec();
    out.extend((n as u32).to_le_bytes());
    out.extend(STAMP_US.to_le_bytes());
    out.extend([0; 8]);
    out.extend((dictionary.len() as u32).to_le_bytes());
    out.extend((columns.len() as u32).to_le_bytes());
    out.extend([0; 16]);
    out.extend(dictionary);
    out.extend(columns);
    seal(&mut out);
    out
}

/// Makes both checksums right, as a writer of such bytes would.
pub fn seal(bytes: &mut [u8]) {
    let payload = crc32c::crc32c(&bytes[48..]);
    bytes[32..36].copy_from_slice(&payload.to_le_bytes());
    let envelope = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&envelope.to_le_bytes());
}
