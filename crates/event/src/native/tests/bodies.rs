//! Tables of bodies and what becomes of them: every form, every fault of a body, every limit.

use super::*;

/// How many events and rejects a body has, and its form.
#[track_caller]
fn check_form<'a>(body: &'a [u8], form: Form, n_events: usize, rejected: &[usize]) -> Batch<'a> {
    let batch = parse(body).expect("a readable body");
    let indexes: Vec<usize> = batch.rejects.iter().map(|reject| reject.index).collect();
    assert_eq!(
        (batch.form, batch.events.len(), indexes.as_slice()),
        (form, n_events, rejected),
        "{}",
        String::from_utf8_lossy(body)
    );
    batch
}

#[test]
fn events_nested_too_deep_are_rejected_alone() {
    let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for field in ["x", "text", "usage", "id"] {
        let (wrap_l, wrap_r) =
            if field == "usage" || field == "text" { ("{\"x\":", "}") } else { ("[", "]") };
        let value = |n: usize| format!("{wrap_l}{}{wrap_r}", nest(n));
        let deepest = event_with(&[(field, &value(14))]);
        if field == "id" {
            check(&deepest, "id", "type");
        } else {
            event(&deepest);
        }
        for n in [15, 200, 100_000] {
            let deep = event_with(&[(field, &value(n))]);
            check(&deep, "", "depth");
            let good = event_with(&[]);
            check_form(format!("[{good},{deep},{good}]").as_bytes(), Form::Array, 2, &[1]);
            check_form(format!("{good}\n{deep}\n{good}").as_bytes(), Form::Ndjson, 2, &[1]);
        }
    }
}

#[test]
fn first_byte_and_lines_decide_the_form() {
    let good = event_with(&[]);
    let pretty = good.replace(',', ",\n  ").replace('{', "{\n  ");
    let forms: [(String, Form, usize, &[usize]); 18] = [
        (good.clone(), Form::Object, 1, &[]),
        (format!("\u{feff} \r\n{good}\r\n"), Form::Object, 1, &[]),
        (pretty.clone(), Form::Object, 1, &[]),
        ("[]".into(), Form::Array, 0, &[]),
        (format!("\n[ {good} ,\n{pretty}]\n"), Form::Array, 2, &[]),
        (
            format!("[1,{good},null,[[{good}]],\"x\",-1,1.5,true]"),
            Form::Array,
            1,
            &[0, 2, 3, 4, 5, 6, 7],
        ),
        (format!("{good}\n{good}"), Form::Ndjson, 2, &[]),
        (format!("\r\n{good}\r\n\r\n \t\r\n{good}\r\n"), Form::Ndjson, 2, &[]),
        (format!("  {good}\n  {good}"), Form::Ndjson, 2, &[]),
        (format!("{good}\n{{\"id\":\n{good}\n"), Form::Ndjson, 2, &[1]),
        (format!("{{\"id\":\n{good}\n"), Form::Ndjson, 1, &[0]),
        (format!("rubbish\n{good}\n{good}{good}\n[{good}]"), Form::Ndjson, 1, &[0, 2, 3]),
        (format!("{good}\n{{\"id\":\"\\ud800\"}}"), Form::Ndjson, 1, &[1]),
        (format!("  {{bad\n{good}\n{good}"), Form::Ndjson, 2, &[0]),
        (format!("{{bad\n {good}\n {good}"), Form::Ndjson, 2, &[0]),
        ("{\"id\":\n{\"id\":\n".into(), Form::Ndjson, 0, &[0, 1]),
        (
            format!("[{good},{{\"id\":\"\\ud800\"}},{{\"seq\":1e999}},{good}]"),
            Form::Array,
            2,
            &[1, 2],
        ),
        ("\"text\"".into(), Form::Object, 0, &[0]),
    ];
    for (body, form, n_events, rejected) in &forms {
        check_form(body.as_bytes(), *form, *n_events, rejected);
    }
}

#[test]
fn lines_that_are_not_json_say_where() {
    let good = event_with(&[]);
    let body = format!("{good}\n{{\"id\" 1}}\n");
    let batch = check_form(body.as_bytes(), Form::Ndjson, 1, &[1]);
    let reject = &batch.rejects[0];
    assert_eq!((reject.field, reject.kind), ("", "syntax"));
    assert_eq!(reject.reason, "is not JSON: expected `:` at its column 7");
    let mut body = format!("{good}\n").into_bytes();
    body.extend(b"{\"id\":\"\xff\"}\n");
    let batch = check_form(&body, Form::Ndjson, 1, &[1]);
    assert_eq!(batch.rejects[0].reason, "is not UTF-8: invalid byte at its column 8");
}

#[test]
fn bodies_that_cannot_be_read_are_errors_that_name_the_place() {
    let good = event_with(&[]);
    let pretty_broken = "{\n  \"id\": \"a\",\n  \"usage\": {}\n  \"x\": 1\n}";
    for (body, message) in [
        ("", "the body is empty; it must be a JSON object, an array of objects, or NDJSON"),
        (" \r\n\t", "the body is empty; it must be a JSON object, an array of objects, or NDJSON"),
        ("{", "the body is not JSON: EOF while parsing an object at line 1 column 1"),
        (pretty_broken, "the body is not JSON: expected `,` or `}` at line 4 column 3"),
        ("rubbish", "the body is not JSON: expected value at line 1 column 1"),
        ("[{\"id\":1},", "the body is not JSON: EOF while parsing a value at line 1 column 10"),
        ("[1 2]", "the body is not JSON: expected `,` or `]` at line 1 column 4"),
        ("[] []", "the body is not JSON: trailing characters at line 1 column 4"),
        ("[1,]", "the body is not JSON: trailing comma at line 1 column 4"),
        (
            "{\"id\":\"\\ud800\"}",
            "the body is not JSON: unexpected end of hex escape at line 1 column 14",
        ),
        (
            &format!("{good}{good}"),
            "the body is not JSON: trailing characters at line 1 column 153",
        ),
    ] {
        let error = parse(body.as_bytes()).expect_err("not readable");
        assert_eq!((error.to_string().as_str(), error.status()), (message, 400), "{body}");
    }
    for body in [b"[\"\xff\"]".as_slice(), b"{\"\xff\":1}", b"\n\n \xff"] {
        let error = parse(body).expect_err("not readable");
        let offset = body.iter().position(|byte| *byte == 0xff).expect("it is there");
        assert_eq!((error.status(), error), (400, BodyError::NotUtf8 { offset }));
    }
}

#[test]
fn bodies_with_too_many_events_are_refused_as_too_large() {
    for separator in [",", "\n"] {
        let body = |n: usize| {
            let items = vec!["{}"; n].join(separator);
            if separator == "," { format!("[{items}]") } else { items }
        };
        let full = body(BATCH_EVENTS_MAX);
        assert_eq!(parse(full.as_bytes()).expect("readable").n_items, BATCH_EVENTS_MAX);
        for n in [BATCH_EVENTS_MAX + 1, 100_000] {
            let error = parse(body(n).as_bytes()).expect_err("too many");
            assert_eq!((error.status(), error), (413, BodyError::TooManyEvents));
        }
    }
    let body = format!("[\"\\ud800\",{}1]", "{},".repeat(BATCH_EVENTS_MAX));
    assert_eq!(parse(body.as_bytes()), Err(BodyError::TooManyEvents));
}
