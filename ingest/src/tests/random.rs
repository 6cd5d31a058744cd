//! Random bodies: whatever is sent, the answer is an allowed one that accounts for every item of
//! the body, and the log grows by exactly what was accepted.

use clock::Wall;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::fixture::{Answer, Running, event, gzip, post_as, zstd};

/// Names of fields, in `usage` too.
const FIELDS: &[&str] = &[
    "kind",
    "id",
    "time",
    "namespace",
    "upstream",
    "model",
    "method",
    "endpoint",
    "status",
    "duration_ms",
    "ttft_ms",
    "stream",
    "usage",
    "text",
    "attempt",
    "final",
    "consumer",
    "service_tier",
    "epoch",
    "seq",
    "limited_by",
    "gateway",
    "active",
    "input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "reasoning_tokens",
    "x",
];

/// The ingest that all bodies of a test are sent to.
struct Target {
    runtime: Runtime,
    running: Running,
    _folder: TempDir,
}

impl Target {
    fn new() -> Target {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (folder, running) = runtime.block_on(Running::fresh());
        Target { runtime, running, _folder: folder }
    }

    /// Sends a body and checks the answer.
    fn check(&self, body: &[u8]) -> Answer {
        self.check_as("identity", body.to_vec(), body)
    }

    /// The same for a body sent as `packed`.
    fn check_as(&self, encoding: &str, packed: Vec<u8>, body: &[u8]) -> Answer {
        let answer = self.runtime.block_on(self.running.ask(post_as(encoding, packed)));
        match answer.status.as_u16() {
            200 | 422 => {
                let n_items = items(body);
                let n_items = n_items.unwrap_or_else(|| panic!("not a body: {}", answer.text));
                let n_accepted = answer.accepted(n_items);
                assert!(answer.offsets().len() <= n_accepted.min(1), "{}", answer.text);
            }
            400 | 413 => assert!(!answer.message().is_empty()),
            status => panic!("{status} is not allowed: {}", answer.text),
        }
        answer
    }

    /// Checks that the log holds as many events as ingest has counted as accepted.
    fn finish(self) {
        self.runtime.block_on(async {
            let n_logged = i64::try_from(self.running.logged().await.len()).expect("fits");
            let n_accepted = self.running.metric("gatemeter_ingest_events_total").await;
            assert_eq!(n_accepted, Some(n_logged));
            self.running.stop().await;
        });
    }
}

/// Counts the items of a body independently of ingest. Returns `None` if it is malformed.
fn items(body: &[u8]) -> Option<usize> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_blank = |byte: &u8| b" \t\r\n".contains(byte);
    if body.iter().find(|byte| !is_blank(byte)) == Some(&b'[') {
        return serde_json::from_slice::<Vec<&RawValue>>(body).ok().map(|list| list.len());
    }
    if serde_json::from_slice::<&RawValue>(body).is_ok() {
        return Some(1);
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(is_blank));
    Some(lines.count()).filter(|n| *n > 1)
}

/// Any JSON, often with names and values of events.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..700u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        select(&["wechat", "all", "POST", "connections", "2026-01-31T12:34:56Z", "", "batch"][..])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![select(FIELDS).prop_map(str::to_owned), "\\PC{0,4}"];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((name, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A valid event or report with some fields replaced or added, in `usage` too, or left out.
fn mutated() -> impl Strategy<Value = Value> {
    let report = json!({"kind": "connections", "namespace": "wechat", "gateway": "gw",
        "active": 3, "time": Wall::now().as_us()});
    let changes = vec((select(FIELDS), any_json(), 0..4u8), 0..4);
    (prop_oneof![4 => Just(event("e")), 1 => Just(report)], changes).prop_map(
        |(mut item, changes)| {
            for (name, value, how) in changes {
                let usage = item.get_mut("usage").and_then(Value::as_object_mut);
                match (how, usage) {
                    (0, _) => _ = item.as_object_mut().expect("an object").remove(name),
                    (1, Some(usage)) => _ = usage.insert(name.to_owned(), value),
                    _ => item[name] = value,
                }
            }
            item
        },
    )
}

/// A body of items in one of four forms.
fn body_of(items: &[Value], form: u8) -> Vec<u8> {
    let lines: Vec<String> = items.iter().map(Value::to_string).collect();
    match form {
        0 => lines.join("\n").into_bytes(),
        1 => lines.join("\r\n\r\n").into_bytes(),
        2 => serde_json::to_vec_pretty(items).expect("JSON"),
        _ => serde_json::to_vec(items).expect("JSON"),
    }
}

