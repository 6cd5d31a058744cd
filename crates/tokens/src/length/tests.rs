//! Unit tests of `length`.

use super::*;

#[test]
fn base64_in_json_is_passed_over_and_text_is_not() {
    let plain = r#"{"text":"hello","url":""}"#;
    let picture =
        format!(r#"{{"text":"hello","url":"data:image/png;base64,{}"}}"#, "QUJD".repeat(999));
    assert!(by_length_of_json(plain).abs_diff(by_length_of_json(&picture)) <= 1);
    let bytes = format!(r#"{{"data" : "{}"}}"#, "QUJD\\/".repeat(999));
    assert!(by_length_of_json(&bytes) < 6);
    for text in [
        format!(r#"{{"text":"{}"}}"#, "QUJD".repeat(999)),
        format!(r#"{{"data":"{}"}}"#, "two words ".repeat(400)),
        format!(r#"["{}"]"#, "data: these are words, no picture ".repeat(99)),
    ] {
        assert!(by_length_of_json(&text) > 800, "{text:.40}");
    }
}

#[test]
fn json_that_is_broken_is_guessed_all_the_same() {
    for json in ["", "\"", "\"\\", "{\"a\":\"b", "\\\"\\", "日本\"語\""] {
        assert!(by_length_of_json(json) <= by_length(json) + 2, "{json}");
    }
    assert_eq!(by_length_of_json("日本"), 2);
}
