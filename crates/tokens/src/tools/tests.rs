//! Schemas beyond the published formula, and hostile ones.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn counted(tools: &Value) -> (u64, Option<String>) {
    let mut meter = Meter::new(Encoding::O200kBase, Duration::from_secs(600));
    let n_tokens = of_tools(&mut meter, tools, Encoding::O200kBase);
    (n_tokens, meter.gaps().reason())
}

fn plain(text: &str) -> u64 {
    Meter::new(Encoding::O200kBase, Duration::from_secs(600)).count(text)
}

/// A tool whose parameters have these properties.
fn tool(properties: &Value) -> Value {
    json!([{"type": "function", "function": {"name": "book", "description": "Books a berth.",
        "strict": true, "parameters": {"type": "object", "additionalProperties": false,
        "required": ["ship"], "properties": properties}}}])
}

#[test]
fn flat_schemas_of_functions_are_exact_in_both_forms_of_openai() {
    let chat = tool(&json!({"ship": {"type": "string", "enum": ["Ada", "Eva"]}}));
    let mut flat = chat[0]["function"].clone();
    flat["type"] = json!("function");
    let (n_tokens, reason) = counted(&chat);
    assert_eq!(reason, None);
    assert_eq!((n_tokens, reason), counted(&json!([flat])));
}

#[test]
fn every_text_of_a_nested_schema_is_counted_and_the_count_is_not_exact() {
    let told = "how the ship is moored in the harbour, and for how many nights";
    let (flat, _) = counted(&tool(&json!({"ship": {"type": "object"}})));
    for nested in [
        json!({"type": "object", "properties": {"mooring": {"description": told}}}),
        json!({"type": "object", "items": {"type": "string", "description": told}}),
        json!({"type": "object", "anyOf": [{"type": "string", "description": told}]}),
        json!({"type": "object", "title": told}),
        json!({"type": "object", "default": {"mooring": told}}),
        json!({"type": "object", "$defs": {"mooring": {"description": told}}}),
        json!({"type": "object", "properties": {"a": {"type": "array", "items": {"oneOf": [
            {"type": "object", "properties": {"b": {"description": told}}}]}}}}),
    ] {
        let (n_tokens, reason) = counted(&tool(&json!({"ship": nested})));
        assert!(n_tokens >= flat + plain(told), "{n_tokens} for {nested}");
        assert!(reason.is_some_and(|reason| reason.contains("schemas")), "{nested}");
    }
    for odd in [json!({"type": ["string", "null"]}), json!({"enum": [1, 2]}), json!(true)] {
        assert!(counted(&tool(&json!({"ship": odd}))).1.is_some(), "{odd}");
    }
}

#[test]
fn tools_of_other_dialects_have_the_texts_of_the_same_function_counted() {
    let properties = json!({"ship": {"type": "string", "description": "Name of the ship"}});
    let (n_tokens, _) = counted(&tool(&properties));
    let schema = json!({"type": "object", "properties": properties, "required": ["ship"]});
    let (name, told) = ("book", "Books a berth.");
    for tool in [
        json!({"name": name, "description": told, "input_schema": schema}),
        json!({"functionDeclarations": [
            {"name": name, "description": told, "parameters": schema}]}),
        json!({"toolSpec": {"name": name, "description": told, "inputSchema": {"json": schema}}}),
    ] {
        let (found, reason) = counted(&json!([tool]));
        assert_eq!(found, n_tokens, "{tool}");
        assert!(reason.is_some_and(|reason| reason.contains("dialect")), "{tool}");
    }
    for built_in in
        [json!({"type": "web_search"}), json!({"googleSearch": {}}), json!("x"), json!(1)]
    {
        let (found, reason) = counted(&json!([built_in]));
        assert!(found > TOOLS_END && reason.is_some(), "{built_in}");
    }
}

#[test]
fn deep_and_huge_lists_of_tools_are_counted_within_the_limit_of_time() {
    let deep = (0..40).fold(
        json!({"description": "the deepest of all"}),
        |inner, _| json!({"type": "object", "properties": {"inner": inner}}),
    );
    assert!(counted(&tool(&deep["properties"])).0 > 40 * PER_PROPERTY + 4);
    let text = deep.to_string();
    let (as_text, reason) = counted(&json!([{"name": "a", "parameters": text}]));
    assert!(as_text > plain(&text) && reason.is_some());

    let many: Vec<Value> = (0..20_000)
        .map(|n| json!({"name": format!("tool {n}"), "parameters": {"properties": {"a": {}}}}))
        .collect();
    let began = Instant::now();
    let limit = Duration::from_millis(50);
    let mut meter = Meter::new(Encoding::O200kBase, limit);
    let n_tokens = of_tools(&mut meter, &json!(many), Encoding::O200kBase);
    assert!(n_tokens > 20_000 * 7, "none is passed over: {n_tokens}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
