//! `live`: totals and rates once a second, as server-sent events.
//!
//! Totals are published by an aggregator, in the same process or, through Redis, in another one.
//! Without either, one task reads the ledger for all streams, and only while there are any. Totals
//! of single namespaces are not published: another task reads those of all of them at once, while a
//! stream asks for one. All numbers are committed ones; rates are differences of two of them, for
//! display only.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Uri};
use ledger::query::sums::Sums;
use serde::Serialize;
use service::answer::{ApiError, Failure};
use service::shutdown::Phase;
use service::status::Live;
use store::{Part, Rows};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::context::Parts;
use crate::error::Error;
use crate::params::{Params, described_scope};
use crate::snapshot::{Scope, Snapshot};

/// Most concurrent streams: far below the connections of a listener.
const STREAMS_MAX: usize = 64;
/// Interval of events.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the ledger.
const LEDGER_MAX: Duration = Duration::from_secs(2);

/// Totals, and when they were read.
type Seen = Option<(Live, Instant)>;
/// Totals of all namespaces that have any, by code, with the version; and when they were read.
type SeenEach = Option<(i64, Arc<HashMap<String, Live>>, Instant)>;

/// Feeds the streams of a process.
#[derive(Clone)]
pub(crate) struct Hub {
    parts: Parts,
    /// One for each stream.
    permits: Arc<Semaphore>,
    newest: watch::Sender<Seen>,
    /// By namespace.
    each: watch::Sender<SeenEach>,
}

impl Hub {
    /// Polls for totals until shutdown. Must be called within a tokio runtime.
    pub fn new(parts: &Parts) -> Hub {
        let (newest, each) = (watch::Sender::new(None), watch::Sender::new(None));
        keep(parts, &newest);
        keep(parts, &each);
        Hub { parts: parts.clone(), permits: Arc::new(Semaphore::new(STREAMS_MAX)), newest, each }
    }
}

/// What is polled for.
trait Polled: Send + Sync + Sized + 'static {
    /// The newest. Returns `None` if it is unknown.
    fn poll(parts: &Parts) -> impl Future<Output = Option<Self>> + Send;
}

impl Polled for (Live, Instant) {
    async fn poll(parts: &Parts) -> Seen {
        poll(parts).await.map(|live| (live, Instant::now()))
    }
}

impl Polled for (i64, Arc<HashMap<String, Live>>, Instant) {
    async fn poll(parts: &Parts) -> SeenEach {
        poll_each(parts).await
    }
}

/// Polls for the newest of something, while somebody listens, until shutdown.
fn keep<T: Polled>(parts: &Parts, newest: &watch::Sender<Option<T>>) {
    let (parts, newest) = (parts.clone(), newest.clone());
    tokio::spawn(async move {
        while parts.shutdown.phase() == Phase::Running {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = parts.shutdown.requested() => return,
            }
            if newest.receiver_count() > 0
                && let Some(found) = T::poll(&parts).await
            {
                newest.send_replace(Some(found));
            }
        }
    });
}

/// The newest totals. Returns `None` if they are unknown.
async fn poll(parts: &Parts) -> Option<Live> {
    if let Some(live) = (parts.live)() {
        return Some(live);
    }
    match tokio::time::timeout(LEDGER_MAX, read_ledger(parts)).await {
        Ok(Ok(live)) => Some(live),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no live totals");
            None
        }
        Err(_) => None,
    }
}

/// The totals of each namespace. Returns `None` if they are unknown.
async fn poll_each(parts: &Parts) -> SeenEach {
    match tokio::time::timeout(LEDGER_MAX, read_each(parts)).await {
        Ok(Ok((version, each))) => Some((version, Arc::new(each), Instant::now())),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no live totals of namespaces");
            None
        }
        Err(_) => None,
    }
}

async fn read_each(parts: &Parts) -> Result<(i64, HashMap<String, Live>), Error> {
    let mut reader = parts.store.read().await?;
    let version = reader.as_of().version;
    let each = reader.totals_by_namespace(&[Part::Requests, Part::Tokens]).await?;
    let each = each.into_iter().map(|(code, sums)| Ok((code, live_of(version, &sums)?)));
    Ok((version, each.collect::<Result<_, Error>>()?))
}

fn live_of(version: i64, sums: &Sums) -> Result<Live, Error> {
    let (requests, tokens) = (sums.latency()?, sums.tokens()?);
    Ok(Live {
        version,
        requests: requests.n,
        errors: requests.errors,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
    })
}

async fn read_ledger(parts: &Parts) -> Result<Live, Error> {
    let mut reader = parts.store.read().await?;
    let sums = reader.sums(Rows::Totals, 0..0, None, &Part::EACH).await?;
    live_of(reader.as_of().version, &sums)
}

/// `Retry-After` of a refused stream, seconds.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(5).expect("five is not zero");

/// The parameters, as they are described.
pub(crate) struct LiveQuery;

