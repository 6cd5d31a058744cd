//! Unit tests of `opening`.

use axum::body::Body;
use axum::routing::get;
use http::StatusCode;

use super::*;

#[tokio::test]
async fn port_says_what_it_waits_for_until_there_is_something_to_serve() {
    let opening = Opening::default();
    let router = opening.router();
    let ask = async |path: &str| {
        let request = http::Request::get(path).body(Body::empty()).expect("a request");
        let (parts, body) = router.clone().oneshot(request).await.expect("ok").into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a short body");
        (parts, String::from_utf8(bytes.to_vec()).expect("a text"))
    };
    opening.wait_for("the log at k:9092 does not answer");
    assert_eq!(ask("/healthz").await.0.status, StatusCode::OK);
    for path in ["/readyz", "/v1/events", "/metrics"] {
        let (head, body) = ask(path).await;
        assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(head.headers.contains_key(http::header::RETRY_AFTER), "{path}");
        assert!(body.contains("starting: the log at k:9092 does not answer"), "{body}");
    }
    opening.open(Router::new().route("/readyz", get(|| async { "made" })));
    assert_eq!(ask("/readyz").await.1, "made");
    assert_eq!(ask("/healthz").await.0.status, StatusCode::NOT_FOUND, "all is the router's");
}
