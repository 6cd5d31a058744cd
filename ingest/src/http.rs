//! `POST /v1/events` and the other routes of ingest's port.
//!
//! A request passes key, limits, decoder, parser, labels and stamp, and is answered when its events
//! are durable. Whatever cannot be decided now is 503 for the whole body: the client sends it again
//! and what was written already is recognised as a copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use event::native::{BodyError, parse};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use queue::{Position, Queue};
use service::answer::{ApiError, with_fallbacks};
use service::auth::{Access, require_key, require_own_origin};
use service::config::IngestSettings;
use service::health::{Readiness, routes};
use service::http_metrics::SlowBody;
use service::metrics::ProcessMetrics;
use store::{Generation, Store, StoreError};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

use crate::answer::{Accepted, unavailable};
use crate::body::{Bodies, INLINE_BYTES_MAX, Packed, defect};
use crate::encoding::SUPPORTED;
use crate::gateways::Gateways;
use crate::gather::{GatherOptions, Gatherers, now_us};
use crate::label::LabelCache;
use crate::metrics::IngestMetrics;
use crate::stamp::{Stamped, stamp, stamp_connections};

/// What ingest works on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log.
    pub queue: Arc<Queue>,
    /// Labels and connections.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Who may send.
    pub access: Access,
    /// Set while the dedup set of the aggregator is at its budget.
    pub pressure: Arc<AtomicBool>,
    /// Its settings.
    pub settings: IngestSettings,
}

/// A running ingest.
#[derive(Debug)]
pub struct Ingest {
    router: Router,
    gatherers: Vec<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Shared {
    parts: Parts,
    labels: Arc<LabelCache>,
    gateways: Arc<Gateways>,
    gatherers: Arc<Gatherers>,
    metrics: IngestMetrics,
    bodies: Bodies,
    refusals: Arc<Refusals>,
}

/// Why ingest could not start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The registered labels could not be read.
    #[error("labels could not be read")]
    Store(#[from] StoreError),
    /// A metric could not be registered.
    #[error("process metrics failed")]
    Metrics(#[from] service::Error),
}

/// Starts the gatherers. Serving the router is the caller's.
///
/// # Errors
/// If the labels cannot be read or a metric cannot be registered.
pub async fn start(parts: Parts, process: Arc<ProcessMetrics>) -> Result<Ingest, IngestError> {
    let metrics = IngestMetrics::new(&process)?;
    let labels = Arc::new(LabelCache::load(&parts.store, parts.settings.clone()).await?);
    let options = GatherOptions {
        gather: Duration::from_millis(parts.settings.gather_ms),
        events_max: parts.settings.queue_events_max,
        window: parts.generation.window,
    };
    let (gatherers, tasks) = Gatherers::start(&parts.queue, options, &metrics);
    let queue = Arc::clone(&parts.queue);
    let pressure = Arc::clone(&parts.pressure);
    let access = parts.access.clone();
    let shared = Shared {
        parts,
        labels,
        gateways: Arc::default(),
        gatherers: Arc::new(gatherers),
        metrics,
        bodies: Bodies::default(),
        refusals: Arc::default(),
    };
    let events = Router::new()
        .route("/v1/events", post(events))
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access, require_key))
        .with_state(shared);
    let readiness = move || {
        let mut reasons = Vec::new();
        if *queue.fatal().borrow() {
            reasons.push("the log cannot be written".to_owned());
        }
        reasons.extend(queue.refusing().map(str::to_owned));
        if pressure.load(Ordering::Relaxed) {
            reasons.push(PRESSURE.to_owned());
        }
        Readiness::from_reasons(reasons)
    };
    let page = move || {
        let text = process.render();
        async move { ([(CONTENT_TYPE, service::metrics::CONTENT_TYPE)], text) }
    };
    let open = Router::new().route("/metrics", get(page)).merge(routes(readiness));
    Ok(Ingest { router: with_fallbacks(events.merge(open)), gatherers: tasks })
}

impl Ingest {
    /// The routes of ingest's port.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Waits until everything that was handed over is appended. The router and its clones must be
    /// gone by then: they could hand over more.
    pub async fn drained(self) {
        drop(self.router);
        for gatherer in self.gatherers {
            if let Err(error) = gatherer.await {
                error!(%error, "gatherer ended by a defect");
            }
        }
    }
}

