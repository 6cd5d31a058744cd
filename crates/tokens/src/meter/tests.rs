//! Unit tests of `meter`.

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
    let chinese = "每个事件只计一次，计数器从不回退。网关、令牌与延迟：都要准确！".repeat(2_000);
    let mixed = "naïve café 😀 Ünïcode, 12345.678 — “quoted” ไทย עברית 한국어 ok? ".repeat(2_000);
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
