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
    let told = post(place.api, "/api/tokens/count", &[], body.to_string().as_bytes());
    let told: Value = serde_json::from_str(&told.expect("an answer").body).expect("JSON");
    let n_input = told["data"]["input_tokens"].as_i64().expect("a count");
    assert!(n_input > 10, "{told}");

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
