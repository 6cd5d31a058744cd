//! `POST /api/tokens/count`: how many tokens a request and its answer have.
//!
//! The same route serves api and aggregator. Counting is work for a thread of its own, one request
//! at a time; others wait with their bodies, and beyond a bound they are refused. No text is kept,
//! logged or part of an error.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokens::{Basis, COUNT_TIME_MAX, Content, Encoding, Gap};
use tokio::sync::Semaphore;

use crate::answer::{Answer, AnswerResult, ApiError};
use crate::auth::{Access, require_key, require_own_origin};
use crate::query::NoParameters;

/// Where it is asked.
pub const PATH: &str = "/api/tokens/count";
/// Largest body, bytes: twice the text that is counted, for what JSON adds to it.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Requests whose bodies may be at hand at once.
const AT_HAND_MAX: usize = 8;
/// Longest wait for one's turn.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Seconds after which a request that was refused is worth another try.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");
/// Longest name of a model, bytes.
const MODEL_BYTES_MAX: usize = 256;

#[derive(Clone, Debug)]
struct Turns {
    at_hand: Arc<Semaphore>,
    counting: Arc<Semaphore>,
    wait_max: Duration,
}

/// A request as the client would send it to the model; other fields are passed over.
#[derive(Debug, Deserialize)]
struct Request {
    model: Option<String>,
    encoding: Option<String>,
    messages: Option<Value>,
    input: Option<Value>,
    prompt: Option<Value>,
    /// A text to count, or how an answer of OpenAI's responses is to be written.
    text: Option<Value>,
    system: Option<Value>,
    instructions: Option<Value>,
    tools: Option<Value>,
    response_format: Option<Value>,
    output_format: Option<Value>,
    output_config: Option<Value>,
    output: Option<Value>,
    reasoning: Option<Value>,
    tool_calls: Option<Value>,
}

impl Request {
    /// The prompt, under whichever of its names it is. An object in `text` holds options, and one
    /// in `prompt` names a prompt that OpenAI keeps, which may stand beside an input.
    fn input(&self) -> Result<Option<&Value>, ApiError> {
        let of_texts = |value: &&Value| !value.is_object();
        let prompt = self.prompt.as_ref();
        let names =
            [self.input.as_ref(), prompt.filter(of_texts), self.text.as_ref().filter(of_texts)];
        let mut given = names.into_iter().flatten();
        let first = given.next();
        if given.next().is_some() {
            let message = "input, prompt and text are names of the same: give one of them";
            return Err(ApiError::bad_request(message));
        }
        Ok(first.or(prompt))
    }

    /// What the answer must look like, wherever a dialect has it: OpenAI's chats at the top, its
    /// responses in `text`, Anthropic in `output_config`, and before that in `output_format`, where
    /// others say in a word how pictures and sounds are packed.
    fn format(&self) -> Option<&Value> {
        let known = [
            self.response_format.as_ref(),
            self.text.as_ref().map(|text| &text["format"]),
            self.output_config.as_ref().map(|config| &config["format"]),
            self.output_format.as_ref().filter(|format| format.is_object()),
        ];
        known.into_iter().flatten().find(|format| !format.is_null() && format["type"] != "text")
    }

    /// Its texts.
    fn content(&self) -> Result<Content<'_>, ApiError> {
        Ok(Content {
            messages: self.messages.as_ref(),
            input: self.input()?,
            system: self.system.as_ref(),
            instructions: self.instructions.as_ref(),
            tools: self.tools.as_ref(),
            response_format: self.format(),
            output: self.output.as_ref(),
            reasoning: self.reasoning.as_ref(),
            tool_calls: self.tool_calls.as_ref(),
        })
    }
}

/// What was counted.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct View {
    model: Option<String>,
    encoding: &'static str,
    /// `published` by the model's vendor, or `assumed`.
    basis: &'static str,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    /// Part of the output.
    reasoning_tokens: Option<u64>,
    /// Whether the tokenizer counted all of it.
    exact: bool,
    /// Why not.
    reason: Option<String>,
    source: &'static str,
}

