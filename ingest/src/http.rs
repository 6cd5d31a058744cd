//! `POST /v1/events` and the other routes of ingest's port.
//!
//! A request passes key, limits, decoder, parser, labels and stamp, and is answered when its events
//! are durable. Whatever cannot be decided now is 503 for the whole body: the client sends it again
//! and what was written already is recognised as a copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use event::native::{BodyError, parse};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::LengthLimitError;
use queue::{Position, Queue};
use service::answer::{ApiError, with_fallbacks};
use service::auth::{Access, require_key};
use service::config::IngestSettings;
use service::health::{Readiness, routes};
use service::http_metrics::SlowBody;
use service::metrics::ProcessMetrics;
use store::{Generation, Store, StoreError};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::{error, warn};

use crate::answer::{Accepted, unavailable};
use crate::encoding::{Encoding, EncodingError, SCRATCH_BYTES, SUPPORTED};
use crate::gather::{GatherOptions, Gatherers, now_us};
use crate::gateways::Gateways;
use crate::label::LabelCache;
use crate::metrics::IngestMetrics;
use crate::stamp::{Stamped, stamp, stamp_connections};

/// Bodies that are, or may become, larger than this many bytes are unpacked and parsed away from
/// the async threads: about half a millisecond.
const INLINE_BYTES_MAX: usize = 128 * 1024;

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
    /// The one buffer in which compressed bodies are unpacked, one after the other: however many
    /// bombs come at once, they cost its 8 MiB. Untouched pages of it cost nothing.
    scratch: Arc<Mutex<Vec<u8>>>,
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
        scratch: Arc::new(Mutex::new(vec![0; SCRATCH_BYTES])),
    };
    let events = Router::new()
        .route("/v1/events", post(events))
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

/// A body as it came.
#[derive(Debug)]
struct Packed {
    encoding: Encoding,
    bytes: Bytes,
}

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
    let encoding = Encoding::of(&head.headers).map_err(|error| not_unpacked(&error))?;
    let bytes = read(&head.headers, body, encoding).await?;
    if shared.parts.pressure.load(Ordering::Relaxed) {
        return Err(unavailable(PRESSURE));
    }
    shared.metrics.bytes.inc_by(bytes.len() as u64);
    let limit = Duration::from_millis(shared.parts.settings.durable_timeout_ms);
    let began = Instant::now();
    let metrics = shared.metrics.clone();
    let packed = Packed { encoding, bytes };
    let accepted = tokio::time::timeout(limit, accept(shared, packed)).await;
    metrics.durable.observe(began.elapsed().as_secs_f64());
    accepted.map_err(|_| unavailable("the events were not durable in time"))?
}

/// Unpacks, parses, settles, stamps, appends.
async fn accept(shared: Shared, packed: Packed) -> Result<Accepted, ApiError> {
    let plain = unpack(&shared, packed).await?;
    shared.metrics.plain_bytes.inc_by(plain.len() as u64);
    let mut stamped = if plain.len() <= INLINE_BYTES_MAX {
        prepare(&shared, &plain).await?
    } else {
        let (shared, runtime) = (shared.clone(), tokio::runtime::Handle::current());
        let work = move || runtime.block_on(prepare(&shared, &plain));
        spawn_blocking(work).await.map_err(|error| defect(&error))??
    };
    let n_connections = stamped.connections.len();
    if n_connections > 0 {
        let rows = std::mem::take(&mut stamped.connections);
        shared.parts.store.put_connections(rows).await.map_err(|error| store_down(&error))?;
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

/// The body as it is parsed. What leaves the shared buffer has exactly its size.
async fn unpack(shared: &Shared, packed: Packed) -> Result<Bytes, ApiError> {
    let Packed { encoding, bytes } = packed;
    let plain_bytes_max = encoding.plain_bytes_max(bytes.len());
    let unpacked = if encoding == Encoding::Identity {
        return Ok(bytes);
    } else if plain_bytes_max < INLINE_BYTES_MAX {
        let mut scratch = vec![0; plain_bytes_max + 1];
        encoding.unpack(&bytes, &mut scratch).map(Bytes::copy_from_slice)
    } else {
        let mut scratch = Arc::clone(&shared.scratch).lock_owned().await;
        let work = move || encoding.unpack(&bytes, &mut scratch).map(Bytes::copy_from_slice);
        spawn_blocking(work).await.map_err(|error| defect(&error))?
    };
    unpacked.map_err(|error| not_unpacked(&error))
}

/// Everything up to the log.
async fn prepare(shared: &Shared, plain: &Bytes) -> Result<Stamped, ApiError> {
    let batch = parse(plain).map_err(|error| unreadable(&error))?;
    let registered =
        shared.labels.register(&shared.parts.store, &batch.events, &batch.connections).await;
    registered.map_err(|error| store_down(&error))?;
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
    shared.gatherers.append(builders).await.map_err(|error| {
        warn!(%error, "events are not durable");
        unavailable(error)
    })
}

/// Reads the body up to its limit.
async fn read(headers: &HeaderMap, body: Body, encoding: Encoding) -> Result<Bytes, ApiError> {
    let bytes_max = encoding.bytes_max();
    let too_large = || {
        let what = if encoding == Encoding::Identity { "body" } else { "compressed body" };
        let message = format!("the {what} is above the limit of {bytes_max} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > bytes_max as u64) {
        return Err(too_large());
    }
    to_bytes(body, bytes_max).await.map_err(|error| {
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            if cause.is::<LengthLimitError>() {
                return too_large();
            }
            source = cause.source();
        }
        ApiError::bad_request("the body ended early")
    })
}

/// The answer when work on a body panicked.
fn defect(error: &JoinError) -> ApiError {
    error!(%error, "body could not be read for a defect");
    ApiError::internal()
}

/// The answer to a body that is not in the encoding it claims, or too large in it.
fn not_unpacked(error: &EncodingError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}

/// The answer to a body that is no batch of events.
fn unreadable(error: &BodyError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}

/// The answer while labels cannot be registered or connections kept.
fn store_down(error: &StoreError) -> ApiError {
    warn!(%error, "ledger does not take labels");
    unavailable("the ledger does not answer")
}
