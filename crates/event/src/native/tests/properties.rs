//! Properties of `parse` over random bodies: it never panics, every item of a body is accounted
//! for, what was written is what is read, and the form of a body does not matter.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::*;
use crate::code::{ErrorType, Method, ServiceTier};
use crate::limits::{DURATION_US_MAX, TIME_US_MAX, TOKENS_MAX};
use crate::reject::REASONS;
use crate::text::{Part, Text};
use crate::usage::Usage;

type OwnedText = Option<Cow<'static, str>>;

/// Prompt text as the JSON of an event has it.
const TEXT: &str = r#"{"messages":[{"content":"hidden","role":"user"}],"output":"hidden"}"#;

/// Its parts.
fn text() -> Text<'static> {
    let mut text = Text::default();
    text.set(Part::Messages, r#"[{"content":"hidden","role":"user"}]"#);
    text.set(Part::Output, "\"hidden\"");
    text
}

fn some_text() -> impl Strategy<Value = OwnedText> {
    option::of("\\PC{1,40}").prop_map(|text| text.map(Cow::Owned))
}

fn usage() -> impl Strategy<Value = Usage> {
    let count = || option::of(0..=u32::try_from(TOKENS_MAX).expect("fits"));
    let usage = (count(), count(), count(), count(), count()).prop_map(
        |(input, cache_read, cache_write, output, reasoning)| Usage {
            input,
            cache_read: cache_read.map(|n| n.min(input.unwrap_or(0) / 2)),
            cache_write: cache_write.map(|n| n.min(input.unwrap_or(0) / 2)),
            output,
            reasoning: reasoning.map(|n| n.min(output.unwrap_or(0))),
        },
    );
    prop_oneof![Just(Usage::default()), usage]
}

/// Any valid event.
fn event() -> impl Strategy<Value = Event<'static>> {
    let names = (
        "[!-~ä-ü]{1,60}",
        "[a-zA-Z][a-zA-Z0-9_.:/-]{3,63}X",
        "\\PC{1,40}",
        "\\PC{1,40}",
        (some_text(), some_text(), some_text()),
        (some_text(), some_text(), some_text()),
    );
    let numbers = (
        0..=TIME_US_MAX,
        100..=599u16,
        0..=DURATION_US_MAX,
        option::of(0..=DURATION_US_MAX),
        any::<u16>(),
        option::of(any::<u64>()),
    );
    let words = (
        select(&Method::EACH[..7]),
        option::of(select(ErrorType::EACH)),
        select(ServiceTier::EACH),
        any::<bool>(),
        any::<bool>(),
    );
    (names, numbers, words, usage()).prop_map(|(names, numbers, words, usage)| {
        let (id, namespace, upstream, endpoint, texts, more_texts) = names;
        let (model, requested_model, request_id) = texts;
        let (consumer, producer, limited_by) = more_texts;
        let (time_us, status, duration_us, ttft_us, attempt, seq) = numbers;
        let (method, error_type, service_tier, stream, is_final) = words;
        Event {
            id: id.into(),
            // Whole numbers below 10^14 would be read as another unit.
            time_us: time_us.max(100_000_000_000_000),
            namespace: namespace[..namespace.len().min(64)].to_owned().into(),
            upstream: upstream.into(),
            model,
            requested_model,
            method,
            endpoint: endpoint.into(),
            status,
            duration_us,
            ttft_us,
            stream,
            usage,
            request_id: request_id.map(|id| id.chars().take(30).collect::<String>().into()),
            attempt,
            is_final,
            error_type,
            consumer,
            service_tier,
            producer,
            epoch: seq.map(|seq| seq / 3),
            seq,
            limited_by,
            text: text().lacking(&usage),
        }
    })
}

/// Milliseconds as JSON, exactly.
fn ms(us: u64) -> Value {
    let text = format!("{}.{:03}", us / 1_000, us % 1_000);
    serde_json::from_str(&text).expect("a decimal number")
}

/// An event as JSON.
fn to_json(event: &Event<'_>) -> Value {
    let usage = json!({
        "input_tokens": event.usage.input,
        "cache_read_tokens": event.usage.cache_read,
        "cache_write_tokens": event.usage.cache_write,
        "output_tokens": event.usage.output,
        "reasoning_tokens": event.usage.reasoning,
    });
    json!({
        "id": event.id,
        "time": event.time_us,
        "namespace": event.namespace,
        "upstream": event.upstream,
        "model": event.model,
        "requested_model": event.requested_model,
        "method": event.method.word(),
        "endpoint": event.endpoint,
        "status": event.status,
        "duration_ms": ms(event.duration_us),
        "ttft_ms": event.ttft_us.map(ms),
        "stream": event.stream,
        "usage": usage,
        "text": serde_json::from_str::<Value>(TEXT).expect("JSON"),
        "request_id": event.request_id,
        "attempt": event.attempt,
        "final": event.is_final,
        "error_type": event.error_type.map(ErrorType::word),
        "consumer": event.consumer,
        "service_tier": event.service_tier.word(),
        "producer": event.producer,
        "epoch": event.epoch,
        "seq": event.seq,
        "limited_by": event.limited_by,
    })
}

