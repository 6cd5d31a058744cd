//! Why a body cannot be read at all, with the place of the fault.
//!
//! The ingest makes an answer of it. It never repeats what the body holds.

use super::item::message_of;
use crate::limits::{BATCH_EVENTS_MAX, BODY_BYTES_MAX};

/// Why a body as a whole cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Only whitespace.
    #[error("the body is empty; it must be a JSON object, an array of objects, or NDJSON")]
    Empty,
    /// A byte that no UTF-8 text has.
    #[error("the body is not UTF-8: invalid byte at offset {offset}")]
    NotUtf8 {
        /// Offset of the first bad byte in the body, from 0.
        offset: usize,
    },
    /// The object or the array is not well-formed JSON.
    #[error("the body is not JSON: {message} at line {line} column {column}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Byte in the line, from 1; 0 for the end of the line before.
        column: usize,
        /// What was expected or found.
        message: String,
    },
    /// More bytes than a body may have.
    #[error("the body is above the limit of {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// More items than a body may have.
    #[error("the body has more than {BATCH_EVENTS_MAX} events; send them in several requests")]
    TooManyEvents,
}

impl BodyError {
    /// The HTTP status of the answer: 413 for too many bytes or events, 400 for anything else.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            BodyError::TooLarge | BodyError::TooManyEvents => 413,
            BodyError::Empty | BodyError::NotUtf8 { .. } | BodyError::Syntax { .. } => 400,
        }
    }

    pub(super) fn syntax(error: &serde_json::Error) -> BodyError {
        BodyError::Syntax { line: error.line(), column: error.column(), message: message_of(error) }
    }
}
