//! One normalised event: the labels that it shares with others, and its own facts.
//!
//! The bytes of all labels that choose a counted row identify it for ever: its id is their hash.
//! They have one form only: equal labels have equal bytes, and unequal ones differ. A frame of
//! version 1 holds them too, in the tuples of its dictionary.

use crate::code::{Method, Outcome, ServiceTier, UsageSource};
use crate::key::Key;
use crate::limits::{COST_NANO_MAX, DURATION_US_MAX, LABEL_BYTES_MAX, TIME_US_MAX};
use crate::name::{check_namespace, is_consumer, is_label};
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

/// Why what a frame holds is not labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A code is not one of its list, or a tuple of version 1 has a wrong length.
    #[error("row has a code that is not of its list")]
    Code,
    /// A text is not well formed for its place.
    #[error("labels have a bad {0}")]
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

/// The data of one event besides its labels.
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
