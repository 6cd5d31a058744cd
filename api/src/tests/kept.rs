//! Cached answers, stale answers while the ledger is down, and live totals.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use clock::Wall;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::fixture::{Fact, Place, change, get};

/// Longest time that a test waits for a state.
const DEADLINE: Duration = Duration::from_secs(30);
const QUERIES: [&str; 7] = [
    "/api/metrics/namespaces/status-distribution",
    "/api/metrics/namespaces/request-trend?namespace=wechat&timeRange=all",
    "/api/metrics/namespaces/all/tokens?timeRange=all",
    "/api/metrics/namespaces/wechat/tokens?timeRange=1h&tz=Asia%2FShanghai",
    "/api/metrics/dashboard?namespace=wechat",
    "/api/metrics/system",
    "/api/metrics/latency?namespace=wechat&timeRange=24h",
];

async fn ask(router: &Router, path: &str) -> Value {
    let response = router.clone().oneshot(get(path)).await.expect("routers do not fail");
    let bytes = to_bytes(response.into_body(), 16 << 20).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// How many queries were answered from a source.
async fn from(place: &Place, source: &str) -> u64 {
    let (_, _, page) = place.ask(get("/metrics")).await;
    let page = page["text"].as_str().expect("a page").to_owned();
    let line = format!("gatemeter_cache_answers_total{{source=\"{source}\"}} ");
    let value = page.lines().find_map(|shown| shown.strip_prefix(&line)).unwrap_or("0");
    value.parse().expect("a number")
}

#[tokio::test]
async fn answer_is_cached_at_one_version_and_equals_that_of_the_ledger() {
    let mut place = Place::open().await;
    for round in 1..4 {
        place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 7)]).await;
        for path in &QUERIES[..4] {
            // Unless the minute changes in between, the second answer is the cached first one.
            let began = Wall::now().as_us().div_euclid(60_000_000);
            let (first, second) = (place.get(path).await, place.get(path).await);
            let fresh = ask(&place.beside(false), path).await["data"].take();
            if Wall::now().as_us().div_euclid(60_000_000) == began {
                assert_eq!((&first, &second), (&fresh, &fresh), "{path}");
            }
            assert_eq!(first["as_of"]["version"], round, "{path}");
        }
    }
    assert!(from(&place, "process").await >= 8, "they came from the cache");
    assert_eq!(from(&place, "redis").await, 0);
    // A new namespace does not change the version, but is visible at once.
    let new = json!({"code": "new"});
    place.ask(change("POST", "/api/namespaces", &new)).await;
    let data = place.get(QUERIES[0]).await;
    assert_eq!(data["namespaces"]["enabled"], 2, "{data}");
}

#[tokio::test]
async fn answer_of_a_ledger_that_was_restored_since_is_not_reused_at_the_same_version() {
    let mut place = Place::open().await;
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 7)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    place.store.backup(&backup, &|_| {}).await.expect("a backup");
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 5)]).await;
    for path in &QUERIES[..5] {
        place.get(path).await;
    }
    let restored = place.restored(&backup).await;
    for path in &QUERIES[1..4] {
        let found = restored.get(path).await;
        let fresh = ask(&restored.beside(false), path).await["data"].take();
        assert_eq!(found["as_of"], fresh["as_of"], "{path}");
        assert_eq!(found["as_of"]["version"], 2, "{path}: a restore is a version of its own");
        assert_eq!(found["datasets"], fresh["datasets"], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_a_new_version_share_one_answer() {
    let mut place = Place::open().await;
    for round in 1..6 {
        place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 7)]).await;
        for path in QUERIES {
            let began = Wall::now().as_us().div_euclid(60_000_000);
            let before = from(&place, "ledger").await;
            let asked: Vec<_> = (0..16)
                .map(|_| {
                    let router = place.router.clone();
                    tokio::spawn(async move { ask(&router, path).await })
                })
                .collect();
            for asked in asked {
                assert_eq!(asked.await.expect("no panic")["code"], 200, "{path}");
            }
            let n_worked_out = from(&place, "ledger").await - before;
            if Wall::now().as_us().div_euclid(60_000_000) == began {
                assert_eq!(n_worked_out, 1, "{path} at version {round}");
            }
        }
    }
}

