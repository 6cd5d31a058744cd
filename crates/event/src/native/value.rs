//! One value of a body as written, before its type is checked.
//!
//! `fields` reads known fields into `Scalar` and throws everything else away through `Skip`. A
//! value of the wrong type is no error here: `check` names the field. Only faults of JSON itself
//! are errors. Skipped values are never copied.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Visitor};
use serde_json::value::RawValue;

/// What JSON takes for blank.
pub(super) const BLANK: [u8; 4] = [b' ', b'\t', b'\n', b'\r'];

/// A value of a known field. `null` is `Absent`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Not given, or `null`.
    #[default]
    Absent,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number without sign, point or exponent.
    Natural(u64),
    /// A whole number below zero.
    Negative,
    /// A number with point or exponent, or beyond 64 bits.
    Float(f64),
    /// A string; borrowed if it has no escapes.
    Text(Cow<'a, str>),
    /// An object, already read or thrown away.
    Object,
    /// An array, thrown away.
    Array,
}

/// Reads the name of a field.
pub(super) struct NameSeed;

impl<'a> DeserializeSeed<'a> for NameSeed {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Cow<'a, str>, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for NameSeed {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Skips a value and returns its shape: what it was, and how many objects and arrays are inside one
/// another in it (0 for anything else). Strings in it need not be valid Unicode and numbers may be
/// of any size, because they are discarded.
pub(super) struct Skip;

impl<'a> DeserializeSeed<'a> for Skip {
    type Value = (Scalar<'a>, usize);

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Self::Value, D::Error> {
        Ok(shape(<&RawValue>::deserialize(source)?.get()))
    }
}

/// Skips a value as `Skip` does, and returns its position.
pub(super) struct Aside;

impl<'a> DeserializeSeed<'a> for Aside {
    type Value = (&'a str, Scalar<'a>, usize);

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Self::Value, D::Error> {
        let raw = <&RawValue>::deserialize(source)?.get();
        let (shape, nesting) = shape(raw);
        Ok((raw, shape, nesting))
    }
}

/// What well-formed JSON is, and its nesting.
fn shape(raw: &str) -> (Scalar<'static>, usize) {
    match raw.as_bytes().first() {
        Some(b'{') => (Scalar::Object, nesting(raw)),
        Some(b'[') => (Scalar::Array, nesting(raw)),
        Some(b'n') => (Scalar::Absent, 0),
        Some(b't' | b'f') => (Scalar::Flag(raw == "true"), 0),
        Some(b'"') => (Scalar::Text(Cow::Borrowed("")), 0),
        _ => (Scalar::Natural(0), 0),
    }
}

/// How many objects and arrays are inside one another in well-formed JSON.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => _ = bytes.next(),
                        _ => (),
                    }
                }
            }
            _ => (),
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
