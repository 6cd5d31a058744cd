//! The parts of `text`, located in the body without being parsed.
//!
//! The object has been delimited already; here each known part gets its place, and what makes it
//! ambiguous or endless is a fault: a part given twice, too many fields. The content of a part is
//! not parsed before it is counted.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Fault;
use crate::limits::FIELDS_MAX;
use crate::text::{Part, Text};

/// The field of an event that has the parts.
const PATH: &str = "text";
/// Another name of `input`, which gives way to it.
const PROMPT: &str = "prompt";

/// The parts of an object.
///
/// # Errors
/// The first fault of the object.
pub(super) fn read(object: &str) -> Result<Text<'_>, Fault> {
    let mut parts = Parts::default();
    let mut source = serde_json::Deserializer::from_str(object);
    // It has been delimited, so that nothing can be wrong with it; but no text may cost a panic.
    source
        .deserialize_map(&mut parts)
        .map_err(|_| Fault::new(PATH, "syntax", "is not an object that can be read"))?;
    parts.text()
}

/// The parts of an object that were found so far.
#[derive(Default)]
pub(super) struct Parts<'a> {
    text: Text<'a>,
    prompt: Option<&'a str>,
    n_fields: usize,
    /// One bit per known part, the last one for `prompt`; `null` counts as seen.
    seen: u16,
    fault: Option<Fault>,
}

impl<'a> Parts<'a> {
    /// Adds the next field of the object: its name without escapes, and its value as written.
    pub fn add(&mut self, name: &str, json: &'a str) {
        self.n_fields += 1;
        if self.n_fields > FIELDS_MAX {
            let reason = format!("has more than {FIELDS_MAX} fields");
            self.fault.get_or_insert_with(|| Fault::new(PATH, "fields", reason));
            return;
        }
        let part = Part::EACH.into_iter().find(|part| part.path()[PATH.len() + 1..] == *name);
        let (bit, path) = match part {
            Some(part) => (1 << part as u16, part.path()),
            None if name == PROMPT => (1 << Part::EACH.len(), "text.prompt"),
            None => return,
        };
        if self.seen & bit != 0 {
            let reason = "must not be given twice";
            self.fault.get_or_insert_with(|| Fault::new(path, "duplicate_key", reason));
        }
        self.seen |= bit;
        match (part, json) {
            (_, "null") => (),
            (Some(part), json) => self.text.set(part, json),
            (None, json) => self.prompt = Some(json),
        }
    }

    /// The text that has the parts.
    ///
    /// # Errors
    /// The first fault of the object.
    pub fn text(mut self) -> Result<Text<'a>, Fault> {
        if let Some(prompt) = self.prompt.filter(|_| self.text.get(Part::Input).is_none()) {
            self.text.set(Part::Input, prompt);
        }
        self.fault.map_or(Ok(self.text), Err)
    }
}

impl<'a> Visitor<'a> for &mut Parts<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
        // As written: a name with half a surrogate pair is no part, and no error either.
        while let Some((name, value)) = object.next_entry::<&RawValue, &RawValue>()? {
            self.add(&plain(name.get()), value.get());
        }
        Ok(())
    }
}

/// A name without its quotes and escapes.
fn plain(name: &str) -> Cow<'_, str> {
    let inner = name.trim_matches('"');
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(name).map_or(Cow::Borrowed(inner), Cow::Owned)
}
