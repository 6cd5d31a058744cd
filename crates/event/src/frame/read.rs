//! Decodes frames into buffers that are kept from one frame to the next.
//!
//! Checksum and lengths are checked for the frame as a whole; a row, a text or an event whose
//! values are out of range is refused alone, so that one bad event of a foreign writer spoils no
//! other.

use super::decoded::{Decoded, FrameRow};
use super::envelope::{ENVELOPE_BYTES, Envelope, EnvelopeError, Version};
use super::{presence, v1, v2};
use crate::code::UsageSource;
use crate::key::Key;
use crate::labels::{Facts, Labels, LabelsError};
use crate::usage::Usage;

/// Why a record with a good envelope is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The envelope is not valid.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The record is longer or shorter than declared in its envelope.
    #[error("frame length differs from its envelope")]
    Length,
    /// The checksum of dictionary and columns does not match.
    #[error("payload checksum does not match")]
    Checksum,
    /// The dictionary is malformed.
    #[error("dictionary is malformed")]
    Dictionary,
    /// The columns are malformed.
    #[error("columns are malformed")]
    Columns,
}

/// Buffers for decoding.
#[derive(Debug, Default)]
pub struct FrameReader {
    decoded: Decoded,
    tuples: Vec<v1::Tuple>,
    pub(super) scratch: v2::Scratch,
}

/// A decoded frame.
#[derive(Debug)]
pub struct FrameView<'a> {
    envelope: Envelope,
    decoded: &'a Decoded,
    record: &'a [u8],
    fingerprints: &'a [[u8; 8]],
    keys: &'a [[u8; 16]],
}

impl FrameReader {
    /// Decodes a record.
    ///
    /// # Errors
    /// Why the record is not a frame; the envelope is then read by `Envelope::decode`.
    pub fn read<'a>(&'a mut self, record: &'a [u8]) -> Result<FrameView<'a>, FrameError> {
        let envelope = Envelope::decode(record)?;
        self.read_behind(envelope, record)
    }

    /// As `read`, of a record whose envelope is decoded.
    ///
    /// # Errors
    /// Why the rest of the record is not that of a frame.
    pub fn read_behind<'a>(
        &'a mut self,
        envelope: Envelope,
        record: &'a [u8],
    ) -> Result<FrameView<'a>, FrameError> {
        let payload = record.get(ENVELOPE_BYTES..).ok_or(FrameError::Length)?;
        let length = envelope.dictionary_bytes as usize + envelope.columns_bytes as usize;
        if payload.len() != length {
            return Err(FrameError::Length);
        }
        if crc32c::crc32c(payload) != envelope.payload_crc {
            return Err(FrameError::Checksum);
        }
        let FrameReader { decoded, tuples, scratch } = self;
        decoded.clear();
        let rest = match envelope.version {
            Version::V1 => v1::read(record, &envelope, decoded, tuples)?,
            Version::V2 => v2::read(record, &envelope, decoded, scratch)?,
        };
        let n = envelope.n_events as usize;
        let (fingerprints, keys) = rest.split_at_checked(n * 8).ok_or(FrameError::Columns)?;
        if keys.len() != n * 16 {
            return Err(FrameError::Columns);
        }
        Ok(FrameView {
            envelope,
            decoded,
            record,
            fingerprints: fingerprints.as_chunks().0,
            keys: keys.as_chunks().0,
        })
    }
}

