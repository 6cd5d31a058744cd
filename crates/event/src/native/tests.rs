//! Tables of events and what becomes of them: every field, its default and its faults.

mod allocations;
mod bodies;
mod choices;
mod properties;
mod scanner;

use std::borrow::Cow;

use super::*;
use crate::code::{ErrorType, Method, ServiceTier};
use crate::event::{Connections, Event};
use crate::limits::{BATCH_EVENTS_MAX, ID_BYTES_MAX};
use crate::reject::{REASONS, Reject};
use crate::text::{Part, Text};
use crate::usage::Usage;

/// The required fields, as JSON.
const REQUIRED: [(&str, &str); 8] = [
    ("id", "\"e1\""),
    ("time", "1769862896"),
    ("namespace", "\"wechat\""),
    ("upstream", "\"openai\""),
    ("method", "\"POST\""),
    ("endpoint", "\"/v1/chat/completions\""),
    ("status", "200"),
    ("duration_ms", "1500"),
];

/// An event with some fields replaced or added; an empty value leaves the field out.
pub(super) fn event_with(changes: &[(&str, &str)]) -> String {
    let mut fields: Vec<(&str, &str)> = REQUIRED.to_vec();
    for (name, value) in changes {
        fields.retain(|(other, _)| other != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let fields: Vec<String> = fields.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// The one event of a body.
pub(super) fn event(body: &str) -> Event<'_> {
    let mut batch = parse(body.as_bytes()).expect("a readable body");
    assert_eq!((batch.rejects.as_slice(), batch.n_items), ([].as_slice(), 1), "{body}");
    batch.events.pop().expect("one event").1
}

/// Checks that a body of one item is rejected with a field and a kind, and returns the reason.
#[track_caller]
pub(super) fn check(body: &str, field: &str, kind: &str) -> String {
    let batch = parse(body.as_bytes()).expect("a readable body");
    assert_eq!((batch.n_items, batch.rejects.len()), (1, 1), "{body}: {batch:?}");
    let reject = &batch.rejects[0];
    assert_eq!((reject.field, reject.kind), (field, kind), "{body}: {}", reject.reason);
    assert!(REASONS.contains(&reject.kind));
    reject.reason.to_string()
}

/// Checks the fault of one field with one value.
#[track_caller]
fn check_field(field: &'static str, value: &str, kind: &str) -> String {
    let body = match field.strip_prefix("usage.") {
        Some(inner) => event_with(&[("usage", &format!("{{\"{inner}\":{value}}}"))]),
        None => event_with(&[(field, value)]),
    };
    check(&body, field, kind)
}

#[test]
fn smallest_event_gets_the_defaults() {
    let body = event_with(&[]);
    let expected = Event {
        id: "e1".into(),
        time_us: 1_769_862_896_000_000,
        namespace: "wechat".into(),
        upstream: "openai".into(),
        model: None,
        requested_model: None,
        method: Method::Post,
        endpoint: "/v1/chat/completions".into(),
        status: 200,
        duration_us: 1_500_000,
        ttft_us: None,
        stream: false,
        usage: Usage::default(),
        request_id: None,
        attempt: 0,
        is_final: true,
        error_type: None,
        consumer: None,
        service_tier: ServiceTier::Standard,
        producer: None,
        epoch: None,
        seq: None,
        limited_by: None,
        text: None,
    };
    assert_eq!(event(&body), expected);
    let optional = [
        "kind",
        "model",
        "requested_model",
        "ttft_ms",
        "stream",
        "usage",
        "text",
        "request_id",
        "attempt",
        "final",
        "error_type",
        "consumer",
        "service_tier",
        "producer",
        "epoch",
        "seq",
        "limited_by",
        "anything",
    ];
    let nulls: Vec<(&str, &str)> = optional.iter().map(|name| (*name, "null")).collect();
    assert_eq!(event(&event_with(&nulls)), expected);
}

#[test]
fn every_field_is_read() {
    let body = event_with(&[
        ("kind", "\"event\""),
        ("time", "\"2026-01-31T12:34:56.5Z\""),
        ("model", "\"gpt-4o\""),
        ("requested_model", "\"gpt\""),
        ("method", "\"get\""),
        ("status", "429"),
        ("duration_ms", "0.0015"),
        ("ttft_ms", "12.3456"),
        ("stream", "true"),
        (
            "usage",
            r#"{"input_tokens":10,"cache_read_tokens":4,"cache_write_tokens":6.0,
                "output_tokens":1e3,"reasoning_tokens":0,"audio_tokens":[1]}"#,
        ),
        ("text", r#"{"messages":[{"role":"user","content":"hidden \ud83d"}],"output":1e999}"#),
        ("request_id", "\"r\\u0031\""),
        ("attempt", "65535"),
        ("final", "false"),
        ("error_type", "\"policy\""),
        ("consumer", "\"käthe\""),
        ("service_tier", "\"batch\""),
        ("producer", "\"w1\""),
        ("epoch", "1769862000"),
        ("seq", "18446744073709551615"),
        ("limited_by", "\"token_limit\""),
        ("unknown", r#"{"a":["\ud800",{"b":1e999}]}"#),
    ]);
    let expected = Event {
        id: "e1".into(),
        time_us: 1_769_862_896_500_000,
        namespace: "wechat".into(),
        upstream: "openai".into(),
        model: Some("gpt-4o".into()),
        requested_model: Some("gpt".into()),
        method: Method::Get,
        endpoint: "/v1/chat/completions".into(),
        status: 429,
        duration_us: 2,
        ttft_us: Some(12_346),
        stream: true,
        usage: Usage {
            input: Some(10),
            cache_read: Some(4),
            cache_write: Some(6),
            output: Some(1_000),
            reasoning: Some(0),
        },
        request_id: Some("r1".into()),
        attempt: 65_535,
        is_final: false,
        error_type: Some(ErrorType::Policy),
        consumer: Some("käthe".into()),
        service_tier: ServiceTier::Batch,
        producer: Some("w1".into()),
        epoch: Some(1_769_862_000),
        seq: Some(u64::MAX),
        limited_by: Some("token_limit".into()),
        text: None,
    };
    assert_eq!(event(&body), expected);
}

#[test]
fn text_is_found_in_the_body_where_no_usage_was_reported() {
    let text = r#"{ "output": "hidden \ud83d", "input": [1e999], "\ud83d": 1 }"#;
    let (output, input) = (r#""hidden \ud83d""#, "[1e999]");
    for usage in ["null", "{}", r#"{"input_tokens":null}"#, r#"{"audio_tokens":1}"#] {
        let body = event_with(&[("text", text), ("usage", usage)]);
        assert_eq!(event(&body).text, Some(parts(&[(Part::Output, output), (Part::Input, input)])));
    }
    // A side that was reported, be it as zero, needs no text; the other one does.
    for (usage, left) in [
        (r#"{"output_tokens":0}"#, Some(parts(&[(Part::Input, input)]))),
        (r#"{"input_tokens":7}"#, Some(parts(&[(Part::Output, output)]))),
        (r#"{"input_tokens":7,"output_tokens":0}"#, None),
    ] {
        let body = event_with(&[("text", text), ("usage", usage)]);
        assert_eq!(event(&body).text, left, "{usage}");
    }
    for none in ["null", "{}", r#"{"other":"hidden"}"#, r#"{"output":null,"tools":null}"#] {
        let body = event_with(&[("text", none)]);
        assert_eq!(event(&body).text, None, "{none}");
    }
}

fn parts<'a>(given: &[(Part, &'a str)]) -> Text<'a> {
    let mut text = Text::default();
    for (part, json) in given {
        text.set(*part, json);
    }
    text
}

#[test]
fn each_part_of_a_text_is_found_under_its_name() {
    for part in Part::EACH {
        let name = part.path().strip_prefix("text.").expect("a path");
        let text = format!(r#"{{"x":1,"{name}":[ "hidden" ]}}"#);
        let body = event_with(&[("text", &text)]);
        assert_eq!(event(&body).text, Some(parts(&[(part, r#"[ "hidden" ]"#)])), "{name}");
    }
    for (text, input) in [
        (r#"{"prompt":"a"}"#, r#""a""#),
        (r#"{"prompt":"a","input":"b"}"#, r#""b""#),
        (r#"{"\u0069nput":"a"}"#, r#""a""#),
    ] {
        let body = event_with(&[("text", text)]);
        assert_eq!(event(&body).text, Some(parts(&[(Part::Input, input)])), "{text}");
    }
}

#[test]
fn texts_with_a_part_given_twice_or_too_many_fields_are_rejected() {
    for (text, field) in [
        (r#"{"output":"a","output":"b"}"#, "text.output"),
        (r#"{"tools":null,"tools":[]}"#, "text.tools"),
        (r#"{"prompt":"a","prompt":"a"}"#, "text.prompt"),
        (r#"{"output":"a","\u006futput":"b"}"#, "text.output"),
    ] {
        check(&event_with(&[("text", text)]), field, "duplicate_key");
    }
    let many: Vec<String> = (0..65).map(|n| format!("\"f{n}\":0")).collect();
    check(&event_with(&[("text", &format!("{{{}}}", many.join(",")))]), "text", "fields");
    event(&event_with(&[("text", &format!("{{{}}}", many[1..].join(",")))]));
}

#[test]
fn texts_without_escapes_are_borrowed_from_the_body() {
    let body = event_with(&[("consumer", "\"käthe\""), ("model", "\"a\\/b\"")]);
    let event = event(&body);
    assert!(matches!(event.id, Cow::Borrowed(_)));
    assert!(matches!(event.consumer, Some(Cow::Borrowed(_))));
    assert!(matches!(event.model, Some(Cow::Owned(_))));
}

#[test]
fn words_are_settled_where_the_contract_says_so() {
    for (word, tier) in [
        ("default", ServiceTier::Standard),
        ("auto", ServiceTier::Standard),
        ("", ServiceTier::Standard),
        ("flex", ServiceTier::Flex),
        ("priority", ServiceTier::Priority),
    ] {
        let body = event_with(&[("service_tier", &format!("\"{word}\""))]);
        assert_eq!(event(&body).service_tier, tier, "{word}");
    }
    let body = event_with(&[
        ("error_type", "\"kaputt\""),
        ("method", "\"PROPFIND\""),
        ("endpoint", "\"a b\""),
        ("model", "\"\""),
        ("request_id", "\"\""),
    ]);
    let event = event(&body);
    assert_eq!((event.error_type, event.method), (None, Method::Other));
    assert_eq!((event.endpoint.as_ref(), event.model, event.request_id), ("a b", None, None));
}

#[test]
fn required_fields_must_be_there() {
    for (field, _) in REQUIRED {
        check(&event_with(&[(field, "")]), field, "missing");
        check_field(field, "null", "missing");
    }
    check("{}", "id", "missing");
}

#[test]
fn values_of_the_wrong_type_are_rejected_with_what_was_expected() {
    let faults: [(&str, &[&'static str], &[&str]); 4] = [
        (
            "must be a string",
            &[
                "kind",
                "id",
                "namespace",
                "upstream",
                "model",
                "requested_model",
                "method",
                "endpoint",
                "request_id",
                "error_type",
                "consumer",
                "service_tier",
                "producer",
                "limited_by",
            ],
            &["1", "-1", "1.5", "true", "[]", "[\"x\"]", "{}", "{\"x\":{}}"],
        ),
        (
            "must be a whole number",
            &[
                "status",
                "attempt",
                "epoch",
                "seq",
                "usage.input_tokens",
                "usage.cache_read_tokens",
                "usage.cache_write_tokens",
                "usage.output_tokens",
                "usage.reasoning_tokens",
            ],
            &["\"200\"", "200.5", "true", "[200]", "{}"],
        ),
        ("must be true or false", &["stream", "final"], &["1", "\"true\"", "[]", "{}"]),
        ("must be an object", &["usage", "text"], &["1", "\"x\"", "true", "[]", "[{}]"]),
    ];
    for (reason, fields, values) in faults {
        for field in fields {
            for value in values {
                assert_eq!(check_field(field, value, "type"), reason, "{field} {value}");
            }
        }
    }
    for field in ["duration_ms", "ttft_ms"] {
        for value in ["\"12\"", "true", "[]", "{}"] {
            assert_eq!(check_field(field, value, "type"), "must be a number");
        }
    }
    for value in ["true", "[]", "{\"seconds\":1}"] {
        check_field("time", value, "type");
    }
}

#[test]
fn values_out_of_range_are_rejected_with_the_range() {
    for value in ["99", "600", "-1", "0", "1e300", "-200.0", "99999999999999999999"] {
        let reason = check_field("status", value, "range");
        assert_eq!(reason, "must be a whole number from 100 to 599");
    }
    for field in ["duration_ms", "ttft_ms"] {
        for value in ["-1", "-0.001", "86400001", "86400000.001", "1e300", "18446744073709551615"] {
            check_field(field, value, "range");
        }
        event(&event_with(&[(field, "86400000")]));
        event(&event_with(&[(field, "-0.0")]));
    }
    for value in ["-1", "65536", "1e10"] {
        check_field("attempt", value, "range");
    }
    for value in ["-1", "18446744073709551616"] {
        check_field("epoch", value, "range");
        check_field("seq", value, "range");
    }
    for field in ["usage.input_tokens", "usage.output_tokens", "usage.cache_read_tokens"] {
        let reason = check_field(field, "1000000001", "range");
        assert_eq!(reason, "must be a whole number from 0 to 1000000000");
        check_field(field, "-1", "range");
    }
    for value in ["-1", "-1.5", "1e18", "253402300800000000", "\"1969-12-31T23:59:59Z\""] {
        check_field("time", value, "range");
    }
    for value in ["\"yesterday\"", "\"\"", "\"1769862896\"", "\"2026-02-30T00:00:00Z\""] {
        check_field("time", value, "value");
    }
    let long = format!("\"{}\"", "x".repeat(129));
    check_field("id", "\"\"", "range");
    check_field("id", &long, "range");
    check_field("request_id", &long, "range");
    check_field("id", "\"a\\u0000\"", "value");
    check_field("id", "\"a\\n\"", "value");
    check_field("upstream", "\"\"", "value");
    check_field("endpoint", "\"\"", "value");
    check_field("service_tier", "\"gold\"", "value");
    check_field("kind", "\"span\"", "value");
    event(&event_with(&[("id", &format!("\"{}\"", "x".repeat(128)))]));
}

#[test]
fn namespaces_are_rejected_with_the_rule_that_they_break() {
    for (namespace, reason) in [
        ("", "must not be empty"),
        ("1a", "must begin with a letter a-z or A-Z"),
        ("a b", "may contain only letters, digits and -_.:/"),
        ("all", "must not be one of the reserved words all, none, other"),
    ] {
        let value = format!("\"{namespace}\"");
        assert_eq!(check_field("namespace", &value, "namespace"), reason);
    }
}

#[test]
fn usage_that_contradicts_itself_is_rejected() {
    for (usage, field) in [
        (r#"{"input_tokens":9,"cache_read_tokens":10}"#, "usage.cache_read_tokens"),
        (r#"{"cache_write_tokens":1}"#, "usage.cache_read_tokens"),
        (r#"{"output_tokens":9,"reasoning_tokens":10}"#, "usage.reasoning_tokens"),
    ] {
        check(&event_with(&[("usage", usage)]), field, "usage");
    }
}

#[test]
fn fields_given_twice_are_rejected() {
    let twice = |more: &str| event_with(&[]).replacen('{', &format!("{{{more},"), 1);
    for (body, field) in [
        (twice(r#""id":"e0""#), "id"),
        (twice(r#""id":null"#), "id"),
        (twice(r#""\u0069d":"e0""#), "id"),
        (twice(r#""x":1,"x":1"#), ""),
        (twice(r#""usage":{},"usage":{}"#), "usage"),
        (twice(r#""usage":{"output_tokens":1,"output_tokens":1}"#), "usage.output_tokens"),
        (twice(r#""usage":{"x":1,"x":1}"#), "usage"),
    ] {
        check(&body, field, "duplicate_key");
    }
    // What is inside an unknown field or a prompt is nobody's business.
    event(&twice(r#""x":{"y":1,"y":2},"text":{"a":1,"a":2}"#));
}

#[test]
fn objects_with_too_many_fields_are_rejected() {
    let fields = |n: usize| -> String {
        (0..n).map(|i| format!("\"f{i}\":{i}")).collect::<Vec<_>>().join(",")
    };
    let more = |n: usize| event_with(&[]).replacen('}', &format!(",{}}}", fields(n)), 1);
    event(&more(64 - REQUIRED.len()));
    check(&more(65 - REQUIRED.len()), "", "fields");
    check(&more(5_000), "", "fields");
    event(&event_with(&[("usage", &format!("{{{}}}", fields(64)))]));
    check(&event_with(&[("usage", &format!("{{{}}}", fields(65)))]), "usage", "fields");
}

#[test]
fn rejects_name_the_id_where_one_can_be_read() {
    let id_of = |body: &str| parse(body.as_bytes()).expect("readable").rejects[0].id.clone();
    let faulty = [("status", "1")];
    assert_eq!(id_of(&event_with(&faulty)), Some("e1".into()));
    assert_eq!(id_of(r#"{"x":1,"x":2,"id":"e1"}"#), Some("e1".into()));
    assert_eq!(id_of(&event_with(&[("id", "7")])), None);
    let long = format!("\"{}ä\"", "x".repeat(127));
    assert_eq!(id_of(&event_with(&[("id", &long)])), Some("x".repeat(127)));
}

#[test]
fn connections_are_read_and_checked() {
    let body = r#"{"kind":"connections","namespace":"a","gateway":"g","active":3,"time":5}"#;
    let batch = parse(body.as_bytes()).expect("readable");
    let expected =
        Connections { namespace: "a".into(), gateway: "g".into(), active: 3, time_us: 5_000_000 };
    assert_eq!((batch.connections, batch.n_items), (vec![(0, expected)], 1));
    for (good, bad, field, kind) in [
        ("\"a\"", "\"all\"", "namespace", "namespace"),
        ("\"g\"", "\"\"", "gateway", "value"),
        ("\"g\"", "\"a b\"", "gateway", "value"),
        ("\"g\"", "null", "gateway", "missing"),
        ("3", "-3", "active", "range"),
        ("3", "10000001", "active", "range"),
        ("3", "null", "active", "missing"),
        ("5", "null", "time", "missing"),
    ] {
        check(&body.replacen(good, bad, 1), field, kind);
    }
}
