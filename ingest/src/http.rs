//! `POST /v1/events` and the other routes of ingest's port.
//!
//! A request is authenticated, read within its limits and decompressed, then takes the same path as
//! every batch and is answered once its events are durable. If any part of a body cannot be decided
//! now, the whole body gets a 503.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use event::native::BodyError;
use http::header::ACCEPT_ENCODING;
use http::{HeaderValue, StatusCode, Uri};
use service::answer::{ApiError, with_fallbacks};
use service::auth::{require_key, require_own_origin};
use service::health::{Readiness, Reason, routes};
use service::http_metrics::SlowBody;
use service::metrics::ProcessMetrics;

use crate::answer::{Accepted, unavailable};
use crate::body::{Bodies, Packed, defect};
use crate::encoding::SUPPORTED;
use crate::intake::{Intake, Parts, Refusals, Reports, Unready};
use crate::letters::{Letters, replay};
use crate::metrics::IngestMetrics;
use crate::parsed::Texts;
use crate::raw_account::RawHealth;
use crate::stamp::SOURCE;

#[derive(Clone, Debug)]
struct EventsState {
    intake: Intake,
    bodies: Bodies,
    metrics: IngestMetrics,
    source: Arc<str>,
    durable_max: Duration,
}

/// The routes of ingest's port.
pub fn router(
    intake: Intake,
    parts: &Parts,
    metrics: IngestMetrics,
    refusals: Arc<Refusals>,
    raw: RawHealth,
    letters: Letters,
    process: Arc<ProcessMetrics>,
) -> Router {
    let parts = parts.clone();
    let letters = Router::new().route("/v1/dead-letters/replay", post(replay)).with_state(letters);
    let state = EventsState {
        intake,
        bodies: Bodies::default(),
        metrics,
        source: SOURCE.into(),
        durable_max: Duration::from_millis(parts.settings.durable_timeout_ms),
    };
    let events = Router::new()
        .route("/v1/events", post(events))
        .with_state(state)
        .merge(letters)
        .route_layer(from_fn_with_state(parts.access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(parts.access.clone(), require_key));
    let readiness = move || {
        let mut reasons = Vec::new();
        if *parts.queue.fatal().borrow() {
            reasons.push("the log cannot be written".to_owned());
        }
        reasons.extend(parts.queue.refusing().map(str::to_owned));
        // New names cannot be registered, so events that bring one are refused.
        let refusing = parts.store.refusing().or(parts.store.takes_no_writes());
        reasons.extend(refusing.map(str::to_owned));
        if parts.pressure.load(Ordering::Relaxed) {
            reasons.push(Unready::Pressure.to_string());
        }
        reasons.extend(parts.faults.iter().filter_map(Reason::get));
        reasons.extend(raw.reasons());
        if reasons.is_empty() {
            // Batches may be refused for a reason that is not among those above.
            reasons.extend(refusals.last());
        }
        Readiness::from_reasons(reasons)
    };
    let page = move |uri: Uri| {
        let answer = process.answer(&uri);
        async move { answer }
    };
    let open = Router::new().route("/metrics", get(page)).merge(routes(readiness));
    with_fallbacks(events.merge(open))
}

async fn events(State(state): State<EventsState>, request: Request) -> Response {
    let metrics = state.metrics.clone();
    let slow_body = request.extensions().get::<SlowBody>().cloned();
    let mut response = match take(state, request).await {
        Ok(accepted) => accepted.into_response(),
        Err(error) => error.into_response(),
    };
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(SUPPORTED));
    }
    let is_slow = slow_body.is_some_and(|body| body.is_set());
    let status = if is_slow { StatusCode::REQUEST_TIMEOUT } else { response.status() };
    metrics.requests.with_label_values(&[status.as_str()]).inc();
    response
}

/// Handles one request, within the time limit for becoming durable.
async fn take(state: EventsState, request: Request) -> Result<Accepted, ApiError> {
    let (head, body) = request.into_parts();
    let packed = state.bodies.read(&head.headers, body).await?;
    state.metrics.bytes.inc_by(packed.len() as u64);
    let began = Instant::now();
    let accepted = tokio::time::timeout(state.durable_max, accept(&state, packed)).await;
    state.metrics.durable.observe(began.elapsed().as_secs_f64());
    accepted.map_err(|_| unavailable("the events were not durable in time"))?
}

/// Decompresses a body and appends its events to the log.
async fn accept(state: &EventsState, packed: Packed) -> Result<Accepted, ApiError> {
    let plain = state.bodies.unpack(packed).await?;
    state.metrics.plain_bytes.inc_by(plain.bytes.len() as u64);
    let text = Texts::one(plain.bytes.clone(), Arc::clone(&state.source));
    let taken = state.intake.take(vec![text], Reports::Required).await;
    let mut taken = taken.map_err(|unready| match unready {
        Unready::Defect(error) => defect(&error),
        unready => unavailable(unready),
    })?;
    let stamped = taken.texts.pop().expect("one result per text");
    let stamped = stamped.map_err(|error| unreadable(&error))?;
    let n_accepted = stamped.n_events + stamped.connections.len();
    let marks = [stamped.late, stamped.future];
    Ok(Accepted::new(n_accepted, stamped.rejects, marks, &taken.positions))
}

/// The response to a body that is not a batch of events.
fn unreadable(error: &BodyError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}
