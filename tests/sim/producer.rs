//! Gateways and ingests: events with ids and times, and the frames that they end up in.
//!
//! A good producer makes id and time once and repeats both. Others reuse an id with a new time, or
//! change the facts of a copy. Frames may be garbled on their way, and foreign writers put events
//! into partitions of others.

use event::frame::{FrameBuilder, Stamp, Version};
use event::{
    ErrorType, Facts, Key, Labels, Method, Outcome, Secret, ServiceTier, Usage, UsageSource, limits,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Partitions of the world.
pub const PARTITIONS: u32 = 3;
/// Kinds of events.
pub const KINDS: usize = 7;

const MINUTE_US: i64 = 60_000_000;

/// One event as its producer made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Identity in the log.
    pub key: Key,
    /// Its time.
    pub time_us: i64,
    /// Which labels it has.
    pub kind: usize,
    /// Token counts.
    pub tokens: [u32; 2],
    /// Duration; beyond the limit in events that are poison alone.
    pub duration_us: u64,
    /// Fingerprint of its facts.
    pub fingerprint: u64,
}

/// What became of a frame on its way into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Good,
    /// Bytes behind the envelope were garbled.
    Garbled,
    /// Bytes of the envelope were garbled.
    NoEnvelope,
    /// The row of the log does not hold its own checksum.
    BadRow,
    /// None: the frame is whole, and of a kind that only a program to come knows.
    OtherKind,
}

/// What `Fate::OtherKind` writes.
pub const OTHER_KIND: u8 = 7;

/// Labels of a kind.
#[must_use]
pub fn labels(kind: usize) -> Labels<'static> {
    let status = [200, 200, 503, 429, 200, 200, 200][kind];
    // The last kind failed inside its stream.
    let error_type = (kind == 6).then_some(ErrorType::ServerError);
    Labels {
        status,
        method: Method::Post,
        outcome: Outcome::of(status, error_type),
        service_tier: ServiceTier::Standard,
        source: if kind == 5 { UsageSource::None } else { UsageSource::Reported },
        is_final: kind != 2,
        namespace: ["alipay", "wechat"][kind % 2],
        upstream: ["openai", "azure", "openai"][kind % 3],
        model: "gpt-4o",
        endpoint: "/v1/chat/completions",
        limited_by: (kind == 3).then_some("token_limit"),
        stream: kind == 4 || kind == 6,
        requested_model: None,
        consumer: [None, Some("ann"), Some("bob")][kind % 3],
    }
}

impl Made {
    /// A new event; `id` is new as well.
    pub fn new(rng: &mut ChaCha8Rng, id: u64, time_us: i64) -> Made {
        let kind = rng.random_range(0..KINDS);
        let is_poison = rng.random_bool(0.01);
        let tokens = if kind == 5 { [0, 0] } else { [rng.random_range(1..500), 7] };
        let duration_us = rng.random_range(1_000..400_000_000);
        Made {
            key: Key::of(&Secret([9; 32]), "default", &id.to_string()),
            time_us: time_us.max(0),
            kind,
            tokens,
            duration_us: if is_poison { limits::DURATION_US_MAX + 1 } else { duration_us },
            fingerprint: rng.random(),
        }
    }

    /// The same event delivered again, mostly as it was.
    pub fn again(self, rng: &mut ChaCha8Rng) -> Made {
        let mut copy = self;
        if rng.random_bool(0.1) {
            copy.fingerprint = copy.fingerprint.wrapping_add(1);
        }
        copy
    }

    /// The id used again for another time, which good producers never do.
    pub fn reused(self, rng: &mut ChaCha8Rng, now_us: i64) -> Made {
        let time_us = now_us - rng.random_range(0..10) * MINUTE_US;
        Made { time_us: time_us.max(0), ..self }
    }

    /// What makes it one event: a producer that reuses an id with another time made another.
    #[must_use]
    pub fn identity(&self) -> [u8; 16] {
        let mut identity = self.key.0;
        for (byte, time) in identity[8..].iter_mut().zip(self.time_us.to_le_bytes()) {
            *byte ^= time;
        }
        identity
    }

    /// Its time to first token. Of some there is none, or one that is after the end.
    fn ttft_us(&self) -> Option<u64> {
        let random = self.fingerprint >> 8;
        match self.fingerprint % 4 {
            0 => None,
            1 => Some(random % limits::DURATION_US_MAX),
            _ => Some(random % self.duration_us.min(limits::DURATION_US_MAX)),
        }
    }

    /// Its time per output token: what is left after the first one, shared by the others.
    #[must_use]
    pub fn tpot_us(&self) -> Option<i64> {
        let n_others = i64::from(self.tokens[1]) - 1;
        let rest_us = self.duration_us.cast_signed() - self.ttft_us()?.cast_signed();
        (n_others > 0 && rest_us >= 0).then(|| rest_us / n_others)
    }

    fn facts(&self) -> Facts {
        let usage = match labels(self.kind).source {
            UsageSource::None => Usage::default(),
            _ => Usage {
                input: Some(self.tokens[0]),
                output: Some(self.tokens[1]),
                ..Usage::default()
            },
        };
        Facts {
            key: self.key,
            time_us: self.time_us,
            duration_us: self.duration_us,
            ttft_us: self.ttft_us(),
            usage,
            cost_nano: None,
            attempt: 0,
            fingerprint: self.fingerprint,
        }
    }

    /// Whether the event is poison by itself.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        self.duration_us > limits::DURATION_US_MAX
    }
}

/// The bytes of a frame.
#[must_use]
pub fn frame(events: &[Made], ingest_us: i64, fate: Fate, version: Version) -> Vec<u8> {
    let mut builder = FrameBuilder::new(version);
    for made in events {
        builder.push(&labels(made.kind), &made.facts()).expect("few events");
    }
    let stamp = Stamp { ingest_us: ingest_us.max(0), tokenizer_version: 0, price_version: 0 };
    let mut bytes = builder.encode(stamp);
    match fate {
        Fate::Good | Fate::BadRow => {}
        Fate::Garbled => {
            let last = bytes.len() - 1;
            bytes[last] ^= 0x40;
        }
        Fate::NoEnvelope => bytes[5] ^= 0x40,
        Fate::OtherKind => {
            bytes[36] = OTHER_KIND;
            let crc = crc32c(&bytes[..44]);
            bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        }
    }
    bytes
}

/// The checksum of an envelope, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
