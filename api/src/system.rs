//! `system`: the whole installation at a glance.
//!
//! Requests, errors, latency and tokens are those of the range, which is `all` unless another is
//! asked for; the accounting of events, lag and dependencies are those of now.

use axum::extract::State;
use http::Uri;
use ledger::account::{Account, Class};
use ledger::query::sums::{Requests, Row, Sums};
use ledger::window::MINUTE_US;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value, to_value};
use service::answer::ApiError;
use store::{Reader, Rows};

use crate::answers::{About, Begun, Known};
use crate::context::{Dependency, Lag, Parts};
use crate::error::Error;
use crate::params::Params;
use crate::range::{Ask, Cover, Name, RANGE_PARAMS};
use crate::rows::{whole, window};
use crate::scope::Scope;
use crate::shared::Shared;
use crate::view::{AsOfView, TokenTotals, milliseconds};

/// How long a gateway's report of its open connections holds, microseconds: the contract's time
/// to live.
const CONNECTIONS_LIVE_US: i64 = 60_000_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemView {
    total_requests: i64,
    /// Share of requests that failed, 0 ..= 1.
    error_rate: f64,
    /// Mean duration, milliseconds; nothing without requests.
    avg_response_time: Option<Box<RawValue>>,
    /// Requests of the last full minute by event time, per second.
    qps: f64,
    /// Milliseconds; nothing without requests.
    quantiles: Quantiles,
    tokens: TokenTotals,
    active_connections: i64,
    events: Events,
    lag: LagTotal,
    dependencies: Vec<DependencyView>,
    version: &'static str,
    range: Cover,
    #[serde(rename = "as_of")]
    as_of: AsOfView,
}

#[derive(Debug, Serialize)]
pub(crate) struct Quantiles {
    p50: Option<Box<RawValue>>,
    p95: Option<Box<RawValue>>,
    p99: Option<Box<RawValue>>,
}

/// Events of the log by class.
#[derive(Debug, Serialize)]
struct Events {
    total: i64,
    counted: i64,
    duplicate: i64,
    late: i64,
    future: i64,
    poison: i64,
    misrouted: i64,
    conflicts: i64,
    lost_frames: i64,
}

/// Lag of all partitions together, and of each.
#[derive(Debug, Serialize)]
struct LagTotal {
    frames: u64,
    commit_age_ms: u64,
    partitions: Vec<PartitionLag>,
}

#[derive(Debug, Serialize)]
struct PartitionLag {
    partition: u32,
    frames: u64,
    commit_age_ms: u64,
    halted: Option<String>,
}

#[derive(Debug, Serialize)]
struct DependencyView {
    name: &'static str,
    status: &'static str,
    reason: Option<&'static str>,
}

/// The answer.
pub(crate) async fn system(State(shared): State<Shared>, uri: Uri) -> Result<Known, ApiError> {
    let Shared { parts, answers, .. } = shared;
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::All, &parts.timezone)?;
    let key = params.key("system", &[parts.timezone.iana_name().unwrap_or_default()]);
    let mut known = match answers.begin(&parts, About::Now, key).await? {
        Begun::Known(known) => known,
        Begun::Open(mut asked) => {
            let found = view(&parts, &mut asked.reader, &ask, asked.now_us).await;
            asked.answer(found.map(|view| (Scope::All, view))).await?
        }
    };
    if known.is_stale() {
        known.data = with_state_of_now(&known.data, None, &parts)?;
    }
    Ok(known)
}

/// An earlier answer with lag and dependencies as they are now: they do not come from the ledger.
/// They are in the answer itself, or in a part of it.
pub(crate) fn with_state_of_now(
    data: &RawValue,
    part: Option<&str>,
    parts: &Parts,
) -> Result<Box<RawValue>, ApiError> {
    let changed = || {
        let mut data: serde_json::Value = serde_json::from_str(data.get())?;
        let place = match part {
            Some(name) => &mut data[name],
            None => &mut data,
        };
        place["lag"] = to_value(LagTotal::of((parts.lag)()))?;
        place["dependencies"] = to_value(dependencies(parts))?;
        to_raw_value(&data)
    };
    changed().map_err(|error: serde_json::Error| {
        tracing::error!(%error, "earlier answer cannot be read");
        ApiError::internal()
    })
}

