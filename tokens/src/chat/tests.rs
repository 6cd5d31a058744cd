//! The published examples, and requests of every shape.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const LONG: Duration = Duration::from_secs(600);

/// Tokens of a text by itself.
fn plain(encoding: Encoding, text: &str) -> u64 {
    Meter::new(encoding, LONG).count(text)
}

fn input(encoding: Encoding, content: Content<'_>) -> u64 {
    let counted = count(content, encoding, LONG);
    assert!(counted.is_exact);
    counted.input.expect("there is a prompt")
}

/// The messages of the cookbook, for which it prints 129 (gpt-4, gpt-3.5-turbo) and 124 (gpt-4o).
#[test]
fn messages_of_the_cookbook_have_the_counts_that_it_prints() {
    let example =
        |name: &str, content: &str| json!({"role": "system", "name": name, "content": content});
    let (user, assistant) = ("example_user", "example_assistant");
    let messages = json!([
        {"role": "system", "content": "You are a helpful, pattern-following assistant that \
            translates corporate jargon into plain English."},
        example(user, "New synergies will help drive top-line growth."),
        example(assistant, "Things working well together will increase revenue."),
        example(user, "Let's circle back when we have more bandwidth to touch base on \
            opportunities for increased leverage."),
        example(assistant, "Let's talk later when we're less busy about how to do better."),
        {"role": "user", "content": "This late pivot means we don't have time to boil the ocean \
            for the client deliverable."},
    ]);
    let content = Content { messages: Some(&messages), ..Content::default() };
    assert_eq!(input(Encoding::Cl100kBase, content), 129);
    assert_eq!(input(Encoding::O200kBase, content), 124);
}

/// The tools of the cookbook, for which it prints 105 (gpt-4) and 101 (gpt-4o).
#[test]
fn tools_of_the_cookbook_have_the_counts_that_it_prints() {
    let tools = json!([{"type": "function", "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {"type": "object", "required": ["location"], "properties": {
            "location": {
                "type": "string",
                "description": "The city and state, e.g. San Francisco, CA",
            },
            "unit": {
                "type": "string",
                "description": "The unit of temperature to return",
                "enum": ["celsius", "fahrenheit"],
            },
        }},
    }}]);
    let messages = json!([
        {"role": "system", "content": "You are a helpful assistant that can answer to questions \
            about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]);
    let content = Content { messages: Some(&messages), tools: Some(&tools), ..Content::default() };
    assert_eq!(input(Encoding::Cl100kBase, content), 105);
    assert_eq!(input(Encoding::O200kBase, content), 101);
}

#[test]
fn messages_equal_those_of_tiktoken_rs() {
    let messages = json!([
        {"role": "user", "content": "Wie ist das Wetter in Köln?", "name": "anna"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": "{\"city\":\"Köln\"}"}},
        ]},
        {"role": "tool", "content": "sunny, 21 °C", "tool_call_id": "c1"},
    ]);
    let call = tiktoken_rs::FunctionCall {
        name: "weather".to_owned(),
        arguments: "{\"city\":\"Köln\"}".to_owned(),
    };
    let theirs = |role: &str, content: Option<&str>, name: Option<&str>, calls: Vec<_>| {
        tiktoken_rs::ChatCompletionRequestMessage {
            role: role.to_owned(),
            content: content.map(str::to_owned),
            name: name.map(str::to_owned),
            tool_calls: calls,
            ..Default::default()
        }
    };
    let all = [
        theirs("user", Some("Wie ist das Wetter in Köln?"), Some("anna"), Vec::new()),
        theirs("assistant", None, None, vec![call]),
        theirs("tool", Some("sunny, 21 °C"), None, Vec::new()),
    ];
    for (model, encoding) in [("gpt-4", Encoding::Cl100kBase), ("gpt-4o", Encoding::O200kBase)] {
        let theirs = tiktoken_rs::num_tokens_from_messages(model, &all).expect("a count");
        let content = Content { messages: Some(&messages), ..Content::default() };
        assert_eq!(input(encoding, content), theirs as u64, "{model}");
    }
}

#[test]
fn parts_are_counted_and_pictures_are_passed_over() {
    let parts = json!([{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]}]);
    let whole = json!([{"role": "user", "content": "What is this?"}]);
    let of = |messages| {
        let content = Content { messages: Some(messages), ..Content::default() };
        count(content, Encoding::O200kBase, LONG)
    };
    assert_eq!(of(&parts).input, of(&whole).input);
    assert!(!of(&parts).is_exact && of(&whole).is_exact);
}

#[test]
fn inputs_are_texts_lists_of_texts_or_tokens() {
    let encoding = Encoding::Cl100kBase;
    let hello = plain(encoding, "hello world");
    for (given, n_tokens) in [
        (json!("hello world"), hello),
        (json!(["hello world", "hello world"]), 2 * hello),
        (json!([1, 2, 3]), 3),
        (json!([[1, 2, 3], [4]]), 4),
        (json!([]), 0),
        (json!({"x": 1}), 0),
        (json!(null), 0),
    ] {
        let content = Content { input: Some(&given), ..Content::default() };
        assert_eq!(input(encoding, content), n_tokens, "{given}");
    }
}

#[test]
fn answers_are_counted_without_framing_and_absence_is_not_zero() {
    let encoding = Encoding::O200kBase;
    let hello = plain(encoding, "hello world");
    for answer in [
        json!("hello world"),
        json!(["hello", " world"]),
        json!({"role": "assistant", "content": "hello world"}),
        json!([{"content": [{"type": "output_text", "text": "hello world"}]}]),
    ] {
        let content = Content { output: Some(&answer), ..Content::default() };
        let counted = count(content, encoding, LONG);
        assert_eq!((counted.input, counted.output), (None, Some(hello)), "{answer}");
    }
    let none = count(Content::default(), encoding, LONG);
    assert_eq!(none, Counted { input: None, output: None, is_exact: true });
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "role",
        "content",
        "name",
        "tool_calls",
        "function",
        "parameters",
        "properties",
        "enum",
        "description",
        "text",
        "type",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| {
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn json_of_any_shape_is_taken(a in any_json(), b in any_json(), c in any_json()) {
        let content =
            Content { messages: Some(&a), tools: Some(&b), input: Some(&c), output: Some(&a) };
        let counted = count(content, Encoding::R50kBase, LONG);
        prop_assert!(counted.input.is_some() && counted.output.is_some());
    }
}
