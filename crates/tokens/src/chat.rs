//! What a request adds around its texts: framing of messages, parts, calls, embeddings.
//!
//! The formulas are those that OpenAI publishes in its cookbook, "How to count tokens with
//! tiktoken" (<https://github.com/openai/openai-cookbook>, How_to_count_tokens_with_tiktoken),
//! section 6; for calls of tools, which it does not cover, name and arguments and one more are
//! counted, as tiktoken-rs does. Messages of other dialects (Anthropic, Gemini, Bedrock, OpenAI's
//! responses) have their texts counted and are never called exact. JSON of any shape is taken;
//! images and files have no tokens here.

use std::time::Duration;

use serde_json::Value;

use crate::encoding::Encoding;
use crate::gap::{Gap, Gaps};
use crate::length::is_data_url;
use crate::meter::Meter;
use crate::tools::{of_json, of_tools};

#[cfg(test)]
mod tests;

/// Tokens around each message.
const PER_MESSAGE: u64 = 3;
/// Tokens for a message that has a name, besides those of the name.
const PER_NAME: u64 = 1;
/// Tokens that begin the answer.
const REPLY: u64 = 3;
/// Tokens for a call of a tool, besides name and arguments.
const PER_CALL: u64 = 1;

/// Fields with reasoning: of DeepSeek and vLLM, OpenRouter and Groq, Anthropic and Ollama.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
/// Fields that only a message has, or a part with reasoning.
const OF_MESSAGE: [&str; 9] = [
    "role",
    "content",
    "parts",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "thinking",
];
/// Fields of parts that are not text.
const MEDIA: [&str; 17] = [
    "data",
    "image_url",
    "image",
    "images",
    "input_audio",
    "audio",
    "video",
    "video_url",
    "file",
    "file_data",
    "file_id",
    "document",
    "source",
    "inlineData",
    "inline_data",
    "fileData",
    "b64_json",
];

/// The texts of a request and its answer, as the client and the upstream wrote them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// Messages of a chat.
    pub messages: Option<&'a Value>,
    /// A prompt, or input of embeddings: a text, a list of texts or messages, or lists of token
    /// numbers.
    pub input: Option<&'a Value>,
    /// System prompt: a text or parts.
    pub system: Option<&'a Value>,
    /// The same under the name that OpenAI's responses have for it.
    pub instructions: Option<&'a Value>,
    /// Tools that the model may call.
    pub tools: Option<&'a Value>,
    /// Format of the answer: OpenAI's `response_format`, or a schema.
    pub response_format: Option<&'a Value>,
    /// Text of the answer.
    pub output: Option<&'a Value>,
    /// Reasoning before the answer: a text or a list. An object is an option of a request and is
    /// passed over.
    pub reasoning: Option<&'a Value>,
    /// Calls of tools in the answer.
    pub tool_calls: Option<&'a Value>,
}

impl Content<'_> {
    /// Whether any part is there.
    #[must_use]
    pub fn has_any(&self) -> bool {
        let given = [self.system, self.instructions, self.tools, self.response_format];
        let sent = [self.messages, self.input];
        let received = [self.output, self.reasoning, self.tool_calls];
        given.iter().chain(&sent).chain(&received).any(Option::is_some)
    }
}

/// Token counts of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Tokens of the prompt; `None` if there was none.
    pub input: Option<u64>,
    /// Tokens of the answer, with those of reasoning; `None` if there was none.
    pub output: Option<u64>,
    /// Tokens of reasoning; `None` if there was none.
    pub reasoning: Option<u64>,
    /// Why the counts are not exact; empty if they are.
    pub gaps: Gaps,
}

