//! Status distribution, request trend, tokens and stats of a range.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use axum::extract::State;
use event::Outcome;
use http::Uri;
use ledger::query::distribution::{Distribution, SHOWN};
use ledger::query::sums::Sums;
use serde::Serialize;
use serde_json::value::RawValue;
use service::answer::{ApiError, Failure, Success};
use store::{NamespaceRow, NamespaceStatus, Part};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use crate::answers::{Answers, Known, Question};
use crate::error::Error;
use crate::params::{Params, Segment, described_scope};
use crate::range::{Ask, Cover, Name, RANGE_PARAMS, RangeQuery, Step, Window};
use crate::snapshot::{Buckets, Scope, Snapshot};
use crate::view::{AsOfView, Quantiles, TokenTotals, mean, share};

/// Named numbers of a chart, one per label.
#[derive(Debug, Serialize, ToSchema)]
struct Dataset {
    /// What the numbers are of.
    label: String,
    /// One number per label of the answer.
    data: Vec<i64>,
}

/// Configured namespaces by status.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamespaceCounts)]
struct Namespaces {
    enabled: usize,
    disabled: usize,
}

/// Requests by outcome.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatusDistribution)]
pub(crate) struct DistributionView {
    /// Outcomes: success, and the kinds of error.
    labels: Vec<&'static str>,
    /// One per namespace, with a number for each outcome.
    datasets: Vec<Dataset>,
    /// Requests of all namespaces by outcome.
    totals: BTreeMap<&'static str, i64>,
    /// All requests.
    requests: i64,
    namespaces: Namespaces,
    range: Cover,
    as_of: AsOfView,
}

/// Requests by outcome, per namespace.
///
/// Configured namespaces are shown without requests too. Default range: `today`.
#[utoipa::path(
    get, path = "/api/metrics/namespaces/status-distribution",
    operation_id = "statusDistribution", tag = "Metrics",
    params(RangeQuery),
    responses((status = 200, description = "Requests by outcome.",
        body = Success<DistributionView>)),
)]
pub(crate) async fn status_distribution(
    State(answers): State<Answers>,
    uri: Uri,
) -> Result<Known, ApiError> {
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::Today, &answers.parts.timezone)?;
    let key = params.key("status-distribution", &[answers.parts.zone()]);
    answers.answer(key, &StatusDistribution { ask }).await
}

struct StatusDistribution {
    ask: Ask,
}

impl Question for StatusDistribution {
    type Data = DistributionView;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, DistributionView), Error> {
        let window = snapshot.window(&self.ask)?;
        let namespaces = snapshot.reader.namespaces_after(0).await?;
        Ok((Scope::All, DistributionView::read(snapshot, &window, &namespaces).await?))
    }
}

impl DistributionView {
    /// The answer, with these namespaces as configured.
    pub async fn read(
        snapshot: &mut Snapshot,
        window: &Window,
        namespaces: &[NamespaceRow],
    ) -> Result<DistributionView, Error> {
        let range = window.buckets().whole();
        let outcomes = snapshot.reader.outcomes(window.rows, range).await?;
        let mut distribution = Distribution::of(namespaces.iter().map(|row| row.code.as_str()));
        for (namespace, outcome, requests) in outcomes {
            distribution.add(&namespace, outcome, requests);
        }
        let labels: Vec<&str> = SHOWN.iter().map(|outcome: &Outcome| outcome.word()).collect();
        let totals = distribution.totals()?;
        let datasets = distribution.namespaces()?.into_iter();
        let is_enabled = |row: &&NamespaceRow| row.status == NamespaceStatus::Enabled;
        let enabled = namespaces.iter().filter(is_enabled).count();
        Ok(DistributionView {
            datasets: datasets
                .map(|(code, data)| Dataset { label: code.into(), data: data.to_vec() })
                .collect(),
            totals: labels.iter().copied().zip(totals).collect(),
            requests: totals.iter().sum(),
            namespaces: Namespaces { enabled, disabled: namespaces.len() - enabled },
            range: window.cover(),
            as_of: snapshot.as_of(),
            labels,
        })
    }
}

