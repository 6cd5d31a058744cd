//! `system` and `dashboard`: the whole installation at a glance, and everything that the page shows
//! in one answer, from one snapshot.
//!
//! Requests, errors, latency and tokens are those of the range; the accounting of events, lag and
//! dependencies are current. Every open page polls these: whatever comes from the rows of the
//! ledger is cached and shared at one version, and only what changes by the second is read for each
//! query.

use axum::extract::State;
use http::Uri;
use ledger::account::{Account, Class};
use ledger::query::sums::Sums;
use ledger::window::MINUTE_US;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use service::answer::{ApiError, Failure, Success};
use service::status::Lag;
use store::{Part, Pulse};
use utoipa::ToSchema;

use crate::answers::{Answers, Known, Question};
use crate::context::{Dependency, Parts};
use crate::error::Error;
use crate::metrics::{DistributionView, ScopedRangeQuery, StatsView, TokensView, TrendView};
use crate::params::Params;
use crate::range::{Ask, Cover, Name, RANGE_PARAMS, RangeQuery, Window};
use crate::snapshot::{Scope, Snapshot};
use crate::view::{AsOfView, Quantiles, TokenTotals, mean, share};

/// How long a gateway's report of its open connections is valid, microseconds: the TTL in the
/// contract.
const CONNECTIONS_LIVE_US: i64 = 60_000_000;

/// The whole installation. Lag, dependencies and the version of the program are the current ones of
/// this process, never those of a cached answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = System)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemView {
    /// Requests of the range: final attempts.
    total_requests: i64,
    /// Share of requests that failed, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    error_rate: f64,
    /// Mean duration, milliseconds; null without requests.
    #[schema(value_type = Option<f64>, required)]
    avg_response_time: Option<Box<RawValue>>,
    /// Requests of the last full minute by event time, per second.
    qps: f64,
    quantiles: Quantiles,
    tokens: TokenTotals,
    /// Open connections of the gateways.
    active_connections: i64,
    events: Events,
    #[serde(deserialize_with = "of_now")]
    lag: LagTotal,
    #[serde(deserialize_with = "of_now")]
    dependencies: Vec<DependencyView>,
    /// Version of the program.
    #[serde(deserialize_with = "of_now")]
    version: String,
    range: Cover,
    #[serde(rename = "as_of")]
    as_of: AsOfView,
}

/// Drops what a cached answer has in a place that is filled anew.
fn of_now<'de, D: Deserializer<'de>, T: Default>(earlier: D) -> Result<T, D::Error> {
    IgnoredAny::deserialize(earlier).map(|_| T::default())
}

/// Events of the log by class.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Events {
    /// All that were read.
    total: i64,
    counted: i64,
    /// Copies of counted ones.
    duplicate: i64,
    /// More than 60 minutes behind the newest of their partition.
    late: i64,
    /// Ahead of the clock.
    future: i64,
    /// Not readable.
    poison: i64,
    /// In the wrong partition.
    misrouted: i64,
    /// Copies that differ from the counted one.
    conflicts: i64,
    /// Frames that were gone before they were counted.
    lost_frames: i64,
    /// Late ones that were added at their own time, since no copy was counted.
    late_merged: i64,
    /// Late ones of which a copy was counted.
    late_duplicate: i64,
    /// Late ones that nobody can decide any more: the log of their time is gone.
    late_expired: i64,
    /// Late ones that are not decided yet.
    late_undecided: i64,
}

/// Lag in total and by partition.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Lag)]
struct LagTotal {
    /// Frames that are not committed.
    frames: u64,
    /// How long frames have been waiting, at most, milliseconds.
    commit_age_ms: u64,
    partitions: Vec<PartitionLag>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PartitionLag {
    partition: u32,
    frames: u64,
    commit_age_ms: u64,
    /// Why counting has stopped here; null if it has not.
    #[schema(required)]
    halted: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dependency)]
struct DependencyView {
    name: &'static str,
    /// `up` or `down`.
    #[schema(pattern = "^(up|down)$")]
    status: &'static str,
    /// What is wrong, or null.
    #[schema(required)]
    reason: Option<&'static str>,
}

/// The whole installation.
///
/// Requests, errors, latency and tokens are those of the range (default `all`); all else is
/// current.
#[utoipa::path(
    get, path = "/api/metrics/system", tag = "Metrics", params(RangeQuery),
    responses((status = 200, description = "How it is.", body = Success<SystemView>)),
)]
pub(crate) async fn system(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::All, &answers.parts.timezone)?;
    let key = params.key("system", &[answers.parts.zone()]);
    answers.answer(key, &System { parts: &answers.parts, ask }).await
}

struct System<'a> {
    parts: &'a Parts,
    ask: Ask,
}

impl Question for System<'_> {
    type Data = SystemView;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, SystemView), Error> {
        let window = snapshot.window(&self.ask)?;
        let sums = snapshot.whole(&window, &Scope::All).await?;
        Ok((Scope::All, SystemView::read(snapshot, &window, &sums, self.parts).await?))
    }

    async fn renew(
        &self,
        data: Box<RawValue>,
        snapshot: Option<&mut Snapshot>,
    ) -> Result<Box<RawValue>, Error> {
        let mut view: SystemView = serde_json::from_str(data.get())?;
        view.renew(snapshot, self.parts).await?;
        Ok(to_raw_value(&view)?)
    }
}

