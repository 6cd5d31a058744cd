//! The routes of the API's port: how they are guarded, limited, counted and described.
//!
//! Everything under `/api` requires the key. Health, `/metrics`, the description and the files of
//! the pages are open: they contain no numbers. Routes and description are built together, so that
//! no call is served without being described, and each is on `/metrics` before its first request.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use http::{Method, StatusCode};
use service::answer::with_fallbacks;
use service::auth::guard;
use service::describe::{also, failure, failure_to_retry, operations};
use service::health::{self, Readiness};
use service::http_metrics::HttpMetrics;
use service::metrics::{ProcessMetrics, described_route};
use service::token_count;
use utoipa::openapi::{HttpMethod, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answers::Answers;
use crate::context::Parts;
use crate::docs::Description;
use crate::limit::{QueryLimit, limit_queries};
use crate::live::Hub;
use crate::replay::Replays;
use crate::{docs, latency, letters, live, metrics, namespaces, page, replay, system, usage};

/// The routes that read rows of the ledger, one question each.
fn queries() -> OpenApiRouter<Answers> {
    let limit = QueryLimit::queries();
    // The last layer comes first.
    let exports = OpenApiRouter::default()
        .routes(routes!(usage::export))
        .route_layer(from_fn_with_state(limit.clone(), limit_queries))
        .route_layer(from_fn_with_state(QueryLimit::exports(), limit_queries));
    let mut router = OpenApiRouter::default()
        .routes(routes!(metrics::status_distribution))
        .routes(routes!(metrics::request_trend))
        .routes(routes!(metrics::tokens))
        .routes(routes!(metrics::stats))
        .routes(routes!(latency::latency))
        .routes(routes!(system::system))
        .routes(routes!(system::dashboard))
        .routes(routes!(usage::usage))
        .routes(routes!(letters::list))
        .route_layer(from_fn_with_state(limit, limit_queries))
        .merge(exports);
    for (_, _, operation) in operations(router.get_openapi_mut()) {
        let text = "Two other queries took too long, or the ledger does not answer and no earlier \
                    answer is known.";
        also(operation, "503", failure_to_retry(text));
    }
    router
}

/// The routes of the configuration.
fn configuration() -> OpenApiRouter<Answers> {
    let mut router = OpenApiRouter::default()
        .routes(routes!(namespaces::list, namespaces::create))
        .routes(routes!(namespaces::show))
        .routes(routes!(namespaces::set_status));
    for (_, _, operation) in operations(router.get_openapi_mut()) {
        also(
            operation,
            "503",
            failure_to_retry("The ledger does not answer or cannot be written."),
        );
    }
    router
}

/// The routes that send dead letters again.
fn replays() -> OpenApiRouter<Replays> {
    let mut router = OpenApiRouter::default().routes(routes!(replay::show, replay::replay));
    for (_, method, operation) in operations(router.get_openapi_mut()) {
        if method == HttpMethod::Post {
            also(
                operation,
                "503",
                failure_to_retry("Ingest does not answer or takes nothing now."),
            );
        }
    }
    router
}

/// Shows each described call on `/metrics` at zero: its success and its failures.
fn begin(http_metrics: &HttpMetrics, api: &mut OpenApi) {
    for (path, method, operation) in operations(api) {
        let statuses = operation.responses.responses.keys();
        let good = statuses.filter_map(|status| status.parse().ok()).min();
        let method = match method {
            HttpMethod::Put => Method::PUT,
            HttpMethod::Post => Method::POST,
            _ => Method::GET,
        };
        http_metrics.begin(&method, path, good.unwrap_or(StatusCode::OK));
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
    let resend = parts.resend.clone();
    let (access, version) = (parts.access.clone(), parts.version);
    let dependencies = Arc::clone(&parts.dependencies);
    let store = Arc::clone(&parts.store);
    let live = OpenApiRouter::default().routes(routes!(live::live)).with_state(hub);
    let questions = queries().merge(configuration()).with_state(answers);
    let replays = replays().with_state(Replays::new(resend));
    let mut guarded = guard(questions.merge(live).merge(replays), &access);
    for (_, _, operation) in operations(guarded.get_openapi_mut()) {
        let text = "A parameter is unknown, given twice, empty or breaks its rule; the message \
                    names it.";
        also(operation, "400", failure(text));
    }
    let readiness = move || {
        // Answers come from the ledger and do not depend on the log.
        let faults = dependencies().into_iter().filter(|each| each.name == "ledger");
        let reasons = faults.filter_map(|each| Some(format!("{}: {}", each.name, each.fault?)));
        // A locked ledger can be queried, but not changed.
        Readiness::from_reasons(reasons.chain(store.refusing().map(str::to_owned)).collect())
    };
    let description = Description::default();
    let (router, mut api) = guarded
        .merge(token_count::described_routes(&access))
        .merge(health::described_routes(readiness))
        .merge(described_route(Arc::clone(&process)))
        .merge(page::described_routes())
        .merge(docs::described_routes(&description))
        .split_for_parts();
    begin(&http_metrics, &mut api);
    for path in page::paths().chain(docs::paths()) {
        http_metrics.begin(&Method::GET, path, StatusCode::OK);
    }
    description.complete(api, version);
    let router = router.merge(page::files()).merge(docs::files());
    Ok(http_metrics.count(with_fallbacks(router)))
}
