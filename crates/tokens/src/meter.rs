//! Counts texts of one request within its limits of time and bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::encoding::Encoding;
use crate::gap::{Gap, Gaps};
use crate::length::by_length;
use crate::limits::COUNT_BYTES_MAX;
use crate::piece::first;

/// What counts the texts of one request, one after the other.
#[derive(Debug)]
pub struct Meter {
    encoding: Encoding,
    end: Instant,
    n_bytes_left: usize,
    gaps: Gaps,
}

impl Meter {
    /// A meter that counts exactly up to a time limit, and then estimates by length.
    #[must_use]
    pub fn new(encoding: Encoding, limit: Duration) -> Meter {
        // Loading a vocabulary, which happens once, does not count against the limit.
        if !limit.is_zero() {
            encoding.vocabulary();
        }
        Meter {
            encoding,
            end: Instant::now() + limit,
            n_bytes_left: COUNT_BYTES_MAX,
            gaps: Gaps::default(),
        }
    }

    /// Tokens of a text. What looks like a special token is text like any other.
    pub fn count(&mut self, text: &str) -> u64 {
        self.count_by(text, |encoding, piece| encoding.vocabulary().encode_ordinary(piece).len())
    }

    /// Reasons so far why the count is inexact; empty if it is exact.
    #[must_use]
    pub fn gaps(&self) -> Gaps {
        self.gaps
    }

    /// Records a reason why the count is inexact, such as an image.
    pub fn note(&mut self, gap: Gap) {
        self.gaps.add(gap);
    }

    fn count_by(&mut self, text: &str, tokenize: impl Fn(Encoding, &str) -> usize) -> u64 {
        let (mut rest, mut n_tokens) = (text, 0);
        while !rest.is_empty() {
            let piece = first(rest);
            if piece.text.len() > self.n_bytes_left || Instant::now() >= self.end {
                self.note(Gap::Length);
                return n_tokens + by_length(rest);
            }
            self.n_bytes_left -= piece.text.len();
            if !piece.is_clean {
                self.note(Gap::Cut);
            }
            // The tokenizer panics if its pattern fails on a text.
            let counted = catch_unwind(AssertUnwindSafe(|| tokenize(self.encoding, piece.text)));
            n_tokens += counted.map_or_else(
                |_| {
                    self.note(Gap::Length);
                    by_length(piece.text)
                },
                |n| n as u64,
            );
            rest = piece.rest;
        }
        n_tokens
    }
}

#[cfg(test)]
mod tests;