/// An answer about one namespace, or all, over a range.
trait RangeView: Serialize + Send + Sync + Sized {
    /// Reads the answer from a snapshot.
    fn read(
        snapshot: &mut Snapshot,
        window: &Window,
        scope: &Scope,
    ) -> impl Future<Output = Result<Self, Error>> + Send;
}

/// The question that a [`RangeView`] answers.
struct OverRange<V> {
    scope: String,
    ask: Ask,
    view: PhantomData<V>,
}

impl<V> OverRange<V> {
    fn new(scope: String, ask: Ask) -> OverRange<V> {
        OverRange { scope, ask, view: PhantomData }
    }
}

impl<V: RangeView> Question for OverRange<V> {
    type Data = V;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, V), Error> {
        let scope = snapshot.scope(&self.scope).await?;
        let window = snapshot.window(&self.ask)?;
        let view = V::read(snapshot, &window, &scope).await?;
        Ok((scope, view))
    }
}

/// What every answer with buckets says about them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Buckets)]
struct Frame {
    /// Starts of the buckets, RFC 3339. With `all` the first one may be `earlier`: what is older
    /// than the rows that are kept.
    labels: Vec<String>,
    datasets: Vec<Dataset>,
    #[schema(schema_with = Step::words)]
    step: &'static str,
    /// The usual length of a bucket; null for months.
    #[schema(required)]
    step_seconds: Option<i64>,
    /// IANA name of the time zone.
    timezone: String,
    range: Cover,
    as_of: AsOfView,
}

impl Frame {
    fn new(
        window: &Window,
        as_of: AsOfView,
        labels: Vec<String>,
        datasets: Vec<(&str, Vec<i64>)>,
    ) -> Frame {
        let datasets = datasets.into_iter();
        Frame {
            labels,
            datasets: datasets
                .map(|(label, data)| Dataset { label: label.to_owned(), data })
                .collect(),
            step: window.step.word(),
            step_seconds: window.step.seconds(),
            timezone: window.timezone(),
            range: window.cover(),
            as_of,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestTrend)]
pub(crate) struct TrendView {
    #[serde(flatten)]
    frame: Frame,
    /// Requests of all buckets.
    total: i64,
}

/// The parameters of a range and a namespace, as they are described.
pub(crate) struct ScopedRangeQuery;

impl IntoParams for ScopedRangeQuery {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        std::iter::once(described_scope()).chain(RangeQuery::into_params(place)).collect()
    }
}

