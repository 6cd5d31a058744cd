//! Unit tests of `answer`.

use super::*;

#[test]
fn an_answer_must_speak_of_every_event_once() {
    let good = br#"{"accepted":1,"rejected":[{"index":1,"id":null,"reason":"x"}],"late":[]}"#;
    assert_eq!(Answer::read(good, 2).unwrap().rejected[0].index, 1);
    assert!(Answer::read(good, 3).is_err());
    for bad in [
        r#"{}"#,
        r#"{"accepted":2,"rejected":[{"index":2}]}"#,
        r#"{"accepted":0,"rejected":[{"index":0},{"index":0}]}"#,
        r#"{"accepted":1,"rejected":[{"index":7}]}"#,
    ] {
        assert!(Answer::read(bad.as_bytes(), 2).is_err(), "{bad}");
    }
}
