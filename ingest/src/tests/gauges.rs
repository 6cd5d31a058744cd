//! Connection reports, health and metrics.

use clock::Wall;
use serde_json::{Value, json};

use super::fixture::{Running, batch, event};

fn report(gateway: &str, namespace: &str, active: u64, time_us: i64) -> Value {
    json!({"kind": "connections", "gateway": gateway, "namespace": namespace,
        "active": active, "time": time_us})
}

/// Connections per namespace, as reported in the last minute.
async fn connections(running: &Running) -> Vec<(String, i64)> {
    let mut reader = running.store.read().await.expect("a reader");
    reader.connections(Wall::now().as_us() - 60_000_000).await.expect("connections")
}

#[tokio::test]
async fn newest_connection_report_of_a_gateway_wins_and_none_enters_the_log() {
    let (_folder, running) = Running::fresh().await;
    let now_us = Wall::now().as_us();
    let body = json!([
        report("gw-1", "wechat", 7, now_us),
        report("gw-2", "wechat", 5, now_us),
        report("gw-1", "alipay", 3, now_us),
        report("gw-1", "alipay", 9, now_us - 1_000_000),
        report("gw-9", "alipay", 100, now_us - 3_600_000_000),
    ]);
    let answer = running.send(body.to_string()).await;
    assert_eq!(answer.accepted(5), 5);
    assert!(answer.offsets().is_empty());
    let expected = [("alipay".to_owned(), 3), ("wechat".to_owned(), 12)];
    assert_eq!(connections(&running).await, expected);
    assert_eq!(running.queue.watermarks(0).await.expect("watermarks").high, 0);
    // Reports can be mixed with events, and only the events have a position.
    let body = format!("{}\n{}\n", report("gw-1", "wechat", 0, now_us + 1), event("a"));
    let answer = running.send(body).await;
    assert_eq!((answer.accepted(2), answer.offsets()), (2, vec![0]));
    assert_eq!(running.logged().await.len(), 1);
    let expected = [("alipay".to_owned(), 3), ("wechat".to_owned(), 5)];
    assert_eq!(connections(&running).await, expected);
    running.stop().await;
}

#[tokio::test]
async fn connection_report_from_the_future_is_dated_now() {
    let (_folder, running) = Running::fresh().await;
    let hour_us = 3_600_000_000;
    let body = report("gw", "wechat", 7, Wall::now().as_us() + hour_us).to_string();
    assert_eq!(running.send(body).await.accepted(1), 1);
    let newest = report("gw", "wechat", 1, Wall::now().as_us() + 1_000_000).to_string();
    assert_eq!(running.send(newest).await.accepted(1), 1);
    assert_eq!(connections(&running).await, [("wechat".to_owned(), 1)]);
    running.stop().await;
}

#[tokio::test]
async fn gateways_of_a_namespace_are_limited_and_one_above_the_limit_is_a_reject() {
    let (_folder, running) = Running::fresh().await;
    let now_us = Wall::now().as_us();
    let body = |from: usize, to: usize| {
        let reports: Vec<Value> =
            (from..to).map(|n| report(&format!("gw-{n}"), "wechat", 1, now_us)).collect();
        Value::Array(reports).to_string()
    };
    assert_eq!(running.send(body(0, 1_000)).await.accepted(1_000), 1_000);
    let answer = running.send(body(999, 1_001)).await;
    assert_eq!(answer.accepted(2), 1);
    assert_eq!(connections(&running).await, [("wechat".to_owned(), 1_000)]);
    running.stop().await;
}

#[tokio::test]
async fn healthy_ingest_is_alive_and_ready() {
    let (_folder, running) = Running::fresh().await;
    for (path, status) in [("/healthz", "alive"), ("/readyz", "ready")] {
        let answer = running.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (200, &json!(200)));
        assert_eq!(answer.json()["data"]["status"], status);
    }
    running.stop().await;
}

#[tokio::test]
async fn metrics_count_answers_events_and_rejects_by_reason() {
    let (_folder, running) = Running::fresh().await;
    let page = running.get("/metrics").await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].to_str().is_ok_and(|t| t.starts_with("text/plain")));
    for reason in event::reject::REASONS {
        let name = format!("gatemeter_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(running.metric(&name).await, Some(0), "{reason} starts at zero");
    }
    for status in [200, 400, 408, 413, 415, 422, 500, 503] {
        let name = format!("gatemeter_ingest_requests_total{{status_code=\"{status}\"}}");
        assert_eq!(running.metric(&name).await, Some(0), "{status} starts at zero");
    }
    let body = batch(["a", "b", "c"].map(str::to_owned));
    running.send(body.clone()).await;
    running.send("[").await;
    running.send("[1,{},{}]").await;
    for (name, value) in [
        ("gatemeter_ingest_requests_total{status_code=\"200\"}", 1),
        ("gatemeter_ingest_requests_total{status_code=\"400\"}", 1),
        ("gatemeter_ingest_requests_total{status_code=\"422\"}", 1),
        ("gatemeter_ingest_events_total", 3),
        ("gatemeter_ingest_frames_total", 1),
        ("gatemeter_ingest_waiting_events", 0),
        ("gatemeter_rejected_total{reason=\"type\"}", 1),
        ("gatemeter_rejected_total{reason=\"missing\"}", 2),
        ("gatemeter_ingest_bytes_total", i64::try_from(body.len() + 10).expect("fits")),
    ] {
        assert_eq!(running.metric(name).await, Some(value), "{name}");
    }
    running.stop().await;
}