/// Requests per bucket of time.
///
/// Default range: `today`.
#[utoipa::path(
    get, path = "/api/metrics/namespaces/request-trend",
    operation_id = "requestTrend", tag = "Metrics",
    params(ScopedRangeQuery),
    responses(
        (status = 200, description = "Requests per bucket.", body = Success<TrendView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn request_trend(
    State(answers): State<Answers>,
    uri: Uri,
) -> Result<Known, ApiError> {
    let [range, from, to, tz] = RANGE_PARAMS;
    let params = Params::of(&uri, &["namespace", range, from, to, tz])?;
    let ask = Ask::of(&params, Name::Today, &answers.parts.timezone)?;
    let key = params.key("request-trend", &[answers.parts.zone()]);
    let scope = params.get("namespace").unwrap_or("all").to_owned();
    answers.answer(key, &OverRange::<TrendView>::new(scope, ask)).await
}

impl RangeView for TrendView {
    async fn read(snapshot: &mut Snapshot, window: &Window, scope: &Scope) -> Result<Self, Error> {
        let buckets = snapshot.buckets(window, scope, &[Part::Requests]).await?;
        TrendView::of(window, scope, &buckets, snapshot.as_of())
    }
}

impl TrendView {
    /// The answer, of buckets that have requests.
    pub fn of(
        window: &Window,
        scope: &Scope,
        buckets: &Buckets,
        as_of: AsOfView,
    ) -> Result<TrendView, Error> {
        let (labels, data) = buckets.each(Sums::requests)?;
        let frame = Frame::new(window, as_of, labels, vec![(scope.label(), data)]);
        Ok(TrendView { frame, total: buckets.total.requests()? })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensView {
    /// Code of the namespace, or `all`.
    namespace: String,
    #[serde(flatten)]
    frame: Frame,
    totals: TokenTotals,
}

/// Tokens of a namespace, or of all, per bucket of time.
///
/// All attempts count. The datasets are `input` and `output`. Default range: `today`.
#[utoipa::path(
    get, path = "/api/metrics/namespaces/{namespace}/tokens", tag = "Metrics",
    params(("namespace" = String, Path, min_length = 1,
        description = "Number or code of a namespace, or `all`."), RangeQuery),
    responses(
        (status = 200, description = "Tokens per bucket.", body = Success<TokensView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn tokens(
    State(answers): State<Answers>,
    Segment(scope): Segment,
    uri: Uri,
) -> Result<Known, ApiError> {
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::Today, &answers.parts.timezone)?;
    let key = params.key("tokens", &[&scope, answers.parts.zone()]);
    answers.answer(key, &OverRange::<TokensView>::new(scope, ask)).await
}

impl RangeView for TokensView {
    async fn read(snapshot: &mut Snapshot, window: &Window, scope: &Scope) -> Result<Self, Error> {
        let buckets = snapshot.buckets(window, scope, &[Part::Tokens]).await?;
        TokensView::of(window, scope, &buckets, snapshot.as_of())
    }
}

impl TokensView {
    /// The answer, of buckets that have tokens.
    pub fn of(
        window: &Window,
        scope: &Scope,
        buckets: &Buckets,
        as_of: AsOfView,
    ) -> Result<TokensView, Error> {
        let (labels, tokens) = buckets.each(Sums::tokens)?;
        let datasets = vec![
            ("input", tokens.iter().map(|sums| sums.input).collect()),
            ("output", tokens.iter().map(|sums| sums.output).collect()),
        ];
        Ok(TokensView {
            namespace: scope.label().to_owned(),
            frame: Frame::new(window, as_of, labels, datasets),
            totals: TokenTotals::of(&buckets.total.tokens()?),
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatsView {
    /// Code of the namespace, or `all`.
    namespace: String,
    /// Requests: final attempts.
    total_requests: i64,
    /// Those of them that failed.
    errors: i64,
    /// Share of requests that succeeded, 0 to 1; null without requests.
    #[schema(required, minimum = 0, maximum = 1)]
    success_rate: Option<f64>,
    /// Mean duration, milliseconds; null without requests.
    #[schema(value_type = Option<f64>, required)]
    avg_response_time: Option<Box<RawValue>>,
    quantiles: Quantiles,
    tokens: TokenTotals,
    range: Cover,
    #[serde(rename = "as_of")]
    as_of: AsOfView,
}

/// Requests, latency and tokens of a namespace, or of all.
///
/// Default range: `today`.
#[utoipa::path(
    get, path = "/api/metrics/namespaces/{namespace}/stats", tag = "Metrics",
    params(("namespace" = String, Path, min_length = 1,
        description = "Number or code of a namespace, or `all`."), RangeQuery),
    responses(
        (status = 200, description = "Figures of the range.", body = Success<StatsView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn stats(
    State(answers): State<Answers>,
    Segment(scope): Segment,
    uri: Uri,
) -> Result<Known, ApiError> {
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::Today, &answers.parts.timezone)?;
    let key = params.key("stats", &[&scope, answers.parts.zone()]);
    answers.answer(key, &OverRange::<StatsView>::new(scope, ask)).await
}

impl RangeView for StatsView {
    async fn read(snapshot: &mut Snapshot, window: &Window, scope: &Scope) -> Result<Self, Error> {
        let sums = snapshot.whole(window, scope).await?;
        StatsView::of(window, scope, &sums, snapshot.as_of())
    }
}

impl StatsView {
    /// The answer, of all that is summed.
    pub fn of(
        window: &Window,
        scope: &Scope,
        sums: &Sums,
        as_of: AsOfView,
    ) -> Result<StatsView, Error> {
        let requests = sums.latency()?;
        Ok(StatsView {
            namespace: scope.label().to_owned(),
            total_requests: requests.n,
            errors: requests.errors,
            success_rate: (requests.n > 0).then(|| share(requests.n - requests.errors, requests.n)),
            avg_response_time: mean(&requests),
            quantiles: Quantiles::of(&requests),
            tokens: TokenTotals::of(&sums.tokens()?),
            range: window.cover(),
            as_of,
        })
    }
}
