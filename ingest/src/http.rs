//! `POST /v1/events` and the other routes of ingest's port.
//!
//! A request passes key, limits and decoder, then goes the way of every batch, and is answered
//! when its events are durable. Whatever cannot be decided now is 503 for the whole body.

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
use crate::intake::{Intake, Parts, Refusals, Reports, Text, Unready};
use crate::letters::{Letters, replay};
use crate::metrics::IngestMetrics;
use crate::raw_account::RawState;
use crate::stamp::SOURCE;

#[derive(Clone, Debug)]
struct Door {
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
    raw: RawState,
    process: Arc<ProcessMetrics>,
) -> Router {
    let parts = parts.clone();
    let letters = Letters {
        intake: intake.clone(),
        store: Arc::clone(&parts.store),
        generation: parts.queue.generation(),
    };
    let letters = Router::new().route("/v1/dead-letters/replay", post(replay)).with_state(letters);
    let door = Door {
        intake,
        bodies: Bodies::default(),
        metrics,
        source: SOURCE.into(),
        durable_max: Duration::from_millis(parts.settings.durable_timeout_ms),
    };
    let events = Router::new()
        .route("/v1/events", post(events))
        .with_state(door)
        .merge(letters)
        .route_layer(from_fn_with_state(parts.access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(parts.access.clone(), require_key));
    let readiness = move || {
        let mut reasons = Vec::new();
        if *parts.queue.fatal().borrow() {
            reasons.push("the log cannot be written".to_owned());
        }
        reasons.extend(parts.queue.refusing().map(str::to_owned));
        // Events with names that are not known yet cannot be taken.
        let refusing = parts.store.refusing().or(parts.store.takes_no_writes());
        reasons.extend(refusing.map(str::to_owned));
        if parts.pressure.load(Ordering::Relaxed) {
            reasons.push(Unready::Pressure.to_string());
        }
        reasons.extend(parts.faults.iter().filter_map(Reason::get));
        reasons.extend(raw.reasons());
        if reasons.is_empty() {
            // What was refused without a reason that is known by now.
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

async fn events(State(door): State<Door>, request: Request) -> Response {
    let metrics = door.metrics.clone();
    let slow_body = request.extensions().get::<SlowBody>().cloned();
    let mut response = match take(door, request).await {
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

/// One body, from its head to its answer.
async fn take(door: Door, request: Request) -> Result<Accepted, ApiError> {
    let (head, body) = request.into_parts();
    let packed = door.bodies.read(&head.headers, body).await?;
    door.metrics.bytes.inc_by(packed.len() as u64);
    let began = Instant::now();
    let accepted = tokio::time::timeout(door.durable_max, accept(&door, packed)).await;
    door.metrics.durable.observe(began.elapsed().as_secs_f64());
    accepted.map_err(|_| unavailable("the events were not durable in time"))?
}

/// Unpacks a body and takes its events into the log.
async fn accept(door: &Door, packed: Packed) -> Result<Accepted, ApiError> {
    let plain = door.bodies.unpack(packed).await?;
    door.metrics.plain_bytes.inc_by(plain.bytes.len() as u64);
    let text = Text { bytes: plain.bytes.clone(), source: Arc::clone(&door.source) };
    let taken = door.intake.take(vec![text], Reports::Needed).await;
    let mut taken = taken.map_err(|unready| match unready {
        Unready::Defect(error) => defect(&error),
        unready => unavailable(unready),
    })?;
    let stamped = taken.texts.pop().expect("each text has its place");
    let stamped = stamped.map_err(|error| unreadable(&error))?;
    let n_accepted = stamped.n_events + stamped.connections.len();
    let marks = [stamped.late, stamped.future];
    Ok(Accepted::new(n_accepted, stamped.rejects, marks, &taken.positions))
}

/// The answer to a body that is no batch of events.
fn unreadable(error: &BodyError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}
