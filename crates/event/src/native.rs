//! Native JSON: a body of events, read in one pass into checked events and rejects.
//!
//! `parse` takes the bytes of a request and classifies each item in it: an event, a report of open
//! connections, or a reject with its place and reason. `native/fields` reads one object,
//! `native/check` judges it. A bad event never fails its batch; a body that is not JSON does. Texts
//! are borrowed from the body. Prompt text is passed over unread; where usage was not reported, or
//! lacks a side, the event has the positions of its parts in the body (`native/parts`).

mod value;

mod fields;

mod parts;

mod check;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::event::{Connections, Event};
use crate::limits::{BATCH_EVENTS_MAX, ID_BYTES_MAX};
use crate::reject::Reject;
use check::Kind;
use fields::{Fault, Fields};
use value::Skip;

/// What JSON takes for blank.
const BLANK: [u8; 4] = [b' ', b'\t', b'\n', b'\r'];
/// Some encoders begin with it, though JSON has no use for it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object, on one line or several.
    Object,
    /// An array of objects.
    Array,
    /// One object per line.
    Ndjson,
}

/// What a body holds. Each item of the body is in exactly one of the lists, in the body's order,
/// with its index there: the element of an array, the line of NDJSON (blank lines do not count).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Checked events.
    pub events: Vec<(usize, Event<'a>)>,
    /// Checked reports of open connections.
    pub connections: Vec<(usize, Connections<'a>)>,
    /// What was not accepted.
    pub rejects: Vec<Reject>,
    /// Items in all, at most `BATCH_EVENTS_MAX`.
    pub n_items: usize,
    /// How the body was recognised.
    pub form: Form,
}

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
    /// More items than a body may have.
    #[error("the body has more than {BATCH_EVENTS_MAX} events; send them in several requests")]
    TooManyEvents,
}

impl BodyError {
    /// The HTTP status of the answer: 413 for too many events, 400 for anything else.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            BodyError::TooManyEvents => 413,
            BodyError::Empty | BodyError::NotUtf8 { .. } | BodyError::Syntax { .. } => 400,
        }
    }

    fn syntax(error: &serde_json::Error) -> BodyError {
        BodyError::Syntax { line: error.line(), column: error.column(), message: message_of(error) }
    }
}

/// Reads a body. The first byte that is not blank decides: `[` is an array; anything else is one
/// object, or NDJSON if it is not one JSON value and its lines are objects by themselves.
///
/// Bad events and bad lines of NDJSON are rejects. Takes time and memory in proportion to the
/// body; the caller bounds its size.
///
/// # Errors
/// `BodyError`, if no part of the body is worth counting.
pub fn parse(body: &[u8]) -> Result<Batch<'_>, BodyError> {
    let marked = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let n_marked = body.len() - marked.len();
    let Some(first) = marked.iter().find(|byte| !BLANK.contains(byte)) else {
        return Err(BodyError::Empty);
    };
    let text = std::str::from_utf8(marked)
        .map_err(|error| BodyError::NotUtf8 { offset: n_marked + error.valid_up_to() });
    if *first == b'[' {
        return array(text?);
    }
    match text.and_then(object) {
        Err(_) if is_ndjson(marked) => ndjson(marked),
        whole => whole,
    }
}

/// A body that is one value.
fn object(text: &str) -> Result<Batch<'_>, BodyError> {
    let mut batch = Batch::new(Form::Object);
    batch.read(text).map_err(|error| BodyError::syntax(&error))?;
    Ok(batch)
}

/// A body that is an array. It is read in one pass as long as every element can be; otherwise
/// its elements are delimited first, so that one with half a surrogate pair fails alone.
fn array(text: &str) -> Result<Batch<'_>, BodyError> {
    elements(text, Reading::OnePass).or_else(|error| match error {
        BodyError::Syntax { .. } => elements(text, Reading::Delimited),
        other => Err(other),
    })
}

fn elements(text: &str, reading: Reading) -> Result<Batch<'_>, BodyError> {
    let mut batch = Batch::new(Form::Array);
    let mut source = serde_json::Deserializer::from_str(text);
    let whole = source.deserialize_seq(Elements { batch: &mut batch, reading });
    match whole.and_then(|()| source.end()) {
        Ok(()) => Ok(batch),
        Err(_) if batch.n_items > BATCH_EVENTS_MAX => Err(BodyError::TooManyEvents),
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
fn ndjson(body: &[u8]) -> Result<Batch<'_>, BodyError> {
    let mut batch = Batch::new(Form::Ndjson);
    for line in lines(body) {
        if batch.n_items == BATCH_EVENTS_MAX {
            return Err(BodyError::TooManyEvents);
        }
        let fault = match std::str::from_utf8(line) {
            Ok(text) => batch.read(text).err().map(|error| syntax_fault(&error)),
            Err(error) => Some(utf8_fault(error)),
        };
        if let Some(fault) = fault {
            batch.reject(None, fault);
        }
    }
    Ok(batch)
}

