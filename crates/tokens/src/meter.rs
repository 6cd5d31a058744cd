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
    /// A meter that counts exactly for so long, and estimates by length from then on.
    #[must_use]
    pub fn new(encoding: Encoding, limit: Duration) -> Meter {
        // Loading a vocabulary, which happens once, is no fault of the text.
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

    /// What so far was not counted by the tokenizer as it is; empty if the count is exact.
    #[must_use]
    pub fn gaps(&self) -> Gaps {
        self.gaps
    }

    /// Remembers that something was there which makes the count inexact, such as a picture.
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
            // The tokenizer panics where its pattern gives up on a text.
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
mod tests {
    use super::*;
    use crate::limits::COUNT_TIME_MAX;

    const LONG: Duration = Duration::from_secs(600);

    fn exact(encoding: Encoding, text: &str) -> u64 {
        encoding.vocabulary().encode_ordinary(text).len() as u64
    }

    #[test]
    fn counts_equal_those_of_tiktoken_rs() {
        let english = "The counter never goes back, and it's exact to the token. ".repeat(3_000);
        let code = "fn main() {\n    let x_1 = vec![0u8; 1024]; // don't\n}\n\n".repeat(2_000);
        let chinese =
            "每个事件只计一次，计数器从不回退。网关、令牌与延迟：都要准确！".repeat(2_000);
        let mixed =
            "naïve café 😀 Ünïcode, 12345.678 — “quoted” ไทย עברית 한국어 ok? ".repeat(2_000);
        for encoding in Encoding::ALL {
            for text in [&english, &code, &chinese, &mixed] {
                let mut meter = Meter::new(encoding, LONG);
                assert_eq!(meter.count(text), exact(encoding, text), "{encoding:?}");
                assert!(meter.gaps().is_empty());
            }
        }
    }

    #[test]
    fn special_tokens_are_text() {
        let mut meter = Meter::new(Encoding::O200kBase, LONG);
        let text = "<|endoftext|>";
        assert!(meter.count(text) > 1);
        assert_eq!(meter.count(text), exact(Encoding::O200kBase, text));
    }

    #[test]
    fn hostile_texts_end_within_the_limit_and_say_that_they_are_estimates() {
        let noise: String = (0_u32..300_000)
            .filter_map(|n| char::from_u32(n.wrapping_mul(2_654_435_761) % 0x11_0000))
            .take(250_000)
            .collect();
        let hostile = [
            " ".repeat(1_000_000),
            "a".repeat(1_000_000),
            "\n".repeat(1_000_000),
            "语".repeat(333_333),
            "'".repeat(1_000_000),
            "1".repeat(1_000_000),
            "\u{300}".repeat(500_000),
        ];
        Encoding::O200kBase.vocabulary();
        for text in &hostile {
            let began = Instant::now();
            let mut meter = Meter::new(Encoding::O200kBase, COUNT_TIME_MAX);
            let n_tokens = meter.count(text);
            // One piece after the limit is what it may take longer.
            assert!(began.elapsed() < 3 * COUNT_TIME_MAX, "{:?}", began.elapsed());
            assert!(n_tokens > 0 && !meter.gaps().is_empty());
        }
        let mut meter = Meter::new(Encoding::O200kBase, COUNT_TIME_MAX);
        assert!(meter.count(&noise) > 0);
    }

    #[test]
    fn what_is_beyond_the_limits_is_estimated_by_length() {
        let mut meter = Meter::new(Encoding::Cl100kBase, Duration::ZERO);
        assert_eq!((meter.count("four letters"), meter.gaps().is_empty()), (3, false));
        let mut meter = Meter::new(Encoding::Cl100kBase, LONG);
        meter.n_bytes_left = 10;
        assert_eq!((meter.count("hello"), meter.gaps().is_empty()), (1, true));
        assert_eq!((meter.count("hello hello"), meter.gaps().is_empty()), (3, false));
        assert_eq!(by_length("日本 ab"), 2 + 1);
    }

    #[test]
    fn a_tokenizer_that_panics_costs_an_estimate_of_that_piece() {
        let mut meter = Meter::new(Encoding::O200kBase, LONG);
        let text = "poison ".repeat(1_000);
        let n_tokens = meter.count_by(&text, |_, _| panic!("no text is in here"));
        assert!(!meter.gaps().is_empty() && n_tokens >= by_length(&text) && n_tokens < 2_000);
        assert_eq!(meter.count("hello"), 1, "and the next text is counted");
    }
}
