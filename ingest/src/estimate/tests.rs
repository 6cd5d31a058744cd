//! Unit tests of `estimate`.

use event::native::parse;
use serde_json::json;

use super::*;

/// Never reached: a busy machine must not turn a count into a guess.
const LONG: Duration = Duration::from_secs(600);

/// The job for an event with this usage and text. Returns `None` if there is nothing to count.
fn job(usage: &str, text: &str) -> Option<Job> {
    let mut body = json!({"id": "e", "time": 1_769_862_896, "namespace": "a", "upstream": "u",
        "method": "POST", "endpoint": "/v1/x", "status": 200, "duration_ms": 1})
    .to_string();
    body.truncate(body.len() - 1);
    body += &format!(",\"usage\":{usage},\"text\":{text}}}");
    let batch = parse(body.as_bytes()).expect("a body");
    let event = &batch.events[0].1;
    let parts = event.text?.parts().map(|(part, json)| (part, json.to_owned())).collect();
    Some(Job { at: 0, encoding: Encoding::O200kBase, reported: event.usage, parts })
}

#[track_caller]
fn check(text: &str, input: Option<u64>, output: Option<u64>, is_exact: bool) {
    let counted = job("null", text).map(|job| count(&job, LONG)).unwrap_or_default();
    let found = (counted.input, counted.output, counted.is_exact());
    assert_eq!(found, (input, output, is_exact), "{text:.60}");
}

#[test]
fn prompts_and_outputs_are_counted_and_a_missing_side_stays_none() {
    check(r#"{"input":"hello world","output":"hello"}"#, Some(2), Some(1), true);
    check(r#"{"prompt":"hello world","output":null}"#, Some(2), None, true);
    check(r#"{"messages":[{"role":"user","content":"hello world"}]}"#, Some(9), None, true);
    check(r#"{"output":""}"#, None, Some(0), true);
    check(r#"{"other":"hello"}"#, None, None, true);
    check(r#"{"system":"hello world","input":"hello"}"#, Some(7), None, true);
    check(r#"{"instructions":"hello world","input":"hello"}"#, Some(7), None, true);
    check(r#"{"reasoning":"hello world","output":"hello"}"#, None, Some(3), true);
    check(r#"{"reasoning":{"effort":"high"}}"#, None, None, true);
    check(r#"{"tool_calls":[{"name":"hello","arguments":"world"}]}"#, None, Some(3), true);
    check(r#"{"messages":[{"content":[{"image_url":"x"}]}]}"#, Some(6), None, false);
}

#[test]
fn texts_that_are_malformed_too_long_or_out_of_time_are_guessed_on_their_own_side() {
    let broken = r#""\ud83d long enough""#;
    let n_guessed = by_length_of_json(broken);
    check(&format!("{{\"input\":{broken}}}"), Some(n_guessed), None, false);
    let text = format!("{{\"input\":\"hello world\",\"output\":{broken}}}");
    check(&text, Some(2), Some(n_guessed), false);
    let large = format!("\"{}\"", "x".repeat(TEXT_BYTES_MAX));
    let text = format!("{{\"output\":{large}}}");
    check(&text, None, Some(by_length_of_json(&large)), false);
    let job = job("null", r#"{"input":"hello","reasoning":"why"}"#).expect("a job");
    let guessed = count(&job, Duration::ZERO);
    assert!(!guessed.is_exact() && guessed.input.is_some());
    assert_eq!((guessed.output, guessed.reasoning), (Some(2), Some(2)));
}

#[test]
fn reported_side_keeps_its_numbers_and_the_other_is_counted() {
    let text = r#"{"input":"hello world","output":"hello","reasoning":"hello world"}"#;
    let of = |usage: &str| {
        let job = job(usage, text)?;
        completed(job.reported, &count(&job, LONG))
    };
    let usage =
        |input, output, reasoning| Some(Usage { input, output, reasoning, ..Usage::default() });
    assert_eq!(of("null"), usage(Some(2), Some(3), Some(2)));
    assert_eq!(of(r#"{"input_tokens":700}"#), usage(Some(700), Some(3), Some(2)));
    assert_eq!(of(r#"{"output_tokens":0}"#), usage(Some(2), Some(0), None));
    assert_eq!(of(r#"{"input_tokens":0,"output_tokens":9}"#), None);
    let cached = of(r#"{"input_tokens":700,"cache_read_tokens":600}"#).expect("a count");
    assert_eq!((cached.input, cached.cache_read), (Some(700), Some(600)));
    assert_eq!(job(r#"{"input_tokens":7}"#, r#"{"input":"hello"}"#).map(|_| ()), None);
}
