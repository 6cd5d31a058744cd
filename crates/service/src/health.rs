//! `/healthz` (the process is alive) and `/readyz` (it can do its job, or why it cannot).
//!
//! The role provides a closure that examines its own state; the answer is in the envelope. It must
//! be cheap and must not wait: probes come every few seconds, also under overload.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::answer::{Answer, ApiError};

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

#[derive(Serialize)]
struct State {
    status: &'static str,
}

/// The routes `/healthz` and `/readyz`.
pub fn routes<S, F>(readiness: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Readiness + Clone + Send + Sync + 'static,
{
    let ready = move || {
        let answer = ready_answer(readiness());
        async move { answer }
    };
    Router::new().route("/healthz", get(|| async { alive() })).route("/readyz", get(ready))
}

/// The answer to `/healthz`.
pub(crate) fn alive() -> Response {
    Answer::ok(State { status: "alive" }).into_response()
}

fn ready_answer(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => Answer::ok(State { status: "ready" }).into_response(),
        Readiness::NotReady(reasons) => {
            ApiError::unavailable(format!("not ready: {}", reasons.join("; "))).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
