//! The scanner against serde: both ways of reading a body must say the same of it, and ordinary
//! events must go the quick way.

use proptest::collection::vec;
use proptest::prelude::*;

use super::choices::Choices;
use super::*;
use crate::native::item::N_READ;

/// Where a text begins in memory and whether it is borrowed from the body.
fn places<'a>(batch: &'a Batch<'_>) -> impl Iterator<Item = (Option<*const u8>, bool)> + 'a {
    batch.events.iter().flat_map(|(_, event)| {
        let parts = event.text.into_iter().flat_map(Text::parts);
        let parts = parts.map(|(_, json)| (Some(json.as_ptr()), true));
        let texts = [Some(&event.id), event.model.as_ref(), event.consumer.as_ref()];
        parts.chain(texts.into_iter().flatten().map(|text| match text {
            Cow::Borrowed(text) => (Some(text.as_ptr()), true),
            Cow::Owned(_) => (None, false),
        }))
    })
}

/// Whether both ways say the same: events, connections, rejects or the error, and where the texts
/// and the parts of a prompt are.
fn agree(body: &[u8]) -> bool {
    let (scanned, by_serde) = (parse(body), parse_by_serde(body));
    scanned == by_serde
        && match (&scanned, &by_serde) {
            (Ok(scanned), Ok(by_serde)) => places(scanned).eq(places(by_serde)),
            _ => true,
        }
}

/// How many items of a body serde had to read.
#[track_caller]
fn n_read_by_serde(body: &str, form: Form, n_events: usize) -> usize {
    let before = N_READ.get();
    let batch = parse(body.as_bytes()).expect("a readable body");
    let found = batch.events.len() + batch.connections.len();
    assert_eq!((batch.form, found, batch.n_items), (form, n_events, n_events), "{body}");
    N_READ.get() - before
}

/// Choices that a seed stands for (SplitMix64).
fn choices_of(seed: u64, choices: &mut [u8]) {
    let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95);
    for chunk in choices.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
    }
}

/// `EVENT_BODIES` says how many bodies; by hand, in release, 10 million before a change is taken.
/// `EVENT_FIRST_SEED` is where they begin.
#[test]
fn scanner_and_serde_agree_on_bodies_of_many_seeds() {
    let of_env = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let n_bodies = of_env("EVENT_BODIES").unwrap_or(10_000);
    let first = of_env("EVENT_FIRST_SEED").unwrap_or(0);
    let mut choices = [0; 1_024];
    // Items in bodies that are readable, events among them, and items that serde had to read.
    let (mut n_items, mut n_events, mut n_bad) = (0, 0, 0);
    for seed in first..first + n_bodies {
        choices_of(seed, &mut choices);
        let body = Choices::new(&choices).body();
        assert!(agree(&body), "seed {seed}: {}", String::from_utf8_lossy(&body));
        match parse(&body) {
            Ok(batch) => {
                n_items += batch.n_items;
                n_events += batch.events.len();
            }
            Err(_) => n_bad += 1,
        }
    }
    println!("{n_bodies} bodies: {n_bad} not readable, {n_items} items, {n_events} events");
    // Bodies that are never read would show nothing, and neither would bodies that always are.
    assert!(n_events as u64 > n_bodies / 4 && n_bad as u64 > n_bodies / 20);
}

proptest! {
    /// A body that cannot be read appends no event, however many were read before its fault.
    #[test]
    fn a_list_gets_the_events_of_each_body_alone(
        choices in vec(vec(any::<u8>(), 0..300), 0..8),
    ) {
        let bodies: Vec<Vec<u8>> =
            choices.iter().map(|choices| Choices::new(choices).body()).collect();
        let mut events = Vec::new();
        for body in &bodies {
            let before = events.clone();
            let rest = parse_onto(body, &mut events);
            prop_assert_eq!(&events[..before.len()], before.as_slice());
            let of_body = events[before.len()..].to_vec();
            match rest {
                Ok(rest) => {
                    prop_assert_eq!(rest.n_events, of_body.len());
                    prop_assert_eq!(Ok(Batch::new(of_body, rest)), parse(body));
                }
                Err(error) => {
                    prop_assert!(of_body.is_empty());
                    prop_assert_eq!(Err(error), parse(body));
                }
            }
        }
    }

    #[test]
    fn scanner_and_serde_agree_on_any_body(choices in vec(any::<u8>(), 0..900)) {
        let body = Choices::new(&choices).body();
        prop_assert!(agree(&body), "{}", String::from_utf8_lossy(&body));
    }
}

