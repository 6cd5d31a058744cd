//! Why one event of a body was not accepted.
//!
//! A reject names the event's index, its id where one could be read, the field and the reason. It
//! never repeats a value: bodies may hold what must not be logged.

use std::borrow::Cow;

/// One event that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Place of the event in the body, from 0: the element of an array, the line of NDJSON (blank
    /// lines do not count).
    pub index: usize,
    /// The event's id, if one could be read; cut to the longest id.
    pub id: Option<String>,
    /// Path of the field at fault, such as `usage.input_tokens`; empty for the event as a whole.
    pub field: &'static str,
    /// A stable word for metrics, such as `missing`; one of `REASONS`.
    pub kind: &'static str,
    /// A sentence for people.
    pub reason: Cow<'static, str>,
}

/// The words that `Reject::kind` uses: the bound on the label of `gatemeter_rejected_total`.
pub const REASONS: &[&str] = &[
    "missing",
    "type",
    "range",
    "namespace",
    "duplicate_key",
    "syntax",
    "depth",
    "fields",
    "usage",
    "value",
    "namespace_not_registered",
    "gateways",
];
