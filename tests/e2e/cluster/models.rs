//! Events whose model only their request names: through HTTP, through a raw topic, and as a dead
//! letter of one that is sent again, the same rule says what they count under.

use bytes::Bytes;
use clock::Wall;
use queue::RawTopic;
use serde_json::{Value, json};

use super::strangers::log;
use crate::gatemeter::{free_ports, get, post, sum, wait_for};
use crate::stack::{Books, Stack};

/// A raw topic whose ingest registers no namespaces by itself.
const STRICT: &str = "gatemeter.strict";
/// What the events of a way must count under: model, status, requests.
const COUNTED: [(&str, &str, i64); 4] = [
    ("asked-for", "success", 2),
    ("asked-for", "error", 1),
    ("named", "success", 1),
    ("none", "error", 2),
];
/// Events of a way.
const EACH: i64 = 6;

/// One event of each kind.
fn events(namespace: &str) -> Vec<Value> {
    let made_up = format!("made-up-{namespace}");
    let reported = [
        (200, None, Some("asked-for")),
        (302, Some(""), Some("asked-for")),
        (404, None, Some("asked-for")),
        // A client can ask for anything.
        (404, None, Some(made_up.as_str())),
        (200, Some("named"), Some("auto")),
        (500, None, None),
    ];
    let event = |(n, (status, model, asked)): (usize, &(u16, Option<&str>, Option<&str>))| {
        let mut event = json!({
            "id": format!("{namespace}-{n}"), "time": Wall::now().as_us(), "namespace": namespace,
            "upstream": "openai", "method": "POST", "endpoint": "/v1/chat/completions",
            "status": status, "duration_ms": 5, "usage": {"input_tokens": 3, "output_tokens": 2},
        });
        for (name, value) in [("model", model), ("requested_model", asked)] {
            if let Some(value) = value {
                event[name] = (*value).into();
            }
        }
        event
    };
    reported.iter().enumerate().map(event).collect()
}

fn publish(stack: &Stack, topic: &str, namespace: &str) {
    // One by one, so that no message brings what another one needs.
    let messages = events(namespace).into_iter().map(|event| Bytes::from(event.to_string()));
    stack.runtime.block_on(async {
        let topic = RawTopic::find(&log(stack, 1), topic).await.expect("the topic");
        topic.publish(messages.collect()).await.expect("published");
        topic.close().await;
    });
}

pub fn models_that_only_requests_name_count_alike_whichever_way_they_come(
    stack: &Stack,
    books: &mut Books,
) {
    let body = Value::from(events("asks-over-http")).to_string();
    let answer = post(stack.port("ingest"), "/v1/events", &[], body.as_bytes());
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    publish(stack, "gatemeter.raw", "asks-through-a-topic");
    letters_are_sent_again(stack, "asks-as-a-letter");
    let ways = ["asks-over-http", "asks-through-a-topic", "asks-as-a-letter"];
    for _ in ways {
        books.counted += EACH;
        books.requests += EACH;
        books.input += 3 * EACH;
        books.output += 2 * EACH;
    }
    stack.settle("models that only requests name", books);
    for (namespace, (model, status, requests)) in
        ways.iter().flat_map(|way| COUNTED.iter().map(move |counted| (way, counted)))
    {
        let series = format!(
            "gatemeter_model_requests_total{{namespace=\"{namespace}\",model=\"{model}\",\
             status=\"{status}\"}}"
        );
        // A new series is at zero until scrapes have fetched that.
        wait_for(&format!("{series} is {requests}"), || stack.shown(&series) == Some(*requests));
    }
    let page = get(stack.port("aggregator"), "/metrics?section=business", &[]).expect("a page");
    assert!(!page.body.contains("made-up-"), "what a client made up is no model");
}

/// Events that become dead letters of a raw topic, because their namespace is not there yet; once
/// it is, they are sent again.
fn letters_are_sent_again(stack: &Stack, namespace: &str) {
    let [port, ..] = free_ports();
    let env = [
        ("GATEMETER_KAFKA__RAW_TOPICS", STRICT.to_owned()),
        ("GATEMETER_KAFKA__RAW_GROUP", STRICT.to_owned()),
        ("GATEMETER_INGEST__AUTO_REGISTER", "false".to_owned()),
    ];
    let strict = stack.role("ingest", port, "ingest-strict", &env);
    let messages = |result: &str| {
        let series =
            format!("gatemeter_raw_messages_total{{result=\"{result}\",topic=\"{STRICT}\"}}");
        get(port, "/metrics", &[])
            .filter(|page| page.body.contains(&series))
            .map(|page| sum(&page.body, &series))
    };
    wait_for("it reads its topic", || messages("rejected") == Some(0));
    publish(stack, STRICT, namespace);
    wait_for("all are letters", || messages("rejected") == Some(EACH));
    let new = json!({"code": namespace, "name": "Letters"}).to_string();
    let headers = ["content-type: application/json"];
    let made = post(stack.port("api"), "/api/namespaces", &headers, new.as_bytes());
    assert_eq!(made.map(|answer| answer.status), Some(201));
    let output = stack.run(&["dlq", "replay", "--class", "namespace_not_registered"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("6 sent again, 0 refused"), "{stdout}");
    wait_for("all are taken", || messages("taken") == Some(EACH));
    strict.stop();
}