/// The lines that are not blank.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(|b| BLANK.contains(b)))
}

impl<'a> Batch<'a> {
    fn new(form: Form) -> Batch<'a> {
        Batch { events: Vec::new(), connections: Vec::new(), rejects: Vec::new(), n_items: 0, form }
    }

    /// Reads a text that must be one item and nothing else; on an error it adds nothing.
    fn read(&mut self, text: &'a str) -> Result<(), serde_json::Error> {
        let mut source = serde_json::Deserializer::from_str(text);
        let fields = ItemSeed.deserialize(&mut source)?;
        source.end()?;
        self.add(fields);
        Ok(())
    }

    /// Adds the next item: the fields of an object, or nothing for a value that is not one.
    fn add(&mut self, fields: Option<Fields<'a>>) {
        let Some(mut fields) = fields else {
            return self.reject(None, Fault::new("", "type", "must be an object"));
        };
        let id = fields.id_for_reject();
        if let Some(fault) = fields.fault() {
            return self.reject(id, fault);
        }
        let index = self.n_items;
        let added = fields.kind().and_then(|kind| {
            match kind {
                Kind::Event => self.events.push((index, fields.event()?)),
                Kind::Connections => self.connections.push((index, fields.connections()?)),
            }
            Ok(())
        });
        match added {
            Ok(()) => self.n_items += 1,
            Err(fault) => self.reject(id, fault),
        }
    }

    fn reject(&mut self, id: Option<Cow<'a, str>>, fault: Fault) {
        let Fault { field, kind, reason } = fault;
        let id = id.map(|id| id[..id.floor_char_boundary(ID_BYTES_MAX)].to_owned());
        self.rejects.push(Reject { index: self.n_items, id, field, kind, reason });
        self.n_items += 1;
    }
}

/// How the elements of an array are read.
#[derive(Clone, Copy)]
enum Reading {
    /// In place; what cannot be read fails the array.
    OnePass,
    /// Each behind a pass that finds its end; only a broken array fails.
    Delimited,
}

/// Reads the elements of an array into a batch. It stops at the first element too many, with
/// `n_items` one above the bound.
struct Elements<'b, 'a> {
    batch: &'b mut Batch<'a>,
    reading: Reading,
}

impl<'a> Elements<'_, 'a> {
    /// Reads the next element; whether there was one.
    fn next<A: SeqAccess<'a>>(&mut self, array: &mut A) -> Result<bool, A::Error> {
        match self.reading {
            Reading::OnePass => {
                let Some(fields) = array.next_element_seed(ItemSeed)? else { return Ok(false) };
                self.batch.add(fields);
            }
            Reading::Delimited => {
                let Some(raw) = array.next_element::<&RawValue>()? else { return Ok(false) };
                if let Err(error) = self.batch.read(raw.get()) {
                    self.batch.reject(None, syntax_fault(&error));
                }
            }
        }
        Ok(true)
    }
}

impl<'a> Visitor<'a> for Elements<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        while self.next(&mut array)? {
            if self.batch.n_items > BATCH_EVENTS_MAX {
                return Err(A::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

/// Reads one value: the fields of an object, or nothing for a value that is not one.
struct ItemSeed;

impl<'a> DeserializeSeed<'a> for ItemSeed {
    type Value = Option<Fields<'a>>;

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ItemSeed {
    type Value = Option<Fields<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, object: A) -> Result<Self::Value, A::Error> {
        Fields::read(object).map(Some)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element_seed(Skip)?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

fn syntax_fault(error: &serde_json::Error) -> Fault {
    let place = match error.line() {
        1 => format!("column {}", error.column()),
        line => format!("line {line} column {}", error.column()),
    };
    Fault::new("", "syntax", format!("is not JSON: {} at its {place}", message_of(error)))
}

fn utf8_fault(error: Utf8Error) -> Fault {
    let column = error.valid_up_to() + 1;
    Fault::new("", "syntax", format!("is not UTF-8: invalid byte at its column {column}"))
}

/// The reader's message without its position, which our own text gives.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
