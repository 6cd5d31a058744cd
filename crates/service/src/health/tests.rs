//! Unit tests of `health`.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

#[tokio::test]
async fn readyz_names_every_reason_and_healthz_does_not_care() {
    let reasons = Arc::new(Mutex::new(vec!["log behind".to_owned(), "disk full".to_owned()]));
    let seen = Arc::clone(&reasons);
    let router: Router =
        routes(move || Readiness::from_reasons(seen.lock().expect("no panic").clone()));
    let ask = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let (parts, body) = router.clone().oneshot(request).await.expect("ok").into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a short body");
        (parts.status, serde_json::from_slice::<Value>(&bytes).expect("JSON"))
    };
    let (status, value) = ask("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(value["message"], "not ready: log behind; disk full");
    assert_eq!(ask("/healthz").await.0, StatusCode::OK);
    reasons.lock().expect("no panic").clear();
    let (status, value) = ask("/readyz").await;
    assert_eq!((status, value["data"]["status"].as_str()), (StatusCode::OK, Some("ready")));
}
