//! `/api/dead-letters/replay`: has ingest append dead letters again, from the page.
//!
//! The request is that of ingest's own call, and what comes of it is ingest's answer. The API only
//! checks the form, lets one request pass at a time, and waits for a bounded time. Sending the same
//! letters twice is harmless: a copy is recognised by its key.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use service::answer::{Answer, AnswerResult, ApiError, Failure, Success};
use service::letters::{REPLAY_BYTES_MAX, REPLAY_LETTERS_MAX, ReplayRequest, ReplayResult};
use service::query::NoParameters;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::body::read_json;
use crate::context::Resend;

/// Longest wait for ingest, and for an earlier request: the page gives up after 10 s.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// `Retry-After` if ingest did not answer in time, seconds.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(5).expect("five is not zero");
/// Requests that pass at a time: each may hold 2,000 contents in ingest.
const REPLAYS_MAX: usize = 1;
/// What to do if there is no way to ingest.
const TO_CONFIGURE: &str = "this api knows no ingest: set api.ingest_url, and api.ingest_key_file \
                            to a file with the ingest key";

/// The way to ingest, and who may use it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Replays {
    resend: Option<Resend>,
    permits: Arc<Semaphore>,
    wait_max: Duration,
}

impl Replays {
    /// Through this way, if there is one.
    pub fn new(resend: Option<Resend>) -> Replays {
        Replays { resend, permits: Arc::new(Semaphore::new(REPLAYS_MAX)), wait_max: WAIT_MAX }
    }

    async fn send(&self, request: ReplayRequest) -> Result<ReplayResult, ApiError> {
        let Some(resend) = &self.resend else {
            return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, TO_CONFIGURE));
        };
        let sent = timeout(self.wait_max, async {
            let _permit = self.permits.acquire().await;
            resend(request.letters).await
        });
        sent.await.unwrap_or_else(|_| {
            let message = format!(
                "ingest did not answer within {} s: send the same letters again, each counts once",
                self.wait_max.as_secs()
            );
            Err(ApiError::unavailable(message).retry_after(RETRY_SECONDS))
        })
    }
}

/// Whether dead letters can be sent again through this API.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub(crate) struct ReplayView {
    available: bool,
    /// What to configure; null if it is available.
    #[schema(required)]
    reason: Option<&'static str>,
    /// Most letters of one request.
    letters_max: usize,
}

/// Whether dead letters can be sent again from here.
#[utoipa::path(
    get, path = "/api/dead-letters/replay", operation_id = "showReplay", tag = "Dead letters",
    responses((status = 200, description = "Whether they can.", body = Success<ReplayView>)),
)]
pub(crate) async fn show(
    State(replays): State<Replays>,
    _: NoParameters,
) -> AnswerResult<ReplayView> {
    let available = replays.resend.is_some();
    let reason = (!available).then_some(TO_CONFIGURE);
    Ok(Answer::ok(ReplayView { available, reason, letters_max: REPLAY_LETTERS_MAX }))
}

/// Sends dead letters through ingest again.
///
/// Misrouted events are appended where they belong, and events of the future that are due by now.
/// Others are refused one by one. Nothing counts twice, however often it is sent.
#[utoipa::path(
    post, path = "/api/dead-letters/replay", operation_id = "replayDeadLetters",
    tag = "Dead letters",
    request_body(content = ReplayRequest, description = "At most 2 MiB."),
    responses(
        (status = 200, description = "What became of each.", body = Success<ReplayResult>),
        (status = 400, description = "The body breaks a rule, or a parameter was given; the \
            message says which and where.", body = Failure),
        (status = 413, description = "The body is larger than 2 MiB.", body = Failure),
        (status = 415, description = "The Content-Type is not application/json.", body = Failure),
        (status = 501, description = "This API knows no ingest; the message says what to \
            configure.", body = Failure),
    ),
)]
pub(crate) async fn replay(
    State(replays): State<Replays>,
    _: NoParameters,
    headers: HeaderMap,
    body: Body,
) -> AnswerResult<ReplayResult> {
    let request: ReplayRequest = read_json(&headers, body, REPLAY_BYTES_MAX).await?;
    let n_letters = request.letters.len();
    if n_letters > REPLAY_LETTERS_MAX {
        let message = format!("letters: a request has at most {REPLAY_LETTERS_MAX}");
        return Err(ApiError::bad_request(message));
    }
    let result = replays.send(request).await?;
    let refused = result.rejected.len();
    tracing::info!(accepted = result.accepted, refused, "dead letters sent again");
    Ok(Answer::ok(result))
}

#[cfg(test)]
mod tests;
