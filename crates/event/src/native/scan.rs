//! The ordinary object of a body, read byte by byte, whatever the order of its keys.
//!
//! `object` fills the same `Fields` as serde would, in a fraction of the time: keys by a table,
//! texts borrowed from the body, numbers by hand; unknown fields are checked and passed over. It
//! takes an object or it does not, and never judges one: whatever is unusual (an escape in a key or
//! in a known field, a key given twice, a negative number, a value that is nested too deep, what is
//! not JSON) is not taken, and the caller has serde read the item from the start. So only serde
//! finds faults and words them. It must never take what serde refuses, nor read a value
//! differently; `native/tests/scanner.rs` compares the two. It never allocates.

mod cursor;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::fields::{Field, Fields, Level, N_FIELDS, Prompt};
use super::parts::Parts;
use super::value::Scalar;
use crate::limits::{FIELDS_MAX, JSON_DEPTH_MAX};
use crate::text::Text;
use cursor::Number;
pub(super) use cursor::{Breaks, Cursor};

/// Most unknown fields of one object that is taken; ordinary events have a few.
const UNKNOWN_MAX: usize = 16;
/// An object that is taken never has too many fields: known ones are there once at most.
const _: () = assert!(N_FIELDS + UNKNOWN_MAX <= FIELDS_MAX);

/// Reads the object at the cursor and leaves the cursor behind it; whatever the fields held is
/// gone. `None` if there is none or it is not ordinary; cursor and fields are of no use then.
pub(super) fn object<'a>(cursor: &mut Cursor<'a>, fields: &mut Fields<'a>) -> Option<()> {
    fields.clear();
    fill(cursor, Level::Event, fields)
}

/// Reads the object at the cursor into the fields of its level.
fn fill<'a>(cursor: &mut Cursor<'a>, level: Level, fields: &mut Fields<'a>) -> Option<()> {
    let mut unknown = [""; UNKNOWN_MAX];
    let mut n_unknown = 0;
    let mut more = cursor.open(b'{', b'}')?;
    while more {
        if let Some(field) = short_field(cursor, level) {
            known(cursor, field, fields)?;
        } else {
            let name = cursor.plain_text()?;
            if let Some(field) = level.field(name) {
                known(cursor, field, fields)?;
            } else {
                if unknown[..n_unknown].contains(&name) {
                    return None;
                }
                *unknown.get_mut(n_unknown)? = name;
                n_unknown += 1;
                cursor.colon()?;
                cursor.pass_over(JSON_DEPTH_MAX - level as usize)?;
            }
        }
        more = cursor.more(b'}')?;
    }
    Some(())
}

/// Steps over the name at the cursor if it is known and short, as nearly all are.
#[inline(always)]
fn short_field(cursor: &mut Cursor<'_>, level: Level) -> Option<Field> {
    let name = cursor.short_name()?;
    let field = level.field_of(name)?;
    cursor.sign(b'"')?;
    cursor.pass(name.len + 1);
    Some(field)
}

/// Reads the value of a known field, behind its name. Each kind of value is put in its place where
/// it is read: handing it on first costs more than reading it.
#[inline(always)]
fn known<'a>(cursor: &mut Cursor<'a>, field: Field, fields: &mut Fields<'a>) -> Option<()> {
    if !fields.is_first(field) {
        return None;
    }
    match cursor.colon()? {
        b'"' => fields.set(field, Scalar::Text(Cow::Borrowed(cursor.plain_text()?))),
        b'0'..=b'9' => match cursor.number()? {
            Number::Natural(number) => fields.set(field, Scalar::Natural(number)),
            Number::Float(number) => fields.set(field, Scalar::Float(number)),
        },
        b't' => fields.set(field, cursor.literal("true", Scalar::Flag(true))?),
        b'f' => fields.set(field, cursor.literal("false", Scalar::Flag(false))?),
        b'n' => fields.set(field, cursor.literal("null", Scalar::Absent)?),
        b'{' if field == Field::Usage => {
            fill(cursor, Level::Usage, fields)?;
            fields.set(field, Scalar::Object);
        }
        b'{' if field == Field::Text => {
            fields.set_prompt(Prompt::Parts(parts(cursor)?));
            fields.set(field, Scalar::Object);
        }
        _ => return None,
    }
    Some(())
}

/// Reads the object `text` at the cursor: where each part of it stands.
fn parts<'a>(cursor: &mut Cursor<'a>) -> Option<Text<'a>> {
    let mut parts = Parts::default();
    let mut more = cursor.open(b'{', b'}')?;
    while more {
        let name = cursor.name()?;
        let begin = cursor.at();
        // The event and the text are the two levels around it.
        cursor.pass_over(JSON_DEPTH_MAX - 2)?;
        parts.add(name, cursor.since(begin)?);
        more = cursor.more(b'}')?;
    }
    parts.text().ok()
}