#[tokio::test]
async fn system_and_dashboard_are_cached_at_one_version_and_show_the_current_state() {
    let mut place = Place::open().await;
    place.commit(&[Fact::new(Wall::now().as_us() - 60_000_000, "wechat", 7)]).await;
    let report = |active| store::ConnectionsRow {
        gateway: "g".to_owned(),
        namespace: "wechat".to_owned(),
        active,
        seen_us: Wall::now().as_us(),
    };
    let dashboard = "/api/metrics/dashboard?namespace=wechat&timeRange=24h";
    for path in ["/api/metrics/system", "/api/metrics/system?timeRange=1h", dashboard] {
        for (frames, active) in [(3, 4), (5, 9)] {
            let began = Wall::now().as_us().div_euclid(60_000_000);
            place.get(path).await;
            let (n_shared, n_new) = (from(&place, "process").await, from(&place, "ledger").await);
            place.lag_frames.store(frames, Ordering::Relaxed);
            place.store.put_connections(vec![report(active)]).await.expect("kept");
            let shared = place.get(path).await;
            let fresh = ask(&place.beside(false), path).await["data"].take();
            if Wall::now().as_us().div_euclid(60_000_000) != began {
                continue;
            }
            assert_eq!(shared.to_string(), fresh.to_string(), "{path}");
            let system = shared.get("system").unwrap_or(&shared);
            let of_now = (&system["lag"]["frames"], &system["activeConnections"]);
            assert_eq!(of_now, (&json!(frames), &json!(active)), "{path}");
            assert_eq!(system["events"]["counted"], 7, "{path}");
            assert_eq!(from(&place, "process").await, n_shared + 1, "{path}");
            assert_eq!(from(&place, "ledger").await, n_new, "{path}");
        }
    }
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 2)]).await;
    let data = place.get(dashboard).await;
    assert_eq!(
        (&data["stats"]["totalRequests"], &data["system"]["events"]["counted"]),
        (&json!(9), &json!(9))
    );
}

