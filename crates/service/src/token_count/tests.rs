//! Unit tests of `token_count`.

use axum::response::Response;
use http::{Request as HttpRequest, header};
use serde_json::json;
use tower::ServiceExt as _;

use super::*;
use crate::auth::{Verifier, hash_key};

async fn ask(router: &Router, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = HttpRequest::post("/api/tokens/count").body(body.into()).expect("a request");
    read(router.clone().oneshot(request).await.expect("an answer")).await
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn tokens_of_a_chat_a_prompt_and_an_answer_are_counted() {
    let router = routes(&Access::Dev);
    let chat = json!({"model": "gpt-4o", "temperature": 1,
        "messages": [{"role": "user", "content": "hello world"}]});
    let (status, answer) = ask(&router, chat.to_string()).await;
    // 3 around the message, one of the role, two of the text, 3 that begin the answer.
    let expected = json!({"model": "gpt-4o", "encoding": "o200k_base", "basis": "published",
        "input_tokens": 9, "output_tokens": null, "reasoning_tokens": null, "exact": true,
        "reason": null, "source": "estimated"});
    assert_eq!((status, &answer["data"]), (StatusCode::OK, &expected));
    for (body, input, output) in [
        (json!({"model": "claude", "input": "hello world"}), json!(2), json!(null)),
        (json!({"encoding": "cl100k_base", "text": "hello world"}), json!(2), json!(null)),
        (json!({"model": "gpt-4", "output": "hello"}), json!(null), json!(1)),
    ] {
        let (status, answer) = ask(&router, body.to_string()).await;
        let data = &answer["data"];
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!((&data["input_tokens"], &data["output_tokens"]), (&input, &output));
    }
}

#[tokio::test]
async fn every_part_is_counted_and_what_makes_a_count_inexact_is_told() {
    let router = routes(&Access::Dev);
    let of = async |body: Value| ask(&router, body.to_string()).await.1["data"].clone();
    let whole = of(json!({"model": "gpt-4o", "system": "hello world", "instructions": "hello",
        "input": "hello world", "output": "hello", "reasoning": "hello world",
        "tool_calls": [{"name": "hello", "arguments": "world"}]}))
    .await;
    assert_eq!(whole["input_tokens"], (4 + 2) + (4 + 1) + 2);
    assert_eq!(whole["output_tokens"], 1 + 2 + 3);
    assert_eq!((&whole["reasoning_tokens"], &whole["exact"]), (&json!(2), &json!(true)));
    // What OpenAI's responses call so in a request is no text.
    let option = json!({"model": "o3", "input": "hello", "reasoning": {"effort": "high"}});
    assert_eq!(of(option).await["output_tokens"], json!(null));
    for (body, words) in [
        (json!({"messages": [{"content": [{"image_url": {"url": "x"}}]}]}), "pictures"),
        (json!({"tools": [{"name": "f", "input_schema": {}}]}), "dialect"),
        (json!({"input": "a", "response_format": {"type": "json_object"}}), "formats"),
        (
            json!({"tools": [{"name": "f", "parameters": {"properties":
            {"a": {"items": {"type": "string"}}}}}]}),
            "schemas",
        ),
    ] {
        let mut body = body;
        body["model"] = json!("gpt-4o");
        let told = of(body).await;
        assert_eq!(told["exact"], false, "{told}");
        assert!(told["reason"].as_str().is_some_and(|r| r.contains(words)), "{told}");
    }
}

#[tokio::test]
async fn requests_of_openai_s_responses_and_of_anthropic_are_understood_whole() {
    let router = routes(&Access::Dev);
    let of = async |mut body: Value| {
        body["model"] = json!("gpt-4o");
        let (status, answer) = ask(&router, body.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let data = &answer["data"];
        (data["input_tokens"].clone(), data["exact"].clone())
    };
    let schema = json!({"type": "object", "properties": {"a": {"description": "hello world"}}});
    let format = json!({"type": "json_schema", "name": "hello", "schema": schema});
    let chat = json!({"input": "hello", "response_format": format});
    let (with_schema, is_exact) = of(chat).await;
    assert!(with_schema.as_u64() > Some(1) && is_exact == false, "{with_schema}");
    for body in [
        json!({"input": "hello", "text": {"format": format, "verbosity": "low"}}),
        json!({"input": "hello", "output_config": {"format": format}}),
        json!({"input": "hello", "output_format": format, "text": null}),
        json!({"prompt": "hello", "response_format": null, "text": {"format": format}}),
        json!({"input": "hello", "response_format": {"type": "text"}, "output_format": format}),
    ] {
        assert_eq!(of(body.clone()).await, (with_schema.clone(), json!(false)), "{body}");
    }
    // Plain text and other options change nothing.
    for body in [
        json!({"input": "hello", "text": {"format": {"type": "text"}}}),
        json!({"input": "hello", "text": {"verbosity": "low"}, "output_config": {"effort": 1}}),
        json!({"input": null, "prompt": "hello", "text": {"verbosity": "low"}}),
        json!({"text": "hello", "output_config": 7, "output_format": null}),
        json!({"prompt": "hello", "output_format": "png"}),
    ] {
        assert_eq!(of(body.clone()).await, (json!(1), json!(true)), "{body}");
    }
    // A prompt that the vendor keeps is no text that could be counted.
    let kept = json!({"id": "pmpt_1", "variables": {"city": "hello"}});
    let beside = json!({"input": "hello", "prompt": kept});
    assert_eq!(of(beside).await, (json!(1), json!(false)));
    assert_eq!(of(json!({"prompt": kept})).await, (json!(0), json!(false)));
    let chat = json!({"messages": [{"role": "user", "content": "hello"}], "prompt": kept});
    assert_eq!(of(chat).await.1, json!(false));
    let marked = "\u{feff}{\"model\":\"gpt-4o\",\"input\":\"hello\"}";
    assert_eq!(ask(&router, marked).await.1["data"]["input_tokens"], 1);
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong_and_show_no_text() {
    let router = routes(&Access::Dev);
    let with = |fields: &str| format!("{{\"model\":\"gpt-4o\",{fields}}}");
    for (body, status, words) in [
        ("{\"model\":\"x\",\"input\":\"planted".to_owned(), 400, "is not JSON"),
        (" [\"planted\"]".to_owned(), 400, "must be a JSON object"),
        ("{\"model\":[\"planted\"],\"input\":\"a\"}".to_owned(), 400, "wrong type"),
        ("{\"input\":\"planted\"}".to_owned(), 400, "model or encoding"),
        ("{\"model\":\"gpt-4\"}".to_owned(), 400, "messages, input, system, "),
        (with("\"input\":\"planted\",\"prompt\":\"a\""), 400, "give one of them"),
        (with("\"prompt\":[\"planted\"],\"text\":\"a\""), 400, "give one of them"),
        (with("\"input\":[1],\"text\":[\"planted\"]"), 400, "give one of them"),
        (with("\"text\":{\"verbosity\":\"low\"}"), 400, "messages, input, system, "),
        (with("\"input\":\"a\",\"input\":\"planted\""), 400, "has a field twice"),
        ("{\"encoding\":\"planted\",\"input\":\"a\"}".to_owned(), 400, "one of o200k_base"),
        (format!("{{\"model\":\"{}\",\"input\":\"\"}}", "m".repeat(300)), 400, "at most 256"),
        (format!("{{\"input\":{}", "[".repeat(100_000)), 400, "is not JSON"),
        (" ".repeat(BODY_BYTES_MAX + 1), 413, "larger than"),
    ] {
        let (found, answer) = ask(&router, body).await;
        let message = answer["message"].as_str().expect("a message");
        assert_eq!(found.as_u16(), status, "{message}");
        assert!(message.contains(words) && !message.contains("planted"), "{message}");
    }
}

#[tokio::test]
async fn a_parameter_is_refused_by_name_once_the_key_is_right() {
    let body = json!({"model": "gpt-4", "input": "a"}).to_string();
    let asked = |query: &str| {
        let request = HttpRequest::post(format!("/api/tokens/count{query}"));
        request.body(Body::from(body.clone())).expect("a request")
    };
    let answer = routes(&Access::Dev).oneshot(asked("?encoding=p50k_base")).await;
    let (status, answer) = read(answer.expect("an answer")).await;
    let words = "unknown parameter \"encoding\": takes none";
    assert_eq!((status, &answer["message"]), (StatusCode::BAD_REQUEST, &json!(words)));
    assert_eq!(routes(&Access::Dev).oneshot(asked("?")).await.expect("an answer").status(), 200);
    let guarded = routes(&Access::Key(Verifier::new(hash_key("secret"))));
    let answer = guarded.oneshot(asked("?encoding=p50k_base")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_is_wanted_where_there_is_one() {
    let router = routes(&Access::Key(Verifier::new(hash_key("secret"))));
    let body = json!({"model": "gpt-4", "input": "a"}).to_string();
    assert_eq!(ask(&router, body.clone()).await.0, StatusCode::UNAUTHORIZED);
    let request = HttpRequest::post("/api/tokens/count")
        .header(header::AUTHORIZATION, "Bearer secret")
        .body(Body::from(body))
        .expect("a request");
    let (status, _) = read(router.oneshot(request).await.expect("an answer")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_turn_is_told_when_to_come_again() {
    let router: Router = routes_with(&Access::Dev, Duration::from_millis(1)).into();
    // Each takes its whole second.
    let slow = json!({"model": "gpt-4", "input": "'a".repeat(2_000_000)}).to_string();
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let (router, slow) = (router.clone(), slow.clone());
            tokio::spawn(async move { ask(&router, slow).await.0 })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in asked {
        statuses.push(one.await.expect("no panic"));
    }
    assert!(statuses.contains(&StatusCode::OK), "{statuses:?}");
    assert!(statuses.contains(&StatusCode::SERVICE_UNAVAILABLE), "{statuses:?}");
    let small = json!({"model": "gpt-4", "input": "a"}).to_string();
    assert_eq!(ask(&router, small).await.0, StatusCode::OK, "places come back");
}
