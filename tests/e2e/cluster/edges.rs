//! The largest and the smallest numbers, numbers out of range, and ids that stand for two things.

use clock::Wall;
use event::frame::{FrameBuilder, Stamp};
use event::{Facts, Labels, Method, Outcome, ServiceTier, Usage, UsageSource};
use queue::Append;
use serde_json::{Value, json};

use super::strangers::{append, keys_of};
use crate::gatemeter::{post, wait_for};
use crate::stack::{Books, Stack};

/// Most tokens of a class of an event.
const TOKENS_MAX: i64 = 1_000_000_000;
/// Longest duration of an event, milliseconds.
const DURATION_MAX_MS: i64 = 86_400_000;
/// Extreme events: enough for every partition.
const EVENTS: i64 = 60;

pub fn extreme_numbers_are_exact_and_contradictions_are_kept(stack: &Stack, books: &mut Books) {
    let now_us = Wall::now().as_us();
    let event = |n: i64, input: i64| {
        json!({
            "id": format!("edge-{n}"), "time": now_us, "namespace": "edges",
            "upstream": "openai", "model": "gpt-4o", "method": "POST",
            "endpoint": "/v1/chat/completions", "status": 200,
            "duration_ms": if n % 2 == 0 { 0 } else { DURATION_MAX_MS },
            "usage": {"input_tokens": input, "output_tokens": TOKENS_MAX},
        })
    };
    let send = |events: Vec<Value>, status: u16| {
        let body = Value::from(events).to_string();
        let answer = post(stack.port("ingest"), "/v1/events", &[], body.as_bytes());
        let answer = answer.expect("ingest answers");
        assert_eq!(answer.status, status, "{}", answer.body);
        answer.body
    };
    send((0..EVENTS).map(|n| event(n, TOKENS_MAX)).collect(), 200);
    books.counted += EVENTS;
    books.requests += EVENTS;
    books.input += EVENTS * TOKENS_MAX;
    books.output += EVENTS * TOKENS_MAX;
    stack.settle("the largest numbers of tokens", books);
    let refused = send(vec![event(1_000, TOKENS_MAX + 1)], 422);
    assert!(refused.contains("input_tokens"), "{refused}");

    let (duplicate, conflicts) = (stack.events("duplicate"), stack.shown(CONFLICTS));
    send((0..EVENTS).map(|n| event(n, n)).collect(), 200);
    wait_for("copies are recognised", || stack.events("duplicate") == duplicate + EVENTS);
    let expected = conflicts.map(|before| before + EVENTS);
    assert_eq!(stack.shown(CONFLICTS), expected, "what contradicts is kept");
    stack.settle("ids that stand for two things", books);

    let poison = stack.events("poison");
    let records = (0..6).map(|partition| {
        let bytes = out_of_range(partition).into();
        Append { partition, bytes }
    });
    append(stack, records.collect());
    wait_for("what is out of range is poison", || stack.events("poison") == poison + 6);
    stack.settle("numbers out of range", books);
}

const CONFLICTS: &str = "gatemeter_conflicts_total";

/// A whole frame of an event that lasted for longer than any may.
fn out_of_range(partition: u32) -> Vec<u8> {
    let labels = Labels {
        status: 200,
        method: Method::Post,
        outcome: Outcome::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        namespace: "edges",
        upstream: "openai",
        model: "gpt-4o",
        endpoint: "/v1/chat/completions",
        limited_by: None,
        stream: false,
        requested_model: None,
        consumer: None,
    };
    let facts = Facts {
        key: keys_of(partition, 1)[0],
        time_us: Wall::now().as_us(),
        duration_us: u64::MAX,
        ttft_us: None,
        usage: Usage { input: Some(u32::MAX), output: Some(1), ..Usage::default() },
        cost_nano: None,
        attempt: 0,
        fingerprint: 1,
    };
    let mut builder = FrameBuilder::default();
    builder.push(&labels, &facts).expect("a frame has room");
    builder.encode(Stamp { ingest_us: Wall::now().as_us(), ..Stamp::default() })
}
