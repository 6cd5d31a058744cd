//! Every kind of bad input in the contract: its status, and a message that names the fault.

use axum::body::Body;
use event::limits::{BATCH_EVENTS_MAX, BODY_BYTES_MAX};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::{Method, Request};
use serde_json::{Value, json};
use service::auth::{Access, Verifier, hash_key};

use super::fixture::{Options, Running, batch, event, event_with, post};

/// Changes to a valid event, and the reject they must cause: its field, and a part of its reason.
type Fault = (Value, &'static str, &'static str);

/// Sends each fault alone, and between two good events.
async fn check_rejects(faults: &[Fault]) {
    let (_folder, running) = Running::fresh().await;
    for (changes, field, words) in faults {
        let bad = event_with("bad", changes);
        let answer = running.send(bad.to_string()).await;
        assert_eq!(answer.accepted(1), 0, "{bad}");
        check_reject(&answer.rejects()[0], 0, field, words);
        let body = json!([event("a"), bad, event("b")]).to_string();
        let answer = running.send(body).await;
        assert_eq!(answer.accepted(3), 2, "{bad}");
        check_reject(&answer.rejects()[0], 1, field, words);
    }
    running.stop().await;
}

#[track_caller]
fn check_reject(reject: &Value, index: usize, field: &str, words: &str) {
    assert_eq!(reject.as_object().expect("an object").len(), 4, "{reject}");
    assert_eq!((&reject["index"], &reject["field"]), (&json!(index), &json!(field)), "{reject}");
    let reason = reject["reason"].as_str().expect("a reason");
    assert!(reason.contains(words), "{reason:?} does not say {words:?}");
}

#[tokio::test]
async fn missing_mistyped_or_out_of_range_field_is_a_reject_that_names_it() {
    let mut faults: Vec<Fault> = Vec::new();
    for field in
        ["id", "time", "namespace", "upstream", "method", "endpoint", "status", "duration_ms"]
    {
        faults.push((json!({ (field): null }), field, "is required"));
        faults.push((json!({ (field): [1] }), field, "must be"));
        faults.push((json!({ (field): true }), field, "must be"));
    }
    for field in ["model", "requested_model", "request_id", "error_type", "consumer", "producer"] {
        faults.push((json!({ (field): 7 }), field, "must be a string"));
    }
    for field in ["service_tier", "limited_by"] {
        faults.push((json!({ (field): {"a": 1} }), field, "must be a string"));
    }
    for field in ["stream", "final"] {
        faults.push((json!({ (field): "yes" }), field, "must be true or false"));
    }
    for field in ["usage", "text"] {
        faults.push((json!({ (field): "no object" }), field, "must be an object"));
    }
    faults.extend([
        (json!({"attempt": "1"}), "attempt", "must be a whole number"),
        (json!({"seq": 1.5}), "seq", "must be a whole number"),
        (json!({"ttft_ms": "fast"}), "ttft_ms", "must be a number"),
        (json!({"id": ""}), "id", "1 to 128 bytes"),
        (json!({"id": "x".repeat(129)}), "id", "1 to 128 bytes"),
        (json!({"id": "a\u{0}b"}), "id", "control characters"),
        (json!({"time": "yesterday"}), "time", "must be RFC 3339"),
        (json!({"time": "2026-02-30T00:00:00Z"}), "time", "does not exist"),
        (json!({"time": -1}), "time", "between 1970"),
        (json!({"time": 1e300}), "time", "between 1970"),
        (json!({"upstream": ""}), "upstream", "must not be empty"),
        (json!({"endpoint": ""}), "endpoint", "must not be empty"),
        (json!({"status": 99}), "status", "from 100 to 599"),
        (json!({"status": 600}), "status", "from 100 to 599"),
        (json!({"status": -200}), "status", "from 100 to 599"),
        (json!({"status": 200.5}), "status", "whole number"),
        (json!({"duration_ms": -0.1}), "duration_ms", "from 0 to 86400000"),
        (json!({"duration_ms": 86_400_001}), "duration_ms", "from 0 to 86400000"),
        (json!({"ttft_ms": 1e18}), "ttft_ms", "from 0 to 86400000"),
        (json!({"attempt": 65_536}), "attempt", "from 0 to 65535"),
        (json!({"request_id": "x".repeat(129)}), "request_id", "at most 128 bytes"),
        (json!({"service_tier": "gold"}), "service_tier", "standard, batch, flex or priority"),
        (json!({"kind": "gauge"}), "kind", "\"event\" or \"connections\""),
    ]);
    check_rejects(&faults).await;
}

