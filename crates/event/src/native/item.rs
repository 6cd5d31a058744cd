//! One item of a body through serde: the fields of an object, or nothing for any other value.
//!
//! It takes every JSON and words each fault of it with its place. `native` comes here with what the
//! scanner does not take; it is slower, and its result is what counts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Error;

use super::fields::{Fault, Fields};
use super::value::Skip;

/// The fields of an object; `None` for a value that is not one.
pub(super) struct Item<'a>(pub Option<Fields<'a>>);

impl<'a> Item<'a> {
    /// Reads a text that must be one item and nothing else.
    ///
    /// # Errors
    /// The first fault of the JSON, with line and column in the text.
    pub fn whole(text: &'a str) -> Result<Item<'a>, Error> {
        let mut source = serde_json::Deserializer::from_str(text);
        let item = Item::deserialize(&mut source)?;
        source.end()?;
        Ok(item)
    }

    /// Reads the item that a text begins with; also returns its length in bytes. `None` if there is
    /// none that can be read.
    pub fn first(text: &'a str) -> Option<(Item<'a>, usize)> {
        let mut source = serde_json::Deserializer::from_str(text).into_iter();
        let item = source.next()?.ok()?;
        Some((item, source.byte_offset()))
    }
}

impl<'a> Deserialize<'a> for Item<'a> {
    fn deserialize<D: Deserializer<'a>>(source: D) -> Result<Item<'a>, D::Error> {
        let item = source.deserialize_any(ItemVisitor)?;
        #[cfg(test)]
        N_READ.set(N_READ.get() + 1);
        Ok(item)
    }
}

#[cfg(test)]
thread_local! {
    /// How many items were read here; the scanner took the others.
    pub(super) static N_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Visits any value.
struct ItemVisitor;

impl<'a> Visitor<'a> for ItemVisitor {
    type Value = Item<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, object: A) -> Result<Self::Value, A::Error> {
        Fields::read(object).map(|fields| Item(Some(fields)))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element_seed(Skip)?.is_some() {}
        Ok(Item(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Item(None))
    }
}

/// The fault of an item that is not JSON.
pub(super) fn syntax_fault(error: &serde_json::Error) -> Fault {
    let place = match error.line() {
        1 => format!("column {}", error.column()),
        line => format!("line {line} column {}", error.column()),
    };
    Fault::new("", "syntax", format!("is not JSON: {} at its {place}", message_of(error)))
}

/// The reader's message without its position, which our own text gives.
pub(super) fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
