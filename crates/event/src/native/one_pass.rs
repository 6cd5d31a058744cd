//! A body read in one pass, item by item: by the scanner, or by serde where that does not take one.
//!
//! Good for an array, for lines of which the first is an object by itself, and for one object over
//! several lines. It never finds a body at fault: whatever it is not sure of it leaves to
//! `fallback`, which reads the body anew, and what it does read it reads as `fallback` does.

use super::batch::{Form, Sink};
use super::fields::Fields;
use super::item::{Item, syntax_fault};
use super::scan::{self, Breaks, Cursor};
use super::value::BLANK;
use crate::limits::BATCH_EVENTS_MAX;

/// Reads a body whose first byte that is not blank is `first`. `None` if it cannot be read in one
/// pass; the sink may then hold some of its items.
pub(super) fn read<'a>(text: &'a str, first: u8, sink: &mut Sink<'_, 'a>) -> Option<()> {
    if first == b'[' { array(text, sink) } else { lines(text, sink).or_else(|| object(text, sink)) }
}

/// An array, if every element of it can be read where it stands.
fn array<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Option<()> {
    sink.begin_with_room(Form::Array, text.len());
    let mut cursor = Cursor::new(text, Breaks::Anywhere);
    cursor.blanks()?;
    let mut more = cursor.open(b'[', b']')?;
    let mut fields = Fields::default();
    while more && sink.n_items() < BATCH_EVENTS_MAX {
        let begin = cursor.at();
        if scan::object(&mut cursor, &mut fields).is_some() {
            sink.add_object(&mut fields);
        } else {
            cursor.back_to(begin);
            let (item, n_bytes) = Item::first(cursor.rest())?;
            sink.add(item);
            cursor.pass(n_bytes);
        }
        more = cursor.more(b']')?;
    }
    (!more && cursor.blanks().is_none()).then_some(())
}

/// Lines, or a single one. Because the first is a whole object, each of the others is an item,
/// whatever it holds.
fn lines<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Option<()> {
    sink.begin_with_room(Form::Ndjson, text.len());
    let mut fields = Fields::default();
    let mut rest = text;
    while !rest.is_empty() {
        let mut cursor = Cursor::new(rest, Breaks::Nowhere);
        if line(&mut cursor, &mut fields).is_some() {
            sink.add_object(&mut fields);
            rest = cursor.rest();
        } else {
            let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = behind;
            if line.bytes().all(|byte| BLANK.contains(&byte)) {
                continue;
            }
            match Item::whole(line) {
                Ok(Item(None)) | Err(_) if sink.n_items() == 0 => return None,
                Ok(item) => sink.add(item),
                Err(error) => sink.reject(syntax_fault(&error)),
            }
        }
        if sink.n_items() > BATCH_EVENTS_MAX {
            return None;
        }
    }
    if sink.n_items() == 1 {
        sink.set_form(Form::Object);
    }
    Some(())
}

/// The object that is all of a line, whose end is passed over too.
fn line<'a>(cursor: &mut Cursor<'a>, fields: &mut Fields<'a>) -> Option<()> {
    cursor.blanks()?;
    scan::object(cursor, fields)?;
    match cursor.blanks() {
        Some(b'\n') => cursor.pass(1),
        Some(_) => return None,
        None => (),
    }
    Some(())
}

/// One object, over as many lines as it likes.
fn object<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Option<()> {
    sink.begin_with_room(Form::Object, text.len());
    let mut cursor = Cursor::new(text, Breaks::Anywhere);
    cursor.blanks()?;
    let mut fields = Fields::default();
    scan::object(&mut cursor, &mut fields)?;
    sink.add_object(&mut fields);
    cursor.blanks().is_none().then_some(())
}
