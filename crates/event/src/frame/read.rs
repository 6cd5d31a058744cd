//! Decodes frames into buffers that are kept from one frame to the next.
//!
//! Checksum and lengths are checked for the frame as a whole; a tuple or an event whose values are
//! out of range is refused alone, so that one bad event of a foreign writer spoils no other.

use std::ops::Range;

use super::envelope::{ENVELOPE_BYTES, Envelope, EnvelopeError};
use super::{column, presence};
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
    tuples: Vec<Range<usize>>,
    tuple: Vec<u64>,
    presence: Vec<u64>,
    columns: [Vec<u64>; 10],
}

/// A decoded frame.
#[derive(Debug)]
pub struct FrameView<'a> {
    envelope: Envelope,
    reader: &'a FrameReader,
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
        let payload = &record[ENVELOPE_BYTES..];
        let dictionary_bytes = envelope.dictionary_bytes as usize;
        if payload.len() != dictionary_bytes + envelope.columns_bytes as usize {
            return Err(FrameError::Length);
        }
        if crc32c::crc32c(payload) != envelope.payload_crc {
            return Err(FrameError::Checksum);
        }
        let (dictionary, columns) = payload.split_at(dictionary_bytes);
        self.read_dictionary(dictionary).ok_or(FrameError::Dictionary)?;
        let n = envelope.n_events as usize;
        let rest = self.read_columns(columns, n).ok_or(FrameError::Columns)?;
        let (fingerprints, keys) = rest.split_at_checked(n * 8).ok_or(FrameError::Columns)?;
        if keys.len() != n * 16 {
            return Err(FrameError::Columns);
        }
        if self.tuple.iter().any(|number| *number >= self.tuples.len() as u64) {
            return Err(FrameError::Columns);
        }
        Ok(FrameView {
            envelope,
            reader: self,
            record,
            fingerprints: fingerprints.as_chunks().0,
            keys: keys.as_chunks().0,
        })
    }

    /// Finds the offset of each tuple in the record.
    fn read_dictionary(&mut self, dictionary: &[u8]) -> Option<()> {
        self.tuples.clear();
        let u16_at = |at: usize| -> Option<usize> {
            let bytes = dictionary.get(at..at + 2)?;
            Some(usize::from(u16::from_le_bytes(bytes.try_into().expect("two bytes"))))
        };
        let n_tuples = u16_at(0)?;
        let mut at = 2;
        for _ in 0..n_tuples {
            let end = at + 2 + u16_at(at)?;
            if end > dictionary.len() {
                return None;
            }
            self.tuples.push(ENVELOPE_BYTES + at + 2..ENVELOPE_BYTES + end);
            at = end;
        }
        (at == dictionary.len()).then_some(())
    }

    /// Reads the columns of numbers and gives the bytes behind them.
    fn read_columns<'b>(&mut self, columns: &'b [u8], n: usize) -> Option<&'b [u8]> {
        let mut rest = columns;
        column::take(&mut rest, n, &mut self.tuple)?;
        column::take(&mut rest, n, &mut self.presence)?;
        for values in &mut self.columns {
            column::take(&mut rest, n, values)?;
        }
        Some(rest)
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

    /// Number of distinct tuples.
    #[must_use]
    pub fn n_tuples(&self) -> usize {
        self.reader.tuples.len()
    }

    /// The bytes of a tuple; `number` is below `n_tuples`.
    #[must_use]
    pub fn tuple_bytes(&self, number: usize) -> &'a [u8] {
        &self.record[self.reader.tuples[number].clone()]
    }

    /// The labels of a tuple, and how many of its bytes choose the row.
    ///
    /// # Errors
    /// What is wrong with the tuple.
    pub fn labels(&self, number: usize) -> Result<(Labels<'a>, usize), LabelsError> {
        Labels::decode(self.tuple_bytes(number))
    }

    /// Number of an event's tuple; `idx` is below `len`.
    #[must_use]
    pub fn tuple(&self, idx: usize) -> usize {
        usize::try_from(self.reader.tuple[idx]).expect("checked against the dictionary")
    }

    /// Identity of an event.
    #[must_use]
    pub fn key(&self, idx: usize) -> Key {
        Key(self.keys[idx])
    }

    /// Time of an event as encoded in the frame; it may be out of range.
    #[must_use]
    pub fn time_us(&self, idx: usize) -> i64 {
        self.reader.columns[0][idx].cast_signed()
    }

    /// The facts of an event, or `None` if a number is out of range or the token counts contradict
    /// `source`, where its tuple declares their origin.
    #[must_use]
    pub fn facts(&self, idx: usize, source: UsageSource) -> Option<Facts> {
        let present = self.reader.presence[idx];
        let value = |column: usize| self.reader.columns[column][idx];
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
        (present < presence::COST << 1 && agrees && facts.is_in_range()).then_some(facts)
    }

    /// The token counts of an event, or `None` if one does not fit.
    fn usage(&self, idx: usize) -> Option<Usage> {
        let present = self.reader.presence[idx];
        let count = |bit: u64, column: usize| -> Option<Option<u32>> {
            if present & bit == 0 {
                return Some(None);
            }
            u32::try_from(self.reader.columns[column][idx]).ok().map(Some)
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
