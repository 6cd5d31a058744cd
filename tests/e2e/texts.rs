//! Events whose upstream reported no usage: their tokens are counted from the text, once, and the
//! text goes nowhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gatemeter::{Answer, Place, post};
use crate::totals::event;

/// What no file may hold.
const PLANTED: &str = "planted phrase of a prompt";

/// An event without usage, with this text.
fn texted(id: &str, text: &Value) -> Value {
    let mut event = event(id, "wechat");
    event["usage"] = Value::Null;
    event["text"] = text.clone();
    event
}

fn send(place: &Place, events: &[Value]) -> Answer {
    let body = serde_json::to_vec(events).expect("JSON");
    let answer = post(place.ingest, "/v1/events", &[], &body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn tokens(place: &Place, class: &str) -> i64 {
    place.sum(&format!(
        "gatemeter_tokens_total{{namespace=\"wechat\",upstream=\"openai\",model=\"gpt-4o\",\
         class=\"{class}\",source=\"estimated\"}}"
    ))
}

#[test]
fn tokens_that_nobody_reported_are_counted_from_the_text_which_goes_nowhere() {
    let place = Place::new();
    let mut running = place.start();
    let ask = format!("hello world, {PLANTED}");
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": ask}]});
    let reply = post(place.api, "/api/tokens/count", &[], body.to_string().as_bytes());
    let reply: Value = serde_json::from_str(&reply.expect("an answer").body).expect("JSON");
    let n_input = reply["data"]["input_tokens"].as_i64().expect("a count");
    assert!(n_input > 10, "{reply}");

    let text = json!({"messages": [{"role": "user", "content": ask}], "output": "hello world"});
    let events: Vec<Value> = (0..50).map(|n| texted(&format!("t-{n}"), &text)).collect();
    send(&place, &events);
    // Delivered again, reported all the same, late, and with nothing to count.
    send(&place, &events);
    let mut reported = texted("reported", &text);
    reported["usage"] = json!({"input_tokens": 7, "output_tokens": 0});
    let mut late = texted("late", &text);
    late["time"] = json!(1_700_000_000);
    send(&place, &[reported, late, texted("nothing", &json!({"other": PLANTED}))]);
    place.wait_events("counted", 52);
    place.wait_events("duplicate", 50);
    place.wait_events("late", 1);
    place.recount();
    assert_eq!(tokens(&place, "input_uncached"), 50 * n_input);
    assert_eq!(tokens(&place, "output_text"), 50 * 2);
    let answer = place.api("/api/metrics/namespaces/wechat/tokens?timeRange=all");
    let totals = &answer["totals"];
    assert_eq!(totals["input"], 50 * n_input + 7);
    assert_eq!(totals["output"], 100);
    assert_eq!(totals["estimated"], 50 * (n_input + 2));

    hostile_texts_cost_a_second_and_others_nothing(&place);
    let end = tokens(&place, "input_uncached");
    let (status, _) = running.terminate();
    assert!(status.success());
    assert_nowhere(&place);
    let _running = place.start();
    place.wait_events("counted", 52 + 4 + 100);
    assert_eq!(tokens(&place, "input_uncached"), end, "counted once, whatever restarts");
    place.recount();
}

/// A text that has the phrase in each of its parts.
fn planted_everywhere() -> Value {
    let schema = json!({"type": "object", "description": PLANTED,
        "properties": {PLANTED: {"type": "array", "items": {"enum": [PLANTED]}}}});
    json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": PLANTED},
            {"type": "image_url", "image_url": {"url": format!("data:,{PLANTED}")}}]}],
        "input": [PLANTED, {"type": "function_call_output", "output": PLANTED}],
        "system": [{"type": "text", "text": PLANTED}],
        "instructions": PLANTED,
        "tools": [{"name": PLANTED, "description": PLANTED, "input_schema": schema}],
        "response_format": {"type": "json_schema",
            "json_schema": {"name": PLANTED, "schema": schema}},
        "output": [PLANTED, {"content": [{"type": "text", "text": PLANTED}]}],
        "reasoning": [PLANTED],
        "tool_calls": [{"function": {"name": PLANTED, "arguments": PLANTED}}],
        PLANTED: PLANTED,
    })
}

