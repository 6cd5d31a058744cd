//! `POST /api/tokens/count`: how many tokens a request and its answer have.
//!
//! The same route serves api and aggregator. Counting runs on a blocking thread, one request at a
//! time; others wait with their bodies, and beyond a bound they are shed. No text is kept, logged
//! or part of an error.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokens::{Basis, COUNT_TIME_MAX, Content, Encoding, Gap};
use tokio::sync::Semaphore;
use utoipa::openapi::schema::{
    AllOfBuilder, AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Answer, AnswerResult, ApiError, Failure, Success};
use crate::auth::{Access, guard};
use crate::query::NoParameters;

/// Largest body, bytes: twice the text that is counted, to leave room for JSON.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Maximum number of requests whose bodies are in memory.
const AT_HAND_MAX: usize = 8;
/// Longest wait for the counting slot.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// `Retry-After` of a shed request, seconds.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");
/// Longest name of a model, bytes.
const MODEL_BYTES_MAX: usize = 256;

#[derive(Clone, Debug)]
struct Turns {
    at_hand: Arc<Semaphore>,
    counting: Arc<Semaphore>,
    wait_max: Duration,
}

/// A request as it would go to the model; other fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TokenCountFields)]
struct Request {
    /// Name of the model, at most 256 bytes.
    #[schema(max_length = 256)]
    model: Option<String>,
    /// The encoding. It wins over the model's.
    #[schema(schema_with = encoding_or_null)]
    encoding: Option<String>,
    /// A chat.
    messages: Option<Value>,
    /// A text, a list of texts, messages or items, or lists of token numbers.
    input: Option<Value>,
    /// Another name of `input`; an object names a prompt that the vendor keeps.
    prompt: Option<Value>,
    /// Another name of `input`; an object holds options.
    text: Option<Value>,
    /// Instructions before the conversation: a text or parts.
    system: Option<Value>,
    /// As `system`.
    instructions: Option<Value>,
    /// The tools of a chat.
    tools: Option<Value>,
    /// The format of the answer.
    response_format: Option<Value>,
    /// The format of the answer, if it is an object.
    output_format: Option<Value>,
    /// `format` in it is the format of the answer.
    output_config: Option<Value>,
    /// An answer: a text or messages.
    output: Option<Value>,
    /// The reasoning of an answer: a text or a list.
    reasoning: Option<Value>,
    /// The tool calls of an answer.
    tool_calls: Option<Value>,
}

/// A request as it is described: its fields, and which of them must be given.
struct Described;

impl ToSchema for Described {
    fn name() -> Cow<'static, str> {
        "TokenCountRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Request::name().into_owned(), Request::schema()));
    }
}

impl PartialSchema for Described {
    fn schema() -> RefOr<Schema> {
        let text = "`model` or `encoding` must be given, something to count, and at most one of \
                    `input`, `prompt` and `text`.";
        let not_null = [Type::String, Type::Array, Type::Object, Type::Number, Type::Boolean];
        let counted = [
            "messages",
            "input",
            "prompt",
            "system",
            "instructions",
            "tools",
            "output",
            "reasoning",
            "tool_calls",
        ];
        AllOfBuilder::new()
            .item(Ref::from_schema_name(Request::name()))
            .item(one_given(["model", "encoding"], &[Type::String]))
            .item(one_given(counted, &not_null).item(given("text", &[Type::String, Type::Array])))
            .description(Some(text))
            .into()
    }
}

/// An object that has one of these fields at least, of one of these types.
fn one_given<const N: usize>(names: [&str; N], types: &[Type]) -> AnyOfBuilder {
    names.iter().fold(AnyOfBuilder::new(), |any, name| any.item(given(name, types)))
}

/// An object that has this field, of one of these types.
fn given(name: &str, types: &[Type]) -> ObjectBuilder {
    let field = ObjectBuilder::new().schema_type(SchemaType::from_iter(types.iter().cloned()));
    ObjectBuilder::new().required(name).property(name, field)
}

fn encoding() -> ObjectBuilder {
    let names = Encoding::ALL.map(Encoding::name);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names))
}

fn encoding_or_null() -> ObjectBuilder {
    let names = Encoding::ALL.map(|encoding| Value::from(encoding.name()));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(names.into_iter().chain([Value::Null])))
        .description(Some("The encoding. It wins over the model's."))
}

impl Request {
    /// The prompt, under whichever of its names it is. An object in `text` holds options, and one
    /// in `prompt` names a prompt that OpenAI keeps, which may be beside an input.
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
    /// others name the encoding of images and audio.
    fn format(&self) -> Option<&Value> {
        let known = [
            self.response_format.as_ref(),
            self.text.as_ref().map(|text| &text["format"]),
            self.output_config.as_ref().map(|config| &config["format"]),
            self.output_format.as_ref().filter(|format| format.is_object()),
        ];
        known.into_iter().flatten().find(|format| !format.is_null() && format["type"] != "text")
    }

    /// The texts of the request.
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
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TokenCount)]
struct View {
    /// The model of the request.
    #[schema(required)]
    model: Option<String>,
    /// The encoding that was used.
    #[schema(schema_with = encoding)]
    encoding: &'static str,
    /// `published` by the model's vendor, or `assumed`.
    #[schema(pattern = "^(published|assumed)$")]
    basis: &'static str,
    /// Null if there was no input.
    #[schema(required)]
    input_tokens: Option<u64>,
    /// Null if there was no output.
    #[schema(required)]
    output_tokens: Option<u64>,
    /// Part of the output; null if there was none.
    #[schema(required)]
    reasoning_tokens: Option<u64>,
    /// Whether the tokenizer counted all of it.
    exact: bool,
    /// Why the count is not exact.
    #[schema(required)]
    reason: Option<String>,
    /// Always `estimated`: only an upstream knows what it bills.
    #[schema(pattern = "^estimated$")]
    source: &'static str,
}

/// The route, guarded.
pub fn routes(access: &Access) -> Router {
    described_routes(access).into()
}

/// The same with its description.
pub fn described_routes(access: &Access) -> OpenApiRouter {
    routes_with(access, WAIT_MAX)
}

fn routes_with(access: &Access, wait_max: Duration) -> OpenApiRouter {
    let turns = Turns {
        at_hand: Arc::new(Semaphore::new(AT_HAND_MAX)),
        counting: Arc::new(Semaphore::new(1)),
        wait_max,
    };
    guard(OpenApiRouter::default().routes(routes!(count)), access).with_state(turns)
}

/// Tokens of a request and its answer.
///
/// The body is a request as it would go to the model. Texts are not kept, logged or repeated in an
/// error. One request is counted at a time.
#[utoipa::path(
    post, path = "/api/tokens/count", operation_id = "countTokens", tag = "Tokens",
    request_body(content = Described, description = "At most 8 MiB."),
    responses(
        (status = 200, description = "What was counted.", body = Success<View>),
        (status = 400, description = "The body breaks a rule, or a parameter was given; the \
            message says which and where.", body = Failure),
        (status = 413, description = "The body is larger than 8 MiB.", body = Failure),
        (status = 503, description = "Too many texts wait to be counted.", body = Failure,
            headers(("Retry-After" = u32, description = "Seconds to wait."))),
    ),
)]
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
        // A client that disconnects does not free the slot: its text is still being counted.
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
    // As with events, a byte order mark is not part of the body.
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
mod tests;
