//! The envelope of every JSON answer: `{"code","message","data","timestamp"}`.
//!
//! A handler returns [`Answer`] or [`ApiError`]; both become a response here and nowhere else, so
//! that code and status never differ. It never invents a message: the caller names the fault. What
//! is written, [`Success`] and [`Failure`], is also what the description of the API shows.

use std::num::NonZeroU32;
use std::ops::Not;

use axum::Router;
use axum::response::{IntoResponse, Response};
use clock::Wall;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The result of most handlers.
pub type AnswerResult<T> = Result<Answer<T>, ApiError>;

/// A success response with its data.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    status: StatusCode,
    data: T,
    is_stale: bool,
}

/// An error response: its status and a message that names the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    retry_after_seconds: Option<NonZeroU32>,
}

/// The envelope of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success<T> {
    /// The HTTP status.
    #[schema(minimum = 200, maximum = 299)]
    code: u16,
    /// Always `success`.
    #[schema(schema_with = success_word)]
    message: &'static str,
    data: T,
    /// Present, and true, only while the ledger does not answer: this is the newest answer that
    /// was given before.
    #[serde(skip_serializing_if = "Not::not")]
    stale: bool,
    /// When it was answered: RFC 3339, in UTC.
    #[schema(format = DateTime)]
    timestamp: String,
}

/// The envelope of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure {
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    code: u16,
    /// What is wrong and where, for people.
    message: String,
    /// Always null.
    #[schema(schema_with = null)]
    data: (),
    /// When it was answered: RFC 3339, in UTC.
    #[schema(format = DateTime)]
    timestamp: String,
}

fn success_word() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some([SUCCESS]))
        .description(Some("Always `success`."))
}

fn null() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Null).description(Some("Always null."))
}

/// The message of every success.
const SUCCESS: &str = "success";

impl<T: Serialize> Answer<T> {
    /// 200 with this data.
    pub fn ok(data: T) -> Answer<T> {
        Answer { status: StatusCode::OK, data, is_stale: false }
    }

    /// 201 with the created object.
    pub fn created(data: T) -> Answer<T> {
        Answer { status: StatusCode::CREATED, data, is_stale: false }
    }

    /// Marks the data as stale because of a failure.
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

    /// 404: the requested object does not exist.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, message)
    }

    /// 500: an internal error. The caller logs the cause; it is not shown.
    pub fn internal() -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the log")
    }

    /// 503: temporarily unavailable. Add [`ApiError::retry_after`] when a retry can help.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Sets `Retry-After`, seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: NonZeroU32) -> ApiError {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The message shown to the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Answer { status, data, is_stale: stale } = self;
        let (code, timestamp) = (status.as_u16(), now());
        respond(status, &Success { code, message: SUCCESS, data, stale, timestamp })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let ApiError { status, message, retry_after_seconds } = self;
        let (code, timestamp) = (status.as_u16(), now());
        let mut response = respond(status, &Failure { code, message, data: (), timestamp });
        if let Some(seconds) = retry_after_seconds {
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

fn now() -> String {
    let now = Timestamp::from_microsecond(Wall::now().as_us()).unwrap_or_default();
    format!("{now:.3}")
}

fn respond(status: StatusCode, envelope: &impl Serialize) -> Response {
    match serde_json::to_vec(envelope) {
        Ok(body) => {
            let json = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, json)], body).into_response()
        }
        Err(error) => {
            tracing::error!(error = %error, "cannot write an answer as json");
            // Its data is `null`, which always serialises, so this does not recurse.
            ApiError::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests;
