//! The routes of the API's port, and how they are guarded, limited and counted.
//!
//! Everything under `/api` requires the key. Health, `/metrics` and the files of the page are open:
//! the page itself contains no numbers. Each route is on `/metrics` before its first request.
//!
//! A query over many rows holds a reader of the ledger for as long as it runs, and starves other
//! work if it takes the last one. So fewer such queries run at once than the ledger has readers,
//! and the others wait a bounded time for a permit. A query that has begun runs to its end even if
//! its client disconnects: its reader stays busy in any case, so it must keep its permit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, put};
use http::{Method, StatusCode, Uri};
use service::answer::{ApiError, with_fallbacks};
use service::auth::{require_key, require_own_origin};
use service::health::{Readiness, routes};
use service::http_metrics::HttpMetrics;
use service::metrics::ProcessMetrics;
use service::token_count;
use tokio::sync::Semaphore;

use crate::answers::Answers;
use crate::context::Parts;
use crate::live::{Hub, live};
use crate::{metrics, namespaces, page, system, usage};

/// Most queries that run at once: half of the store's four readers.
const QUERIES_MAX: usize = 2;
/// Longest wait for a permit: the page gives up after 10 s.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// `Retry-After` of a query that got no permit, seconds.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// Limits the queries that run at once.
#[derive(Clone, Debug)]
struct QueryLimit {
    permits: Arc<Semaphore>,
    wait_max: Duration,
}

impl QueryLimit {
    fn new() -> QueryLimit {
        QueryLimit { permits: Arc::new(Semaphore::new(QUERIES_MAX)), wait_max: WAIT_MAX }
    }
}

/// Middleware that runs a query once it has a permit.
async fn limit_queries(State(limit): State<QueryLimit>, request: Request, next: Next) -> Response {
    let permit = tokio::time::timeout(limit.wait_max, limit.permits.acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        let message = "too many queries are being answered, try again in a moment";
        return ApiError::unavailable(message).retry_after(RETRY_SECONDS).into_response();
    };
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

/// Routes whose request counters start at zero.
struct CountedRoutes<'m> {
    http_metrics: &'m HttpMetrics,
    router: Router<Answers>,
}

impl<'m> CountedRoutes<'m> {
    fn new(http_metrics: &'m HttpMetrics) -> CountedRoutes<'m> {
        CountedRoutes { http_metrics, router: Router::new() }
    }

    /// Adds a route that has only GET.
    fn get(self, path: &'static str, handler: MethodRouter<Answers>) -> CountedRoutes<'m> {
        self.with(path, &[(Method::GET, StatusCode::OK)], handler)
    }

    /// Adds a route, with the success status of each of its methods.
    fn with(
        self,
        path: &'static str,
        methods: &[(Method, StatusCode)],
        handler: MethodRouter<Answers>,
    ) -> CountedRoutes<'m> {
        for (method, status) in methods {
            self.http_metrics.begin(method, path, *status);
        }
        CountedRoutes { router: self.router.route(path, handler), ..self }
    }
}

/// All routes. Must be called within a tokio runtime, on which this spawns background tasks.
///
/// # Errors
/// If a metric cannot be registered.
pub fn router(parts: Parts, process: Arc<ProcessMetrics>) -> Result<Router, service::Error> {
    let http_metrics = HttpMetrics::new(&process)?;
    let answers = Answers::new(&parts, &process)?;
    let hub = Hub::new(&parts);
    let access = parts.access.clone();
    let counting_access = access.clone();
    let dependencies = Arc::clone(&parts.dependencies);
    let store = Arc::clone(&parts.store);
    let queries = CountedRoutes::new(&http_metrics)
        .get("/api/metrics/namespaces/status-distribution", get(metrics::status_distribution))
        .get("/api/metrics/namespaces/request-trend", get(metrics::request_trend))
        .get("/api/metrics/namespaces/{namespace}/tokens", get(metrics::tokens))
        .get("/api/metrics/namespaces/{namespace}/stats", get(metrics::stats))
        .get("/api/metrics/system", get(system::system))
        .get("/api/metrics/dashboard", get(system::dashboard))
        .get("/api/usage", get(usage::usage))
        .router
        .route_layer(from_fn_with_state(QueryLimit::new(), limit_queries));
    let (read, made) = ((Method::GET, StatusCode::OK), (Method::POST, StatusCode::CREATED));
    let list = get(namespaces::list).post(namespaces::create);
    let guarded = CountedRoutes::new(&http_metrics)
        .with("/api/namespaces", &[read, made], list)
        .get("/api/namespaces/{id}", get(namespaces::show))
        .with(
            "/api/namespaces/{id}/status",
            &[(Method::PUT, StatusCode::OK)],
            put(namespaces::set_status),
        )
        .get("/api/metrics/live", get(move |uri: Uri| live(hub, uri)))
        .router
        .merge(queries)
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access, require_key))
        .with_state(answers);
    let readiness = move || {
        // Answers come from the ledger and do not depend on the log.
        let faults = dependencies().into_iter().filter(|each| each.name == "ledger");
        let reasons = faults.filter_map(|each| Some(format!("{}: {}", each.name, each.fault?)));
        // A locked ledger can be queried, but not changed.
        Readiness::from_reasons(reasons.chain(store.refusing().map(str::to_owned)).collect())
    };
    let own_metrics = move |uri: Uri| {
        let answer = process.answer(&uri);
        async move { answer }
    };
    let open = Router::new()
        .route("/metrics", get(own_metrics))
        .merge(routes(readiness))
        .merge(page::routes());
    let counting = token_count::routes(&counting_access);
    http_metrics.begin(&Method::POST, token_count::PATH, StatusCode::OK);
    for path in ["/metrics", "/healthz", "/readyz"].into_iter().chain(page::paths()) {
        http_metrics.begin(&Method::GET, path, StatusCode::OK);
    }
    Ok(http_metrics.count(with_fallbacks(guarded.merge(counting).merge(open))))
}

#[cfg(test)]
mod tests;
