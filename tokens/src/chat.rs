//! What a request adds around its texts: framing of messages, tools, parts, embeddings.
//!
//! The formulas are those that OpenAI publishes in its cookbook, "How to count tokens with
//! tiktoken" (<https://github.com/openai/openai-cookbook>, How_to_count_tokens_with_tiktoken),
//! sections 6 and 7; for calls of tools, which it does not cover, name and arguments and one more
//! are counted, as tiktoken-rs does. JSON of any shape is taken: what is not known has no text.

use std::time::Duration;

use serde_json::Value;

use crate::encoding::Encoding;
use crate::limits::MESSAGES_MAX;
use crate::meter::Meter;

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
/// Tokens around a list of tools.
const TOOLS_END: u64 = 12;
/// Tokens around the properties of a tool, before each, and for each word of an enumeration.
const PROPERTIES: u64 = 3;
const PER_PROPERTY: u64 = 3;
const PER_WORD: u64 = 3;
/// Fewer tokens for a property with an enumeration.
const ENUMERATION: u64 = 3;

/// The texts of a request and its answer, as the client and the upstream wrote them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// Messages of a chat.
    pub messages: Option<&'a Value>,
    /// Tools that the model may call.
    pub tools: Option<&'a Value>,
    /// A prompt, or what is to be embedded: a text, a list of texts, or lists of token numbers.
    pub input: Option<&'a Value>,
    /// The answer.
    pub output: Option<&'a Value>,
}

/// Token counts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Tokens of the prompt; nothing if there was none.
    pub input: Option<u64>,
    /// Tokens of the answer; nothing if there was none.
    pub output: Option<u64>,
    /// Whether the tokenizer counted all of it: no limit was reached, nothing was passed over.
    pub is_exact: bool,
}

/// Counts a request and its answer, for so long at most.
#[must_use]
pub fn count(content: Content<'_>, encoding: Encoding, limit: Duration) -> Counted {
    let mut meter = Meter::new(encoding, limit);
    let mut input = None;
    if let Some(messages) = content.messages {
        *input.get_or_insert(0) += of_messages(&mut meter, messages);
    }
    if let Some(tools) = content.tools.and_then(Value::as_array).filter(|all| !all.is_empty()) {
        *input.get_or_insert(0) += of_tools(&mut meter, tools, encoding);
    }
    if let Some(text) = content.input {
        *input.get_or_insert(0) += of_input(&mut meter, text);
    }
    let output = content.output.map(|answer| of_answer(&mut meter, answer));
    Counted { input, output, is_exact: meter.is_exact() }
}

/// The elements of a list that are looked at.
fn bounded<'a>(meter: &mut Meter, all: &'a [Value]) -> &'a [Value] {
    if all.len() > MESSAGES_MAX {
        meter.passed_over();
    }
    &all[..all.len().min(MESSAGES_MAX)]
}

fn of_messages(meter: &mut Meter, messages: &Value) -> u64 {
    let messages = match messages {
        Value::Array(all) => bounded(meter, all),
        one => std::slice::from_ref(one),
    };
    let each = messages.iter().map(|message| PER_MESSAGE + of_message(meter, message));
    each.sum::<u64>() + REPLY
}

fn of_message(meter: &mut Meter, message: &Value) -> u64 {
    if let Value::String(text) = message {
        return meter.count(text);
    }
    let mut n_tokens = of_text(meter, &message["role"]);
    n_tokens += of_parts(meter, &message["content"]);
    n_tokens += of_text(meter, &message["refusal"]);
    if message["name"].is_string() {
        n_tokens += of_text(meter, &message["name"]) + PER_NAME;
    }
    n_tokens + of_calls(meter, message)
}

