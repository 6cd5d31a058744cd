//! Frames of version 1, read from the byte layout that docs/format.md draws.
//!
//! A record goes in; its events come out, each whole or known as poison. Plain and slow on purpose,
//! and without a line of the codec that wrote the record: what both read from the same bytes is
//! then in the bytes. Never trusts a length before it has checked it.

use std::rc::Rc;

use crate::labels::{Consumer, Row};

const ENVELOPE_BYTES: usize = 48;
const FRAME_BYTES_MAX: u64 = 8 * 1024 * 1024;
const FRAME_EVENTS_MAX: u32 = 4_096;
/// The end of the year 9999.
pub const TIME_US_MAX: i64 = 253_402_300_799_999_999;
/// 24 hours.
const DURATION_US_MAX: u64 = 86_400_000_000;
const TOKENS_MAX: u64 = 1_000_000_000;
const COST_NANO_MAX: u64 = 1_000_000_000_000_000;
const ATTEMPT_MAX: u64 = 65_535;
/// Columns of whole numbers: tuple, presence, time, duration, first token, five token counts,
/// cost, attempt.
const N_COLUMNS: usize = 12;
/// Bits of presence: first token, input, cache read, cache write, output, reasoning, cost.
const PRESENCE_BITS: u64 = 7;

/// Content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A frame; an event that breaks a rule is poison alone, and nothing here.
    Frame {
        /// The ingest's clock, microseconds.
        stamp_us: i64,
        /// The events in their order.
        events: Vec<Option<Event>>,
    },
    /// A valid envelope with a bad payload: as many poison events.
    Spoiled {
        /// The ingest's clock, microseconds.
        stamp_us: i64,
        /// Events according to the envelope.
        n_events: u32,
    },
    /// Garbled by the storage: as many poison events, and no clock moves.
    Garbled {
        /// Events according to the envelope.
        n_events: u32,
    },
    /// No envelope that holds: one poison event, and no clock moves.
    Unknown,
}

/// An event of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Row that it is counted in.
    pub row: Rc<Row>,
    /// Consumer.
    pub consumer: Rc<Consumer>,
    /// Identity.
    pub key: [u8; 16],
    /// Hash over the producer's facts.
    pub fingerprint: u64,
    /// Microseconds since the epoch.
    pub time_us: i64,
    /// Microseconds.
    pub duration_us: u64,
    /// Microseconds.
    pub ttft_us: Option<u64>,
    /// Tokens per additive class: input uncached, cache read, cache write, output text, reasoning.
    pub tokens: [u64; 5],
    /// Nano-dollars.
    pub cost_nano: u64,
}

/// Whether the log's own checksum of a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    Yes,
    No,
}

/// Reads a record.
pub fn read(record: &[u8], sound: Sound) -> Record {
    let Some(envelope) = Envelope::read(record) else { return Record::Unknown };
    let Envelope { stamp_us, n_events, .. } = envelope;
    if sound == Sound::No {
        return Record::Garbled { n_events };
    }
    match events(&envelope, &record[ENVELOPE_BYTES..]) {
        Some(events) => Record::Frame { stamp_us, events },
        None => Record::Spoiled { stamp_us, n_events },
    }
}

struct Envelope {
    n_events: u32,
    stamp_us: i64,
    dictionary_bytes: u32,
    columns_bytes: u32,
    payload_crc: u32,
}

impl Envelope {
    fn read(record: &[u8]) -> Option<Envelope> {
        let head = record.get(..ENVELOPE_BYTES)?;
        let u32_at = |at: usize| u32::try_from(number(&head[at..at + 4])).ok();
        if head[..4] != *b"\x01GMF" || u32_at(44)? != crc32c::crc32c(&head[..44]) {
            return None;
        }
        let envelope = Envelope {
            n_events: u32_at(4)?,
            stamp_us: number(&head[8..16]).cast_signed(),
            dictionary_bytes: u32_at(24)?,
            columns_bytes: u32_at(28)?,
            payload_crc: u32_at(32)?,
        };
        let length = u64::from(envelope.dictionary_bytes) + u64::from(envelope.columns_bytes);
        let is_sound = (1..=FRAME_EVENTS_MAX).contains(&envelope.n_events)
            && (0..=TIME_US_MAX).contains(&envelope.stamp_us)
            && number(&head[36..44]) == 0
            && length + ENVELOPE_BYTES as u64 <= FRAME_BYTES_MAX;
        is_sound.then_some(envelope)
    }
}

