//! What reading an ordinary body allocates: room for its events, and nothing per event.

use super::*;

const N_EVENTS: usize = 500;

/// Events as a gateway sends them, each with an id of its own.
fn events(text: &str) -> Vec<String> {
    let event = |n: usize| {
        format!(
            r#"{{"id":"evt-{n:016x}","time":1769862896123456,"namespace":"team-07",
                "upstream":"openai","model":"gpt-4o-mini","requested_model":"gpt-4o",
                "method":"POST","endpoint":"/v1/chat/completions","status":200,
                "duration_ms":1534.2,"ttft_ms":120.5,"stream":true,{text}
                "request_id":"req-{n:016x}","attempt":0,"final":true,"consumer":"käthe",
                "seq":{n}}}"#
        )
    };
    (0..N_EVENTS).map(|n| event(n).replace('\n', " ")).collect()
}

/// Checks how often reading a body allocates.
#[track_caller]
fn check_count(body: &str, form: Form, count_max: u64) {
    let mut n_events = 0;
    let found = allocation_counter::measure(|| {
        let batch = parse(body.as_bytes()).expect("a readable body");
        assert_eq!(batch.form, form);
        n_events = batch.events.len();
    });
    assert_eq!(n_events, N_EVENTS);
    assert!(found.count_total <= count_max, "{} allocations", found.count_total);
}

#[test]
fn ordinary_body_allocates_the_room_for_its_events_alone() {
    let usage = r#""usage":{"input_tokens":1500,"cache_read_tokens":64,"output_tokens":300},"#;
    let text = r#""text":{"messages":[{"role":"user","content":"a \"b\"\n"}],"output":"ä"},"#;
    for part in [usage, text] {
        let events = events(part);
        check_count(&format!("[{}]", events.join(",")), Form::Array, 1);
        check_count(&events.join("\n"), Form::Ndjson, 1);
    }
}

#[test]
fn body_of_short_events_allocates_more_room_a_few_times() {
    let events: Vec<String> =
        (0..N_EVENTS).map(|n| event_with(&[("id", &format!("\"{n}\""))])).collect();
    // The room doubles: from what events of the usual length need, once is enough.
    check_count(&format!("[{}]", events.join(",")), Form::Array, 2);
}

#[test]
fn bodies_of_one_event_share_the_room_of_a_list() {
    let bodies = events(r#""usage":{"input_tokens":1500,"output_tokens":300},"#);
    let n_bytes = bodies.iter().map(String::len).sum();
    let mut events = Vec::with_capacity(n_events_likely(n_bytes));
    let found = allocation_counter::measure(|| {
        for body in &bodies {
            let rest = parse_onto(body.as_bytes(), &mut events).expect("a readable body");
            assert_eq!((rest.n_events, rest.n_items, rest.form), (1, 1, Form::Object));
        }
    });
    assert_eq!((events.len(), found.count_total), (N_EVENTS, 0));
}
