//! How many queries over many rows run at once.
//!
//! A query holds a reader of the ledger for as long as it runs, and starves other work if it takes
//! the last one. So fewer such queries run at once than the ledger has readers, and the others wait
//! a bounded time for a permit. A query that has begun runs to its end even if its client
//! disconnects: its reader stays busy in any case, so it must keep its permit.
//!
//! An export takes as long as its client: one runs at a time, and others wait before they ask for
//! the permit of a query, so that exports alone never keep queries out.

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
/// Most exports that run at once.
const EXPORTS_MAX: usize = 1;
/// Longest wait for a permit: the page gives up after 10 s.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// `Retry-After` of a query that got no permit, seconds.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// Limits the queries that run at once.
#[derive(Clone, Debug)]
pub(crate) struct QueryLimit {
    permits: Arc<Semaphore>,
    wait_max: Duration,
    /// What a query is told that got none.
    refusal: &'static str,
}

/// The permit of a query. An answer that still reads while it is sent holds it for as long.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    #[expect(dead_code, reason = "held until it is dropped")]
    own: Arc<OwnedSemaphorePermit>,
    /// That of another limit.
    #[expect(dead_code, reason = "held until it is dropped")]
    outer: Option<Box<Permit>>,
}

impl QueryLimit {
    /// That of all queries.
    pub fn queries() -> QueryLimit {
        let refusal = "too many queries are being answered, try again in a moment";
        QueryLimit::new(QUERIES_MAX, refusal)
    }

    /// That of exports.
    pub fn exports() -> QueryLimit {
        QueryLimit::new(EXPORTS_MAX, "another export is being sent, try again in a moment")
    }

    fn new(n: usize, refusal: &'static str) -> QueryLimit {
        QueryLimit { permits: Arc::new(Semaphore::new(n)), wait_max: WAIT_MAX, refusal }
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
        return ApiError::unavailable(limit.refusal).retry_after(RETRY_SECONDS).into_response();
    };
    let outer = request.extensions_mut().remove::<Permit>().map(Box::new);
    let permit = Permit { own: Arc::new(permit), outer };
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
