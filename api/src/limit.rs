//! How many questions are read at once: fewer than the ledger has readers.
//!
//! A question over many rows holds a reader for as long as it runs, and whoever finds none waits.
//! A question waits here for its turn instead, for a bounded time, so that the readers left over
//! keep everything else going. A question that began runs to its end even if its client has left:
//! the reader works on in any case, and so counts until it is free.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::answer::ApiError;
use tokio::sync::Semaphore;

/// Questions read at once: half of the store's four readers.
const AT_ONCE: usize = 2;
/// Longest wait for a turn: the page gives up after 10 s.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Seconds after which a question that found no turn is worth another try.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// Turns to read.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    wait_max: Duration,
}

impl Turns {
    pub fn new() -> Turns {
        Turns { free: Arc::new(Semaphore::new(AT_ONCE)), wait_max: WAIT_MAX }
    }
}

/// Middleware that lets a question through when it is its turn.
pub(crate) async fn take_turns(
    State(turns): State<Turns>,
    request: Request,
    next: Next,
) -> Response {
    let turn = tokio::time::timeout(turns.wait_max, turns.free.acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let message = "too many questions are being answered, ask again in a moment";
        return ApiError::unavailable(message).retry_after(RETRY_SECONDS).into_response();
    };
    let answering = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(turn);
        response
    });
    answering.await.unwrap_or_else(|error| {
        tracing::error!(%error, "question was not answered");
        ApiError::internal().into_response()
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http::{StatusCode, header};
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_question_without_a_turn_is_told_when_to_come_again() {
        let turns = Turns { wait_max: Duration::from_millis(50), ..Turns::new() };
        let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
        let (begun_there, go_on_there) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow = move || async move {
            begun_there.add_permits(1);
            go_on_there.notified().await;
        };
        let router: Router = Router::new()
            .route("/", get(slow))
            .route_layer(from_fn_with_state(turns.clone(), take_turns));
        let ask = || {
            let request = Request::get("/").body(Body::empty()).expect("a request");
            tokio::spawn(router.clone().oneshot(request))
        };
        let (first, gone) = (ask(), ask());
        let _ = begun.acquire_many(2).await.expect("both have begun");
        // A client that leaves does not give its turn back: its reader still works.
        gone.abort();
        let refused = ask().await.expect("no panic").expect("an answer");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
        go_on.notify_waiters();
        assert_eq!(first.await.expect("no panic").expect("an answer").status(), StatusCode::OK);
        let both = turns.free.acquire_many(2);
        let _ = tokio::time::timeout(Duration::from_secs(10), both).await.expect("turns come back");
    }
}
