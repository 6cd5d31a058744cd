//! The 48-byte header of a frame: what follows, and the checksums to verify it.
//!
//! A record without a valid envelope is one poison event, and its stamp moves no clock.

use crate::limits::{FRAME_BYTES_MAX, FRAME_EVENTS_MAX, TIME_US_MAX};

/// Layout of a frame's payload; its number is the version byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Version {
    /// Each distinct tuple of labels once, with all of its texts.
    V1 = 1,
    /// Each text once, and everything by numbers of texts.
    #[default]
    V2 = 2,
}

impl Version {
    /// Both, oldest first.
    pub const EACH: [Version; 2] = [Version::V1, Version::V2];
    /// The highest that this program knows.
    pub const NEWEST: Version = Version::V2;

    /// The version of a number; `None` if this program does not know it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Version> {
        Version::EACH.into_iter().find(|version| version.number() == number)
    }

    /// The version byte.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Kind of a frame that holds events. Version 1 has no other.
const KIND_EVENTS: u8 = 0;
/// The three letters behind the version byte.
pub const MAGIC: [u8; 3] = *b"GMF";
/// Length of the envelope in bytes.
pub const ENVELOPE_BYTES: usize = 48;

/// What the ingest stamps on a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The ingest's clock when it sealed the frame, microseconds since the epoch.
    pub ingest_us: i64,
    /// Version of the tokenizer table that estimated counts come from; 0 for none.
    pub tokenizer_version: u32,
    /// Version of the price table that costs come from; 0 for none.
    pub price_version: u32,
}

/// The envelope of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Layout of the payload.
    pub version: Version,
    /// Number of events, 1 ..= 4,096.
    pub n_events: u32,
    /// Stamp of the ingest.
    pub stamp: Stamp,
    /// Bytes of the dictionary.
    pub dictionary_bytes: u32,
    /// Bytes of the columns.
    pub columns_bytes: u32,
    /// CRC32C over dictionary and columns.
    pub payload_crc: u32,
}

/// Why a record has no valid envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Fewer than 48 bytes.
    #[error("record is shorter than an envelope")]
    Short,
    /// Not a frame.
    #[error("record is not a frame")]
    NotAFrame,
    /// A frame of a version to come, whose envelope is whole.
    #[error("frame has version {version}, this program reads up to {}", Version::NEWEST.number())]
    Newer {
        /// Its version.
        version: u8,
    },
    /// A frame of a kind to come, whose envelope is whole.
    #[error("frame is of kind {kind}, this program knows {KIND_EVENTS} only")]
    Kind {
        /// Its kind.
        kind: u8,
    },
    /// The checksum of the envelope does not match.
    #[error("envelope checksum does not match")]
    Checksum,
    /// A number is out of its range.
    #[error("envelope has a {0} out of range")]
    Range(&'static str),
}

impl Envelope {
    /// The envelope as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ENVELOPE_BYTES] {
        let mut bytes = [0; ENVELOPE_BYTES];
        bytes[0] = self.version.number();
        bytes[1..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.n_events.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.stamp.ingest_us.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.stamp.tokenizer_version.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.stamp.price_version.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.dictionary_bytes.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.columns_bytes.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the envelope at the head of a record.
    ///
    /// # Errors
    /// Why it is not valid.
    pub fn decode(record: &[u8]) -> Result<Envelope, EnvelopeError> {
        let head = record.get(..ENVELOPE_BYTES).ok_or(EnvelopeError::Short)?;
        if head[0] == 0 || head[1..4] != MAGIC {
            return Err(EnvelopeError::NotAFrame);
        }
        let u32_at =
            |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        // Every version has its checksum here, so that a whole frame of a version to come is told
        // from damage.
        if crc32c::crc32c(&head[..44]) != u32_at(44) {
            return Err(EnvelopeError::Checksum);
        }
        let version =
            Version::from_number(head[0]).ok_or(EnvelopeError::Newer { version: head[0] })?;
        let reserved = match version {
            Version::V1 => &head[36..44],
            Version::V2 if head[36] != KIND_EVENTS => {
                return Err(EnvelopeError::Kind { kind: head[36] });
            }
            Version::V2 => &head[37..44],
        };
        let envelope = Envelope {
            version,
            n_events: u32_at(4),
            stamp: Stamp {
                ingest_us: i64::from_le_bytes(head[8..16].try_into().expect("eight bytes")),
                tokenizer_version: u32_at(16),
                price_version: u32_at(20),
            },
            dictionary_bytes: u32_at(24),
            columns_bytes: u32_at(28),
            payload_crc: u32_at(32),
        };
        envelope.check(reserved)?;
        Ok(envelope)
    }

    /// Checks the numbers that a foreign writer could have set with a valid checksum.
    fn check(&self, reserved: &[u8]) -> Result<(), EnvelopeError> {
        if self.n_events == 0 || self.n_events as usize > FRAME_EVENTS_MAX {
            return Err(EnvelopeError::Range("number of events"));
        }
        if !(0..=TIME_US_MAX).contains(&self.stamp.ingest_us) {
            return Err(EnvelopeError::Range("ingest stamp"));
        }
        if reserved.iter().any(|byte| *byte != 0) {
            return Err(EnvelopeError::Range("reserved field"));
        }
        let length = self.dictionary_bytes as usize + self.columns_bytes as usize;
        if length + ENVELOPE_BYTES > FRAME_BYTES_MAX {
            return Err(EnvelopeError::Range("length"));
        }
        Ok(())
    }
}
