//! Unit tests of `limit`.

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::{StatusCode, header};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::*;

#[tokio::test]
async fn query_without_a_permit_is_refused_with_retry_after() {
    let limit = QueryLimit { wait_max: Duration::from_millis(50), ..QueryLimit::queries() };
    let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let (begun_there, go_on_there) = (Arc::clone(&begun), Arc::clone(&go_on));
    let slow = move || async move {
        begun_there.add_permits(1);
        go_on_there.notified().await;
    };
    let router: Router = Router::new()
        .route("/", get(slow))
        .route_layer(from_fn_with_state(limit.clone(), limit_queries));
    let ask = || {
        let request = Request::get("/").body(Body::empty()).expect("a request");
        tokio::spawn(router.clone().oneshot(request))
    };
    let (first, gone) = (ask(), ask());
    let _ = begun.acquire_many(2).await.expect("both have begun");
    // A client that disconnects does not release its permit: its reader is still busy.
    gone.abort();
    let refused = ask().await.expect("no panic").expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
    go_on.notify_waiters();
    assert_eq!(first.await.expect("no panic").expect("an answer").status(), StatusCode::OK);
    let both = limit.permits.acquire_many(2);
    let _ =
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("permits are released");
}
