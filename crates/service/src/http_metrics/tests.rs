//! Unit tests of `http_metrics`.

use axum::Extension;
use axum::body::Body;
use axum::routing::get;
use tower::ServiceExt as _;

use super::*;
use crate::answer::{ApiError, with_fallbacks};

/// The page after these requests.
async fn page_after(requests: &[(&str, &str)]) -> String {
    let metrics = ProcessMetrics::new("api", "0.1.0").expect("a new registry");
    let router: Router = Router::new()
        .route("/plain", get(|| async { "ok" }))
        .route(
            "/namespaces/{id}",
            get(|| async { (Extension(NamespaceLabel("wechat".to_owned())), "ok") }),
        )
        .route("/bad", get(|| async { ApiError::bad_request("no") }));
    let router = HttpMetrics::new(&metrics).expect("new names").count(with_fallbacks(router));
    for (method, path) in requests {
        let request = Request::builder().method(*method).uri(*path).body(Body::empty());
        router.clone().oneshot(request.expect("a request")).await.expect("no fault");
    }
    metrics.render()
}

#[tokio::test]
async fn requests_are_counted_under_the_labels_of_the_contract() {
    let page = page_after(&[
        ("GET", "/plain"),
        ("GET", "/plain?x=1"),
        ("GET", "/namespaces/17"),
        ("GET", "/namespaces/18"),
        ("GET", "/bad"),
        ("PUT", "/plain"),
        ("GET", "/secret/raw/path"),
        ("BREW", "/plain"),
    ])
    .await;
    for (method, endpoint, status, namespace, count) in [
        ("GET", "/plain", 200, "none", 2),
        ("GET", "/namespaces/{id}", 200, "wechat", 2),
        ("GET", "/bad", 400, "none", 1),
        ("PUT", "/plain", 405, "none", 1),
        ("GET", "none", 404, "none", 1),
        ("other", "/plain", 405, "none", 1),
    ] {
        let line = format!(
            "http_requests_total{{endpoint=\"{endpoint}\",method=\"{method}\",\
             namespace=\"{namespace}\",status_code=\"{status}\",upstream=\"none\"}} {count}\n"
        );
        assert!(page.contains(&line), "{line:?} is missing in {page}");
    }
    assert!(!page.contains("secret"), "{page}");
}

#[test]
fn a_route_is_shown_at_zero_before_its_first_request() {
    let metrics = ProcessMetrics::new("api", "0.1.0").expect("a new registry");
    let http_metrics = HttpMetrics::new(&metrics).expect("new names");
    http_metrics.begin(&Method::POST, "/things", StatusCode::CREATED);
    let page = metrics.render();
    for status in [201, 500, 503] {
        let line = format!(
            "http_requests_total{{endpoint=\"/things\",method=\"POST\",\
             namespace=\"none\",status_code=\"{status}\",upstream=\"none\"}} 0\n"
        );
        assert!(page.contains(&line), "{line:?} is missing in {page}");
    }
    assert!(page.contains(
        "http_request_duration_seconds_count{endpoint=\"/things\",method=\"POST\",\
         namespace=\"none\",upstream=\"none\"} 0\n"
    ));
}

#[tokio::test]
async fn durations_have_the_buckets_of_the_contract() {
    let page = page_after(&[("GET", "/plain")]).await;
    for bound in DURATION_BUCKETS_SECONDS {
        assert!(page.contains(&format!("le=\"{bound}\"")), "{bound} is missing in {page}");
    }
    assert!(page.contains(
        "http_request_duration_seconds_count{endpoint=\"/plain\",method=\"GET\",\
         namespace=\"none\",upstream=\"none\"} 1\n"
    ));
}