pub(crate) async fn view(
    parts: &Parts,
    reader: &mut Reader,
    ask: &Ask,
    now_us: i64,
) -> Result<SystemView, Error> {
    let window = window(reader, ask, now_us).await?;
    let mut sums = Sums::default();
    for (labels, measures) in whole(reader, &window, None).await? {
        sums.add(&Row::short(&labels, &measures));
    }
    let requests = sums.latency()?;
    let mut account = Account::default();
    for row in reader.partitions().await? {
        account.merge(&row.progress.account);
    }
    let connections = reader.connections(now_us - CONNECTIONS_LIVE_US).await?;
    let mean = requests.mean_us().and_then(|us| u64::try_from(us).ok());
    Ok(SystemView {
        total_requests: requests.n,
        error_rate: share(requests.errors, requests.n),
        avg_response_time: mean.map(milliseconds),
        qps: share(last_minute(reader, now_us).await?, 60),
        quantiles: Quantiles::of(&requests),
        tokens: TokenTotals::of(&sums.tokens()?),
        active_connections: connections.iter().map(|(_, active)| active).sum(),
        events: Events::of(&account),
        lag: LagTotal::of((parts.lag)()),
        dependencies: dependencies(parts),
        version: parts.version,
        range: window.cover(),
        as_of: AsOfView::of(reader.as_of()),
    })
}

/// Requests of the last full minute.
async fn last_minute(reader: &mut Reader, now_us: i64) -> Result<i64, Error> {
    let minute = now_us.div_euclid(MINUTE_US) - 1;
    Ok(reader.requests(Rows::Minutes, minute..minute + 1, None).await?.n)
}

fn dependencies(parts: &Parts) -> Vec<DependencyView> {
    let view = |dependency: Dependency| DependencyView {
        name: dependency.name,
        status: if dependency.fault.is_none() { "up" } else { "down" },
        // A ledger that is locked can be read.
        reason: dependency.fault.or_else(|| match dependency.name {
            "ledger" => parts.store.refusing(),
            _ => None,
        }),
    };
    (parts.dependencies)().into_iter().map(view).collect()
}

/// A part of a whole for the eye; nothing of nothing is 0. It is never added to anything.
pub(crate) fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Quantiles {
    pub fn of(requests: &Requests) -> Quantiles {
        let shown = |per_mille| requests.quantile_us(per_mille).map(milliseconds);
        Quantiles { p50: shown(500), p95: shown(950), p99: shown(990) }
    }
}

impl Events {
    fn of(account: &Account) -> Events {
        Events {
            total: account.events,
            counted: account.of(Class::Counted),
            duplicate: account.of(Class::Duplicate),
            late: account.of(Class::Late),
            future: account.of(Class::Future),
            poison: account.of(Class::Poison),
            misrouted: account.of(Class::Misrouted),
            conflicts: account.conflicts,
            lost_frames: account.lost_frames,
        }
    }
}

impl LagTotal {
    fn of(lags: Vec<Lag>) -> LagTotal {
        let partition = |lag: Lag| PartitionLag {
            partition: lag.partition,
            frames: lag.frames,
            commit_age_ms: lag.commit_age_us / 1_000,
            halted: lag.halted,
        };
        let partitions: Vec<PartitionLag> = lags.into_iter().map(partition).collect();
        LagTotal {
            frames: partitions.iter().map(|lag| lag.frames).sum(),
            commit_age_ms: partitions.iter().map(|lag| lag.commit_age_ms).max().unwrap_or(0),
            partitions,
        }
    }
}
