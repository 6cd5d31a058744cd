//! Unit tests of `piece`.

use proptest::prelude::*;

use super::*;
use crate::encoding::Encoding;

/// Texts that stress where words end.
fn texts() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        "[a-zA-Z]{1,9}",
        "[0-9]{1,7}",
        "[ \t\n\r]{1,4}",
        "['’.,;:!?()/<>{}\"-]{1,3}",
        "[一-鿿]{1,6}",
        "[，。、！？；：]{1,2}",
        "\\PC{1,3}",
        "'(s|ll|ve|re|S|LL) ?",
        "[\u{300}-\u{304}\u{a0}]{1,2}",
    ];
    prop::collection::vec(bits, 0..60).prop_map(|bits| bits.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Wherever a word is said to end, the counts on both sides add up.
    #[test]
    fn cuts_change_no_count(text in texts()) {
        let letters: Vec<(usize, char)> = text.char_indices().collect();
        for encoding in [
            Encoding::O200kBase, Encoding::Cl100kBase, Encoding::P50kBase, Encoding::R50kBase,
        ] {
            let count = |text: &str| encoding.vocabulary().encode_ordinary(text).len();
            let whole = count(&text);
            for pair in letters.windows(2) {
                if ends_between(pair[0].1, pair[1].1) {
                    let (before, after) = text.split_at(pair[1].0);
                    let parts = count(before) + count(after);
                    prop_assert_eq!(parts, whole, "{}|{}", before, after);
                }
            }
        }
    }

    #[test]
    fn pieces_are_the_text_and_bounded(text in "\\PC{0,5000}") {
        let (mut rest, mut joined) = (text.as_str(), String::new());
        while !rest.is_empty() {
            let piece = first(rest);
            prop_assert!(!piece.text.is_empty() && piece.text.len() <= PIECE_BYTES_MAX);
            joined.push_str(piece.text);
            rest = piece.rest;
        }
        prop_assert_eq!(joined, text);
    }
}

#[test]
fn text_without_words_is_cut_all_the_same_and_says_so() {
    for text in ["a".repeat(10_000), " ".repeat(10_000), "语".repeat(5_000), "😀".repeat(3_000)]
    {
        let piece = first(&text);
        assert!(!piece.is_clean && piece.text.len() > PIECE_BYTES_MAX - 4);
    }
    assert!(first(&"word ".repeat(5_000)).is_clean);
    assert_eq!(first(""), Piece { text: "", rest: "", is_clean: true });
}
