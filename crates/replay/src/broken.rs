//! Malformed events: a good one with exactly one fault that the event contract forbids.
//!
//! The facts of a good event go in, the JSON of a broken one comes out. It stays a JSON object, so
//! that it spoils itself and never the batch around it.

use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

use crate::item::Facts;

type Fault = fn(&mut Map<String, Value>);

/// Every fault with its name.
pub const FAULTS: [(&str, Fault); 16] = [
    ("id missing", |event| remove(event, "id")),
    ("id empty", |event| set(event, "id", json!(""))),
    ("id too long", |event| set(event, "id", json!("x".repeat(129)))),
    ("time missing", |event| remove(event, "time")),
    ("time unreadable", |event| set(event, "time", json!("yesterday"))),
    ("namespace missing", |event| remove(event, "namespace")),
    ("namespace with forbidden letters", |event| set(event, "namespace", json!("9 bad\"name"))),
    ("namespace reserved", |event| set(event, "namespace", json!("all"))),
    ("namespace too long", |event| set(event, "namespace", json!("n".repeat(65)))),
    ("status missing", |event| remove(event, "status")),
    ("status out of range", |event| set(event, "status", json!(700))),
    ("duration negative", |event| set(event, "duration_ms", json!(-1))),
    ("duration of a wrong type", |event| set(event, "duration_ms", json!("fast"))),
    ("cache above input", |event| {
        set(event, "usage", json!({"input_tokens": 5, "cache_read_tokens": 6, "output_tokens": 1}));
    }),
    ("reasoning above output", |event| {
        set(event, "usage", json!({"input_tokens": 5, "output_tokens": 1, "reasoning_tokens": 2}));
    }),
    ("tokens negative", |event| {
        set(event, "usage", json!({"input_tokens": -5, "output_tokens": 1}));
    }),
];

/// The event `facts` under `id` and `time_us`, with one fault drawn from `rng`.
pub fn render_broken(facts: &Facts, id: &str, time_us: i64, rng: &mut impl Rng) -> String {
    let (_, fault) = FAULTS[rng.random_range(0..FAULTS.len())];
    break_with(fault, &facts.render_alone(id, time_us))
}

fn break_with(fault: Fault, text: &str) -> String {
    let mut event: Map<String, Value> =
        serde_json::from_str(text).expect("a rendered event is a JSON object");
    fault(&mut event);
    Value::Object(event).to_string()
}

fn remove(event: &mut Map<String, Value>, name: &str) {
    event.remove(name);
}

fn set(event: &mut Map<String, Value>, name: &str, value: Value) {
    event.insert(name.to_string(), value);
}
