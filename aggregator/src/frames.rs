//! `GET /v1/frames` and `POST /v1/frames`: the frame version that ingest writes, and an operator's
//! request to raise it.
//!
//! The ledger decides, in one transaction: the version is raised only if the owner of every
//! partition has told with its claim that it knows it. It is never lowered.

use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use event::frame::Version;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::answer::{Answer, AnswerResult, ApiError};
use service::auth::{Access, require_key, require_own_origin};
use service::chain;
use service::query::NoParameters;
use store::{Owners, Raised, Store};
use tracing::{error, info, warn};

use crate::accept::WAIT_MAX;

/// The highest frame version that this program counts. Each claim tells it, and an operator cannot
/// raise the version beyond it.
pub const FRAMES_KNOWN: u8 = Version::NEWEST.number();

/// State of the handlers.
#[derive(Clone, Debug)]
pub struct FramesState {
    /// The ledger, which holds the version.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: u32,
}

/// The guarded routes.
pub fn router(state: FramesState, access: &Access) -> Router {
    Router::new()
        .route("/v1/frames", get(show).post(raise))
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access.clone(), require_key))
        .with_state(state)
}

/// The frame version, and what stands against a higher one.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct FramesView {
    /// The frame version that ingest writes.
    pub version: u8,
    /// The highest frame version that this aggregator knows.
    pub known: u8,
    /// Partitions whose owner has not told that it knows that version too, or that have none.
    pub not_ready: Vec<u32>,
}

async fn show(State(state): State<FramesState>, _: NoParameters) -> AnswerResult<FramesView> {
    let view = async {
        let mut reader = state.store.read().await?;
        let version = reader.frame_version().await?;
        let not_ready = reader.unready_partitions(state.generation, FRAMES_KNOWN).await?;
        Ok(FramesView { version, known: FRAMES_KNOWN, not_ready })
    };
    in_time(view).await.map(Answer::ok)
}

/// The body of a request to raise the frame version.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RaiseFrames {
    /// The version that ingest is to write.
    pub version: u32,
}

/// What came of such a request.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct FramesRaised {
    /// The frame version that ingest writes.
    pub version: u8,
    /// Whether this request raised it; it had this version before otherwise.
    pub is_new: bool,
}

async fn raise(
    State(state): State<FramesState>,
    _: NoParameters,
    body: Result<Json<RaiseFrames>, JsonRejection>,
) -> AnswerResult<FramesRaised> {
    let Json(RaiseFrames { version: given }) =
        body.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let is_known = |version: &u8| (1..=FRAMES_KNOWN).contains(version);
    let Some(version) = u8::try_from(given).ok().filter(is_known) else {
        return Err(ApiError::bad_request(format!(
            "this aggregator knows no frame version {given}, only 1 to {FRAMES_KNOWN}"
        )));
    };
    let raising = state.store.raise_frame_version(state.generation, version, Owners::Any);
    match in_time(raising).await? {
        Raised::Done => {
            info!(version, "frame version raised");
            Ok(Answer::ok(FramesRaised { version, is_new: true }))
        }
        Raised::Already { version: found } if found == version => {
            Ok(Answer::ok(FramesRaised { version, is_new: false }))
        }
        Raised::Already { version: found } => Err(ApiError::bad_request(format!(
            "the frame version is {found} already, and there is no way back to {version}"
        ))),
        Raised::NotYet { partitions } => {
            let partitions: Vec<String> = partitions.iter().map(u32::to_string).collect();
            let message = format!(
                "nothing was changed: frames of version {version} would halt partitions whose \
                 aggregator does not know them yet. Start a newer aggregator first for {}",
                partitions.join(", ")
            );
            Err(ApiError::new(StatusCode::CONFLICT, message))
        }
    }
}

/// The ledger's answer, unless it takes too long or fails.
async fn in_time<T>(asked: impl Future<Output = store::Result<T>>) -> Result<T, ApiError> {
    let error = match tokio::time::timeout(WAIT_MAX, asked).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => error,
        Err(_) => {
            return Err(ApiError::unavailable(
                "no answer of the ledger in time: look at the frame version in a moment",
            ));
        }
    };
    if error.is_fatal() {
        error!(error = chain(&error), "frame version could not be read or raised");
        return Err(ApiError::internal());
    }
    warn!(error = chain(&error), "frame version could not be read or raised");
    Err(ApiError::unavailable(format!("{}: look at the frame version in a moment", error.reason())))
}
