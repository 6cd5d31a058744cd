//! What the scanner takes, and what it leaves to serde.

use super::*;
use crate::native::item::Item;

/// Whether the scanner takes a text as one object.
fn is_taken(json: &str) -> bool {
    let mut cursor = Cursor::new(json, Breaks::Anywhere);
    object(&mut cursor, &mut Fields::default()).is_some() && cursor.rest().is_empty()
}

#[test]
fn objects_in_any_order_are_taken_with_what_nobody_knows() {
    for json in [
        "{}",
        "{ \t\r\n }",
        r#"{"id":"a"}"#,
        r#"{ "x" : [ 1 , { } , [ ] ] , "id" : "a" }"#,
        r#"{"x":"\"\\\/\b\f\n\r\t\ud800\u00E4"}"#,
        r#"{"x":-0.5e+3,"y":-12,"z":0,"w":1e999,"v":123456789012345678901234567890}"#,
        r#"{"x":true,"y":false,"z":null}"#,
        r#"{"status":0,"seq":18446744073709551615,"time":0.5,"duration_ms":1.25E2}"#,
        r#"{"usage":{"x":1,"input_tokens":1},"x":2}"#,
        r#"{"text":{"x":1,"x":2,"output":"\ud800"}}"#,
        r#"{"id":"ä 模型 "}"#,
    ] {
        assert!(is_taken(json), "{json}");
    }
}

#[test]
fn objects_with_anything_unusual_are_left_to_serde() {
    for json in [
        "",
        "1",
        "[]",
        "{",
        "{}1",
        "{1}",
        r#"{"id"}"#,
        r#"{"id" "a"}"#,
        r#"{"id":"a",}"#,
        r#"{"id":"a" "x":1}"#,
        r#"{,"id":"a"}"#,
        r#"{"id":"a"]"#,
        r#"{"id":"a""#,
        r#"{"id":"a"#,
        r#"{"id":}"#,
        r#"{"id":"\n"}"#,
        r#"{"\u0069d":"a"}"#,
        r#"{"\u0078":1}"#,
        r#"{"id":[]}"#,
        r#"{"id":{}}"#,
        r#"{"usage":[]}"#,
        r#"{"id":"a","id":"a"}"#,
        r#"{"id":null,"id":"a"}"#,
        r#"{"x":1,"x":1}"#,
        r#"{"usage":{"x":1,"x":1}}"#,
        r#"{"text":{"output":"a","output":"a"}}"#,
        r#"{"text":{"outp\u0075t":"a"}}"#,
        r#"{"status":-1}"#,
        r#"{"status":01}"#,
        r#"{"status":1.}"#,
        r#"{"status":1e}"#,
        r#"{"status":1e999}"#,
        r#"{"seq":18446744073709551616}"#,
        r#"{"stream":tru}"#,
        r#"{"stream":True}"#,
        r#"{"x":nul}"#,
        r#"{"x":01}"#,
        r#"{"x":-}"#,
        r#"{"x":.5}"#,
        r#"{"x":+1}"#,
        r#"{"x":"\x"}"#,
        r#"{"x":"\u12g4"}"#,
        r#"{"x":"\u12"#,
        "{\"x\":\"\n\"}",
        "{\"id\":\"\u{1f}\"}",
        "{\"id\":\u{a0}\"a\"}",
        "{\"id\0\":\"a\"}",
        "{\"x\0\":\"a\"}",
        "{ id\":\"a\"}",
        r#"{"x":[1,]}"#,
        r#"{"x":[1 2]}"#,
        r#"{"x":{"a"}}"#,
        r#"{"x":{"a":1,}}"#,
        r#"{"x":{1:1}}"#,
    ] {
        assert!(!is_taken(json), "{json}");
    }
}

#[test]
fn values_are_taken_as_deep_as_an_event_may_be() {
    let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for (before, deepest) in
        [("{\"x\":", 15), ("{\"usage\":{\"x\":", 14), ("{\"text\":{\"x\":", 14)]
    {
        let close = "}".repeat(before.matches('{').count());
        assert!(is_taken(&format!("{before}{}{close}", nest(deepest))), "{before}");
        assert!(!is_taken(&format!("{before}{}{close}", nest(deepest + 1))), "{before}");
        assert!(!is_taken(&format!("{before}{}{close}", nest(100_000))), "{before}");
    }
}

