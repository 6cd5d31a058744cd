//! Any body through serde: what it holds, or why it cannot be read.
//!
//! This is the reader that decides. It delimits items before it reads them, so that a bad one fails
//! alone. `one_pass` comes before it and is faster, but leaves to it every body that
//! has anything wrong with it beyond single items.

use std::fmt;
use std::str::Utf8Error;

use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::batch::{Form, Sink};
use super::error::BodyError;
use super::fields::Fault;
use super::item::{Item, syntax_fault};
use super::value::BLANK;
use crate::limits::BATCH_EVENTS_MAX;

/// Reads a body, of which `text` is what it is as text and `first` the first byte that is not
/// blank.
///
/// # Errors
/// As `native::parse`.
pub(super) fn read<'a>(
    body: &'a [u8],
    text: Result<&'a str, BodyError>,
    first: u8,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), BodyError> {
    if first == b'[' {
        return array(text?, sink);
    }
    match text.and_then(|text| object(text, sink)) {
        Err(_) if is_ndjson(body) => ndjson(body, sink),
        whole => whole,
    }
}

/// A body that is one value.
fn object<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<(), BodyError> {
    sink.begin(Form::Object);
    sink.add(Item::whole(text).map_err(|error| BodyError::syntax(&error))?);
    Ok(())
}

/// A body that is an array. Its elements are delimited first, so that one with half a surrogate
/// pair fails alone.
fn array<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<(), BodyError> {
    sink.begin(Form::Array);
    let mut source = serde_json::Deserializer::from_str(text);
    let whole = source.deserialize_seq(Elements(sink));
    match whole.and_then(|()| source.end()) {
        Ok(()) => Ok(()),
        Err(_) if sink.n_items() > BATCH_EVENTS_MAX => Err(BodyError::TooManyEvents),
        Err(error) => Err(BodyError::syntax(&error)),
    }
}

/// Whether a body that is not one JSON value has several lines that are meant to be objects: all
/// of them begin as one, or one that is no further indented than the first is whole. An object that
/// was printed over several lines and is broken has neither.
fn is_ndjson(body: &[u8]) -> bool {
    let indent = |line: &[u8]| line.iter().take_while(|byte| BLANK.contains(byte)).count();
    let Some(n_first) = lines(body).next().map(indent) else { return false };
    let begins = |line: &[u8]| line.get(indent(line)) == Some(&b'{');
    let is_whole = |line: &[u8]| {
        begins(line)
            && indent(line) <= n_first
            && serde_json::from_slice::<IgnoredAny>(line).is_ok()
    };
    lines(body).nth(1).is_some() && (lines(body).all(begins) || lines(body).any(is_whole))
}

/// A body of lines, each an object or a reject.
fn ndjson<'a>(body: &'a [u8], sink: &mut Sink<'_, 'a>) -> Result<(), BodyError> {
    sink.begin(Form::Ndjson);
    for line in lines(body) {
        if sink.n_items() == BATCH_EVENTS_MAX {
            return Err(BodyError::TooManyEvents);
        }
        let item = std::str::from_utf8(line).map_err(utf8_fault);
        match item.and_then(|text| Item::whole(text).map_err(|error| syntax_fault(&error))) {
            Ok(item) => sink.add(item),
            Err(fault) => sink.reject(fault),
        }
    }
    Ok(())
}

/// The lines that are not blank.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(|b| BLANK.contains(b)))
}

/// Reads the elements of an array into a sink, each behind a pass that finds its end, so that only
/// a broken array fails. Stops at the first element too many, with `n_items` one above the bound.
struct Elements<'r, 's, 'a>(&'r mut Sink<'s, 'a>);

impl<'a> Visitor<'a> for Elements<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(raw) = array.next_element::<&RawValue>()? {
            match Item::whole(raw.get()) {
                Ok(item) => self.0.add(item),
                Err(error) => self.0.reject(syntax_fault(&error)),
            }
            if self.0.n_items() > BATCH_EVENTS_MAX {
                return Err(A::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

fn utf8_fault(error: Utf8Error) -> Fault {
    let column = error.valid_up_to() + 1;
    Fault::new("", "syntax", format!("is not UTF-8: invalid byte at its column {column}"))
}