/// The reason of a full dedup set.
const PRESSURE: &str = "the memory for recognising copies is full";

async fn events(State(shared): State<Shared>, request: Request) -> Response {
    let metrics = shared.metrics.clone();
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
    if shared.parts.pressure.load(Ordering::Relaxed) {
        return Err(unavailable(PRESSURE));
    }
    shared.metrics.bytes.inc_by(packed.len() as u64);
    let limit = Duration::from_millis(shared.parts.settings.durable_timeout_ms);
    let began = Instant::now();
    let metrics = shared.metrics.clone();
    let accepted = tokio::time::timeout(limit, accept(shared, packed)).await;
    metrics.durable.observe(began.elapsed().as_secs_f64());
    accepted.map_err(|_| unavailable("the events were not durable in time"))?
}

/// Unpacks, parses, settles, stamps, appends.
async fn accept(shared: Shared, packed: Packed) -> Result<Accepted, ApiError> {
    let plain = shared.bodies.unpack(packed).await?;
    shared.metrics.plain_bytes.inc_by(plain.bytes.len() as u64);
    let mut stamped = if plain.bytes.len() <= INLINE_BYTES_MAX {
        prepare(&shared, &plain.bytes).await?
    } else {
        let (shared, runtime) = (shared.clone(), tokio::runtime::Handle::current());
        let work = move || runtime.block_on(prepare(&shared, &plain.bytes));
        spawn_blocking(work).await.map_err(|error| defect(&error))??
    };
    let n_connections = stamped.connections.len();
    if n_connections > 0 {
        let rows = std::mem::take(&mut stamped.connections);
        shared
            .parts
            .store
            .put_connections(rows)
            .await
            .map_err(|error| store_down(&shared, &error))?;
    }
    let builders = std::mem::take(&mut stamped.builders);
    let positions = append(&shared, builders).await?;
    let metrics = &shared.metrics;
    metrics.accepted.inc_by(stamped.n_events as u64);
    for reject in &stamped.rejects {
        metrics.rejected.with_label_values(&[reject.kind]).inc();
    }
    let n_accepted = stamped.n_events + n_connections;
    let marks = [stamped.late, stamped.future];
    Ok(Accepted::new(n_accepted, stamped.rejects, marks, &positions))
}

/// Everything up to the log.
async fn prepare(shared: &Shared, plain: &Bytes) -> Result<Stamped, ApiError> {
    let batch = parse(plain).map_err(|error| unreadable(&error))?;
    let registered =
        shared.labels.register(&shared.parts.store, &batch.events, &batch.connections).await;
    registered.map_err(|error| store_down(shared, &error))?;
    let known = shared.labels.known();
    let now_us = now_us();
    let mut stamped = stamp(&batch.events, &known, &shared.parts.generation, now_us);
    stamp_connections(batch.connections, &known, &shared.gateways, now_us, &mut stamped);
    drop(known);
    stamped.rejects.extend(batch.rejects);
    stamped.rejects.sort_by_key(|reject| reject.index);
    Ok(stamped)
}

/// Appends the events, if there are any.
async fn append(
    shared: &Shared,
    builders: Vec<(u32, event::frame::FrameBuilder)>,
) -> Result<Vec<Position>, ApiError> {
    if builders.is_empty() {
        return Ok(Vec::new());
    }
    let appended = shared.gatherers.append(builders).await;
    appended.inspect(|_| shared.refusals.over()).map_err(|error| {
        shared.refusals.note(&error);
        unavailable(error)
    })
}

/// Whether bodies are being refused for what is not their fault: one line when that begins and one
/// when it ends, and not one per request.
#[derive(Debug, Default)]
struct Refusals(AtomicBool);

impl Refusals {
    fn note(&self, error: &(dyn std::error::Error + 'static)) {
        if !self.0.swap(true, Ordering::Relaxed) {
            warn!(error, "events are refused");
        }
    }

    fn over(&self) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            info!("events are accepted again");
        }
    }
}

/// The answer to a body that is no batch of events.
fn unreadable(error: &BodyError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}

/// The answer while labels cannot be registered or connections kept.
fn store_down(shared: &Shared, error: &StoreError) -> ApiError {
    shared.refusals.note(error);
    unavailable("the ledger does not answer")
}
