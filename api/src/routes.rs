//! The routes of the API's port, and how they are guarded, limited and counted.
//!
//! Everything under `/api` wants the key. Health, `/metrics` and the shell of the page are open:
//! the shell has no numbers in it. Each route is on `/metrics` before its first request.
//!
//! A question over many rows holds a reader for as long as it runs, and whoever finds none waits.
//! So fewer questions are read at once than the ledger has readers, and the others wait for their
//! turn, for a bounded time: the readers left over keep everything else going. A question that
//! began runs to its end even if its client has left: the reader works on in any case, and so
//! counts until it is free.

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

/// Questions read at once: half of the store's four readers.
const AT_ONCE: usize = 2;
/// Longest wait for a turn: the page gives up after 10 s.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Seconds after which a question that found no turn is worth another try.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// Turns to read.
#[derive(Clone, Debug)]
struct Turns {
    free: Arc<Semaphore>,
    wait_max: Duration,
}

impl Turns {
    fn new() -> Turns {
        Turns { free: Arc::new(Semaphore::new(AT_ONCE)), wait_max: WAIT_MAX }
    }
}

/// Middleware that lets a question through when it is its turn.
async fn take_turns(State(turns): State<Turns>, request: Request, next: Next) -> Response {
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
        tracing::error!(%error, "query was not answered");
        ApiError::internal().into_response()
    })
}

/// Routes of which each is shown at zero from the start.
struct Shown<'m> {
    http_metrics: &'m HttpMetrics,
    router: Router<Answers>,
}

impl<'m> Shown<'m> {
    fn on(http_metrics: &'m HttpMetrics) -> Shown<'m> {
        Shown { http_metrics, router: Router::new() }
    }

    /// A route that is read.
    fn get(self, path: &'static str, handler: MethodRouter<Answers>) -> Shown<'m> {
        self.with(path, &[(Method::GET, StatusCode::OK)], handler)
    }

    /// A route with the good answer of each of its methods.
    fn with(
        self,
        path: &'static str,
        methods: &[(Method, StatusCode)],
        handler: MethodRouter<Answers>,
    ) -> Shown<'m> {
        for (method, good) in methods {
            self.http_metrics.begin(method, path, *good);
        }
        Shown { router: self.router.route(path, handler), ..self }
    }
}

/// All routes. Must be called within a tokio runtime, on which what the routes share then works.
///
/// # Errors
/// A name of the process metrics is taken.
pub fn router(parts: Parts, process: Arc<ProcessMetrics>) -> Result<Router, service::Error> {
    let http_metrics = HttpMetrics::new(&process)?;
    let answers = Answers::new(&parts, &process)?;
    let hub = Hub::new(&parts);
    let access = parts.access.clone();
    let counting_access = access.clone();
    let dependencies = Arc::clone(&parts.dependencies);
    let store = Arc::clone(&parts.store);
    let questions = Shown::on(&http_metrics)
        .get("/api/metrics/namespaces/status-distribution", get(metrics::status_distribution))
        .get("/api/metrics/namespaces/request-trend", get(metrics::request_trend))
        .get("/api/metrics/namespaces/{namespace}/tokens", get(metrics::tokens))
        .get("/api/metrics/namespaces/{namespace}/stats", get(metrics::stats))
        .get("/api/metrics/system", get(system::system))
        .get("/api/metrics/dashboard", get(system::dashboard))
        .get("/api/usage", get(usage::usage))
        .router
        .route_layer(from_fn_with_state(Turns::new(), take_turns));
    let (read, made) = ((Method::GET, StatusCode::OK), (Method::POST, StatusCode::CREATED));
    let list = get(namespaces::list).post(namespaces::create);
    let guarded = Shown::on(&http_metrics)
        .with("/api/namespaces", &[read, made], list)
        .get("/api/namespaces/{id}", get(namespaces::show))
        .with(
            "/api/namespaces/{id}/status",
            &[(Method::PUT, StatusCode::OK)],
            put(namespaces::set_status),
        )
        .get("/api/metrics/live", get(move |uri: Uri| live(hub, uri)))
        .router
        .merge(questions)
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access, require_key))
        .with_state(answers);
    let readiness = move || {
        // Answers come from the ledger; they are as good while the log does not answer.
        let faults = dependencies().into_iter().filter(|each| each.name == "ledger");
        let reasons = faults.filter_map(|each| Some(format!("{}: {}", each.name, each.fault?)));
        // Questions are answered beside such a lock, changes are not.
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