/// Changes, inserts or removes bytes, truncates the body or repeats a part.
fn damage(body: &mut Vec<u8>, faults: &[(Index, u8, u8)]) {
    for (at, byte, how) in faults {
        if body.is_empty() {
            return;
        }
        let at = at.index(body.len());
        match how {
            0 => body[at] = *byte,
            1 => body.insert(at, *byte),
            2 => _ = body.remove(at),
            3 => body.truncate(at),
            _ => body.extend_from_within(at..),
        }
    }
}

/// Sends bodies made from a strategy and checks every answer.
fn check_all<S: Strategy>(cases: u32, strategy: &S, body: impl Fn(S::Value) -> Vec<u8>) {
    let target = Target::new();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let checked = runner.run(strategy, |value| {
        target.check(&body(value));
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
    target.finish();
}

#[test]
fn random_bytes_get_an_allowed_answer() {
    let byte = prop_oneof![any::<u8>(), select(&b"[]{}\",:\\\n 01eE-.u\xed\xa0"[..])];
    check_all(1_500, &vec(byte, 0..200), |body| body);
}

#[test]
fn random_json_gets_an_answer_that_accounts_for_every_item() {
    let strategy = (vec(any_json(), 0..5), 0..4u8);
    check_all(1_000, &strategy, |(items, form)| body_of(&items, form));
}

#[test]
fn mutated_events_get_an_answer_that_accounts_for_every_item() {
    let strategy = (vec(mutated(), 1..5), 0..4u8);
    check_all(1_000, &strategy, |(items, form)| body_of(&items, form));
}

#[test]
fn damaged_bodies_of_events_get_an_allowed_answer() {
    let fault = (any::<Index>(), any::<u8>(), 0..5u8);
    let strategy = (vec(mutated(), 1..4), 0..4u8, vec(fault, 1..4));
    check_all(1_000, &strategy, |(items, form, faults)| {
        let mut body = body_of(&items, form);
        damage(&mut body, &faults);
        body
    });
}

/// Status and content of an answer, without positions in the log.
fn comparable(answer: &Answer) -> (u16, Value) {
    let mut value = answer.json();
    let object = value.as_object_mut().expect("an object");
    object.remove("position");
    object.remove("timestamp");
    (answer.status.as_u16(), value)
}

#[test]
fn compressed_body_gets_the_same_answer_as_the_plain_one() {
    let target = Target::new();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let fault = (any::<Index>(), any::<u8>(), 0..5u8);
    let strategy = (vec(mutated(), 1..5), 0..4u8, vec(fault, 0..2));
    let checked = runner.run(&strategy, |(items, form, faults)| {
        let mut body = body_of(&items, form);
        damage(&mut body, &faults);
        let plain = comparable(&target.check(&body));
        for (encoding, packed) in [("gzip", gzip(&body)), ("zstd", zstd(&body))] {
            prop_assert_eq!(&plain, &comparable(&target.check_as(encoding, packed, &body)));
        }
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
    target.finish();
}

#[test]
fn random_and_damaged_bytes_in_a_declared_encoding_get_an_allowed_answer() {
    let target = Target::new();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let fault = (any::<Index>(), any::<u8>(), 0..5u8);
    const BEGINNINGS: [&[u8]; 3] = [b"", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"];
    let beginning = select(&BEGINNINGS[..]);
    let noise = (beginning, vec(any::<u8>(), 0..80)).prop_map(|(a, b)| [a, &b[..]].concat());
    let packed = (vec(mutated(), 0..4), any::<bool>()).prop_map(|(items, is_gzip)| {
        let body = body_of(&items, 3);
        if is_gzip { gzip(&body) } else { zstd(&body) }
    });
    let strategy = (prop_oneof![1 => noise, 2 => packed], vec(fault, 0..4));
    let checked = runner.run(&strategy, |(mut packed, faults)| {
        damage(&mut packed, &faults);
        for encoding in ["gzip", "zstd"] {
            let request = post_as(encoding, packed.clone());
            let answer = target.runtime.block_on(target.running.ask(request));
            let status = answer.status.as_u16();
            prop_assert!([200, 400, 413, 422].contains(&status), "{}: {}", status, answer.text);
        }
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
    target.finish();
}

#[test]
fn item_oracle_counts_items() {
    for (body, expected) in [
        ("[]", Some(0)),
        (" [1,{},\"a\"] ", Some(3)),
        ("[1,", None),
        ("{\n}", Some(1)),
        ("{}\n\n{}\r\n", Some(2)),
        ("{broken", None),
        ("{}\n\u{c}\n{}", Some(3)),
    ] {
        assert_eq!(items(body.as_bytes()), expected, "{body}");
    }
}