/// The route, guarded.
pub fn routes(access: &Access) -> Router {
    routes_with(access, WAIT_MAX)
}

fn routes_with(access: &Access, wait_max: Duration) -> Router {
    let turns = Turns {
        at_hand: Arc::new(Semaphore::new(AT_HAND_MAX)),
        counting: Arc::new(Semaphore::new(1)),
        wait_max,
    };
    Router::new()
        .route(PATH, post(count))
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access.clone(), require_key))
        .with_state(turns)
}

async fn count(State(turns): State<Turns>, _: NoParameters, body: Body) -> AnswerResult<Value> {
    let busy = || {
        let message = "too many texts are being counted, ask again in a moment";
        ApiError::unavailable(message).retry_after(RETRY_SECONDS)
    };
    let _place = turns.at_hand.try_acquire().map_err(|_| busy())?;
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let message =
            format!("the body could not be read, or is larger than {BODY_BYTES_MAX} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    let turn = tokio::time::timeout(turns.wait_max, Arc::clone(&turns.counting).acquire_owned());
    let turn = turn.await.ok().and_then(Result::ok).ok_or_else(busy)?;
    let counting = tokio::task::spawn_blocking(move || {
        let view = answer(&body);
        // A client that leaves does not give its turn back: its text is still being counted.
        drop(turn);
        view
    });
    let view = counting.await.map_err(|error| {
        tracing::error!(%error, "tokens could not be counted");
        ApiError::internal()
    })??;
    Ok(Answer::ok(serde_json::to_value(view).map_err(|_| ApiError::internal())?))
}

/// Reads the body and counts.
fn answer(body: &[u8]) -> Result<View, ApiError> {
    // As with events, a byte order mark is no part of it.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // An array would be taken for the fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::bad_request("the body must be a JSON object"));
    }
    let request: Request = serde_json::from_slice(body).map_err(|error| {
        // The category and place only: the rest of the message may quote the text.
        let (line, column) = (error.line(), error.column());
        let what =
            if error.is_data() { "has a field twice or of the wrong type" } else { "is not JSON" };
        ApiError::bad_request(format!("the body {what}, at line {line} column {column}"))
    })?;
    let Request { model, encoding, .. } = &request;
    if model.as_ref().is_some_and(|model| model.len() > MODEL_BYTES_MAX) {
        let message = format!("model must be at most {MODEL_BYTES_MAX} bytes");
        return Err(ApiError::bad_request(message));
    }
    let (encoding, basis) = match (encoding, model) {
        (Some(name), _) => {
            let found = Encoding::from_name(name).ok_or_else(|| {
                let names = Encoding::ALL.map(Encoding::name).join(", ");
                ApiError::bad_request(format!("encoding must be one of {names}"))
            })?;
            (found, "published")
        }
        (None, Some(model)) => match Encoding::of_model(model) {
            (found, Basis::Published) => (found, "published"),
            (found, Basis::Assumed) => (found, "assumed"),
        },
        (None, None) => return Err(ApiError::bad_request("model or encoding must be given")),
    };
    let content = request.content()?;
    if !content.has_any() {
        let message = "messages, input, system, instructions, tools, output, reasoning or \
                       tool_calls must be given";
        return Err(ApiError::bad_request(message));
    }
    let mut counted = tokens::count(content, encoding, COUNT_TIME_MAX);
    if request.prompt.as_ref().is_some_and(Value::is_object) {
        // Its text is not here.
        counted.gaps.add(Gap::Unknown);
    }
    Ok(View {
        model: request.model,
        encoding: encoding.name(),
        basis,
        input_tokens: counted.input,
        output_tokens: counted.output,
        reasoning_tokens: counted.reasoning,
        exact: counted.is_exact(),
        reason: counted.gaps.reason(),
        source: "estimated",
    })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            routes(&Access::Dev).oneshot(asked("?")).await.expect("an answer").status(),
            200
        );
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
        let router = routes_with(&Access::Dev, Duration::from_millis(1));
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
}