/// Reads what follows the envelope, or `None` if it is spoiled as a whole.
fn events(envelope: &Envelope, payload: &[u8]) -> Option<Vec<Option<Event>>> {
    let length = u64::from(envelope.dictionary_bytes) + u64::from(envelope.columns_bytes);
    if payload.len() as u64 != length || crc32c::crc32c(payload) != envelope.payload_crc {
        return None;
    }
    let (dictionary, mut rest) = payload.split_at(envelope.dictionary_bytes as usize);
    let rows = rows(dictionary)?;
    let n = envelope.n_events as usize;
    let mut columns = Vec::new();
    for _ in 0..N_COLUMNS {
        columns.push(column(&mut rest, n)?);
    }
    if rest.len() != n * (8 + 16) {
        return None;
    }
    let (fingerprints, keys) = rest.split_at(n * 8);
    let mut events = Vec::with_capacity(n);
    for idx in 0..n {
        let values: Vec<u64> = columns.iter().map(|column| column[idx]).collect();
        let row = rows.get(usize::try_from(values[0]).ok()?)?;
        let mut key = [0; 16];
        key.copy_from_slice(&keys[idx * 16..idx * 16 + 16]);
        let fingerprint = number(&fingerprints[idx * 8..idx * 8 + 8]);
        events.push(row.as_ref().and_then(|row| event(row, &values, key, fingerprint)));
    }
    Some(events)
}

/// A decoded tuple of the dictionary.
type Tuple = (Rc<Row>, Rc<Consumer>);

/// Reads the dictionary; a tuple that breaks a rule is `None`, and its events are poison.
fn rows(dictionary: &[u8]) -> Option<Vec<Option<Tuple>>> {
    let (count, mut rest) = dictionary.split_at_checked(2)?;
    let mut rows = Vec::new();
    for _ in 0..number(count) {
        let (length, behind) = rest.split_at_checked(2)?;
        let length = usize::try_from(number(length)).ok()?;
        let (tuple, behind) = behind.split_at_checked(length)?;
        rows.push(Row::read(tuple).map(|(row, consumer)| (Rc::new(row), Rc::new(consumer))));
        rest = behind;
    }
    rest.is_empty().then_some(rows)
}

/// Takes a column of `n` numbers.
fn column(rest: &mut &[u8], n: usize) -> Option<Vec<u64>> {
    let (head, behind) = rest.split_at_checked(9)?;
    let width = usize::from(head[0]);
    if ![0, 1, 2, 4, 8].contains(&width) {
        return None;
    }
    let base = number(&head[1..]);
    let (data, behind) = behind.split_at_checked(width * n)?;
    *rest = behind;
    let distance = |idx: usize| number(&data[idx * width..(idx + 1) * width]);
    Some((0..n).map(|idx| base.wrapping_add(distance(idx))).collect())
}

/// Makes an event of its values, or `None` if a value breaks a rule.
fn event(
    (row, consumer): &Tuple,
    values: &[u64],
    key: [u8; 16],
    fingerprint: u64,
) -> Option<Event> {
    let present = values[1];
    let is_present = |bit: u64| present & (1 << bit) != 0;
    let optional = |bit: u64, column: usize| is_present(bit).then(|| values[column]);
    let count = |bit: u64, column: usize| optional(bit, column).unwrap_or(0);
    let [time, duration_us, attempt] = [values[2], values[3], values[11]];
    let ttft_us = optional(0, 4);
    let counts = [count(1, 5), count(2, 6), count(3, 7), count(4, 8), count(5, 9)];
    let [input, cache_read, cache_write, output, reasoning] = counts;
    let cost_nano = count(6, 10);
    let has_usage = (1..=5).any(is_present);
    let is_sound = present < 1 << PRESENCE_BITS
        && i64::try_from(time).is_ok_and(|time| time <= TIME_US_MAX)
        && duration_us <= DURATION_US_MAX
        && ttft_us.is_none_or(|us| us <= DURATION_US_MAX)
        && counts.iter().all(|tokens| *tokens <= TOKENS_MAX)
        && cost_nano <= COST_NANO_MAX
        && attempt <= ATTEMPT_MAX
        && has_usage == (row.source != "none");
    if !is_sound {
        return None;
    }
    let text = output.checked_sub(reasoning)?;
    let uncached = input.checked_sub(cache_read + cache_write)?;
    Some(Event {
        row: Rc::clone(row),
        consumer: Rc::clone(consumer),
        key,
        fingerprint,
        time_us: time.cast_signed(),
        duration_us,
        ttft_us,
        tokens: [uncached, cache_read, cache_write, text, reasoning],
        cost_nano,
    })
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