#[tokio::test]
async fn query_takes_few_statements_whatever_its_range() {
    takes_few_statements(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn query_takes_few_statements_on_a_server_too() {
    takes_few_statements(Place::on_server().await).await;
}

async fn takes_few_statements(mut place: Place) {
    let now = Wall::now().as_us();
    let facts = [Fact::new(now, "wechat", 7), Fact::new(now - 40 * 86_400_000_000, "alipay", 1)];
    place.commit(&facts).await;
    let ranges = ["15m", "1h", "6h", "24h", "today", "yesterday", "week", "month", "all"];
    let namespaces = "/api/metrics/namespaces";
    let mut queries = Vec::new();
    for range in ranges.map(|word| format!("timeRange={word}&tz=Australia/Lord_Howe")) {
        for scope in ["all", "wechat", "1"] {
            queries.push((3, format!("{namespaces}/{scope}/tokens?{range}")));
            queries.push((3, format!("{namespaces}/{scope}/stats?{range}")));
            queries.push((3, format!("{namespaces}/request-trend?namespace={scope}&{range}")));
            for more in ["", "&metric=tpot", "&model=gpt-4o&upstream=openai"] {
                let path = format!("/api/metrics/latency?namespace={scope}&{range}{more}");
                queries.push((3, path));
            }
            queries.push((8, format!("/api/metrics/dashboard?namespace={scope}&{range}")));
        }
        queries.push((3, format!("{namespaces}/status-distribution?{range}")));
        queries.push((4, format!("/api/metrics/system?{range}")));
        for groups in ["consumer", "model", "upstream,status,hour"] {
            for more in ["", "&namespace=wechat", "&namespace=1&search=w"] {
                let path = format!("/api/usage?group_by={groups},namespace{more}&{range}");
                queries.push((if groups == "consumer" { 5 } else { 4 }, path));
            }
        }
    }
    for (most, path) in queries {
        let began = Wall::now().as_us().div_euclid(60_000_000);
        let before = place.store.n_read_statements();
        place.get(&path).await;
        let first = place.store.n_read_statements() - before;
        assert!((1..=most).contains(&first), "{path}: {first} statements");
        place.get(&path).await;
        let again = place.store.n_read_statements() - before - first;
        let is_of_now = path.contains("dashboard") || path.contains("system");
        let wanted = if is_of_now { 2 } else { 1 };
        let is_same_minute = Wall::now().as_us().div_euclid(60_000_000) == began;
        assert!(again == wanted || !is_same_minute, "{path}: {again} statements for the same");
    }
}

#[tokio::test]
async fn last_answers_are_served_as_stale_while_the_ledger_is_down() {
    let mut place = Place::open().await;
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 7)]).await;
    let mut before = Vec::new();
    for path in QUERIES {
        let (_, _, answer) = place.ask(get(path)).await;
        assert_eq!(answer.get("stale"), None, "{path}");
        before.push(answer);
    }
    place.get("/api/namespaces").await;
    for is_known in [true, false] {
        if is_known {
            // The ledger is known to be down.
            place.is_down.store(true, Ordering::Relaxed);
        } else {
            // It is not known yet: the query finds out.
            place.is_down.store(false, Ordering::Relaxed);
            place.store.close().await;
        }
        for (path, before) in QUERIES.iter().zip(&before) {
            let (status, _, mut answer) = place.ask(get(path)).await;
            assert_eq!((status, &answer["stale"]), (StatusCode::OK, &json!(true)), "{path}");
            let system = match path.split('/').next_back() {
                Some("system") => "",
                _ if path.contains("dashboard") => "/system",
                _ => "/none",
            };
            let place_of = format!("/data{system}/dependencies");
            if is_known && let Some(dependencies) = answer.pointer_mut(&place_of) {
                assert_eq!(dependencies[0]["status"], "down", "the state is the current one");
                *dependencies = before.pointer(&place_of).expect("it was there").clone();
            }
            assert_eq!(answer["data"].to_string(), before["data"].to_string(), "{path}");
        }
        if !is_known {
            let never = "/api/metrics/namespaces/all/tokens?timeRange=6h";
            let (status, headers, _) = place.ask(get(never)).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(headers.contains_key("retry-after"));
        }
        let (status, _) = place.refused("/api/metrics/namespaces/all/tokens?timeRange=x").await;
        assert_eq!(status, 400, "a bad request is refused even while the ledger is down");
    }
    assert!(from(&place, "stale").await >= 10);
    // An answer about the configuration is valid for a moment longer, and then stale too.
    let end = Instant::now() + DEADLINE;
    loop {
        let (status, _, answer) = place.ask(get("/api/namespaces")).await;
        assert_eq!((status, &answer["data"]["total"]), (StatusCode::OK, &json!(1)));
        if answer["stale"] == true {
            break;
        }
        assert!(Instant::now() < end, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn configuration_change_reaches_other_processes() {
    let place = Place::open().await;
    for (router, code) in [(place.beside(true), "told"), (place.beside(false), "untold")] {
        assert_eq!(ask(&router, "/api/namespaces?keyword=told").await["code"], 200);
        let (status, _, _) =
            place.ask(change("POST", "/api/namespaces", &json!({"code": code}))).await;
        assert_eq!(status, StatusCode::CREATED);
        let end = Instant::now() + DEADLINE;
        let path = format!("/api/namespaces?keyword={code}");
        while ask(&router, &path).await["data"]["items"][0]["code"] != code {
            assert!(Instant::now() < end, "the other process never shows {code}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The process that made the change shows it at once.
        assert_eq!(place.get(&path).await["items"][0]["code"], code);
    }
}

#[tokio::test]
async fn live_totals_are_streamed_until_shutdown() {
    let mut place = Place::open().await;
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 7)]).await;
    let request: Request<Body> = get("/api/metrics/live");
    let response = place.router.clone().oneshot(request).await.expect("routers do not fail");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut frames = response.into_body().into_data_stream();
    let mut text = String::new();
    let mut read = async |text: &mut String| {
        use futures_util::StreamExt as _;
        let frame = tokio::time::timeout(DEADLINE, frames.next()).await.expect("in time");
        let frame = frame.map(|frame| frame.expect("a frame"));
        text.push_str(&frame.as_deref().map(String::from_utf8_lossy).unwrap_or_default());
        frame.is_some()
    };
    while text.matches("data: ").count() < 2 {
        assert!(read(&mut text).await, "{text}");
    }
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    assert_eq!((&events[0]["requests"], &events[0]["rates"]), (&json!(7), &Value::Null));
    assert_eq!((&events[0]["inputTokens"], &events[0]["outputTokens"]), (&json!(700), &json!(140)));
    assert_eq!(events[1]["rates"]["requests"], 0.0);
    place.end();
    while read(&mut text).await {}
}

#[tokio::test]
async fn live_totals_of_a_namespace_are_its_own() {
    use futures_util::StreamExt as _;
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let facts = [Fact::new(now, "wechat", 7), Fact { status: 503, ..Fact::new(now, "alipay", 2) }];
    place.commit(&facts).await;
    place.ask(change("POST", "/api/namespaces", &json!({"code": "new"}))).await;
    for (namespace, requests, errors) in
        [("wechat", 7, 0), ("2", 2, 2), ("alipay", 2, 2), ("new", 0, 0), ("all", 9, 2)]
    {
        let path = format!("/api/metrics/live?namespace={namespace}");
        let response = place.router.clone().oneshot(get(&path)).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{namespace}");
        let mut frames = response.into_body().into_data_stream();
        let mut text = String::new();
        while !text.contains("data: ") || !text.ends_with("\n\n") {
            let frame = tokio::time::timeout(DEADLINE, frames.next()).await.expect("in time");
            let frame = frame.expect("no end").expect("a frame");
            text.push_str(&String::from_utf8_lossy(&frame));
        }
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
        let event: Value = serde_json::from_str(data).expect("JSON");
        let found = (&event["requests"], &event["errors"], &event["inputTokens"]);
        let input = json!(requests * 100);
        assert_eq!(found, (&json!(requests), &json!(errors), &input), "{namespace}");
        assert_eq!((&event["version"], &event["rates"]), (&json!(1), &Value::Null), "{namespace}");
    }
    assert_eq!(place.refused("/api/metrics/live?namespace=nobody").await.0, 404);
}
