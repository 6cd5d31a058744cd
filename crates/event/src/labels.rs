//! One normalised event: the tuple of labels that it shares with others, and its own facts.
//!
//! A frame holds each distinct tuple once. A tuple's bytes begin with the part that chooses the
//! counted row, so that a reader finds the row by those bytes, without building a text. The
//! encoding has one form only: equal labels have equal bytes, and unequal ones differ.

use crate::code::{Method, Outcome, ServiceTier, UsageSource};
use crate::key::Key;
use crate::limits::{COST_NANO_MAX, DURATION_US_MAX, LABEL_BYTES_MAX, TIME_US_MAX};
use crate::name::{check_namespace, is_consumer, is_label, is_label_bytes};
use crate::usage::Usage;

/// The labels of an event after settling. Texts are borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels<'a> {
    /// HTTP status, 100..=599.
    pub status: u16,
    /// HTTP method.
    pub method: Method,
    /// Success or kind of error; passes `Outcome::fits` beside the status.
    pub outcome: Outcome,
    /// Price tier.
    pub service_tier: ServiceTier,
    /// Where the token counts come from.
    pub source: UsageSource,
    /// Whether this is the attempt that the client saw.
    pub is_final: bool,
    /// Tenant.
    pub namespace: &'a str,
    /// Provider.
    pub upstream: &'a str,
    /// Model that answered, else the one that was asked for, or `none`.
    pub model: &'a str,
    /// Route template.
    pub endpoint: &'a str,
    /// Policy that refused the request.
    pub limited_by: Option<&'a str>,
    /// Whether the answer was a stream. Not part of the row.
    pub stream: bool,
    /// Model that was asked for, if it differs. Not part of the row.
    pub requested_model: Option<&'a str>,
    /// Key or user alias. Not part of the row.
    pub consumer: Option<&'a str>,
}

/// Why the bytes of a tuple are not labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// The bytes end early or go on too long.
    #[error("label tuple has a wrong length")]
    Length,
    /// A number is not one of its list.
    #[error("label tuple has a bad {0}")]
    Code(&'static str),
    /// A text is not well formed for its place.
    #[error("label tuple has a bad {0}")]
    Text(&'static str),
}

/// Longest encoding of a tuple in bytes: 7 fixed, 7 texts with their lengths, the stream flag.
pub const TUPLE_BYTES_MAX: usize = 7 + 7 * (1 + LABEL_BYTES_MAX) + 1;

impl<'a> Labels<'a> {
    /// Appends the row's part of the tuple: what chooses the counted row.
    pub fn encode_row(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.status.to_le_bytes());
        bytes.extend_from_slice(&[
            self.method.code(),
            self.outcome.code(),
            self.service_tier.code(),
            self.source.code(),
            u8::from(self.is_final),
        ]);
        put_text(bytes, self.namespace);
        put_text(bytes, self.upstream);
        put_text(bytes, self.model);
        put_text(bytes, self.endpoint);
        put_text(bytes, self.limited_by.unwrap_or(""));
    }

    /// Appends the whole tuple; docs/format.md draws it.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        self.encode_row(bytes);
        bytes.push(u8::from(self.stream));
        put_text(bytes, self.requested_model.unwrap_or(""));
        put_text(bytes, self.consumer.unwrap_or(""));
    }

    /// Reads a tuple and checks every part of it. Also gives how many bytes the row's part has.
    ///
    /// # Errors
    /// What is wrong with the bytes, first fault first.
    pub fn decode(bytes: &'a [u8]) -> Result<(Labels<'a>, usize), LabelsError> {
        let mut rest = bytes;
        let fixed: [u8; 7] = take(&mut rest, 7)?.try_into().expect("seven bytes");
        let status = u16::from_le_bytes([fixed[0], fixed[1]]);
        if !(100..=599).contains(&status) {
            return Err(LabelsError::Code("status"));
        }
        let outcome = Outcome::from_code(fixed[3]).ok_or(LabelsError::Code("outcome"))?;
        if !outcome.fits(status) {
            return Err(LabelsError::Code("outcome"));
        }
        let mut labels = Labels {
            status,
            method: Method::from_code(fixed[2]).ok_or(LabelsError::Code("method"))?,
            outcome,
            service_tier: ServiceTier::from_code(fixed[4])
                .ok_or(LabelsError::Code("service tier"))?,
            source: UsageSource::from_code(fixed[5]).ok_or(LabelsError::Code("source"))?,
            is_final: flag(fixed[6]).ok_or(LabelsError::Code("final flag"))?,
            namespace: text(&mut rest)?,
            upstream: text(&mut rest)?,
            model: text(&mut rest)?,
            endpoint: text(&mut rest)?,
            limited_by: some_text(text(&mut rest)?),
            stream: false,
            requested_model: None,
            consumer: None,
        };
        let row_length = bytes.len() - rest.len();
        labels.stream = flag(take(&mut rest, 1)?[0]).ok_or(LabelsError::Code("stream flag"))?;
        labels.requested_model = some_text(text(&mut rest)?);
        labels.consumer = some_text(text(&mut rest)?);
        if !rest.is_empty() {
            return Err(LabelsError::Length);
        }
        labels.check()?;
        Ok((labels, row_length))
    }

    /// Checks the texts, as the ingest settles them.
    ///
    /// # Errors
    /// The first text that is not well formed.
    pub fn check(&self) -> Result<(), LabelsError> {
        if check_namespace(self.namespace).is_err() {
            return Err(LabelsError::Text("namespace"));
        }
        for (name, value) in [
            ("upstream", Some(self.upstream)),
            ("model", Some(self.model)),
            ("endpoint", Some(self.endpoint)),
            ("limited_by", self.limited_by),
            ("requested_model", self.requested_model),
        ] {
            if value.is_some_and(|value| !is_label(value)) {
                return Err(LabelsError::Text(name));
            }
        }
        if self.consumer.is_some_and(|consumer| !is_consumer(consumer)) {
            return Err(LabelsError::Text("consumer"));
        }
        Ok(())
    }
}

