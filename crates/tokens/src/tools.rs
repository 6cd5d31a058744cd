//! Tools that a model may call: names, descriptions and schemas with their framing.
//!
//! The formula is the one that OpenAI publishes in its cookbook, "How to count tokens with
//! tiktoken" (<https://github.com/openai/openai-cookbook>, How_to_count_tokens_with_tiktoken),
//! section 7. It covers functions whose parameters have type, description and enum. What goes
//! beyond, which is most of what agents send, is counted by the same formula again, level by level,
//! or as the JSON that it is; such a count is never called exact.

use serde_json::{Map, Value};

use crate::encoding::Encoding;
use crate::gap::Gap;
use crate::meter::Meter;

#[cfg(test)]
mod tests;

/// Tokens around a list of tools.
const TOOLS_END: u64 = 12;
/// Tokens around the properties of a tool, before each, and for each word of an enumeration.
const PROPERTIES: u64 = 3;
const PER_PROPERTY: u64 = 3;
const PER_WORD: u64 = 3;
/// Fewer tokens for a property with an enumeration.
const ENUMERATION: u64 = 3;

/// Where dialects other than OpenAI's have the schema of a tool: Anthropic, Bedrock, Gemini, MCP.
const OTHER_SCHEMAS: [&str; 5] =
    ["input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema", "schema"];
/// Fields of a tool that add no text to the prompt, besides those that are counted.
const SILENT: [&str; 4] = ["type", "strict", "cache_control", "defer_loading"];

/// Tokens of a list of tools; 0 if it is empty.
pub fn of_tools(meter: &mut Meter, tools: &Value, encoding: Encoding) -> u64 {
    let tools = match tools {
        Value::Array(all) => all.as_slice(),
        Value::Null => &[],
        other => {
            meter.note(Gap::Dialect);
            std::slice::from_ref(other)
        }
    };
    if tools.is_empty() {
        return 0;
    }
    let per_tool = match encoding {
        Encoding::O200kBase | Encoding::O200kHarmony => 7,
        _ => 10,
    };
    TOOLS_END + tools.iter().map(|tool| of_tool(meter, tool, per_tool)).sum::<u64>()
}

fn of_tool(meter: &mut Meter, tool: &Value, per_tool: u64) -> u64 {
    for several in ["functionDeclarations", "function_declarations"] {
        if let Some(all) = tool[several].as_array() {
            meter.note(Gap::Dialect);
            return all.iter().map(|one| of_tool(meter, one, per_tool)).sum();
        }
    }
    if tool["function"].is_object() {
        return of_function(meter, &tool["function"], per_tool);
    }
    for inner in ["toolSpec", "custom"] {
        if tool[inner].is_object() {
            meter.note(Gap::Dialect);
            return of_function(meter, &tool[inner], per_tool);
        }
    }
    // OpenAI's older `functions` and its responses have the fields of a function in the tool.
    if tool["name"].is_string() {
        return of_function(meter, tool, per_tool);
    }
    meter.note(Gap::Dialect);
    per_tool + of_json(meter, tool)
}

fn of_function(meter: &mut Meter, function: &Value, per_tool: u64) -> u64 {
    let (name, description) = (word(&function["name"]), sentence(&function["description"]));
    let mut n_tokens = per_tool + meter.count(&format!("{name}:{description}"));
    for (field, value) in function.as_object().into_iter().flatten() {
        n_tokens += match field.as_str() {
            "name" | "description" => not_text(meter, value),
            "parameters" => of_parameters(meter, value),
            field if OTHER_SCHEMAS.contains(&field) => {
                meter.note(Gap::Dialect);
                // Bedrock wraps it once more.
                let inner = Some(&value["json"]).filter(|inner| inner.is_object());
                of_parameters(meter, inner.unwrap_or(value))
            }
            field if SILENT.contains(&field) || value.is_null() => 0,
            field => {
                meter.note(Gap::Dialect);
                of_keyword(meter, field, value)
            }
        };
    }
    n_tokens
}

/// Adds a gap for a value that is not a text; texts are counted elsewhere.
fn not_text(meter: &mut Meter, value: &Value) -> u64 {
    if !value.is_string() && !value.is_null() {
        meter.note(Gap::Unknown);
    }
    0
}

