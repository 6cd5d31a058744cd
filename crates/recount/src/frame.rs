//! Frames of versions 1 and 2, read from the byte layouts that docs/format.md draws.
//!
//! A record goes in; its events come out, each whole or known as poison. Here are the envelope,
//! which is the same but for its last bytes, and the rules for the numbers of an event; `v1` and
//! `v2` know what lies behind the envelope. Plain and slow on purpose, and without a line of the
//! codec that wrote the record: what both read from the same bytes is then in the bytes. Never
//! trusts a length before it has checked it.

pub mod v1;
pub mod v2;

use std::fmt;
use std::rc::Rc;

use crate::labels::{Consumer, Row};

const ENVELOPE_BYTES: usize = 48;
const FRAME_BYTES_MAX: u64 = 8 * 1024 * 1024;
const FRAME_EVENTS_MAX: u32 = 4_096;
/// The newest version that is read.
const VERSION_MAX: u8 = 2;
/// The end of the year 9999.
pub const TIME_US_MAX: i64 = 253_402_300_799_999_999;
/// 24 hours.
const DURATION_US_MAX: u64 = 86_400_000_000;
const TOKENS_MAX: u64 = 1_000_000_000;
const COST_NANO_MAX: u64 = 1_000_000_000_000_000;
const ATTEMPT_MAX: u64 = 65_535;
/// Bits of presence that say which numbers an event has: first token, input, cache read, cache
/// write, output, reasoning, cost.
const PRESENCE_BITS: usize = 7;

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
    /// A whole envelope of a frame that only a newer program can count.
    Newer(Newer),
}

/// What about a frame is newer than this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// Its version.
    Version(u8),
    /// Its kind, other than events.
    Kind(u8),
}

impl fmt::Display for Newer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Newer::Version(version) => {
                write!(out, "it has version {version}, this program reads up to {VERSION_MAX}")?;
            }
            Newer::Kind(kind) => write!(out, "it is of kind {kind}, this program reads kind 0")?,
        }
        out.write_str(": start a newer one")
    }
}

impl std::error::Error for Newer {}

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
    let envelope = match Head::read(record) {
        Some(Head::Events(envelope)) => envelope,
        Some(Head::Newer(newer)) if sound == Sound::Yes => return Record::Newer(newer),
        // What the storage garbled, it may have made newer.
        Some(Head::Newer(_)) | None => return Record::Unknown,
    };
    let Envelope { stamp_us, n_events, .. } = envelope;
    if sound == Sound::No {
        return Record::Garbled { n_events };
    }
    match events(&envelope, &record[ENVELOPE_BYTES..]) {
        Some(events) => Record::Frame { stamp_us, events },
        None => Record::Spoiled { stamp_us, n_events },
    }
}

/// How the bytes behind an envelope are laid out.
#[derive(Clone, Copy)]
enum Layout {
    V1,
    V2,
}

struct Envelope {
    layout: Layout,
    n_events: u32,
    stamp_us: i64,
    dictionary_bytes: u32,
    columns_bytes: u32,
    payload_crc: u32,
}

/// An envelope whose checksum holds.
enum Head {
    Events(Envelope),
    Newer(Newer),
}

impl Head {
    fn read(record: &[u8]) -> Option<Head> {
        let head = record.get(..ENVELOPE_BYTES)?;
        if head[1..4] != *b"GMF" || number(&head[44..]) != u64::from(crc32c::crc32c(&head[..44])) {
            return None;
        }
        // Nothing else of a newer frame is looked at: any field may have another meaning.
        let layout = match (head[0], head[36]) {
            (0, _) => return None,
            (1, _) => Layout::V1,
            (2, 0) => Layout::V2,
            (2, kind) => return Some(Head::Newer(Newer::Kind(kind))),
            (version, _) => return Some(Head::Newer(Newer::Version(version))),
        };
        Envelope::read(layout, head).map(Head::Events)
    }
}

impl Envelope {
    fn read(layout: Layout, head: &[u8]) -> Option<Envelope> {
        let u32_at = |at: usize| u32::try_from(number(&head[at..at + 4])).ok();
        let envelope = Envelope {
            layout,
            n_events: u32_at(4)?,
            stamp_us: number(&head[8..16]).cast_signed(),
            dictionary_bytes: u32_at(24)?,
            columns_bytes: u32_at(28)?,
            payload_crc: u32_at(32)?,
        };
        // The kind of version 2 is the first of these bytes, and 0 as well.
        let is_sound = (1..=FRAME_EVENTS_MAX).contains(&envelope.n_events)
            && (0..=TIME_US_MAX).contains(&envelope.stamp_us)
            && number(&head[36..44]) == 0
            && envelope.payload_bytes() + ENVELOPE_BYTES as u64 <= FRAME_BYTES_MAX;
        is_sound.then_some(envelope)
    }