impl<'a> FrameView<'a> {
    /// The envelope of the frame.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// A frame has at least one event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The rows; `None` for one that has a code which is not of its list. Texts are unchecked.
    #[must_use]
    pub fn rows(&self) -> &'a [Option<FrameRow>] {
        &self.decoded.rows
    }

    /// Number of texts besides text 0, the empty one. Equal texts may have several numbers.
    #[must_use]
    pub fn n_texts(&self) -> usize {
        self.decoded.texts.len()
    }

    /// The bytes of a text; `number` is at most `n_texts`.
    #[must_use]
    #[inline]
    pub fn text(&self, number: usize) -> &'a [u8] {
        self.decoded.texts.get(self.record, number)
    }

    /// Number of an event's row; `idx` is below `len`.
    #[must_use]
    #[inline]
    pub fn row(&self, idx: usize) -> usize {
        small(self.decoded.row[idx])
    }

    /// Number of the text that names an event's consumer; 0 for none.
    #[must_use]
    #[inline]
    pub fn consumer(&self, idx: usize) -> usize {
        small(self.decoded.consumer[idx])
    }

    /// Number of the text that names the model that was asked for; 0 for none.
    #[must_use]
    #[inline]
    pub fn requested_model(&self, idx: usize) -> usize {
        small(self.decoded.requested[idx])
    }

    /// The labels of an event.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn labels(&self, idx: usize) -> Result<Labels<'a>, LabelsError> {
        let row = self.decoded.rows[self.row(idx)].ok_or(LabelsError::Code)?;
        let text = |number: usize| {
            std::str::from_utf8(self.text(number)).map_err(|_| LabelsError::Text("utf-8"))
        };
        let some =
            |number: usize| Ok((number > 0).then_some(text(number)?).filter(|t| !t.is_empty()));
        let [namespace, upstream, model, endpoint, limited_by] =
            row.texts.map(|number| number as usize);
        let labels = Labels {
            status: row.status,
            method: row.method,
            outcome: row.outcome,
            service_tier: row.service_tier,
            source: row.source,
            is_final: row.is_final,
            namespace: text(namespace)?,
            upstream: text(upstream)?,
            model: text(model)?,
            endpoint: text(endpoint)?,
            limited_by: some(limited_by)?,
            stream: self.decoded.presence[idx] & presence::STREAM != 0,
            requested_model: some(self.requested_model(idx))?,
            consumer: some(self.consumer(idx))?,
        };
        labels.check()?;
        Ok(labels)
    }

    /// Identity of an event.
    #[must_use]
    pub fn key(&self, idx: usize) -> Key {
        Key(self.keys[idx])
    }

    /// Time of an event as encoded in the frame; it may be out of range.
    #[must_use]
    pub fn time_us(&self, idx: usize) -> i64 {
        self.decoded.numbers[0][idx].cast_signed()
    }

    /// The facts of an event, or `None` if a number is out of range or the token counts contradict
    /// `source`, where its row declares their origin.
    #[must_use]
    pub fn facts(&self, idx: usize, source: UsageSource) -> Option<Facts> {
        let present = self.decoded.presence[idx];
        let value = |column: usize| self.decoded.numbers[column][idx];
        let optional = |bit: u64, column: usize| (present & bit != 0).then(|| value(column));
        let usage = if present & (presence::COST - presence::INPUT) == 0 {
            Usage::default()
        } else {
            self.usage(idx)?
        };
        let facts = Facts {
            key: self.key(idx),
            time_us: self.time_us(idx),
            duration_us: value(1),
            ttft_us: optional(presence::TTFT, 2),
            usage,
            cost_nano: optional(presence::COST, 8).map(u64::cast_signed),
            attempt: u16::try_from(value(9)).ok()?,
            fingerprint: u64::from_le_bytes(self.fingerprints[idx]),
        };
        let agrees = usage.is_present() == (source != UsageSource::None);
        (present < presence::STREAM << 1 && agrees && facts.is_in_range()).then_some(facts)
    }

    /// The token counts of an event, or `None` if one does not fit.
    fn usage(&self, idx: usize) -> Option<Usage> {
        let present = self.decoded.presence[idx];
        let count = |bit: u64, column: usize| -> Option<Option<u32>> {
            if present & bit == 0 {
                return Some(None);
            }
            u32::try_from(self.decoded.numbers[column][idx]).ok().map(Some)
        };
        Some(Usage {
            input: count(presence::INPUT, 3)?,
            cache_read: count(presence::CACHE_READ, 4)?,
            cache_write: count(presence::CACHE_WRITE, 5)?,
            output: count(presence::OUTPUT, 6)?,
            reasoning: count(presence::REASONING, 7)?,
        })
    }
}

/// A number of a row or a text, which was checked to refer to one.
#[inline]
fn small(number: u64) -> usize {
    usize::try_from(number).expect("checked when the frame was read")
}
