//! Cuts a text into pieces small enough for the tokenizer, where a cut changes no count.
//!
//! A tokenizer first cuts a text into words by a pattern, then each word into tokens. No pattern
//! looks behind, so a text may be cut wherever a word is sure to end. That is the case between a
//! letter and a character that is not a letter, mark or apostrophe (which may join `'s` to it), and
//! between a digit and any other ASCII character. Without such a position nearby the cut is
//! arbitrary and the count may be off by a token or two; the piece is marked as such.

use crate::limits::PIECE_BYTES_MAX;

/// The beginning of a text, not empty unless the text is, and at most `PIECE_BYTES_MAX` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// The text to count.
    pub text: &'a str,
    /// The text after the piece.
    pub rest: &'a str,
    /// Whether the counts of both add up to that of the whole.
    pub is_clean: bool,
}

/// The first piece of a text: the longest possible.
pub(crate) fn first(text: &str) -> Piece<'_> {
    if text.len() <= PIECE_BYTES_MAX {
        return Piece { text, rest: "", is_clean: true };
    }
    let end = text.floor_char_boundary(PIECE_BYTES_MAX);
    let mut next = text[end..].chars().next();
    for (at, c) in text[..end].char_indices().rev() {
        if next.is_some_and(|next| ends_between(c, next)) {
            let (text, rest) = text.split_at(at + c.len_utf8());
            return Piece { text, rest, is_clean: true };
        }
        next = Some(c);
    }
    let (text, rest) = text.split_at(end);
    Piece { text, rest, is_clean: false }
}

/// Whether a word is sure to end between two letters, in every encoding.
fn ends_between(before: char, after: char) -> bool {
    if before.is_ascii_digit() {
        return after.is_ascii() && !after.is_ascii_digit() && after != '\'';
    }
    let is_letter = before.is_ascii_alphabetic() || ('\u{4e00}'..='\u{9fff}').contains(&before);
    let is_other = after.is_ascii() && !after.is_ascii_alphabetic() && after != '\'';
    is_letter && (is_other || matches!(after, '，' | '。' | '、' | '！' | '？' | '；' | '：'))
}

#[cfg(test)]
mod tests;
