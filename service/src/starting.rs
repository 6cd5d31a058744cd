//! What a port answers while its process still starts: alive, not ready and why, and 503 with
//! `Retry-After` for all else. Once the real routes are there, every request goes to them.
//!
//! Only a start that waits serves this way, and no longer than it waits.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

pub use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::answer::ApiError;
use crate::health::{Readiness, routes};

/// Seconds after which a client may come again.
const RETRY_AFTER: NonZeroU32 = NonZeroU32::new(1).expect("one is not zero");

/// The routes of a port that are not there yet.
#[derive(Clone, Debug, Default)]
pub struct Starting(Arc<OnceLock<Router>>);

impl Starting {
    /// Routes for the time until `hand_over`; `reason` says what the start waits for.
    pub fn router(&self, reason: watch::Receiver<String>) -> Router {
        let told = reason.clone();
        let readiness = move || Readiness::from_reasons(vec![told.borrow().clone()]);
        let early = routes(readiness).fallback(move || {
            let message = format!("not ready: {}", *reason.borrow());
            async move { ApiError::unavailable(message).retry_after(RETRY_AFTER) }
        });
        let starting = self.clone();
        Router::new().fallback(move |request: Request| starting.answer(early, request))
    }

    /// From now on every request goes to these routes. Only the first call counts.
    pub fn hand_over(&self, router: Router) {
        let _ = self.0.set(router);
    }

    async fn answer(self, early: Router, request: Request) -> Response {
        let Ok(response) = self.0.get().cloned().unwrap_or(early).oneshot(request).await;
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use http::StatusCode;
    use http::header::RETRY_AFTER;

    use super::*;

    #[tokio::test]
    async fn a_start_that_waits_says_why_and_then_hands_over() {
        let (_sender, reason) = watch::channel("the log is locked".to_owned());
        let starting = Starting::default();
        let router = starting.router(reason);
        let ask = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(Body::empty());
            let Ok(response) = router.clone().oneshot(request.expect("a request")).await;
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a short body");
            (parts, String::from_utf8(bytes.to_vec()).expect("text"))
        };
        let (head, body) = ask("POST", "/v1/events").await;
        assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(head.headers.contains_key(RETRY_AFTER), "a client comes again");
        assert!(body.contains("the log is locked"), "{body}");
        let (head, body) = ask("GET", "/readyz").await;
        assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("the log is locked"), "{body}");
        assert_eq!(ask("GET", "/healthz").await.0.status, StatusCode::OK);
        starting.hand_over(Router::new().route("/v1/events", post(|| async { "taken" })));
        assert_eq!(ask("POST", "/v1/events").await.1, "taken");
        assert_eq!(ask("GET", "/readyz").await.0.status, StatusCode::NOT_FOUND);
    }
}
