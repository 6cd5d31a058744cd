//! Native JSON: a body of events becomes checked events and rejects.
//!
//! `parse` takes the bytes of a request and classifies each item in it: an event, a report of open
//! connections, or a reject with its place and reason. There are two ways to read a body, with the
//! same result. Ordinary bodies are read in one pass (`native/one_pass`) by a scanner
//! (`native/scan`); an item that the scanner does not take is read by serde (`native/item`), and
//! any other body is read anew, all of it by serde (`native/fallback`). So every fault of the JSON
//! is found and worded by serde. Both fill `native/fields` for an object, `native/check` judges it,
//! and `native/batch` is the result.
//!
//! A bad event never fails its batch; a body that is not JSON does. Texts are borrowed from the
//! body. Prompt text is passed over unread; where usage was not reported, or lacks a side, the
//! event has the positions of its parts in the body (`native/parts`).

mod value;

mod names;

mod fields;

mod parts;

mod scan;

mod item;

mod check;

mod error;

mod batch;

mod one_pass;

mod fallback;

#[cfg(test)]
mod tests;

use batch::Sink;
pub use batch::{Batch, Form, Rest, n_events_likely};
pub use error::BodyError;
use value::BLANK;

use crate::event::Event;
use crate::limits::BODY_BYTES_MAX;

/// Some encoders begin with it, though JSON has no use for it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a body. The first byte that is not blank decides: `[` is an array; anything else is one
/// object, or NDJSON if it is not one JSON value and its lines are objects by themselves.
///
/// Bad events and bad lines of NDJSON are rejects. Takes time and memory in proportion to the
/// body.
///
/// # Errors
/// `BodyError`, if no part of the body is worth counting.
pub fn parse(body: &[u8]) -> Result<Batch<'_>, BodyError> {
    let mut events = Vec::new();
    let rest = parse_onto(body, &mut events)?;
    Ok(Batch::new(events, rest))
}

/// As `parse`, but appends the events to a list, so that many small bodies share one. A body that
/// cannot be read appends none.
///
/// # Errors
/// As `parse`.
pub fn parse_onto<'a>(
    body: &'a [u8],
    events: &mut Vec<(usize, Event<'a>)>,
) -> Result<Rest<'a>, BodyError> {
    read(body, events, one_pass::read)
}

/// The same as `parse` through serde alone, which decides: the fuzz target and the tests compare
/// `parse` with it. The feature `fuzz` shows it to the target; no other build has it.
///
/// # Errors
/// As `parse`.
#[cfg(any(test, feature = "fuzz"))]
pub fn parse_by_serde(body: &[u8]) -> Result<Batch<'_>, BodyError> {
    let mut events = Vec::new();
    let rest = read(body, &mut events, |_, _, _| None)?;
    Ok(Batch::new(events, rest))
}

/// Reads a body in one pass, or as serde does where that gives up.
fn read<'a>(
    body: &'a [u8],
    events: &mut Vec<(usize, Event<'a>)>,
    one_pass: impl FnOnce(&'a str, u8, &mut Sink<'_, 'a>) -> Option<()>,
) -> Result<Rest<'a>, BodyError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge);
    }
    let marked = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let n_marked = body.len() - marked.len();
    let Some(first) = marked.iter().find(|byte| !BLANK.contains(byte)) else {
        return Err(BodyError::Empty);
    };
    let text = std::str::from_utf8(marked)
        .map_err(|error| BodyError::NotUtf8 { offset: n_marked + error.valid_up_to() });
    let mut sink = Sink::new(events);
    let read = match text.as_ref().ok().and_then(|text| one_pass(text, *first, &mut sink)) {
        Some(()) => Ok(()),
        None => fallback::read(marked, text, *first, &mut sink),
    };
    sink.finish(read)
}
