//! The routes of the API's port, and how they are guarded and counted.
//!
//! Everything under `/api` wants the key. Health, `/metrics` and the shell of the page are open:
//! the shell has no numbers in it.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};
use http::header::CONTENT_TYPE;
use service::answer::with_fallbacks;
use service::auth::{require_key, require_own_origin};
use service::health::{Readiness, routes};
use service::http_metrics::HttpMetrics;
use service::metrics::ProcessMetrics;
use service::token_count;

use crate::answers::Answers;
use crate::context::Parts;
use crate::hub::Hub;
use crate::limit::{Turns, take_turns};
use crate::shared::Shared;
use crate::{live, metrics, namespaces, page, stats, system, usage};

/// All routes. Must be called within a tokio runtime, on which what the routes share then works.
///
/// # Errors
/// A name of the process metrics is taken.
pub fn router(parts: Parts, process: Arc<ProcessMetrics>) -> Result<Router, service::Error> {
    let http_metrics = HttpMetrics::new(&process)?;
    let answers = Answers::new(Arc::clone(&parts.cache), &process)?;
    let shared = Shared { answers, hub: Hub::new(&parts), parts: parts.clone() };
    let access = parts.access.clone();
    let counting_access = access.clone();
    let dependencies = Arc::clone(&parts.dependencies);
    let store = Arc::clone(&parts.store);
    let questions = Router::new()
        .route("/api/metrics/namespaces/status-distribution", get(metrics::status_distribution))
        .route("/api/metrics/namespaces/request-trend", get(metrics::request_trend))
        .route("/api/metrics/namespaces/{namespace}/tokens", get(metrics::tokens))
        .route("/api/metrics/namespaces/{namespace}/stats", get(stats::stats))
        .route("/api/metrics/system", get(system::system))
        .route("/api/metrics/dashboard", get(stats::dashboard))
        .route("/api/usage", get(usage::usage))
        .route_layer(from_fn_with_state(Turns::new(), take_turns));
    let guarded = Router::new()
        .route("/api/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/api/namespaces/{id}", get(namespaces::show))
        .route("/api/namespaces/{id}/status", put(namespaces::set_status))
        .route("/api/metrics/live", get(live::live))
        .merge(questions)
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access, require_key))
        .with_state(shared);
    let readiness = move || {
        // Answers come from the ledger; they are as good while the log does not answer.
        let faults = dependencies().into_iter().filter(|each| each.name == "ledger");
        let reasons = faults.filter_map(|each| Some(format!("{}: {}", each.name, each.fault?)));
        // Questions are answered beside such a lock, changes are not.
        Readiness::from_reasons(reasons.chain(store.refusing().map(str::to_owned)).collect())
    };
    let own_metrics = move || {
        let text = process.render();
        async move { ([(CONTENT_TYPE, service::metrics::CONTENT_TYPE)], text) }
    };
    let open = Router::new()
        .route("/metrics", get(own_metrics))
        .merge(routes(readiness))
        .merge(page::routes());
    let counting = token_count::routes(&counting_access);
    Ok(http_metrics.count(with_fallbacks(guarded.merge(counting).merge(open))))
}
