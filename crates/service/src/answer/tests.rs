//! Unit tests of `answer`.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::routing::get;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

/// Status, headers and body of a response whose envelope is sound.
async fn opened(response: Response) -> (StatusCode, http::HeaderMap, Value) {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a short body");
    let value: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(value["code"], parts.status.as_u16());
    let timestamp = value["timestamp"].as_str().expect("a timestamp");
    let time: Timestamp = timestamp.parse().expect("RFC 3339");
    let age_us = Wall::now().as_us() - time.as_microsecond();
    assert!(age_us.abs() < 60_000_000, "{timestamp}");
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(value.as_object().expect("an object").len(), 4);
    (parts.status, parts.headers, value)
}

#[tokio::test]
async fn good_answer_carries_its_data() {
    let (status, _, value) = opened(Answer::ok(json!({"a": 1})).into_response()).await;
    assert_eq!((status, &value["message"]), (StatusCode::OK, &json!("success")));
    assert_eq!(value["data"], json!({"a": 1}));
    let (status, _, _) = opened(Answer::created(1).into_response()).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn bad_answer_carries_its_message_and_when_to_retry() {
    let seconds = NonZeroU32::new(2).expect("two is not zero");
    let error = ApiError::unavailable("queue is \"full\"\r\n").retry_after(seconds);
    let (status, headers, value) = opened(error.into_response()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers[header::RETRY_AFTER], "2");
    assert_eq!(value["message"], "queue is \"full\"\r\n");
    assert_eq!(value["data"], Value::Null);
}

#[tokio::test]
async fn data_that_is_no_json_becomes_an_internal_error() {
    let data = BTreeMap::from([(vec![1], 1)]);
    let (status, _, value) = opened(Answer::ok(data).into_response()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(value["data"], Value::Null);
}

#[tokio::test]
async fn unknown_path_and_method_are_answered_in_the_envelope() {
    let router: Router = Router::new().route("/here", get(|| async { Answer::ok(1) }));
    let router = with_fallbacks(router);
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        router.clone().oneshot(request.expect("a request"))
    };
    let (status, _, value) = opened(ask("GET", "/there?a=b").await.expect("no fault")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(value["message"], "nothing is at /there");
    let (status, headers, value) = opened(ask("PUT", "/here").await.expect("no fault")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(value["message"], "/here does not take PUT");
    assert_eq!(headers[header::ALLOW], "GET,HEAD");
}