/// Ordinary events: the examples of docs/events.md, every field, every way to write a value.
fn ordinary() -> Vec<String> {
    let mut events = vec![
        event_with(&[]),
        r#"{"id":"demo-1","time":1769862896,"namespace":"wechat","upstream":"openai",
           "model":"gpt-4o","method":"POST","endpoint":"/v1/chat/completions",
           "status":200,"duration_ms":1534.2,
           "usage":{"input_tokens":1500,"output_tokens":300}}"#
            .replace('\n', " "),
        r#"{"kind": "connections", "namespace": "wechat", "gateway": "gw-1", "active": 42,
           "time": 1769862896}"#
            .replace('\n', " "),
        // As an encoder sorts it, with fields of its own.
        r#"{"attempt":0,"consumer":"käthe","duration_ms":12.5,"endpoint":"/v1/x","extra":{"a":
           ["\ud800\n",-1e999,{"b":null}],"c":{}},"final":true,"id":"e","method":"get",
           "namespace":"n","seq":18446744073709551615,"status":2e2,"stream":false,"text":{"input":
           "a \"b\"","output":[{"text":"\u00e4"}],"other":1},"time":1769862896.25,
           "trace":"00-\u0061","ttft_ms":0.5,"upstream":"u","usage":{"input_tokens":12.0,
           "output_tokens":1.2e1,"audio_tokens":[1],"details":{"x":-1}}}"#
            .replace('\n', " "),
    ];
    for (name, values) in [
        ("time", &["1769862896123", "1769862896123456", "\"2026-01-31T20:34:56+08:00\""][..]),
        ("kind", &["\"event\"", "null"]),
        ("model", &["\"gpt-4o\"", "\"\"", "null"]),
        ("requested_model", &["\"gpt\"", "null"]),
        ("ttft_ms", &["12", "12.3456", "null"]),
        ("stream", &["true", "false", "null"]),
        ("usage", &["{}", "null", r#"{"input_tokens":null}"#]),
        ("text", &["{}", "null", r#"{"messages":[{"role":"user","content":"a\n\ud83d"}]}"#]),
        ("request_id", &["\"r\"", "null"]),
        ("attempt", &["3", "null"]),
        ("final", &["false", "null"]),
        ("error_type", &["\"timeout\"", "null"]),
        ("consumer", &["\"käthe\"", "null"]),
        ("service_tier", &["\"batch\"", "null"]),
        ("producer", &["\"w1\"", "null"]),
        ("epoch", &["1769862000123", "null"]),
        ("seq", &["0", "null"]),
        ("limited_by", &["\"token_limit\"", "null"]),
        ("unknown", &["\"a\\u0062\"", "-1.5e-3", "[[[[]]]]", "true", "null"]),
    ] {
        events.extend(values.iter().map(|value| event_with(&[(name, value)])));
    }
    events
}

#[test]
fn ordinary_events_are_read_without_serde_in_every_form() {
    let mut events = ordinary();
    let n = events.len();
    for event in &events {
        let pretty = event.replace(',', ",\r\n\t").replace('{', "{\r\n\t").replace('}', "\n}");
        for body in [event.clone(), format!("\u{feff} \r\n{event}\r\n"), pretty] {
            assert_eq!(n_read_by_serde(&body, Form::Object, 1), 0, "{body}");
        }
    }
    for separator in [",", " ,\r\n "] {
        let body = format!(" [ {} ] \n", events.join(separator));
        assert_eq!(n_read_by_serde(&body, Form::Array, n), 0);
    }
    for separator in ["\n", " \r\n\r\n\t", "\n \n"] {
        let body = format!("{}{separator}", events.join(separator));
        assert_eq!(n_read_by_serde(&body, Form::Ndjson, n), 0);
    }
    assert_eq!(n_read_by_serde("[]", Form::Array, 0), 0);
    // One that is not ordinary is read by serde, and only that one.
    events.insert(n / 2, event_with(&[("model", "\"a\\/b\"")]));
    assert_eq!(n_read_by_serde(&format!("[{}]", events.join(",")), Form::Array, n + 1), 1);
    assert_eq!(n_read_by_serde(&events.join("\n"), Form::Ndjson, n + 1), 1);
}