    fn payload_bytes(&self) -> u64 {
        u64::from(self.dictionary_bytes) + u64::from(self.columns_bytes)
    }
}

/// Reads what follows the envelope, or `None` if it is spoiled as a whole.
fn events(envelope: &Envelope, payload: &[u8]) -> Option<Vec<Option<Event>>> {
    if payload.len() as u64 != envelope.payload_bytes()
        || crc32c::crc32c(payload) != envelope.payload_crc
    {
        return None;
    }
    let (dictionary, columns) = payload.split_at_checked(envelope.dictionary_bytes as usize)?;
    let n = envelope.n_events as usize;
    match envelope.layout {
        Layout::V1 => v1::events(dictionary, columns, n),
        Layout::V2 => v2::events(dictionary, columns, n),
    }
}

/// Row and consumer of an event.
type Labels = (Rc<Row>, Rc<Consumer>);

/// The numbers of an event as its frame holds them; each may break a rule.
struct Numbers {
    /// Bits of presence, without that of a stream.
    presence: u64,
    time: u64,
    duration: u64,
    attempt: u64,
    /// The numbers that the bits of presence speak of, in the order of the bits.
    present: [Option<u64>; PRESENCE_BITS],
}

/// What an event is known by: its key and its fingerprint.
type Identity = ([u8; 16], u64);

/// Makes an event, or `None` if a number breaks a rule.
fn event(labels: &Labels, numbers: &Numbers, identity: Identity) -> Option<Event> {
    let [ttft_us, tokens @ .., cost] = numbers.present;
    let [input, cache_read, cache_write, output, reasoning] = tokens.map(Option::unwrap_or_default);
    let cost_nano = cost.unwrap_or(0);
    let has_usage = tokens.iter().any(Option::is_some);
    let (row, consumer) = labels;
    let is_sound = numbers.presence < 1 << PRESENCE_BITS
        && i64::try_from(numbers.time).is_ok_and(|time| time <= TIME_US_MAX)
        && numbers.duration <= DURATION_US_MAX
        && ttft_us.is_none_or(|us| us <= DURATION_US_MAX)
        && tokens.iter().flatten().all(|count| *count <= TOKENS_MAX)
        && cost_nano <= COST_NANO_MAX
        && numbers.attempt <= ATTEMPT_MAX
        && has_usage == (row.source != "none");
    if !is_sound {
        return None;
    }
    let text = output.checked_sub(reasoning)?;
    let uncached = input.checked_sub(cache_read + cache_write)?;
    let (key, fingerprint) = identity;
    Some(Event {
        row: Rc::clone(row),
        consumer: Rc::clone(consumer),
        key,
        fingerprint,
        time_us: numbers.time.cast_signed(),
        duration_us: numbers.duration,
        ttft_us,
        tokens: [uncached, cache_read, cache_write, text, reasoning],
        cost_nano,
    })
}

/// Reads the end of a frame: `n` fingerprints, `n` keys and nothing else.
fn identities(bytes: &[u8], n: usize) -> Option<Vec<Identity>> {
    let mut rest = bytes;
    let mut fingerprints = Vec::new();
    for _ in 0..n {
        fingerprints.push(number(take(&mut rest, 8)?));
    }
    let mut identities = Vec::new();
    for fingerprint in fingerprints {
        let key = take(&mut rest, 16)?.try_into().ok()?;
        identities.push((key, fingerprint));
    }
    rest.is_empty().then_some(identities)
}

/// Takes the values of a column: a distance of `width` bytes from the base each.
fn values(rest: &mut &[u8], base: u64, width: usize, n: usize) -> Option<Vec<u64>> {
    let mut values = Vec::new();
    for _ in 0..n {
        values.push(base.wrapping_add(number(take(rest, width)?)));
    }
    Some(values)
}

/// Takes bytes from the front.
fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (bytes, behind) = rest.split_at_checked(n)?;
    *rest = behind;
    Some(bytes)
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