/// Any JSON, a few levels deep, with the names of real fields among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let key = || {
        const NAMES: &[&str] =
            &["id", "time", "kind", "usage", "input_tokens", "status", "text", "x"];
        prop_oneof![select(NAMES).prop_map(str::to_owned), "\\PC{0,8}"]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(20, 64, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An event with one field changed to anything or taken away, or anything at all.
fn item() -> impl Strategy<Value = Value> {
    let changed = (event(), any::<prop::sample::Index>(), option::of(any_json())).prop_map(
        |(event, place, value)| {
            let Value::Object(mut fields) = to_json(&event) else { return Value::Null };
            let name = fields.keys().nth(place.index(fields.len())).cloned().unwrap_or_default();
            match value {
                Some(value) => fields.insert(name, value),
                None => fields.remove(&name),
            };
            Value::Object(fields)
        },
    );
    prop_oneof![2 => event().prop_map(|event| to_json(&event)), 4 => changed, 1 => any_json()]
}

/// Every item of the body is in one list, in order; every reject uses the known words.
fn check_account(batch: &Batch<'_>) -> Result<(), TestCaseError> {
    let mut indexes: Vec<usize> = batch.events.iter().map(|(index, _)| *index).collect();
    indexes.extend(batch.connections.iter().map(|(index, _)| *index));
    indexes.extend(batch.rejects.iter().map(|reject| reject.index));
    indexes.sort_unstable();
    prop_assert_eq!(indexes, (0..batch.n_items).collect::<Vec<_>>());
    for reject in &batch.rejects {
        prop_assert!(REASONS.contains(&reject.kind));
        prop_assert!(reject.id.as_ref().is_none_or(|id| id.len() <= ID_BYTES_MAX));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = parse(&body) {
            check_account(&batch)?;
        }
    }

    #[test]
    fn any_text_of_json_signs_is_read_or_refused(
        body in "[\\[\\]{}:,\"\\\\ \n0-9a-f.eE+-]{0,60}",
        before in select(&["", "[", "{", "[{\"id\":"][..]),
    ) {
        if let Ok(batch) = parse(format!("{before}{body}").as_bytes()) {
            check_account(&batch)?;
        }
    }

    #[test]
    fn any_json_is_read_and_accounted_for(value in any_json()) {
        let body = value.to_string();
        let batch = parse(body.as_bytes());
        prop_assert!(batch.is_ok(), "{}", body);
        check_account(&batch.expect("checked above"))?;
    }

    #[test]
    fn spoiled_bodies_are_read_or_refused(
        items in vec(item(), 1..4),
        spoils in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let array = Value::from(items.clone()).to_string().into_bytes();
        let lines: Vec<String> = items.iter().map(Value::to_string).collect();
        for mut body in [array, lines.join("\n").into_bytes()] {
            for (place, byte) in &spoils {
                let place = place.index(body.len());
                body[place] = *byte;
            }
            for body in [&body[..], &body[..end.index(body.len())]] {
                if let Ok(batch) = parse(body) {
                    check_account(&batch)?;
                }
            }
        }
    }

    #[test]
    fn what_was_written_is_what_is_read(event in event()) {
        let body = to_json(&event).to_string();
        let batch = parse(body.as_bytes());
        prop_assert!(batch.is_ok());
        let batch = batch.expect("checked above");
        prop_assert_eq!(&batch.rejects, &[], "{}", body);
        prop_assert_eq!(batch.events, vec![(0, event)]);
    }

    #[test]
    fn form_of_a_body_does_not_matter(items in vec(item(), 2..6)) {
        let body = Value::from(items.clone()).to_string();
        let mut lines = String::new();
        for item in &items {
            writeln!(lines, "{item}").expect("a string takes everything");
        }
        let array = parse(body.as_bytes()).expect("an array");
        check_account(&array)?;
        let mut alone = parse(b"[]").expect("an array");
        let bodies: Vec<String> = items.iter().map(Value::to_string).collect();
        for body in &bodies {
            // An item that is itself an array would be a body of several.
            let mut one = if body.starts_with('[') {
                parse(b"0").expect("a value that is not an object")
            } else {
                parse(body.as_bytes()).expect("one value")
            };
            let index = alone.n_items;
            alone.events.extend(one.events.drain(..).map(|(_, event)| (index, event)));
            alone.connections.extend(one.connections.drain(..).map(|(_, c)| (index, c)));
            alone.rejects.extend(one.rejects.drain(..).map(|reject| Reject { index, ..reject }));
            alone.n_items += one.n_items;
        }
        prop_assert_eq!(&array, &alone);
        let delimited = parse_by_serde(body.as_bytes()).expect("an array");
        prop_assert_eq!(&array, &delimited);
        if items.iter().any(Value::is_object) && !lines.starts_with('[') {
            let ndjson = parse(lines.as_bytes()).expect("lines");
            prop_assert_eq!(ndjson.form, Form::Ndjson);
            prop_assert_eq!(&array, &Batch { form: Form::Array, ..ndjson });
        }
    }
}
