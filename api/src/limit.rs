//! How many queries over many rows run at once.
//!
//! A query holds a reader of the ledger for as long as it runs, and starves other work if it takes
//! the last one. So fewer such queries run at once than the ledger has readers, and the others wait
//! a bounded time for a permit. A query that has begun runs to its end even if its client
//! disconnects: its reader stays busy in any case, so it must keep its permit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::answer::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most queries that run at once: half of the store's four readers.
const QUERIES_MAX: usize = 2;
/// Longest wait for a permit: the page gives up after 10 s.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// `Retry-After` of a query that got no permit, seconds.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// Limits the queries that run at once.
#[derive(Clone, Debug)]
pub(crate) struct QueryLimit {
    permits: Arc<Semaphore>,
    wait_max: Duration,
}

/// The permit of a query. An answer that still reads while it is sent holds it for as long.
#[derive(Clone, Debug)]
pub(crate) struct Permit(
    #[expect(dead_code, reason = "held until it is dropped")] Arc<OwnedSemaphorePermit>,
);

impl QueryLimit {
    pub fn new() -> QueryLimit {
        QueryLimit { permits: Arc::new(Semaphore::new(QUERIES_MAX)), wait_max: WAIT_MAX }
    }
}

/// Middleware that runs a query once it has a permit.
pub(crate) async fn limit_queries(
    State(limit): State<QueryLimit>,
    mut request: Request,
    next: Next,
) -> Response {
    let permit = tokio::time::timeout(limit.wait_max, limit.permits.acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        let message = "too many queries are being answered, try again in a moment";
        return ApiError::unavailable(message).retry_after(RETRY_SECONDS).into_response();
    };
    let permit = Permit(Arc::new(permit));
    request.extensions_mut().insert(permit.clone());
    let answering = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(permit);
        response
    });
    answering.await.unwrap_or_else(|error| {
        tracing::error!(%error, "query task failed");
        ApiError::internal().into_response()
    })
}

#[cfg(test)]
mod tests;
