//! A listener that answers while the services behind it are still being opened.
//!
//! Startup waits for services for as long as they are unavailable. From the first moment the
//! listener reports that the process is alive, that it is not ready, and what it waits for; any
//! other request gets 503. Once a router is set, every request goes to it.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

pub use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower::ServiceExt as _;

use crate::answer::ApiError;
use crate::health::{Reason, alive};

/// `Retry-After` of a request that came too early.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(1).expect("one is not zero");

/// What a listener serves before and after startup. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Opening(Arc<Startup>);

#[derive(Debug, Default)]
struct Startup {
    waits_for: Reason,
    router: OnceLock<Router>,
}

impl Opening {
    /// Sets what startup waits for, as a short clause.
    pub fn wait_for(&self, what: impl Into<String>) {
        self.0.waits_for.set(Some(what.into()));
    }

    /// Sends all further requests to this router. Only the first call has an effect.
    pub fn open(&self, router: Router) {
        // A second router would have its own state, so the first one stays.
        let _ = self.0.router.set(router);
    }

    /// The router to serve from the start.
    pub fn router(&self) -> Router {
        let startup = Arc::clone(&self.0);
        Router::new().fallback(move |request: Request| {
            let startup = Arc::clone(&startup);
            async move { startup.answer(request).await }
        })
    }
}

impl Startup {
    async fn answer(&self, request: Request) -> Response {
        match self.router.get() {
            Some(router) => match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            None if request.uri().path() == "/healthz" => alive(),
            None => {
                let waits_for = self.waits_for.get().unwrap_or_else(|| "it has begun".to_owned());
                let message = format!("not ready: starting: {waits_for}");
                ApiError::unavailable(message).retry_after(RETRY_SECONDS).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests;