impl SystemView {
    /// Builds the answer from the sums of the window.
    async fn read(
        snapshot: &mut Snapshot,
        window: &Window,
        sums: &Sums,
        parts: &Parts,
    ) -> Result<SystemView, Error> {
        let requests = sums.latency()?;
        let mut account = Account::default();
        for row in snapshot.reader.partitions().await? {
            account.merge(&row.progress.account);
        }
        let mut view = SystemView {
            total_requests: requests.n,
            error_rate: share(requests.errors, requests.n),
            avg_response_time: mean(&requests),
            qps: 0.0,
            quantiles: Quantiles::of(&requests),
            tokens: TokenTotals::of(&sums.tokens()?),
            active_connections: 0,
            events: Events::of(&account),
            lag: LagTotal::default(),
            dependencies: Vec::new(),
            version: String::new(),
            range: window.cover(),
            as_of: snapshot.as_of(),
        };
        view.renew(Some(snapshot), parts).await?;
        Ok(view)
    }

    /// Updates what changes by the second. Without a snapshot, what comes from the ledger stays as
    /// it was.
    async fn renew(&mut self, snapshot: Option<&mut Snapshot>, parts: &Parts) -> Result<(), Error> {
        if let Some(Snapshot { reader, now_us, .. }) = snapshot {
            let last_full = now_us.div_euclid(MINUTE_US) - 1;
            let newer_than_us = *now_us - CONNECTIONS_LIVE_US;
            let Pulse { connections, requests } = reader.pulse(last_full, newer_than_us).await?;
            self.qps = share(requests, 60);
            self.active_connections = connections;
        }
        self.lag = LagTotal::of((parts.lag)());
        self.dependencies = dependencies(parts);
        parts.version.clone_into(&mut self.version);
        Ok(())
    }
}

/// All that the page shows. Each part is the answer to a query of its own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Dashboard)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DashboardView {
    #[schema(value_type = DistributionView)]
    status_distribution: Box<RawValue>,
    #[schema(value_type = TrendView)]
    request_trend: Box<RawValue>,
    #[schema(value_type = TokensView)]
    tokens: Box<RawValue>,
    #[schema(value_type = StatsView)]
    stats: Box<RawValue>,
    system: SystemView,
}

/// All that the page shows, in one answer.
///
/// These are the answers of `status-distribution`, `request-trend`, `tokens`, `stats` and `system`
/// for one range (default `today`), from one version of the ledger. The distribution and `system`
/// are of all namespaces.
#[utoipa::path(
    get, path = "/api/metrics/dashboard", tag = "Metrics", params(ScopedRangeQuery),
    responses(
        (status = 200, description = "The five answers.", body = Success<DashboardView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn dashboard(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let [range, from, to, tz] = RANGE_PARAMS;
    let params = Params::of(&uri, &["namespace", range, from, to, tz])?;
    let ask = Ask::of(&params, Name::Today, &answers.parts.timezone)?;
    let key = params.key("dashboard", &[answers.parts.zone()]);
    let scope = params.get("namespace").unwrap_or("all").to_owned();
    answers.answer(key, &Dashboard { parts: &answers.parts, scope, ask }).await
}

struct Dashboard<'a> {
    parts: &'a Parts,
    scope: String,
    ask: Ask,
}

impl Question for Dashboard<'_> {
    type Data = DashboardView;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, DashboardView), Error> {
        let namespaces = snapshot.reader.namespaces_after(0).await?;
        let scope = Scope::among(&namespaces, &self.scope)?;
        let window = snapshot.window(&self.ask)?;
        let buckets = snapshot.buckets(&window, &scope, &Part::EACH).await?;
        let all = match scope {
            Scope::All => buckets.total.clone(),
            Scope::One(_) => snapshot.whole(&window, &Scope::All).await?,
        };
        let as_of = snapshot.as_of();
        let stats = StatsView::of(&window, &scope, &buckets.total, as_of.clone())?;
        let trend = TrendView::of(&window, &scope, &buckets, as_of.clone())?;
        let tokens = TokensView::of(&window, &scope, &buckets, as_of)?;
        let distribution = DistributionView::read(snapshot, &window, &namespaces).await?;
        let view = DashboardView {
            status_distribution: to_raw_value(&distribution)?,
            request_trend: to_raw_value(&trend)?,
            tokens: to_raw_value(&tokens)?,
            stats: to_raw_value(&stats)?,
            system: SystemView::read(snapshot, &window, &all, self.parts).await?,
        };
        Ok((scope, view))
    }

    async fn renew(
        &self,
        data: Box<RawValue>,
        snapshot: Option<&mut Snapshot>,
    ) -> Result<Box<RawValue>, Error> {
        let mut view: DashboardView = serde_json::from_str(data.get())?;
        view.system.renew(snapshot, self.parts).await?;
        Ok(to_raw_value(&view)?)
    }
}

fn dependencies(parts: &Parts) -> Vec<DependencyView> {
    let view = |dependency: Dependency| DependencyView {
        name: dependency.name,
        status: if dependency.fault.is_none() { "up" } else { "down" },
        // A locked ledger can still be read, so this is no fault.
        reason: dependency.fault.or_else(|| match dependency.name {
            "ledger" => parts.store.refusing(),
            _ => None,
        }),
    };
    (parts.dependencies)().into_iter().map(view).collect()
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
            late_merged: account.merged,
            late_duplicate: account.late_duplicate,
            late_expired: account.expired,
            late_undecided: account.undecided(),
        }
    }
}

impl LagTotal {
    fn of(lags: Vec<Lag>) -> LagTotal {
        let partition = |lag: Lag| PartitionLag {
            partition: lag.partition,
            frames: lag.frames,
            commit_age_ms: lag.commit_age_us / 1_000,
            halted: lag.halted.map(|halted| halted.reason),
        };
        let partitions: Vec<PartitionLag> = lags.into_iter().map(partition).collect();
        LagTotal {
            frames: partitions.iter().map(|lag| lag.frames).sum(),
            commit_age_ms: partitions.iter().map(|lag| lag.commit_age_ms).max().unwrap_or(0),
            partitions,
        }
    }
}
