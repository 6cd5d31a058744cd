//! The envelope of every JSON answer: `{"code","message","data","timestamp"}`.
//!
//! A handler returns [`Answer`] or [`ApiError`]; both become a response here and nowhere else, so
//! that code and status never differ. It never invents a message: the caller names the fault.

use std::num::NonZeroU32;
use std::ops::Not;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use jiff::Timestamp;
use serde::Serialize;

/// The result of most handlers.
pub type AnswerResult<T> = Result<Answer<T>, ApiError>;

/// A good answer with its data.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    status: StatusCode,
    data: T,
    is_stale: bool,
}

/// A bad answer: its status and a message that names the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    retry_after_seconds: Option<NonZeroU32>,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    code: u16,
    message: &'a str,
    data: Option<T>,
    /// Only there if the data is from before something failed.
    #[serde(skip_serializing_if = "Not::not")]
    stale: bool,
    timestamp: String,
}

impl<T: Serialize> Answer<T> {
    /// 200 with this data.
    pub fn ok(data: T) -> Answer<T> {
        Answer { status: StatusCode::OK, data, is_stale: false }
    }

    /// 201 with what was made.
    pub fn created(data: T) -> Answer<T> {
        Answer { status: StatusCode::CREATED, data, is_stale: false }
    }

    /// Says that the data is from before something failed.
    #[must_use]
    pub fn stale(mut self) -> Answer<T> {
        self.is_stale = true;
        self
    }
}

impl ApiError {
    /// Any status of 400 or above.
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        assert!(status.as_u16() >= 400, "an error must not look like a success");
        ApiError { status, message: message.into(), retry_after_seconds: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: the thing asked about does not exist.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, message)
    }

    /// 500: we failed. The cause is logged by the caller and not shown.
    pub fn internal() -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the log")
    }

    /// 503: not now. Add [`ApiError::retry_after`] when a repetition can help.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Tells the client after how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: NonZeroU32) -> ApiError {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, as the client reads it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        respond(self.status, "success", Some(&self.data), self.is_stale)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = respond::<()>(self.status, &self.message, None, false);
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.get().into());
        }
        response
    }
}

/// Gives a router the envelope for paths (404) and methods (405) that it does not know.
///
/// Call it last: routes added later would not have the answer to a wrong method.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.fallback(no_such_path).method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("nothing is at {}", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

fn respond<T: Serialize>(
    status: StatusCode,
    message: &str,
    data: Option<T>,
    stale: bool,
) -> Response {
    let timestamp = format!("{:.3}", Timestamp::now());
    let envelope = Envelope { code: status.as_u16(), message, data, stale, timestamp };
    match serde_json::to_vec(&envelope) {
        Ok(body) => {
            let json = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, json)], body).into_response()
        }
        Err(error) => {
            tracing::error!(error = %error, "cannot write an answer as json");
            // Its data is nothing, which can always be written; so this ends here.
            ApiError::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests {
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
        let age = Timestamp::now().duration_since(timestamp.parse().expect("RFC 3339"));
        assert!(age.abs().as_secs() < 60, "{timestamp}");
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
}