/// The schema of a tool's parameters, an object.
fn of_parameters(meter: &mut Meter, schema: &Value) -> u64 {
    let Value::Object(keywords) = schema else {
        if schema.is_null() {
            return 0;
        }
        // Some encode it as a string of JSON where it would be nested too deep.
        meter.note(Gap::Schema);
        return of_json(meter, schema);
    };
    let mut n_tokens = 0;
    for (keyword, value) in keywords {
        n_tokens += match keyword.as_str() {
            "type" if value == "object" => 0,
            "properties" => of_properties(meter, value),
            "type" | "description" | "enum" => {
                meter.note(Gap::Schema);
                of_keyword(meter, keyword, value)
            }
            _ => of_other(meter, keyword, value),
        };
    }
    n_tokens
}

fn of_properties(meter: &mut Meter, properties: &Value) -> u64 {
    let Value::Object(properties) = properties else {
        meter.note(Gap::Schema);
        return of_json(meter, properties);
    };
    let each = properties.iter().map(|(name, property)| of_property(meter, name, property));
    let n_tokens = each.sum::<u64>();
    if properties.is_empty() { 0 } else { PROPERTIES + n_tokens }
}

/// A property, or an unnamed schema inside another.
fn of_property(meter: &mut Meter, name: &str, property: &Value) -> u64 {
    let Value::Object(keywords) = property else {
        meter.note(Gap::Schema);
        return PER_PROPERTY + of_keyword(meter, name, property);
    };
    let description = sentence(&property["description"]);
    let head = format!("{name}:{}:{description}", kind(meter, keywords));
    let mut n_tokens = PER_PROPERTY + meter.count(&head);
    for (keyword, value) in keywords {
        n_tokens += match keyword.as_str() {
            "type" => 0,
            "description" => not_text(meter, value),
            "enum" => of_enumeration(meter, value),
            "properties" => {
                meter.note(Gap::Schema);
                of_properties(meter, value)
            }
            _ => of_other(meter, keyword, value),
        };
    }
    // An enumeration is never the first part: what precedes it is worth as much.
    if property["enum"].is_array() { n_tokens - ENUMERATION } else { n_tokens }
}

/// The type of a property as one word; of several, all of them.
fn kind(meter: &mut Meter, keywords: &Map<String, Value>) -> String {
    match keywords.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        None => String::new(),
        Some(Value::Array(kinds)) => {
            meter.note(Gap::Schema);
            kinds.iter().map(word).collect::<Vec<_>>().join("|")
        }
        Some(other) => {
            meter.note(Gap::Schema);
            other.to_string()
        }
    }
}

fn of_enumeration(meter: &mut Meter, words: &Value) -> u64 {
    let Value::Array(words) = words else {
        meter.note(Gap::Schema);
        return of_json(meter, words);
    };
    let mut n_tokens = 0;
    for word in words {
        if !word.is_string() {
            meter.note(Gap::Schema);
        }
        n_tokens += PER_WORD + of_json(meter, word);
    }
    n_tokens
}

/// A keyword that the published formula does not know.
fn of_other(meter: &mut Meter, keyword: &str, value: &Value) -> u64 {
    let is_flag = value.is_boolean() || value.is_null();
    match keyword {
        // In no prompt, or no more than a sign in it.
        "required" | "$schema" | "strict" => return 0,
        "additionalProperties" if is_flag => return 0,
        _ => meter.note(Gap::Schema),
    }
    match (keyword, value) {
        ("items" | "additionalProperties" | "not" | "if" | "then" | "else", Value::Object(_)) => {
            of_property(meter, "", value)
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(all)) => {
            all.iter().map(|one| of_property(meter, "", one)).sum()
        }
        ("$defs" | "definitions" | "patternProperties", Value::Object(_)) => {
            of_properties(meter, value)
        }
        _ => of_keyword(meter, keyword, value),
    }
}

fn of_keyword(meter: &mut Meter, keyword: &str, value: &Value) -> u64 {
    match value {
        Value::String(text) => meter.count(&format!("{keyword}:{text}")),
        other => meter.count(&format!("{keyword}:{other}")),
    }
}

/// A text itself, anything else as JSON.
pub fn of_json(meter: &mut Meter, value: &Value) -> u64 {
    match value {
        Value::String(text) => meter.count(text),
        other => meter.count(&other.to_string()),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description without its full stop.
fn sentence(value: &Value) -> &str {
    let text = word(value);
    text.strip_suffix('.').unwrap_or(text)
}