/// A tuple split by its length bytes, for a reader that remembers rows and consumers.
///
/// A tuple decodes if and only if it has these parts, its row is the row of some tuple that
/// decodes, and its consumer is the consumer of some tuple that decodes. Texts of known parts are
/// thus not checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TupleParts<'a> {
    /// What chooses the row, as `Labels::encode_row` writes it; unchecked.
    pub row: &'a [u8],
    /// Name of the consumer, empty if there is none; unchecked.
    pub consumer: &'a [u8],
}

impl<'a> TupleParts<'a> {
    /// Splits a tuple. `None` if its lengths do not add up, or if the stream flag or the requested
    /// model is not valid; `Labels::decode` fails then, too.
    #[must_use]
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Option<TupleParts<'a>> {
        let mut row_length = 7;
        for _ in 0..5 {
            row_length += 1 + usize::from(*bytes.get(row_length)?);
        }
        let (row, mut rest) = bytes.split_at_checked(row_length)?;
        flag(take(&mut rest, 1).ok()?[0])?;
        let requested_model = prefixed(&mut rest).ok()?;
        let consumer = prefixed(&mut rest).ok()?;
        let is_whole = rest.is_empty();
        let is_good = requested_model.is_empty() || is_label_bytes(requested_model);
        (is_whole && is_good).then_some(TupleParts { row, consumer })
    }
}

/// The data of one event besides its tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Identity.
    pub key: Key,
    /// Event time, microseconds since the epoch.
    pub time_us: i64,
    /// Whole attempt, microseconds.
    pub duration_us: u64,
    /// Time to first token, microseconds.
    pub ttft_us: Option<u64>,
    /// Token counts.
    pub usage: Usage,
    /// Cost in nano-dollars.
    pub cost_nano: Option<i64>,
    /// Number of the attempt.
    pub attempt: u16,
    /// `Event::fingerprint` of the event as it was delivered.
    pub fingerprint: u64,
}

impl Facts {
    /// Whether every number is in its range. A frame of a foreign writer may hold others; such an
    /// event is poison.
    #[must_use]
    pub fn is_in_range(&self) -> bool {
        (0..=TIME_US_MAX).contains(&self.time_us)
            && self.duration_us <= DURATION_US_MAX
            && self.ttft_us.is_none_or(|us| us <= DURATION_US_MAX)
            && self.cost_nano.is_none_or(|cost| (0..=COST_NANO_MAX).contains(&cost))
            && self.usage.check().is_ok()
    }
}

/// Appends a text behind its length. Labels are checked before: none is longer than 255 bytes.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).expect("labels are at most 128 bytes"));
    bytes.extend_from_slice(text.as_bytes());
}

/// Takes the next `n` bytes.
fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], LabelsError> {
    let (head, tail) = rest.split_at_checked(n).ok_or(LabelsError::Length)?;
    *rest = tail;
    Ok(head)
}

/// Takes the bytes of a text behind its length.
fn prefixed<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], LabelsError> {
    let length = usize::from(take(rest, 1)?[0]);
    take(rest, length)
}

/// Takes a text behind its length.
fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, LabelsError> {
    std::str::from_utf8(prefixed(rest)?).map_err(|_| LabelsError::Text("utf-8"))
}

/// An empty text means absence.
fn some_text(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

/// Reads a flag: 0 or 1, nothing else, so that equal tuples have equal bytes.
fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
