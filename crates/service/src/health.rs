//! `/healthz` (the process is alive) and `/readyz` (it can do its job, or why it cannot).
//!
//! The role provides a closure that examines its own state; the answer is in the envelope. It must
//! be cheap and must not wait: probes come every few seconds, also under overload.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Answer, ApiError, Failure, Success};

/// Whether a role can do its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The role can do its job.
    Ready,
    /// The role cannot do its job, for these reasons; each a short clause such as `the log is
    /// catching up`.
    NotReady(Vec<String>),
}

impl Readiness {
    /// Ready if there is no reason against it.
    pub fn from_reasons(reasons: Vec<String>) -> Readiness {
        if reasons.is_empty() { Readiness::Ready } else { Readiness::NotReady(reasons) }
    }
}

/// A temporary reason against readiness, set by the code that detects it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reason(Arc<Mutex<Option<String>>>);

impl Reason {
    /// Sets the reason, or clears it.
    pub fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// The current reason, if any.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a process is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `alive` or `ready`.
    status: &'static str,
}

/// Examines the state of a role.
type Examine = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// The routes `/healthz` and `/readyz`.
pub fn routes<S, F>(readiness: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Readiness + Send + Sync + 'static,
{
    described_routes(readiness).into()
}

/// The same with their description.
pub fn described_routes<S, F>(readiness: F) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Readiness + Send + Sync + 'static,
{
    let examine: Examine = Arc::new(readiness);
    OpenApiRouter::default().routes(routes!(healthz)).routes(routes!(readyz)).with_state(examine)
}

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "Health",
    responses((status = 200, description = "It is alive.", body = Success<Health>)),
)]
async fn healthz() -> Response {
    alive()
}

/// Whether the process can do its job.
#[utoipa::path(
    get, path = "/readyz", tag = "Health",
    responses(
        (status = 200, description = "It can.", body = Success<Health>),
        (
            status = 503, description = "It cannot; the message has the reasons.", body = Failure,
            headers(("Retry-After" = Option<u32>, description = "Seconds, while it is starting."))
        ),
    ),
)]
async fn readyz(State(examine): State<Examine>) -> Response {
    ready_answer(examine())
}

/// The answer to `/healthz`.
pub(crate) fn alive() -> Response {
    Answer::ok(Health { status: "alive" }).into_response()
}

fn ready_answer(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => Answer::ok(Health { status: "ready" }).into_response(),
        Readiness::NotReady(reasons) => {
            ApiError::unavailable(format!("not ready: {}", reasons.join("; "))).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