#[test]
fn unknown_fields_are_told_apart_up_to_a_bound() {
    let object = |n: usize| {
        let fields: Vec<String> = (0..n).map(|i| format!("\"f{i}\":{i}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert!(is_taken(&object(UNKNOWN_MAX)));
    assert!(!is_taken(&object(UNKNOWN_MAX + 1)));
    assert!(is_taken(&format!("{{\"usage\":{},\"f0\":0}}", object(UNKNOWN_MAX))));
}

#[test]
fn a_line_break_ends_what_must_be_one_line() {
    for json in ["{\n}", "{\"x\":\n1}", "{\"x\":1\n,\"y\":2}", "{\"x\":[1,\n2]}", "\n{}"] {
        let mut cursor = Cursor::new(json, Breaks::Nowhere);
        assert!(object(&mut cursor, &mut Fields::default()).is_none(), "{json}");
    }
    let mut cursor = Cursor::new("{\t\"x\":1\r }\n{}", Breaks::Nowhere);
    assert!(object(&mut cursor, &mut Fields::default()).is_some());
    assert_eq!((cursor.blanks(), cursor.rest()), (Some(b'\n'), "\n{}"));
}

#[test]
fn every_place_of_a_sign_in_a_text_is_found() {
    for n in 0..40 {
        for sign in ["\"", "\\", "\n", "\u{1f}", "\u{0}"] {
            for filling in ["a", "\u{7f}", "ä", " ", "!", "#", "[", "]", "\u{80}", "\u{ff}"] {
                let text = filling.repeat(n);
                let json = format!("{{\"id\":\"{text}{sign}\"}}");
                let is_plain = sign == "\"";
                let mut cursor = Cursor::new(&json, Breaks::Anywhere);
                cursor.pass(6);
                let found = cursor.plain_text();
                assert_eq!(found, is_plain.then_some(text.as_str()), "{json:?}");
            }
        }
    }
}

/// What the scanner and serde make of a number as the time of an event: `None` if they leave it.
fn numbers(number: &str, behind: &str) -> [Option<Scalar<'static>>; 2] {
    let json = format!("{{\"time\":{number}{behind}");
    let mut fields = Fields::default();
    let scanned = object(&mut Cursor::new(&json, Breaks::Anywhere), &mut fields);
    let by_serde = Item::whole(&json).ok().and_then(|item| item.0);
    [scanned.map(|()| fields), by_serde].map(|fields| match fields?.take(Field::Time) {
        Scalar::Natural(number) => Some(Scalar::Natural(number)),
        Scalar::Float(number) => Some(Scalar::Float(number)),
        _ => None,
    })
}

#[test]
fn numbers_of_any_length_are_read_as_serde_reads_them() {
    let digits = "98765432109876543210987654321098";
    let zeros = "0".repeat(32);
    let mut n_taken = 0;
    for behind in ["}", " }", ",\"x\":\"something behind it\"}"] {
        for digits in [digits, &"9".repeat(32), &"1".repeat(32), &zeros, "18446744073709551615"] {
            for n in 0..digits.len() {
                for point in 0..=n {
                    for end in ["", "e0", "E-5", "e+20", "e", "e+", ".", ":", ".5", "-", "x", "/"] {
                        let [whole, fraction] = [&digits[..point], &digits[point..=n]];
                        let point = if point == 0 { "" } else { "." };
                        let number = format!("{whole}{point}{fraction}{end}");
                        let [scanned, by_serde] = numbers(&number, behind);
                        if scanned.is_some() {
                            assert_eq!(scanned, by_serde, "{number}");
                            n_taken += 1;
                        }
                        let is_usual = end.is_empty() && number.len() < 20 && by_serde.is_some();
                        assert!(scanned.is_some() || !is_usual, "{number}");
                    }
                }
            }
        }
    }
    assert!(n_taken > 5_000, "{n_taken}");
}
