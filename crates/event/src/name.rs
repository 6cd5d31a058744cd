//! Names that become metric labels, checked once at the edge.
//!
//! A `Namespace` is refused when it is not well formed, because a tenant is never merged into
//! another. Any other label that is not well formed becomes `other`, so that totals stay exact.
//! A value of these types can be written between quotes on a metrics page without escaping.

use std::fmt;

use crate::limits::{LABEL_BYTES_MAX, NAMESPACE_BYTES_MAX};

/// Replaces labels that are beyond a budget or have invalid characters.
pub const OTHER: &str = "other";
/// Replaces a label that the event does not have.
pub const NONE: &str = "none";
/// Selects all namespaces in queries.
pub const ALL: &str = "all";

/// A tenant's code: a letter, then letters, digits and `-_.:/`, at most 64 bytes, not reserved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Box<str>);

/// Why a text is not a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// The text has no letters.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than 64 bytes.
    #[error("must have at most {NAMESPACE_BYTES_MAX} bytes")]
    TooLong,
    /// The first letter is not one of a-z, A-Z.
    #[error("must begin with a letter a-z or A-Z")]
    FirstLetter,
    /// A later letter is not allowed.
    #[error("may contain only letters, digits and -_.:/")]
    Letter,
    /// The text is one of the reserved words.
    #[error("must not be one of the reserved words all, none, other")]
    Reserved,
}

/// Checks a namespace without making one.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check_namespace(text: &str) -> Result<(), NamespaceError> {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else { return Err(NamespaceError::Empty) };
    if bytes.len() > NAMESPACE_BYTES_MAX {
        return Err(NamespaceError::TooLong);
    }
    if !first.is_ascii_alphabetic() {
        return Err(NamespaceError::FirstLetter);
    }
    if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(b)) {
        return Err(NamespaceError::Letter);
    }
    if [ALL, NONE, OTHER].contains(&text) {
        return Err(NamespaceError::Reserved);
    }
    Ok(())
}

impl Namespace {
    /// Makes a namespace of a text.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Namespace, NamespaceError> {
        check_namespace(text)?;
        Ok(Namespace(text.into()))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text can be a label other than a namespace: 1 to 128 bytes of letters, digits and
/// the signs that model names and route templates use.
#[must_use]
pub fn is_label(text: &str) -> bool {
    is_label_bytes(text.as_bytes())
}

/// Whether bytes are such a text; then they are ASCII, and thus UTF-8.
pub(crate) fn is_label_bytes(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= LABEL_BYTES_MAX
        && bytes.iter().all(|byte| IS_LABEL_LETTER[usize::from(*byte)])
}

/// The bytes that a label may have. A table, since every byte of every label is looked up.
const IS_LABEL_LETTER: [bool; 256] = {
    let mut is_letter = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_letter[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let signs = b"-_.:/@+{}*~#=,()[]";
    let mut idx = 0;
    while idx < signs.len() {
        is_letter[signs[idx] as usize] = true;
        idx += 1;
    }
    is_letter
};

/// Whether a text can be a consumer: 1 to 128 bytes without control characters. Consumers never
/// become metric labels, so any language is welcome.
#[must_use]
pub fn is_consumer(text: &str) -> bool {
    !text.is_empty() && text.len() <= LABEL_BYTES_MAX && !text.chars().any(char::is_control)
}

/// A label other than a namespace, settled: well formed, or `other`, or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<str>);

impl Label {
    /// Normalises a text: an ill-formed one becomes `other`.
    #[must_use]
    pub fn settle(text: &str) -> Label {
        Label(if is_label(text) { text } else { OTHER }.into())
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
