//! A body read in one pass, item by item: by the scanner, or by serde where that does not take one.
//!
//! Good for an array, for lines of which the first is an object by itself, and for one object over
//! several lines. It never finds a body at fault: whatever it is not sure of it leaves to
//! `fallback`, which reads the body anew, and what it does read it reads as `fallback` does.

use super::batch::{Batch, Form};
use super::fields::Fields;
use super::item::{Item, syntax_fault};
use super::scan::{self, Breaks, Cursor};
use super::value::BLANK;
use crate::limits::BATCH_EVENTS_MAX;

/// Reads a body whose first byte that is not blank is `first`. `None` if it cannot be read in one
/// pass.
pub(super) fn read(text: &str, first: u8) -> Option<Batch<'_>> {
    if first == b'[' { array(text) } else { lines(text).or_else(|| object(text)) }
}

/// An array, if every element of it can be read where it stands.
fn array(text: &str) -> Option<Batch<'_>> {
    let mut batch = Batch::with_room(Form::Array, text.len());
    let mut cursor = Cursor::new(text, Breaks::Anywhere);
    cursor.blanks()?;
    let mut more = cursor.open(b'[', b']')?;
    let mut fields = Fields::default();
    while more && batch.n_items < BATCH_EVENTS_MAX {
        let begin = cursor.at();
        if scan::object(&mut cursor, &mut fields).is_some() {
            batch.add_object(&mut fields);
        } else {
            cursor.back_to(begin);
            let (item, n_bytes) = Item::first(cursor.rest())?;
            batch.add(item);
            cursor.pass(n_bytes);
        }
        more = cursor.more(b']')?;
    }
    (!more && cursor.blanks().is_none()).then_some(batch)
}

/// Lines, or a single one. Because the first is a whole object, each of the others is an item,
/// whatever it holds.
fn lines(text: &str) -> Option<Batch<'_>> {
    let mut batch = Batch::with_room(Form::Ndjson, text.len());
    let mut fields = Fields::default();
    let mut rest = text;
    while !rest.is_empty() {
        let mut cursor = Cursor::new(rest, Breaks::Nowhere);
        if line(&mut cursor, &mut fields).is_some() {
            batch.add_object(&mut fields);
            rest = cursor.rest();
        } else {
            let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = behind;
            if line.bytes().all(|byte| BLANK.contains(&byte)) {
                continue;
            }
            match Item::whole(line) {
                Ok(Item(None)) | Err(_) if batch.n_items == 0 => return None,
                Ok(item) => batch.add(item),
                Err(error) => batch.reject(syntax_fault(&error)),
            }
        }
        if batch.n_items > BATCH_EVENTS_MAX {
            return None;
        }
    }
    if batch.n_items == 1 {
        batch.form = Form::Object;
    }
    Some(batch)
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
fn object(text: &str) -> Option<Batch<'_>> {
    let mut batch = Batch::with_room(Form::Object, text.len());
    let mut cursor = Cursor::new(text, Breaks::Anywhere);
    cursor.blanks()?;
    let mut fields = Fields::default();
    scan::object(&mut cursor, &mut fields)?;
    batch.add_object(&mut fields);
    cursor.blanks().is_none().then_some(batch)
}