#[tokio::test]
async fn bad_or_reserved_namespace_is_a_reject_that_names_the_rule() {
    check_rejects(&[
        (json!({"namespace": ""}), "namespace", "must not be empty"),
        (json!({"namespace": "all"}), "namespace", "reserved"),
        (json!({"namespace": "none"}), "namespace", "reserved"),
        (json!({"namespace": "other"}), "namespace", "reserved"),
        (json!({"namespace": "1abc"}), "namespace", "begin with a letter"),
        (json!({"namespace": "a\"} 1\n"}), "namespace", "letters, digits"),
        (json!({"namespace": "wéchat"}), "namespace", "letters, digits"),
        (json!({"namespace": "n".repeat(65)}), "namespace", "at most 64 bytes"),
    ])
    .await;
}

#[tokio::test]
async fn token_counts_that_contradict_each_other_are_rejects() {
    check_rejects(&[
        (
            json!({"usage": {"input_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 5}}),
            "usage.cache_read_tokens",
            "must not exceed input_tokens",
        ),
        (
            json!({"usage": {"cache_read_tokens": 1}}),
            "usage.cache_read_tokens",
            "must not exceed input_tokens",
        ),
        (
            json!({"usage": {"output_tokens": 3, "reasoning_tokens": 4}}),
            "usage.reasoning_tokens",
            "must not exceed output_tokens",
        ),
        (
            json!({"usage": {"input_tokens": 1_000_000_001}}),
            "usage.input_tokens",
            "from 0 to 1000000000",
        ),
        (json!({"usage": {"output_tokens": -1}}), "usage.output_tokens", "from 0"),
        (json!({"usage": {"output_tokens": "9"}}), "usage.output_tokens", "whole number"),
    ])
    .await;
}

#[tokio::test]
async fn connection_report_is_validated_too() {
    let good = json!({"kind": "connections", "namespace": "wechat", "gateway": "gw-1",
        "active": 3, "time": 1_769_862_896});
    let (_folder, running) = Running::fresh().await;
    assert_eq!(running.send(good.to_string()).await.accepted(1), 1);
    for (field, value, words) in [
        ("namespace", json!(null), "is required"),
        ("namespace", json!("all"), "reserved"),
        ("gateway", json!(null), "is required"),
        ("gateway", json!("a b"), "letters, digits"),
        ("active", json!(null), "is required"),
        ("active", json!(-1), "from 0 to 10000000"),
        ("active", json!(10_000_001), "from 0 to 10000000"),
        ("time", json!(null), "is required"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let answer = running.send(bad.to_string()).await;
        assert_eq!(answer.accepted(1), 0, "{bad}");
        check_reject(&answer.rejects()[0], 0, field, words);
    }
    running.stop().await;
}

/// An event's JSON with `more` before its closing brace.
fn event_and(id: &str, more: &str) -> String {
    let event = event(id).to_string();
    format!("{},{more}}}", event.strip_suffix('}').expect("an object"))
}

#[tokio::test]
async fn duplicate_keys_too_many_fields_and_too_deep_nesting_are_rejects() {
    let (_folder, running) = Running::fresh().await;
    let nested = |n: usize| format!("\"text\":{}{}", "[".repeat(n), "]".repeat(n));
    let nested = |n: usize| format!("\"text\":{{{}}}", nested(n));
    let many: Vec<String> = (0..60).map(|n| format!("\"x{n}\":0")).collect();
    for (more, field, words) in [
        ("\"id\":\"again\"", "id", "must not be given twice"),
        ("\"status\":500", "status", "must not be given twice"),
        ("\"\\u0069d\":null", "id", "must not be given twice"),
        ("\"x\":1,\"x\":1", "", "unknown field twice"),
        (&*many.join(","), "", "more than 64 fields"),
        (&*nested(15), "", "deeper than 16 levels"),
        (&*nested(10_000), "", "deeper than 16 levels"),
    ] {
        let bad = event_and("bad", more);
        let body = format!("[{},{bad}]", event("good"));
        let answer = running.send(body).await;
        assert_eq!(answer.accepted(2), 1, "{more}");
        check_reject(&answer.rejects()[0], 1, field, words);
    }
    let usage = "\"usage\":{\"input_tokens\":1,\"input_tokens\":2}";
    let body = event_with("u", &json!({"usage": null})).to_string();
    let body = format!("{},{usage}}}", body.strip_suffix('}').expect("an object"));
    let answer = running.send(body).await;
    assert_eq!(answer.accepted(1), 0);
    check_reject(&answer.rejects()[0], 0, "usage.input_tokens", "must not be given twice");
    assert_eq!(running.send(event_and("deep enough", &nested(14))).await.accepted(1), 1);
    running.stop().await;
}

#[tokio::test]
async fn bad_line_or_element_is_a_reject_with_its_index() {
    let (_folder, running) = Running::fresh().await;
    let (a, b) = (event("a").to_string(), event("b").to_string());
    let not_utf8 = [a.as_bytes(), b"\n{\"id\":\"\xff\"}\n", b.as_bytes()].concat();
    for (body, index, words) in [
        (format!("{a}\n{{\"id\":\n{b}\n").into_bytes(), 1, "is not JSON"),
        (format!("{a}\n\n[1]\n{b}").into_bytes(), 1, "must be an object"),
        (format!("{{broken\n{a}\r\n{b}").into_bytes(), 0, "is not JSON"),
        (format!("{a}\n{b}\n{a}{b}\n").into_bytes(), 2, "is not JSON"),
        (not_utf8, 1, "is not UTF-8"),
        (format!("[{a},null,{b}]").into_bytes(), 1, "must be an object"),
        (format!("[{a},{b},{{\"id\":\"\\ud83d\"}}]").into_bytes(), 2, "is not JSON"),
    ] {
        let answer = running.send(body.clone()).await;
        assert_eq!(answer.accepted(3), 2, "{}", String::from_utf8_lossy(&body));
        check_reject(&answer.rejects()[0], index, "", words);
    }
    running.stop().await;
}

#[tokio::test]
async fn malformed_body_is_400_and_says_why() {
    let (_folder, running) = Running::fresh().await;
    let good = event("a").to_string();
    let not_utf8 = [b"[\"".as_slice(), b"\xc3\x28\"]"].concat();
    for (body, words) in [
        (Vec::new(), "the body is empty"),
        (b" \r\n\t".to_vec(), "the body is empty"),
        (format!("[{good}").into_bytes(), "is not JSON"),
        (format!("[{good},]").into_bytes(), "is not JSON"),
        (format!("[{good}] x").into_bytes(), "is not JSON"),
        (format!("[{good} {good}]").into_bytes(), "line 1 column"),
        (b"{\"id\":".to_vec(), "is not JSON"),
        (b"hello".to_vec(), "is not JSON"),
        (not_utf8, "is not UTF-8: invalid byte at offset 2"),
        (b"\x1f\x8b\x08\x00".to_vec(), "is not UTF-8"),
    ] {
        let answer = running.send(body.clone()).await;
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&body));
        assert!(answer.message().contains(words), "{:?}: {words}", answer.message());
    }
    assert!(running.logged().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn too_many_events_or_bytes_are_413_and_the_limit_itself_is_accepted() {
    let (_folder, running) = Running::fresh().await;
    let ids = |n: usize| (0..n).map(|n| format!("e{n}"));
    let full = running.send(batch(ids(BATCH_EVENTS_MAX))).await;
    assert_eq!(full.accepted(BATCH_EVENTS_MAX), BATCH_EVENTS_MAX);
    let lines: Vec<String> = ids(BATCH_EVENTS_MAX + 1).map(|id| event(&id).to_string()).collect();
    for body in [batch(ids(BATCH_EVENTS_MAX + 1)), lines.join("\n")] {
        let answer = running.send(body).await;
        assert_eq!(answer.status, 413);
        assert!(answer.message().contains("more than 2000 events"), "{}", answer.message());
    }
    let padded = |n: usize| format!("[]{}", " ".repeat(n - 2));
    let answer = running.send(padded(BODY_BYTES_MAX)).await;
    assert_eq!(answer.accepted(0), 0);
    // Without Content-Length the bytes are counted; with it, none needs to be read.
    let named = |length: usize| {
        let mut request = post(Body::empty());
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
        request
    };
    for request in [post(padded(BODY_BYTES_MAX + 1)), named(BODY_BYTES_MAX + 1)] {
        let answer = running.ask(request).await;
        assert_eq!(answer.status, 413);
        assert!(answer.message().contains("8388608 bytes"), "{}", answer.message());
    }
    assert_eq!(running.logged().await.len(), BATCH_EVENTS_MAX);
    running.stop().await;
}

#[tokio::test]
async fn missing_or_wrong_key_is_401_and_nothing_is_accepted() {
    const KEY: &str = "kbA5EoXrMQ3v1p0Yq2xH8cJm7dTnWfLs4uZgRiVoEyA";
    let access = Access::Key(Verifier::new(hash_key(KEY)));
    let (_folder, running) = Running::fresh_with(Options { access, ..Options::default() }).await;
    let with_key = |key: Option<&str>| {
        let mut request = post(event("a").to_string());
        if let Some(key) = key {
            request.headers_mut().insert(AUTHORIZATION, key.parse().expect("a header"));
        }
        request
    };
    for (key, words) in [
        (None, "no key given"),
        (Some("Bearer wrong"), "not the right one"),
        (Some("Basic YTpi"), "must be Bearer"),
    ] {
        let answer = running.ask(with_key(key)).await;
        assert_eq!(answer.status, 401, "{words}");
        assert!(answer.message().contains(words), "{}", answer.message());
        assert_eq!(answer.headers[WWW_AUTHENTICATE], "Bearer");
    }
    assert!(running.logged().await.is_empty());
    assert_eq!(running.ask(with_key(Some(&format!("Bearer {KEY}")))).await.accepted(1), 1);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(running.get(path).await.status, 200, "{path} is open");
    }
    // Events and probes ignore query parameters; /metrics rejects unknown ones.
    let mut request = with_key(Some(&format!("Bearer {KEY}")));
    *request.uri_mut() = "/v1/events?debug=1&debug=2".parse().expect("a path");
    assert_eq!(running.ask(request).await.accepted(1), 1);
    for (path, status, words) in [
        ("/healthz?debug=1", 200, ""),
        ("/readyz?debug=1", 200, ""),
        ("/metrics?section=process", 200, "gatemeter_ingest_events_total"),
        ("/metrics?section=business", 400, "section must be process here, not \"business\""),
        ("/metrics?name[]=up", 400, "unknown parameter \"name[]\": takes section"),
    ] {
        let answer = running.get(path).await;
        assert!(answer.status == status && answer.text.contains(words), "{path}: {}", answer.text);
    }
    running.stop().await;
}

#[tokio::test]
async fn wrong_method_is_405_and_unknown_path_is_404() {
    let (_folder, running) = Running::fresh().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let request = Request::builder().method(&method).uri("/v1/events");
        let answer = running.ask(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 405);
        assert!(answer.message().contains(method.as_str()), "{}", answer.message());
        assert_eq!(answer.headers[ALLOW], "POST");
    }
    for path in ["/", "/v1", "/v1/events/", "/v1/events/litellm", "/V1/events"] {
        let answer = running.get(path).await;
        assert_eq!(answer.status, 404);
        assert!(answer.message().contains(path), "{}", answer.message());
    }
    running.stop().await;
}

#[tokio::test]
async fn batch_without_a_valid_event_is_422_and_an_empty_array_is_200() {
    let (_folder, running) = Running::fresh().await;
    let bad = event_with("b", &json!({"status": 7}));
    let answer = running.send(json!([bad, 1, null]).to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.accepted(3)), (422, 0));
    assert_eq!(answer.rejects()[0]["id"], "b");
    assert_eq!(answer.rejects()[1]["id"], Value::Null);
    assert!(answer.offsets().is_empty());
    let answer = running.send("[]").await;
    assert_eq!((answer.status.as_u16(), answer.accepted(0)), (200, 0));
    let empty = json!({"accepted": 0, "rejected": [], "late": [], "future": [], "position": []});
    assert_eq!(answer.json(), empty);
    assert!(running.logged().await.is_empty());
    running.stop().await;
}
