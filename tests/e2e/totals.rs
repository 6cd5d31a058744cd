//! What is sent is counted to the token, and every view agrees.

use clock::Wall;
use serde_json::json;

use crate::gatemeter::{Place, get, post, repository, wait_for};

#[test]
fn azure_trace_is_counted_to_the_token() {
    let place = Place::new();
    let _running = place.start();
    let trace = |name: &str| {
        let path = repository("data/azure-llm-trace").join(format!("{name}.csv.gz"));
        format!("azure:{}", path.display())
    };
    let sent = place
        .replay(&[&trace("AzureLLMInferenceTrace_code"), &trace("AzureLLMInferenceTrace_conv")]);
    assert_eq!(sent["requests"], 28_185);
    place.wait_events("counted", 28_185);
    place.recount();
    assert_eq!(place.sum("http_requests_total{"), 28_185);
    assert_eq!(place.sum("namespace_requests_total{"), 28_185);
    let tokens = |token_type: &str| -> i64 {
        let end = format!("token_type=\"{token_type}\"}}");
        place
            .page()
            .lines()
            .filter(|line| line.starts_with("namespace_tokens_total{") && line.contains(&end))
            .map(|line| line.rsplit(' ').next().expect("a value").parse::<i64>().expect("whole"))
            .sum()
    };
    assert_eq!((tokens("input"), tokens("output")), (40_421_844, 4_334_561));
    let answer = place.api("/api/metrics/namespaces/all/tokens?timeRange=all");
    assert_eq!(answer["totals"]["input"], 40_421_844);
    assert_eq!(answer["totals"]["output"], 4_334_561);
    let trend = place.api("/api/metrics/namespaces/request-trend?timeRange=all");
    let buckets = trend["datasets"][0]["data"].as_array().expect("buckets");
    assert_eq!(buckets.iter().map(|n| n.as_i64().expect("whole")).sum::<i64>(), 28_185);
}

#[test]
fn clients_of_servegen_are_namespaces_counted_to_the_token() {
    let place = Place::new();
    let _running = place.start();
    let folder = format!("servegen:{}", repository("data/servegen/deepseek-r1").display());
    let words = ["--window", "1h-3h", "--count", "40000", "--compress", "zstd"];
    let sent = place.replay(&[&[&*folder], &words[..]].concat());
    assert_eq!(sent["requests"], 40_000);
    place.wait_events("counted", 40_000);
    place.recount();
    let namespaces = sent["namespaces"].as_object().expect("namespaces");
    assert!(namespaces.len() > 15, "{sent}");
    for (namespace, row) in namespaces {
        let tokens = format!("namespace_tokens_total{{namespace=\"{namespace}\",token_type=");
        assert_eq!(place.sum(&format!("{tokens}\"input\"}}")), row["input"], "{namespace}");
        assert_eq!(place.sum(&format!("{tokens}\"output\"}}")), row["output"], "{namespace}");
    }
}

#[test]
fn every_class_of_a_mixed_stream_is_exact() {
    let place = Place::new();
    let _running = place.start();
    let sent = place.replay(&[
        "synthetic",
        "--count",
        "100000",
        "--seed",
        "7",
        "--duplicates",
        "5%",
        "--late",
        "1%",
        "--future",
        "0.1%",
        "--malformed",
        "0.1%",
    ]);
    let events = &sent["events"];
    for class in ["duplicate", "late", "future", "rejected"] {
        assert!(events[class].as_i64().expect("whole") > 0, "{class}: {sent}");
    }
    assert!(events["counted"].as_i64().expect("whole") >= 100_000, "{sent}");
    place.wait_events("counted", events["counted"].as_i64().expect("whole"));
    place.wait_decided();
    let recount = place.recount();
    for class in ["counted", "duplicate", "late", "future"] {
        let shown = place.sum(&format!("gatemeter_events_total{{class=\"{class}\"}}"));
        assert_eq!(shown, events[class].as_i64().expect("whole"), "{class}");
        assert_eq!(recount["classes"][class], events[class], "{class}");
    }
    assert_eq!(place.sum("namespace_requests_total{"), sent["requests"].as_i64().expect("whole"));
    for (namespace, row) in sent["namespaces"].as_object().expect("namespaces") {
        let shown = |series: &str| place.sum(series);
        let requests = format!("namespace_requests_total{{namespace=\"{namespace}\",status=");
        assert_eq!(shown(&format!("{requests}\"success\"}}")), row["success"], "{namespace}");
        assert_eq!(shown(&format!("{requests}\"error\"}}")), row["error"], "{namespace}");
        let tokens = format!("namespace_tokens_total{{namespace=\"{namespace}\",token_type=");
        assert_eq!(shown(&format!("{tokens}\"input\"}}")), row["input"], "{namespace}");
        assert_eq!(shown(&format!("{tokens}\"output\"}}")), row["output"], "{namespace}");
    }
}

/// A native event of a namespace.
pub fn event(id: &str, namespace: &str) -> serde_json::Value {
    json!({
        "id": id, "time": Wall::now().as_us() / 1_000, "namespace": namespace,
        "upstream": "openai", "model": "gpt-4o", "method": "POST",
        "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 812.5,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    })
}

#[test]
fn a_garbled_frame_is_poison_with_its_count_and_the_next_is_counted() {
    let place = Place::new();
    let mut running = place.start();
    let send = |ids: std::ops::Range<u32>| {
        let events: Vec<_> = ids.map(|n| event(&format!("e-{n}"), "wechat")).collect();
        let body = serde_json::to_vec(&events).expect("JSON");
        let answer = post(place.ingest, "/v1/events", &[], &body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    send(0..3);
    place.wait_events("counted", 3);
    running.terminate();

    plant_garbled_copy_of_the_first_frame(&place);

    let _running = place.start();
    send(10..12);
    place.wait_events("counted", 5);
    assert_eq!(place.sum("gatemeter_events_total{class=\"poison\"}"), 3);
    assert_eq!(place.recount()["classes"]["poison"], 3);
}

/// Appends the first record again with one byte behind its envelope flipped, as a broken writer
/// would: the log's own checksum of the record holds, the frame's does not.
fn plant_garbled_copy_of_the_first_frame(place: &Place) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let _lock = queue::DirectoryLock::acquire(&place.data()).expect("nobody runs");
        let options = queue::EmbeddedOptions::default();
        let log = queue::Queue::open_embedded(&place.data(), options).await.expect("a log");
        let first = log.read(0, 0, 1).await.expect("a record").remove(0);
        let mut garbled = first.bytes.to_vec();
        *garbled.last_mut().expect("a byte") ^= 0x40;
        let record = queue::Append { partition: 0, bytes: garbled.into() };
        log.append(vec![record]).await.expect("durable");
        log.close().await;
    });
}

#[test]
fn an_event_is_on_the_page_and_in_the_api_within_seconds_and_a_copy_changes_nothing() {
    let place = Place::new();
    let _running = place.start();
    let body = event("one", "wechat").to_string();
    for _ in 0..3 {
        let answer = post(place.ingest, "/v1/events", &[], body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    place.wait_events("duplicate", 2);
    assert_eq!(place.sum("namespace_requests_total{namespace=\"wechat\",status=\"success\"}"), 1);
    wait_for("the API shows it", || {
        let answer = get(place.api, "/api/metrics/namespaces/wechat/tokens?timeRange=1h", &[]);
        answer.is_some_and(|answer| answer.body.contains("\"input\":100"))
    });
    place.recount();
}
