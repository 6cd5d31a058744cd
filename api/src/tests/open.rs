//! Which routes are open and which are guarded, and the metrics of the port.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use axum::body::Body;
use clock::Wall;
use http::{Request, StatusCode};
use service::auth::{Access, Verifier, hash_key};

use super::fixture::{Fact, Place, get};

#[tokio::test]
async fn numbers_require_the_key_and_the_page_does_not() {
    let place = Place::guarded(Access::Key(Verifier::new(hash_key("secret"))), None).await;
    for path in [
        "/api/metrics/namespaces/status-distribution",
        "/api/metrics/namespaces/request-trend",
        "/api/metrics/namespaces/all/tokens",
        "/api/metrics/system",
        "/api/namespaces",
        "/api/namespaces/1",
    ] {
        let (status, _, value) = place.ask(get(path)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(value["code"], 401, "{path}");
        let keyed = Request::get(path).header("authorization", "Bearer secret");
        let (status, _, _) = place.ask(keyed.body(Body::empty()).expect("a request")).await;
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/", "/usage", "/assets/docs/docs.js", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(place.ask(get(path)).await.0, StatusCode::OK, "{path}");
        // Query strings that caches and probes append are ignored, except by /metrics.
        let expected = if path == "/metrics" { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        assert_eq!(place.ask(get(&format!("{path}?v=2"))).await.0, expected, "{path}");
    }
}

/// What the text of a page refers to on this server.
fn references(html: &str) -> Vec<String> {
    let parts = html.split("=\"/").skip(1);
    parts.map(|part| format!("/{}", part.split('"').next().expect("a path"))).collect()
}

#[tokio::test]
async fn page_loads_nothing_from_elsewhere_and_is_not_sent_twice() {
    let place = Place::open().await;
    let (status, headers, page) = place.ask(get("/")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let html = page["text"].as_str().expect("a page");
    assert!(!html.contains("http://") && !html.contains("https://"));
    assert!(!html.contains("<style") && !html.contains(" style="), "the policy forbids it");
    let loaded = references(html);
    assert!(loaded.iter().any(|path| path.ends_with(".js")), "{html}");
    for path in loaded {
        assert_eq!(place.ask(get(&path)).await.0, StatusCode::OK, "{path}");
    }
    let tag = headers["etag"].to_str().expect("a tag");
    let again = Request::get("/").header("if-none-match", tag).body(Body::empty());
    assert_eq!(place.ask(again.expect("a request")).await.0, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn every_address_of_the_page_has_its_text_and_others_do_not() {
    let place = Place::open().await;
    let (_, headers, page) = place.ask(get("/")).await;
    for path in ["/usage", "/upstreams", "/pipeline", "/namespaces", "/namespaces/a%2Fb?tab=x"] {
        let (status, found, text) = place.ask(get(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!((&text, &found["etag"]), (&page, &headers["etag"]), "{path}");
    }
    for path in ["/usages", "/usage/", "/namespaces/a/b", "/index.html", "/assets/nothing.js"] {
        let (status, _, answer) = place.ask(get(path)).await;
        assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &404.into()), "{path}");
    }
}

/// A new program with the text of an old one, or the other way round, would load what is not there.
#[tokio::test]
async fn clients_ask_for_the_text_each_time_and_keep_what_is_named_by_its_content() {
    let place = Place::open().await;
    let kept = async |path: &str| {
        let (status, headers, _) = place.ask(get(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        headers["cache-control"].to_str().expect("text").to_owned()
    };
    assert_eq!(kept("/").await, "no-cache");
    let html = place.ask(get("/")).await.2["text"].as_str().expect("a page").to_owned();
    let mut n_forever = 0;
    for path in references(&html) {
        let directives = kept(&path).await;
        let is_copied = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../frontend/public")
            .join(&path[1..])
            .exists();
        let is_forever = directives == "public, max-age=31536000, immutable";
        assert!(is_forever || directives == "no-cache", "{path}: {directives}");
        assert_eq!(is_forever, !is_copied, "{path}: {directives}");
        n_forever += usize::from(is_forever);
    }
    assert!(n_forever > 0, "{html}");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_existing_namespace() {
    let mut place = Place::open().await;
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 1)]).await;
    for path in ["wechat", "nobody", "all"] {
        place.ask(get(&format!("/api/metrics/namespaces/{path}/tokens"))).await;
    }
    let (_, headers, page) = place.ask(get("/metrics")).await;
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = page["text"].as_str().expect("a page");
    let line = |status: u16, namespace: &str| {
        format!(
            "http_requests_total{{endpoint=\"/api/metrics/namespaces/{{namespace}}/tokens\",\
             method=\"GET\",namespace=\"{namespace}\",status_code=\"{status}\",\
             upstream=\"none\"}} 1\n"
        )
    };
    for (status, namespace) in [(200, "wechat"), (404, "none"), (200, "none")] {
        assert!(page.contains(&line(status, namespace)), "{status} {namespace}:\n{page}");
    }
}

/// The values of a family's series, by name and labels.
fn series(page: &str, family: &str) -> BTreeMap<String, i64> {
    let lines = page.lines().filter(|line| line.starts_with(&format!("{family}{{")));
    let parted = lines.map(|line| line.rsplit_once(' ').expect("a value"));
    parted.map(|(name, value)| (name.to_owned(), value.parse().expect("whole"))).collect()
}

/// An alert on an increase misses the first event of a series that begins with it.
#[tokio::test]
async fn every_failure_series_starts_at_zero() {
    let place = Place::open().await;
    let page =
        async || place.ask(get("/metrics")).await.2["text"].as_str().expect("text").to_owned();
    let before = page().await;
    for source in ["process", "redis", "ledger", "stale"] {
        let line = format!("gatemeter_cache_answers_total{{source=\"{source}\"}} 0\n");
        assert!(before.contains(&line), "{before}");
    }
    let before = series(&before, "http_requests_total");
    assert!(before.values().all(|n| *n == 0), "{before:?}");
    place.store.close().await;
    place.is_down.store(true, Ordering::Relaxed);
    for path in [
        "/api/metrics/namespaces/status-distribution",
        "/api/metrics/namespaces/request-trend",
        "/api/metrics/namespaces/all/tokens",
        "/api/metrics/namespaces/all/stats",
        "/api/metrics/system",
        "/api/metrics/dashboard",
        "/api/usage",
        "/api/usage/export",
        "/api/namespaces",
        "/api/namespaces/1",
        "/readyz",
    ] {
        let status = place.ask(get(path)).await.0;
        assert!(status.is_server_error(), "{path}: {status}");
    }
    let change = Request::put("/api/namespaces/1/status");
    let change = change.header("content-type", "application/json");
    let status = place.ask(change.body(Body::from("{}")).expect("a request")).await.0;
    assert!(status.is_server_error(), "{status}");
    let after = series(&page().await, "http_requests_total");
    let failures = after.iter().filter(|(name, _)| name.contains("status_code=\"5"));
    let failures: Vec<_> = failures.filter(|(_, n)| **n > 0).collect();
    assert_eq!(failures.len(), 12, "{failures:?}");
    for (name, _) in failures {
        assert!(before.contains_key(name), "{name} begins with its first failure");
    }
}

#[tokio::test]
async fn readyz_names_what_is_broken() {
    let place = Place::guarded(Access::Dev, Some("cannot be written any more")).await;
    let (status, text) = place.refused("/readyz").await;
    assert_eq!((status, text.as_str()), (503, "not ready: ledger: cannot be written any more"));
    let system = place.get("/api/metrics/system").await;
    assert_eq!(system["dependencies"][0]["status"], "down");
    assert_eq!(place.ask(get("/healthz")).await.0, StatusCode::OK);
}
