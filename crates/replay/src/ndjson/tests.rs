//! Unit tests of `ndjson`.

use super::*;

const LINE: &str = r#"{"id":"a","time":"2024-01-01T00:00:00.0000015Z","namespace":"n",
    "upstream":"u","endpoint":"/v1/x","status":200,"duration_ms":1.5,"note":[1,{"a":2}],
    "usage":{"input_tokens":9,"cache_read_tokens":4},"request_id":"q","final":false}"#;

#[test]
fn unknown_fields_go_out_as_they_came_in() {
    let facts = facts(LINE, &Ids::Kept).unwrap().unwrap();
    assert_eq!(facts.effect.tokens.unwrap().input, 9);
    assert_eq!(facts.effect.attempt, Attempt::Retried);
    let mut sent: Value = serde_json::from_str(&facts.render("a", facts.recorded_us)).unwrap();
    let mut recorded: Value = serde_json::from_str(LINE).unwrap();
    assert_eq!(sent["time"].take(), 1_704_067_200_000_002_i64);
    recorded["time"].take();
    assert_eq!(sent, recorded);
}

#[test]
fn whole_numbers_may_be_written_with_point_or_exponent() {
    let line = LINE.replace("\"status\":200", "\"status\":2.0e2").replace(":9,", ":1.2e1,");
    let effect = facts(&line, &Ids::Kept).unwrap().unwrap().effect;
    assert_eq!((effect.status, effect.tokens.unwrap().input), (200, 12));
    for bad in ["200.5", "-1.0", "1e99", "\"200\""] {
        assert!(facts(&LINE.replace(":200", &format!(":{bad}")), &Ids::Kept).is_err(), "{bad}");
    }
}

#[test]
fn an_error_told_beside_a_status_below_400_fails_the_request() {
    let outcome = |told: &str| {
        let line = LINE.replace("\"status\":200", &format!("\"status\":206,\"error_type\":{told}"));
        facts(&line, &Ids::Kept).unwrap().unwrap().effect.outcome
    };
    assert_eq!(outcome("\"client_closed\""), Outcome::ClientClosed);
    for nothing in ["null", "\"\"", "\"overloaded\"", "\"success\""] {
        assert_eq!(outcome(nothing), Outcome::Success, "{nothing}");
    }
}

#[test]
fn rewritten_times_make_new_events() {
    let facts = facts(LINE, &Ids::Prefixed("r1".into())).unwrap().unwrap();
    assert_eq!(facts.id.as_deref(), Some("r1-a"));
    assert!(facts.link.contains("\"r1-q\""), "{}", facts.link);
    assert!(!facts.render_alone("x", 1).contains("request_id"));
}

#[test]
fn epoch_numbers_are_read_by_their_size() {
    for (text, micros) in [
        ("1700000000", 1_700_000_000_000_000),
        ("1700000000.25", 1_700_000_000_250_000),
        ("1700000000123", 1_700_000_000_123_000),
        ("1700000000123.4", 1_700_000_000_123_400),
        ("1700000000123456", 1_700_000_000_123_456),
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(event_time_us(&value), Some(micros), "{text}");
    }
    assert_eq!(event_time_us(&Value::from(-1)), None);
    assert_eq!(event_time_us(&Value::from("soon")), None);
}
