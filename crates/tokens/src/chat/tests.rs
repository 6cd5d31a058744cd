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
    assert_eq!(counted.gaps.reason(), None);
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
    assert!(of(&parts).gaps == Gaps::from(Gap::Media) && of(&whole).is_exact());
}

#[test]
fn the_schema_of_an_answer_is_input_and_its_framing_is_not_known() {
    let messages = json!([{"role": "user", "content": "hello world"}]);
    let of = |format: Value| {
        let content = Content {
            messages: Some(&messages),
            response_format: Some(&format),
            ..Content::default()
        };
        count(content, Encoding::O200kBase, LONG)
    };
    let bare = of(Value::Null);
    assert!(bare.is_exact() && of(json!({"type": "text"})) == bare);
    for any in [json!({"type": "json_object"}), json!("json"), json!({})] {
        let counted = of(any);
        assert_eq!((counted.input, counted.gaps), (bare.input, Gaps::from(Gap::Format)));
    }
    for strange in [json!(5), json!(true), json!([{"type": "text"}])] {
        let counted = of(strange);
        assert!(counted.input == bare.input && counted.gaps.has(Gap::Unknown), "{counted:?}");
    }
    let schema = json!({"type": "object", "properties": {"ship": {"type": "string"}}});
    for format in [
        json!({"type": "json_schema", "json_schema": {"name": "harbour", "schema": schema}}),
        json!({"type": "json_schema", "name": "harbour", "schema": schema}),
        schema.clone(),
    ] {
        let found = of(format);
        assert!(found.input > bare.input && !found.is_exact(), "{found:?}");
    }
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
        (json!(null), 0),
    ] {
        let content = Content { input: Some(&given), ..Content::default() };
        assert_eq!(input(encoding, content), n_tokens, "{given}");
    }
    for given in [json!({"x": 1}), json!(7), json!([true]), json!([2.5, -1])] {
        let content = Content { input: Some(&given), ..Content::default() };
        let counted = count(content, encoding, LONG);
        assert_eq!((counted.input, counted.gaps), (Some(0), Gap::Unknown.into()), "{given}");
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
    assert_eq!(none, Counted::default());
}

/// What is counted of a request beside what is in it alone.
#[track_caller]
fn of(content: Content<'_>) -> Counted {
    count(content, Encoding::O200kBase, LONG)
}

fn hello() -> u64 {
    plain(Encoding::O200kBase, "hello world")
}

#[test]
fn what_is_told_before_the_messages_counts_as_a_message() {
    let user = json!([{"role": "user", "content": "hello world"}]);
    let both = json!([
        {"role": "system", "content": "hello world"}, {"role": "user", "content": "hello world"},
    ]);
    let expected = of(Content { messages: Some(&both), ..Content::default() });
    assert!(expected.is_exact());
    for told in [json!("hello world"), json!([{"type": "text", "text": "hello world"}])] {
        let system = Content { messages: Some(&user), system: Some(&told), ..Content::default() };
        assert_eq!(of(system), expected, "{told}");
        let instructions =
            Content { messages: Some(&user), instructions: Some(&told), ..Content::default() };
        assert_eq!(of(instructions), expected, "{told}");
    }
    let none = json!("");
    let empty = Content { messages: Some(&user), system: Some(&none), ..Content::default() };
    assert_eq!(of(empty), of(Content { messages: Some(&user), ..Content::default() }));
}

#[test]
fn reasoning_is_part_of_the_output_and_has_a_class_of_its_own() {
    let (thought, said) = (json!("hello world"), json!("hello"));
    let both = of(Content { output: Some(&said), reasoning: Some(&thought), ..Content::default() });
    assert_eq!((both.output, both.reasoning), (Some(hello() + 1), Some(hello())));
    assert!(both.is_exact());
    for answer in [
        json!({"role": "assistant", "content": "hello", "reasoning_content": "hello world"}),
        json!({"content": "hello", "reasoning": "hello world"}),
        json!([{"type": "thinking", "thinking": "hello world"}, {"type": "text", "text": "hello"}]),
        json!([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hello world"}]},
               {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}]),
        json!({"parts": [{"text": "hello world", "thought": true}, {"text": "hello"}]}),
    ] {
        let counted = of(Content { output: Some(&answer), ..Content::default() });
        assert_eq!((counted.output, counted.reasoning), (both.output, both.reasoning), "{answer}");
    }
    // An option of a request, not a part of an answer.
    let option = json!({"effort": "high", "summary": "auto"});
    assert_eq!(of(Content { reasoning: Some(&option), ..Content::default() }), Counted::default());
}