impl IntoParams for LiveQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![described_scope()]
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LiveEvent)]
#[serde(rename_all = "camelCase")]
struct Tick {
    #[serde(flatten)]
    totals: Totals,
    /// Null in the first event of a stream.
    #[schema(required)]
    rates: Option<Rates>,
}

/// An event as it is sent, for the description.
struct Sent;

impl ToSchema for Sent {
    fn name() -> Cow<'static, str> {
        "ServerSentEvent".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Tick::name().into_owned(), Tick::schema()));
        Tick::schemas(schemas);
    }
}

impl PartialSchema for Sent {
    fn schema() -> RefOr<Schema> {
        let data = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A `LiveEvent`."))
            .content_media_type("application/json")
            .content_schema(Some(Ref::from_schema_name(Tick::name())));
        let event = ObjectBuilder::new().schema_type(Type::Object);
        event.property("data", data).required("data").into()
    }
}

/// Totals since the first event that was ever counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LiveTotals)]
#[serde(rename_all = "camelCase")]
struct Totals {
    /// Ledger version.
    version: i64,
    requests: i64,
    errors: i64,
    input_tokens: i64,
    output_tokens: i64,
}

/// Per second since the last event of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LiveRates)]
#[serde(rename_all = "camelCase")]
struct Rates {
    requests: f64,
    errors: f64,
    input_tokens: f64,
    output_tokens: f64,
}

/// Totals and rates of all namespaces or of one, once a second, as server-sent events.
///
/// A stream goes on until the client disconnects or the process ends. The schema is that of one
/// event.
#[utoipa::path(
    get, path = "/api/metrics/live", tag = "Metrics", params(LiveQuery),
    responses(
        (status = 200, description = "The stream.", body = Sent,
            content_type = "text/event-stream"),
        (status = 404, description = "There is no such namespace.", body = Failure),
        (status = 503, description = "There are 64 streams already.", body = Failure,
            headers(("Retry-After" = u32, description = "Seconds to wait."))),
    ),
)]
pub(crate) async fn live(State(hub): State<Hub>, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["namespace"])?;
    let scope = match params.get("namespace") {
        None | Some("all") => Scope::All,
        Some(text) => Snapshot::open(&hub.parts).await?.scope(text).await?,
    };
    let Hub { parts, permits, newest, each } = hub;
    let permit = permits.try_acquire_owned().map_err(|_| {
        let message = format!("there are {STREAMS_MAX} streams already, try again later");
        ApiError::unavailable(message).retry_after(RETRY_SECONDS)
    })?;
    let source = match scope {
        Scope::All => Source::All(newest.subscribe()),
        Scope::One(namespace) => Source::One(namespace.code, each.subscribe()),
    };
    let stream = Stream { source, last: None, parts, _permit: permit };
    let events = unfold(stream, |mut stream| async move {
        let tick = stream.next().await?;
        let event = Event::default().json_data(tick).unwrap_or_else(|_| Event::default());
        Some((Ok::<_, Infallible>(event), stream))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Where the totals of a stream come from.
enum Source {
    All(watch::Receiver<Seen>),
    One(String, watch::Receiver<SeenEach>),
}

impl Source {
    /// Waits for the next totals. Returns `None` once there are none to come.
    async fn next(&mut self) -> Option<Seen> {
        match self {
            Source::All(newest) => {
                newest.changed().await.ok()?;
                Some(*newest.borrow_and_update())
            }
            Source::One(code, each) => {
                each.changed().await.ok()?;
                let seen = each.borrow_and_update();
                Some(seen.as_ref().map(|(version, each, at)| {
                    // A namespace that nothing was counted of has no totals.
                    let none = Live { version: *version, ..Live::default() };
                    (each.get(code).copied().unwrap_or(none), *at)
                }))
            }
        }
    }
}

struct Stream {
    source: Source,
    last: Seen,
    parts: Parts,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    /// Waits for the next event. Returns `None` at shutdown.
    async fn next(&mut self) -> Option<Tick> {
        loop {
            let seen = tokio::select! {
                seen = self.source.next() => seen?,
                () = self.parts.shutdown.requested() => return None,
            };
            let Some((live, at)) = seen else { continue };
            let rates = self.last.map(|last| rates(last, (live, at)));
            self.last = Some((live, at));
            let Live { version, requests, errors, input_tokens, output_tokens } = live;
            let totals = Totals { version, requests, errors, input_tokens, output_tokens };
            return Some(Tick { totals, rates });
        }
    }
}

fn rates((before, since): (Live, Instant), (now, at): (Live, Instant)) -> Rates {
    let seconds = at.duration_since(since).as_secs_f64().max(f64::EPSILON);
    let rate = |before: i64, now: i64| now.saturating_sub(before).max(0) as f64 / seconds;
    Rates {
        requests: rate(before.requests, now.requests),
        errors: rate(before.errors, now.errors),
        input_tokens: rate(before.input_tokens, now.input_tokens),
        output_tokens: rate(before.output_tokens, now.output_tokens),
    }
}

#[cfg(test)]
mod tests;