fn of_calls(meter: &mut Meter, message: &Value) -> u64 {
    let calls = message["tool_calls"].as_array().map_or(&[][..], |all| bounded(meter, all));
    let calls = calls.iter().map(|call| &call["function"]);
    let one = Some(&message["function_call"]).filter(|call| call.is_object());
    let mut n_tokens = 0;
    for call in calls.chain(one) {
        n_tokens += of_text(meter, &call["name"]) + of_text(meter, &call["arguments"]) + PER_CALL;
    }
    n_tokens
}

/// A text, or parts of which some are texts.
fn of_parts(meter: &mut Meter, content: &Value) -> u64 {
    let Value::Array(parts) = content else { return of_text(meter, content) };
    let mut n_tokens = 0;
    for part in bounded(meter, parts) {
        match part {
            Value::String(text) => n_tokens += meter.count(text),
            _ if part["text"].is_string() => n_tokens += of_text(meter, &part["text"]),
            _ if part["refusal"].is_string() => n_tokens += of_text(meter, &part["refusal"]),
            // A picture, a sound, a file: its price is not a matter of text.
            _ => meter.passed_over(),
        }
    }
    n_tokens
}

fn of_text(meter: &mut Meter, text: &Value) -> u64 {
    text.as_str().map_or(0, |text| meter.count(text))
}

/// The published formula for tools (functions) of a chat.
fn of_tools(meter: &mut Meter, tools: &[Value], encoding: Encoding) -> u64 {
    let per_tool = match encoding {
        Encoding::O200kBase | Encoding::O200kHarmony => 7,
        _ => 10,
    };
    let mut n_tokens = TOOLS_END;
    for tool in bounded(meter, tools) {
        let function = if tool["function"].is_object() { &tool["function"] } else { tool };
        let (name, told) = (word(&function["name"]), sentence(&function["description"]));
        n_tokens += per_tool + meter.count(&format!("{name}:{told}"));
        let properties = function["parameters"]["properties"].as_object();
        let Some(properties) = properties.filter(|all| !all.is_empty()) else { continue };
        n_tokens += PROPERTIES;
        for (name, property) in properties.iter().take(MESSAGES_MAX) {
            let (kind, told) = (word(&property["type"]), sentence(&property["description"]));
            n_tokens += PER_PROPERTY + meter.count(&format!("{name}:{kind}:{told}"));
            let Some(words) = property["enum"].as_array() else { continue };
            for word in bounded(meter, words) {
                n_tokens += PER_WORD + of_text(meter, word);
            }
            n_tokens -= ENUMERATION;
        }
    }
    n_tokens
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description without its full stop.
fn sentence(value: &Value) -> &str {
    let told = word(value);
    told.strip_suffix('.').unwrap_or(told)
}

/// A prompt or what is to be embedded: texts, or numbers of tokens, which are tokens already.
fn of_input(meter: &mut Meter, input: &Value) -> u64 {
    match input {
        Value::Array(all) if all.iter().all(Value::is_number) => all.len() as u64,
        Value::Array(all) => {
            let mut n_tokens = 0;
            for one in all {
                n_tokens += match one {
                    Value::Array(inner) if inner.iter().all(Value::is_number) => inner.len() as u64,
                    Value::Object(_) => PER_MESSAGE + of_message(meter, one),
                    other => of_text(meter, other),
                };
            }
            n_tokens
        }
        other => of_text(meter, other),
    }
}

/// An answer: a text, a message, or several of either.
fn of_answer(meter: &mut Meter, answer: &Value) -> u64 {
    match answer {
        Value::Array(all) => {
            let mut n_tokens = 0;
            for one in bounded(meter, all) {
                n_tokens += of_answer(meter, one);
            }
            n_tokens
        }
        // The role of an answer is part of what begins it, and is not counted.
        Value::Object(_) if answer["text"].is_string() => of_text(meter, &answer["text"]),
        Value::Object(_) => {
            let spoken = of_parts(meter, &answer["content"]) + of_text(meter, &answer["refusal"]);
            spoken + of_calls(meter, answer)
        }
        other => of_text(meter, other),
    }
}
