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
use bytes::Bytes;
use event::native::{BodyError, parse};
use http::header::ACCEPT_ENCODING;
use http::{HeaderValue, StatusCode, Uri};
use service::answer::{ApiError, with_fallbacks};
use service::auth::{require_key, require_own_origin};
use service::health::{Readiness, Reason, routes};
use service::http_metrics::SlowBody;
use service::metrics::ProcessMetrics;
use tokio::task::spawn_blocking;

use crate::answer::{Accepted, unavailable};
use crate::body::{Bodies, INLINE_BYTES_MAX, Packed, defect};
use crate::encoding::SUPPORTED;
use crate::intake::{Intake, Unready};
use crate::letters::replay;
use crate::stamp::{SOURCE, Stamped};

#[derive(Clone, Debug)]
struct Shared {
    intake: Intake,
    bodies: Bodies,
}

/// The routes of ingest's port.
pub fn router(intake: Intake, process: Arc<ProcessMetrics>) -> Router {
    let (parts, refusals) = (intake.parts.clone(), Arc::clone(&intake.refusals));
    let raw = intake.raw.clone();
    let letters =
        Router::new().route("/v1/dead-letters/replay", post(replay)).with_state(intake.clone());
    let events = Router::new()
        .route("/v1/events", post(events))
        .with_state(Shared { intake, bodies: Bodies::default() })
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

async fn events(State(shared): State<Shared>, request: Request) -> Response {
    let metrics = shared.intake.metrics.clone();
    let slow_body = request.extensions().get::<SlowBody>().cloned();
    let mut response = match take(shared, request).await {
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
async fn take(shared: Shared, request: Request) -> Result<Accepted, ApiError> {
    let (head, body) = request.into_parts();
    let packed = shared.bodies.read(&head.headers, body).await?;
    shared.intake.check_pressure().map_err(|unready| unavailable(&unready))?;
    let metrics = shared.intake.metrics.clone();
    metrics.bytes.inc_by(packed.len() as u64);
    let limit = Duration::from_millis(shared.intake.parts.settings.durable_timeout_ms);
    let began = Instant::now();
    let accepted = tokio::time::timeout(limit, accept(shared, packed)).await;
    metrics.durable.observe(began.elapsed().as_secs_f64());
    accepted.map_err(|_| unavailable("the events were not durable in time"))?
}

/// Unpacks, parses, settles, stamps, appends.
async fn accept(shared: Shared, packed: Packed) -> Result<Accepted, ApiError> {
    let Shared { intake, bodies } = shared;
    let plain = bodies.unpack(packed).await?;
    intake.metrics.plain_bytes.inc_by(plain.bytes.len() as u64);
    let mut stamped = if plain.bytes.len() <= INLINE_BYTES_MAX {
        prepare(&intake, &plain.bytes).await?
    } else {
        let (intake, runtime) = (intake.clone(), tokio::runtime::Handle::current());
        // Dropped with the request: a thread must not wait for a lock that outlasts the process.
        let (_alive, gone) = tokio::sync::oneshot::channel::<()>();
        let preparing = async move {
            tokio::select! {
                prepared = prepare(&intake, &plain.bytes) => prepared,
                _ = gone => Err(unavailable("the request was given up")),
            }
        };
        let work = move || runtime.block_on(preparing);
        spawn_blocking(work).await.map_err(|error| defect(&error))??
    };
    let later = |unready: Unready| refused(&intake, &unready);
    let n_connections = stamped.connections.len();
    intake.keep_connections(std::mem::take(&mut stamped.connections)).await.map_err(later)?;
    let builders = std::mem::take(&mut stamped.builders);
    let positions = intake.append(builders).await.map_err(later)?;
    intake.metrics.note_taken(stamped.n_events, &stamped.rejects);
    let n_accepted = stamped.n_events + n_connections;
    let marks = [stamped.late, stamped.future];
    Ok(Accepted::new(n_accepted, stamped.rejects, marks, &positions))
}

/// Everything up to the log.
async fn prepare(intake: &Intake, plain: &Bytes) -> Result<Stamped, ApiError> {
    let batch = parse(plain).map_err(|error| unreadable(&error))?;
    let mut stamped = Stamped::default();
    let prepared = intake.prepare(batch, SOURCE, &mut stamped).await;
    prepared.map_err(|unready| refused(intake, &unready))?;
    Ok(stamped)
}

/// The answer to a body that is no batch of events.
fn unreadable(error: &BodyError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}

/// The answer to a body that cannot be taken now.
fn refused(intake: &Intake, unready: &Unready) -> ApiError {
    intake.note(unready);
    unavailable(unready)
}
