//! Unit tests of `parsed`.

use super::*;

/// Texts of a source, one of `texts` each.
pub(crate) fn texts(source: &str, texts: &[String]) -> Texts {
    let mut end = 0;
    let message = |(n, text): (usize, &String)| {
        end += text.len();
        RawMessage { offset: n as u64, end }
    };
    let messages = texts.iter().enumerate().map(message).collect();
    Texts { bytes: texts.concat().into(), messages: Some(messages), source: source.into() }
}

fn body(id: &str, n: usize) -> String {
    let event = |n| {
        format!(
            r#"{{"id": "{id}-{n}", "time": 1790000000, "namespace": "a", "upstream": "u",
              "method": "POST", "endpoint": "/v1", "status": 200, "duration_ms": 1}}"#
        )
    };
    format!("[{}]", (0..n).map(event).collect::<Vec<_>>().join(","))
}

#[test]
fn every_text_is_parsed_once_and_no_group_of_them_is_above_a_frame() {
    let sizes = [[1, 0, 2_000], [2_000, 1, 95], [1, 1, 2_000]];
    let all: Vec<Texts> = sizes
        .iter()
        .enumerate()
        .map(|(of, sizes)| {
            let bodies = sizes.iter().enumerate().map(|(at, n)| match n {
                0 => "no JSON".to_owned(),
                n => body(&format!("{of}-{at}"), *n),
            });
            texts(&format!("source {of}"), &bodies.collect::<Vec<_>>())
        })
        .chain([Texts::one(body("one", 3).into(), "last".into())])
        .collect();
    let n_texts: usize = all.iter().map(Texts::len).sum();
    assert_eq!(n_texts, 10);
    let (mut found, mut from, mut n_groups) = (Vec::new(), 0, 0);
    while from < n_texts {
        let parsed = Parsed::of(&all, from);
        let n_events = parsed.events().count();
        assert!(n_events <= FRAME_EVENTS_MAX);
        n_groups += 1;
        let (events, texts) = parsed.into_parts();
        let mut events = events.iter();
        for ParsedText { source, rest } in texts {
            from += 1;
            let n_events = rest.as_ref().map(|rest| rest.n_events).ok();
            for n in 0..n_events.unwrap_or(0) {
                let (index, event) = events.next().expect("as many as the texts say");
                let of_text = event.id.rsplit_once('-').expect("a number").1;
                assert_eq!((*index, of_text), (n, n.to_string().as_str()));
            }
            found.push((source.to_owned(), n_events));
        }
        assert!(events.next().is_none());
    }
    let wanted: Vec<(String, Option<usize>)> = sizes
        .iter()
        .enumerate()
        .flat_map(|(of, sizes)| {
            let n = |n: &usize| (format!("source {of}"), (*n > 0).then_some(*n));
            sizes.iter().map(n).collect::<Vec<_>>()
        })
        .chain([("last".to_owned(), Some(3))])
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(n_groups, 3);
}
