//! Responses of `POST /v1/events`.

use std::num::NonZeroU32;

use axum::Json;
use axum::response::{IntoResponse, Response};
use event::Reject;
use http::StatusCode;
use queue::Position;
use serde::Serialize;
use service::answer::ApiError;

/// `Retry-After` of a 503, seconds.
const RETRY_AFTER: NonZeroU32 = NonZeroU32::new(1).expect("not zero");

/// The outcome of a body: 200, or 422 if it has events and none was accepted.
#[derive(Debug, Serialize)]
pub struct Accepted {
    accepted: usize,
    rejected: Vec<RejectedEvent>,
    late: Vec<usize>,
    future: Vec<usize>,
    position: Vec<LogPosition>,
}

#[derive(Debug, Serialize)]
struct RejectedEvent {
    index: usize,
    id: Option<String>,
    field: &'static str,
    reason: String,
}

#[derive(Debug, Serialize)]
struct LogPosition {
    generation: u32,
    partition: u32,
    offset: u64,
}

impl Accepted {
    /// `late` and `future` are indexes of accepted events: late ones will be decided later, future
    /// ones will not be counted.
    #[must_use]
    pub fn new(
        accepted: usize,
        rejects: Vec<Reject>,
        [late, future]: [Vec<usize>; 2],
        positions: &[Position],
    ) -> Accepted {
        let rejected = rejects
            .into_iter()
            .map(|reject| RejectedEvent {
                index: reject.index,
                id: reject.id,
                field: reject.field,
                reason: reject.reason.into_owned(),
            })
            .collect();
        let position = positions
            .iter()
            .map(|position| LogPosition {
                generation: position.generation,
                partition: position.partition,
                offset: position.offset,
            })
            .collect();
        Accepted { accepted, rejected, late, future, position }
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let is_refused = self.accepted == 0 && !self.rejected.is_empty();
        let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        (status, Json(self)).into_response()
    }
}

/// 503: the client must retry with the same ids and times, so that duplicates are recognised.
pub fn unavailable(reason: impl std::fmt::Display) -> ApiError {
    let message = format!("{reason}: send the same events again, with the same ids and times");
    ApiError::unavailable(message).retry_after(RETRY_AFTER)
}
