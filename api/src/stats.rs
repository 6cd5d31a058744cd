//! `stats` and `dashboard`: one namespace or all at a glance, and everything that a page shows in
//! one answer, from one snapshot.

use axum::extract::State;
use http::Uri;
use ledger::query::sums::{Row, Sums};
use serde::Serialize;
use serde_json::value::RawValue;
use service::answer::ApiError;
use store::Reader;

use crate::answers::{About, Asked, Begun, Known};
use crate::context::Parts;
use crate::error::Error;
use crate::metrics::{self, DistributionView, TokensView, TrendView};
use crate::params::{Params, Segment};
use crate::range::{Ask, Cover, Name, RANGE_PARAMS};
use crate::rows::{whole, window};
use crate::scope::Scope;
use crate::shared::Shared;
use crate::system::{self, Quantiles, SystemView, share};
use crate::view::{AsOfView, TokenTotals, milliseconds};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsView {
    namespace: String,
    total_requests: i64,
    errors: i64,
    /// Share of requests that succeeded, 0 ..= 1; nothing without requests.
    success_rate: Option<f64>,
    /// Mean duration, milliseconds; nothing without requests.
    avg_response_time: Option<Box<RawValue>>,
    quantiles: Quantiles,
    tokens: TokenTotals,
    range: Cover,
    #[serde(rename = "as_of")]
    as_of: AsOfView,
}

/// Requests, latency and tokens of a namespace, or of all.
pub(crate) async fn stats(
    State(shared): State<Shared>,
    Segment(scope): Segment,
    uri: Uri,
) -> Result<Known, ApiError> {
    let Shared { parts, answers, .. } = shared;
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::Today, &parts.timezone)?;
    let key = params.key("stats", &[&scope, parts.timezone.iana_name().unwrap_or_default()]);
    let mut asked = match answers.begin(&parts, About::Ledger, key).await? {
        Begun::Known(known) => return Ok(known),
        Begun::Open(asked) => asked,
    };
    let found = stats_of(&mut asked.reader, &scope, &ask, asked.now_us).await;
    asked.answer(found).await
}

async fn stats_of(
    reader: &mut Reader,
    scope: &str,
    ask: &Ask,
    now_us: i64,
) -> Result<(Scope, StatsView), Error> {
    let scope = Scope::of(reader, scope).await?;
    let window = window(reader, ask, now_us).await?;
    let mut sums = Sums::default();
    for (labels, measures) in whole(reader, &window, scope.code()).await? {
        sums.add(&Row::short(&labels, &measures));
    }
    let requests = sums.latency()?;
    let mean = requests.mean_us().and_then(|us| u64::try_from(us).ok());
    let view = StatsView {
        namespace: scope.label().to_owned(),
        total_requests: requests.n,
        errors: requests.errors,
        success_rate: (requests.n > 0).then(|| share(requests.n - requests.errors, requests.n)),
        avg_response_time: mean.map(milliseconds),
        quantiles: Quantiles::of(&requests),
        tokens: TokenTotals::of(&sums.tokens()?),
        range: window.cover(),
        as_of: AsOfView::of(reader.as_of()),
    };
    Ok((scope, view))
}

/// All that a page shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DashboardView {
    status_distribution: DistributionView,
    request_trend: TrendView,
    tokens: TokensView,
    stats: StatsView,
    system: SystemView,
}

/// The answers of `status-distribution`, `request-trend`, `tokens`, `stats` and `system` in one.
pub(crate) async fn dashboard(State(shared): State<Shared>, uri: Uri) -> Result<Known, ApiError> {
    let Shared { parts, answers, .. } = shared;
    let [range, from, to, tz] = RANGE_PARAMS;
    let params = Params::of(&uri, &["namespace", range, from, to, tz])?;
    let ask = Ask::of(&params, Name::Today, &parts.timezone)?;
    let key = params.key("dashboard", &[parts.timezone.iana_name().unwrap_or_default()]);
    let mut known = match answers.begin(&parts, About::Now, key).await? {
        Begun::Known(known) => known,
        Begun::Open(mut asked) => {
            let scope = params.get("namespace").unwrap_or("all");
            let found = dashboard_of(&parts, &mut asked, scope, &ask).await;
            asked.answer(found).await?
        }
    };
    if known.is_stale() {
        known.data = system::with_state_of_now(&known.data, Some("system"), &parts)?;
    }
    Ok(known)
}

async fn dashboard_of(
    parts: &Parts,
    asked: &mut Asked,
    scope: &str,
    ask: &Ask,
) -> Result<(Scope, DashboardView), Error> {
    let (reader, now_us) = (&mut asked.reader, asked.now_us);
    let (found, stats) = stats_of(reader, scope, ask, now_us).await?;
    let view = DashboardView {
        status_distribution: metrics::distribution(reader, ask, now_us).await?,
        request_trend: metrics::trend(reader, scope, ask, now_us).await?.1,
        tokens: metrics::tokens_of(reader, scope, ask, now_us).await?.1,
        stats,
        system: system::view(parts, reader, ask, now_us).await?,
    };
    Ok((found, view))
}