impl Counted {
    /// Whether the tokenizer counted all of it within the published framing.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// Counts a request and its answer, within a time limit.
#[must_use]
pub fn count(content: Content<'_>, encoding: Encoding, limit: Duration) -> Counted {
    let mut meter = Meter::new(encoding, limit);
    let mut input = None;
    let mut add = |n_tokens: u64| *input.get_or_insert(0) += n_tokens;
    for system in [content.system, content.instructions].into_iter().flatten() {
        add(of_system(&mut meter, system));
    }
    if let Some(messages) = content.messages {
        add(of_messages(&mut meter, messages));
    }
    if let Some(tools) = content.tools.filter(|tools| !is_empty(tools)) {
        add(of_tools(&mut meter, tools, encoding));
    }
    if let Some(format) = content.response_format.filter(|format| !is_plain(format)) {
        add(of_format(&mut meter, format));
    }
    if let Some(text) = content.input {
        add(of_input(&mut meter, text));
    }
    let (mut output, mut spoken) = (None, Spoken::default());
    if let Some(answer) = content.output {
        output = Some(0);
        of_answer(&mut meter, answer, &mut spoken);
    }
    if let Some(calls) = content.tool_calls {
        output = Some(0);
        spoken.text += of_calls(&mut meter, calls);
    }
    if let Some(thought) = content.reasoning.filter(|thought| !thought.is_object()) {
        output = Some(0);
        spoken.reasoning.get_or_insert(0);
        of_reasoning(&mut meter, thought, &mut spoken);
    }
    let reasoning = spoken.reasoning;
    let output = output.map(|_| spoken.text + reasoning.unwrap_or(0));
    Counted { input, output, reasoning, gaps: meter.gaps() }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Whether the answer's format does not change the prompt.
fn is_plain(format: &Value) -> bool {
    is_empty(format) || format["type"] == "text"
}

/// A schema of the answer is part of the prompt, but no vendor publishes its framing, nor what
/// asking for any JSON adds.
fn of_format(meter: &mut Meter, format: &Value) -> u64 {
    meter.note(Gap::Format);
    for name in ["json_schema", "schema"] {
        if !format[name].is_null() {
            return of_json(meter, &format[name]);
        }
    }
    let is_empty = format.as_object().is_some_and(serde_json::Map::is_empty);
    if format.is_string() || format["type"] == "json_object" || is_empty {
        return 0;
    }
    if !format.is_object() {
        meter.note(Gap::Unknown);
        return 0;
    }
    of_json(meter, format)
}

/// A system prompt counts as a separate message.
fn of_system(meter: &mut Meter, system: &Value) -> u64 {
    match system {
        Value::Null => 0,
        Value::String(text) if text.is_empty() => 0,
        _ => PER_MESSAGE + meter.count("system") + of_parts(meter, system),
    }
}

fn of_messages(meter: &mut Meter, messages: &Value) -> u64 {
    let messages = match messages {
        Value::Array(all) => all,
        one => std::slice::from_ref(one),
    };
    let each = messages.iter().map(|message| PER_MESSAGE + of_message(meter, message));
    each.sum::<u64>() + REPLY
}

fn of_message(meter: &mut Meter, message: &Value) -> u64 {
    match message {
        Value::String(text) => return meter.count(text),
        Value::Object(_) => (),
        _ => {
            meter.note(Gap::Unknown);
            return 0;
        }
    }
    let mut n_tokens = of_text(meter, &message["role"]);
    n_tokens += of_parts(meter, &message["content"]);
    n_tokens += of_text(meter, &message["refusal"]);
    if message["name"].is_string() {
        n_tokens += of_text(meter, &message["name"]) + PER_NAME;
    }
    n_tokens += of_calls(meter, &message["tool_calls"]);
    if message["function_call"].is_object() {
        n_tokens += of_call(meter, &message["function_call"]);
    }
    n_tokens + of_dialect(meter, message)
}

/// What messages of other dialects have besides: parts of Gemini, items of OpenAI's responses,
/// reasoning that goes back to the model.
fn of_dialect(meter: &mut Meter, message: &Value) -> u64 {
    let mut n_tokens = 0;
    for field in ["parts", "output", "summary"] {
        if !message[field].is_null() {
            meter.note(Gap::Dialect);
            n_tokens += of_result_text(meter, &message[field]);
        }
    }
    // `arguments` and `input` are those of a call that is an item of its own.
    for field in ["arguments", "input"].into_iter().chain(REASONING) {
        if !message[field].is_null() {
            meter.note(Gap::Dialect);
            n_tokens += of_json(meter, &message[field]);
        }
    }
    for field in ["images", "audio", "encrypted_content"] {
        if !is_empty(&message[field]) {
            meter.note(Gap::Media);
        }
    }
    n_tokens
}

/// Tool calls: OpenAI's; those of other dialects without framing.
fn of_calls(meter: &mut Meter, calls: &Value) -> u64 {
    match calls {
        Value::Null => 0,
        Value::Array(all) => all.iter().map(|call| of_call(meter, call)).sum(),
        one => of_call(meter, one),
    }
}

fn of_call(meter: &mut Meter, call: &Value) -> u64 {
    let inner = ["function", "custom"].map(|name| &call[name]).into_iter().find(|f| f.is_object());
    let call = inner.unwrap_or(call);
    if !call["name"].is_string() && call["arguments"].is_null() && call["input"].is_null() {
        meter.note(Gap::Unknown);
        return 0;
    }
    let mut n_tokens = of_text(meter, &call["name"]) + PER_CALL;
    for field in ["arguments", "input", "args"] {
        match &call[field] {
            Value::Null => (),
            Value::String(text) => n_tokens += meter.count(text),
            // As an object its whitespace is not what the model wrote.
            other => {
                meter.note(Gap::Dialect);
                n_tokens += of_json(meter, other);
            }
        }
    }
    n_tokens
}

/// A text, or parts of which some are texts.
fn of_parts(meter: &mut Meter, content: &Value) -> u64 {
    match content {
        Value::Array(parts) => parts.iter().map(|part| of_part(meter, part)).sum(),
        // Lua writes an empty list so.
        Value::Object(fields) if fields.is_empty() => 0,
        Value::Object(_) => of_part(meter, content),
        other => of_text(meter, other),
    }
}

fn of_part(meter: &mut Meter, part: &Value) -> u64 {
    if !part.is_object() {
        return of_text(meter, part);
    }
    for field in ["text", "refusal"] {
        if part[field].is_string() {
            return of_text(meter, &part[field]);
        }
    }
    if let Some(n_tokens) = of_other_part(meter, part) {
        meter.note(Gap::Dialect);
        return n_tokens;
    }
    // An image, audio or a file: its price does not depend on text.
    let is_media = MEDIA.iter().any(|field| !part[*field].is_null());
    meter.note(if is_media { Gap::Media } else { Gap::Unknown });
    0
}

/// A part of another dialect, if there is text in it: reasoning, calls and their results, documents
/// that are text.
fn of_other_part(meter: &mut Meter, part: &Value) -> Option<u64> {
    for field in REASONING {
        if part[field].is_string() {
            return Some(of_text(meter, &part[field]));
        }
    }
    for field in ["functionCall", "function_call", "toolUse"] {
        if part[field].is_object() {
            return Some(of_call(meter, &part[field]));
        }
    }
    for field in ["functionResponse", "function_response", "toolResult"] {
        if part[field].is_object() {
            let name = of_text(meter, &part[field]["name"]);
            return Some(name + of_result(meter, &part[field]));
        }
    }
    let source = &part["source"];
    if source["type"] == "text" {
        return Some(of_text(meter, &part["title"]) + of_text(meter, &source["data"]));
    }
    if !source["content"].is_null() {
        return Some(of_text(meter, &part["title"]) + of_parts(meter, &source["content"]));
    }
    if part["name"].is_string() && !part["input"].is_null() {
        return Some(of_call(meter, part));
    }
    if !part["json"].is_null() {
        return Some(of_json(meter, &part["json"]));
    }
    for field in ["content", "parts", "output"] {
        if !part[field].is_null() {
            return Some(of_text(meter, &part["title"]) + of_parts(meter, &part[field]));
        }
    }
    None
}

/// The result of a call: parts, or an object.
fn of_result(meter: &mut Meter, result: &Value) -> u64 {
    match &result["content"] {
        Value::Null if !result["response"].is_null() => of_json(meter, &result["response"]),
        content => of_result_text(meter, content),
    }
}

/// What a tool gave: parts, or a text that may be an image.
fn of_result_text(meter: &mut Meter, result: &Value) -> u64 {
    match result {
        Value::String(text) if is_data_url(text) => {
            meter.note(Gap::Media);
            0
        }
        other => of_parts(meter, other),
    }
}

fn of_text(meter: &mut Meter, text: &Value) -> u64 {
    match text {
        Value::String(text) => meter.count(text),
        Value::Null => 0,
        _ => {
            meter.note(Gap::Unknown);
            0
        }
    }
}

/// A prompt or input of embeddings: texts, or token numbers, which count as tokens.
fn of_input(meter: &mut Meter, input: &Value) -> u64 {
    match input {
        Value::Array(all) if all.iter().all(Value::is_u64) => all.len() as u64,
        Value::Array(all) => {
            let mut n_tokens = 0;
            for one in all {
                n_tokens += match one {
                    Value::Array(inner) if inner.iter().all(Value::is_u64) => inner.len() as u64,
                    Value::Object(_) => PER_MESSAGE + of_message(meter, one),
                    other => of_text(meter, other),
                };
            }
            n_tokens
        }
        other => of_text(meter, other),
    }
}

/// Tokens of an answer by class.
#[derive(Debug, Default)]
struct Spoken {
    text: u64,
    reasoning: Option<u64>,
}

impl Spoken {
    fn thought(&mut self, n_tokens: u64) {
        *self.reasoning.get_or_insert(0) += n_tokens;
    }
}

/// An answer: a text, a message, or several of either.
fn of_answer(meter: &mut Meter, answer: &Value, spoken: &mut Spoken) {
    match answer {
        Value::Array(all) => {
            for one in all {
                of_answer(meter, one, spoken);
            }
        }
        Value::Object(_) => of_spoken(meter, answer, spoken),
        other => spoken.text += of_text(meter, other),
    }
}

/// A message of an answer, an item of OpenAI's responses, or a part. The role is part of what
/// begins an answer, and is not counted.
fn of_spoken(meter: &mut Meter, answer: &Value, spoken: &mut Spoken) {
    if answer["type"] == "reasoning" || answer["thought"] == true {
        return of_reasoning(meter, answer, spoken);
    }
    if answer["text"].is_string() {
        spoken.text += of_text(meter, &answer["text"]);
        return;
    }
    for field in REASONING {
        match &answer[field] {
            Value::String(text) => spoken.thought(meter.count(text)),
            Value::Null => (),
            _ => meter.note(Gap::Unknown),
        }
    }
    for field in ["content", "parts"] {
        of_answer(meter, &answer[field], spoken);
    }
    spoken.text += of_text(meter, &answer["refusal"]) + of_calls(meter, &answer["tool_calls"]);
    if answer["function_call"].is_object() {
        spoken.text += of_call(meter, &answer["function_call"]);
    }
    if OF_MESSAGE.iter().any(|field| answer.get(*field).is_some()) {
        return;
    }
    if answer["name"].is_string() && !(answer["arguments"].is_null() && answer["input"].is_null()) {
        spoken.text += of_call(meter, answer);
    } else {
        spoken.text += of_part(meter, answer);
    }
}

/// Reasoning: a text, parts, or an item of OpenAI's responses.
fn of_reasoning(meter: &mut Meter, thought: &Value, spoken: &mut Spoken) {
    match thought {
        Value::Array(all) => {
            for one in all {
                of_reasoning(meter, one, spoken);
            }
        }
        Value::Object(_) => {
            let mut n_tokens = 0;
            for field in ["text", "content"].into_iter().chain(REASONING) {
                n_tokens += of_parts(meter, &thought[field]);
            }
            // A summary replaces the reasoning where that is not shown.
            if n_tokens == 0 {
                n_tokens = of_parts(meter, &thought["summary"]);
            }
            if !thought["encrypted_content"].is_null() {
                meter.note(Gap::Unknown);
            }
            spoken.thought(n_tokens);
        }
        other => spoken.thought(of_text(meter, other)),
    }
}