/// One side was reported, the other is counted from every part; none of them goes anywhere, be the
/// event counted, late or refused.
#[test]
fn half_a_usage_is_completed_from_every_part_of_a_text_and_no_part_goes_anywhere() {
    let place = Place::new();
    let mut running = place.start();
    let text = planted_everywhere();
    let mut body = text.clone();
    body["model"] = json!("gpt-4o");
    let reply = post(place.api, "/api/tokens/count", &[], body.to_string().as_bytes());
    let reply: Value = serde_json::from_str(&reply.expect("an answer").body).expect("JSON");
    let count = |name: &str| reply["data"][name].as_i64().expect("a count");
    let (n_input, n_output, n_reasoning) =
        (count("input_tokens"), count("output_tokens"), count("reasoning_tokens"));
    assert!(n_input > 50 && n_output > 15 && n_reasoning > 4, "{reply}");
    assert_eq!(reply["data"]["exact"], false, "{reply}");

    let mut half_of_input = texted("input-reported", &text);
    half_of_input["usage"] = json!({"input_tokens": 700, "cache_read_tokens": 600});
    let mut half_of_output = texted("output-reported", &text);
    half_of_output["usage"] = json!({"output_tokens": 0});
    let halves = [half_of_input, half_of_output];
    send(&place, &halves);
    send(&place, &halves);
    let mut late = texted("late", &text);
    late["time"] = json!(1_700_000_000);
    send(&place, &[late]);
    let mut bad = texted("bad", &text);
    bad["status"] = json!(PLANTED);
    let twice = json!(texted("twice", &text)).to_string().replacen(
        "\"text\":{",
        &format!("\"text\":{{\"output\":\"{PLANTED}\","),
        1,
    );
    for body in [bad.to_string(), twice, format!("{{\"text\":{{\"input\":\"{PLANTED}")] {
        let answer = post(place.ingest, "/v1/events", &[], body.as_bytes()).expect("an answer");
        assert!([400, 422].contains(&answer.status), "{}", answer.body);
        assert!(!answer.body.contains(PLANTED), "{}", answer.body);
    }
    place.wait_events("counted", 2);
    place.wait_events("duplicate", 2);
    place.wait_events("late", 1);
    place.recount();
    for (class, n_tokens) in [
        ("input_uncached", 100 + n_input),
        ("input_cache_read", 600),
        ("output_text", n_output - n_reasoning),
        ("output_reasoning", n_reasoning),
    ] {
        assert_eq!(tokens(&place, class), n_tokens, "{class}");
    }
    assert_eq!(place.sum("gatemeter_conflicts_total"), 0, "a copy is a copy");
    let (status, _) = running.terminate();
    assert!(status.success());
    assert_nowhere(&place);
}

/// Four texts of a megabyte that tokenizers choke on, while plain events come and go.
fn hostile_texts_cost_a_second_and_others_nothing(place: &Place) {
    let hostile = [" ", "a", "\u{8bed}", "\u{300}"].map(|unit| {
        let input = format!("{PLANTED}{}", unit.repeat(1_000_000 / unit.len()));
        texted(&format!("hostile-{}", unit.escape_unicode()), &json!({"input": input}))
    });
    std::thread::scope(|scope| {
        let sending: Vec<_> = hostile
            .iter()
            .map(|event| {
                scope.spawn(|| {
                    let began = Instant::now();
                    send(place, std::slice::from_ref(event));
                    began.elapsed()
                })
            })
            .collect();
        for n in 0..100 {
            send(place, &[event(&format!("plain-{n}"), "wechat")]);
        }
        for one in sending {
            let took = one.join().expect("it is taken");
            assert!(took < Duration::from_secs(9), "below the limit of ingest: {took:?}");
        }
    });
    place.wait_events("counted", 52 + 4 + 100);
    place.recount();
}

/// Checks every file of the data directory, and what the process said.
fn assert_nowhere(place: &Place) {
    let has = |bytes: &[u8]| bytes.windows(PLANTED.len()).any(|at| at == PLANTED.as_bytes());
    let mut n_files = 0;
    for entry in std::fs::read_dir(place.data()).expect("a folder").flatten() {
        let bytes = std::fs::read(entry.path()).expect("a file");
        assert!(!has(&bytes), "{} has text of a prompt", entry.path().display());
        n_files += 1;
    }
    assert!(n_files >= 2, "log and ledger were looked at");
    assert!(!has(place.log().as_bytes()), "text of a prompt was logged");
}