#[test]
fn calls_of_tools_are_output_whichever_dialect_they_come_in() {
    let arguments = "{\"city\":\"Ulm\"}";
    let n_tokens =
        plain(Encoding::O200kBase, "weather") + plain(Encoding::O200kBase, arguments) + 1;
    let calls = json!([{"id": "c", "function": {"name": "weather", "arguments": arguments}}]);
    let counted = of(Content { tool_calls: Some(&calls), ..Content::default() });
    assert_eq!((counted.output, counted.reasoning), (Some(n_tokens), None));
    assert!(counted.is_exact());
    for answer in [
        json!({"content": null, "tool_calls": calls}),
        json!([{"type": "function_call", "name": "weather", "arguments": arguments}]),
        json!([{"type": "tool_use", "name": "weather", "input": {"city": "Ulm"}}]),
        json!({"parts": [{"functionCall": {"name": "weather", "args": {"city": "Ulm"}}}]}),
    ] {
        let counted = of(Content { output: Some(&answer), ..Content::default() });
        assert_eq!(counted.output, Some(n_tokens), "{answer}");
    }
}

#[test]
fn messages_of_other_dialects_have_all_their_texts_counted_and_are_not_exact() {
    let text = "hello world ".repeat(20);
    let n_tokens = plain(Encoding::O200kBase, &text);
    for message in [
        json!({"role": "user", "content": [{"type": "tool_result", "content": text}]}),
        json!({"role": "user", "content": [
            {"type": "tool_result", "content": [{"type": "text", "text": text}]}]}),
        json!({"role": "model", "parts": [{"text": text}]}),
        json!({"role": "user", "parts": [
            {"functionResponse": {"name": "f", "response": {"result": text}}}]}),
        json!({"type": "function_call_output", "call_id": "c", "output": text}),
        json!({"role": "assistant", "content": "", "reasoning_content": text}),
        json!({"role": "user", "content": [{"type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": text}}]}),
        json!({"role": "user", "content": [{"toolResult": {"content": [{"text": text}]}}]}),
    ] {
        let messages = json!([message]);
        let counted = of(Content { messages: Some(&messages), ..Content::default() });
        let input = counted.input.expect("a prompt");
        assert!((n_tokens..n_tokens + 20).contains(&input), "{input} for {message}");
        assert_eq!(counted.gaps, Gap::Dialect.into(), "{message}");
    }
}

#[test]
fn base64_is_never_counted_as_text() {
    let bytes = "QUJDREVG".repeat(20_000);
    let url = format!("data:image/png;base64,{bytes}");
    for part in [
        json!({"type": "image_url", "image_url": {"url": url}}),
        json!({"type": "input_image", "image_url": url}),
        json!({"type": "image", "data": bytes, "mimeType": "image/png"}),
        json!({"type": "image", "source": {"type": "base64", "data": bytes}}),
        json!({"inlineData": {"mimeType": "image/png", "data": bytes}}),
        json!({"type": "input_audio", "input_audio": {"data": bytes, "format": "wav"}}),
        json!({"type": "file", "file": {"file_data": bytes}}),
        json!({"image": {"format": "png", "source": {"bytes": bytes}}}),
    ] {
        let messages = json!([{"role": "user", "content": [part]}]);
        let counted = of(Content { messages: Some(&messages), ..Content::default() });
        assert!(counted.input < Some(10), "{:?}", counted.input);
        assert_eq!(counted.gaps, Gap::Media.into());
    }
    let result = json!([{"type": "function_call_output", "output": url}]);
    let counted = of(Content { input: Some(&result), ..Content::default() });
    assert!(counted.input < Some(10) && counted.gaps.has(Gap::Media), "{counted:?}");
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
        "reasoning",
        "items",
        "input",
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
        let content = Content {
            messages: Some(&a),
            input: Some(&b),
            system: Some(&c),
            instructions: Some(&a),
            tools: Some(&b),
            response_format: Some(&c),
            output: Some(&c),
            reasoning: Some(&a),
            tool_calls: Some(&b),
        };
        let counted = count(content, Encoding::R50kBase, LONG);
        prop_assert!(counted.input.is_some() && counted.output.is_some());
        prop_assert!(counted.reasoning <= counted.output);
    }
}
