//! `/api/metrics/latency`: how long attempts took, as a histogram and its quantiles over time.
//!
//! Counts and quantiles of a bucket of time, and those of the whole range, come from one statement,
//! so that they always add up. What minute rows do not hold is read from quarter-hours, and the
//! answer says how its range was aligned.

use axum::extract::State;
use http::Uri;
use ledger::query::QueryError;
use serde::Serialize;
use serde_json::value::RawValue;
use service::answer::{ApiError, Failure, Success};
use service::query::quoted;
use store::{Histogram, LatencyAsk, Rows, Timing};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::{IntoParams, ToSchema};

use crate::answers::{Answers, Known, Question};
use crate::error::Error;
use crate::histogram::Shown;
use crate::params::{Params, described, described_scope, text};
use crate::range::{Ask, Cover, Name, RANGE_PARAMS, RangeQuery, Step, Window};
use crate::snapshot::{EARLIER, Scope, Snapshot};
use crate::view::{AsOfView, Quantiles, RANKS, milliseconds};

/// Values of `metric`.
const METRICS: [(&str, Timing); 3] =
    [("duration", Timing::Duration), ("ttft", Timing::FirstToken), ("tpot", Timing::PerToken)];
/// Longest name of an upstream or a model that is looked for, characters: a label has no more.
const LABEL_CHARS_MAX: usize = event::limits::LABEL_BYTES_MAX;

/// Quantiles of each bucket of time in milliseconds; null where nothing was measured.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuantileSeries)]
struct QuantileLists {
    #[schema(value_type = Vec<Option<f64>>)]
    p50: Vec<Option<Box<RawValue>>>,
    #[schema(value_type = Vec<Option<f64>>)]
    p95: Vec<Option<Box<RawValue>>>,
    #[schema(value_type = Vec<Option<f64>>)]
    p99: Vec<Option<Box<RawValue>>>,
}

/// The whole range.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LatencyTotals)]
struct TotalsView {
    /// All that was measured: the sum of `counts`.
    count: i64,
    /// By bucket of the histogram, not cumulative.
    counts: Vec<i64>,
    quantiles: Quantiles,
    /// Mean, milliseconds; null if nothing was measured.
    #[schema(value_type = Option<f64>, required)]
    avg: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Latency)]
pub(crate) struct LatencyView {
    /// Code of the namespace, or `all`.
    namespace: String,
    /// The upstream that was asked for; null for all.
    #[schema(required)]
    upstream: Option<String>,
    /// The model that was asked for; null for all.
    #[schema(required)]
    model: Option<String>,
    #[schema(schema_with = metric_words)]
    metric: &'static str,
    /// Starts of the buckets of time, RFC 3339. With `all` the first one may be `earlier`: what is
    /// older than the rows that are kept.
    labels: Vec<String>,
    /// Upper bounds of the buckets of the histogram, inclusive; the last one is null: it is open.
    bounds_ms: Vec<Option<u64>>,
    /// A list for each bucket of time, with a number for each bucket of the histogram. Not
    /// cumulative.
    counts: Vec<Vec<i64>>,
    quantiles: QuantileLists,
    /// Mean of each bucket of time, milliseconds; null where nothing was measured.
    #[schema(value_type = Vec<Option<f64>>)]
    avg: Vec<Option<Box<RawValue>>>,
    totals: TotalsView,
    #[schema(schema_with = Step::words)]
    step: &'static str,
    /// The usual length of a bucket of time; null for months.
    #[schema(required)]
    step_seconds: Option<i64>,
    /// IANA name of the time zone.
    timezone: String,
    range: Cover,
    as_of: AsOfView,
}

fn metric_words() -> ObjectBuilder {
    text().enum_values(Some(METRICS.map(|(word, _)| word))).description(Some("What is measured."))
}

impl QuantileLists {
    fn of(each: &[Shown]) -> QuantileLists {
        let list = |per_mille| {
            let quantiles = each.iter().map(|shown| shown.quantile_us(per_mille));
            quantiles.map(|us| us.map(milliseconds)).collect()
        };
        let [p50, p95, p99] = RANKS.map(list);
        QuantileLists { p50, p95, p99 }
    }
}

/// The parameters, as they are described.
pub(crate) struct LatencyQuery;

impl IntoParams for LatencyQuery {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let label = || text().max_length(Some(LABEL_CHARS_MAX));
        let words = metric_words().default(Some("duration".into()));
        let own = [
            described_scope(),
            described("upstream", "Only attempts at this upstream.", label()).build(),
            described(
                "model",
                "Only attempts that this model answered. The range is then aligned outward to \
                 15 minutes.",
                label(),
            )
            .build(),
            described(
                "metric",
                "`duration`: of final attempts. `ttft`: time to first token, of all attempts that \
                 reported one. `tpot`: time per output token after the first one, of all attempts \
                 that reported that one and have two or more. For these two the range is aligned \
                 outward to 15 minutes.",
                words,
            )
            .build(),
        ];
        own.into_iter().chain(RangeQuery::into_params(place)).collect()
    }
}

/// How long requests took: the histogram and its quantiles, per bucket of time.
///
/// An upstream or a model that nothing was counted of has zeros. Default range: `today`.
#[utoipa::path(
    get, path = "/api/metrics/latency", operation_id = "latency", tag = "Metrics",
    params(LatencyQuery),
    responses(
        (status = 200, description = "Histograms and quantiles.", body = Success<LatencyView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn latency(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let [range, from, to, tz] = RANGE_PARAMS;
    let names = ["namespace", "upstream", "model", "metric", range, from, to, tz];
    let params = Params::of(&uri, &names)?;
    let question = Latency {
        scope: params.get("namespace").unwrap_or("all").to_owned(),
        upstream: params.short("upstream", LABEL_CHARS_MAX)?,
        model: params.short("model", LABEL_CHARS_MAX)?,
        metric: metric(params.get("metric").unwrap_or("duration"))?,
        ask: Ask::of(&params, Name::Today, &answers.parts.timezone)?,
    };
    answers.answer(params.key("latency", &[answers.parts.zone()]), &question).await
}

fn metric(word: &str) -> Result<(&'static str, Timing), Error> {
    METRICS.into_iter().find(|(known, _)| *known == word).ok_or_else(|| {
        let words: Vec<&str> = METRICS.iter().map(|(word, _)| *word).collect();
        let (words, word) = (words.join(", "), quoted(word));
        Error::Request(format!("metric must be one of {words}, not {word}"))
    })
}

struct Latency {
    scope: String,
    upstream: Option<String>,
    model: Option<String>,
    metric: (&'static str, Timing),
    ask: Ask,
}

impl Question for Latency {
    type Data = LatencyView;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, LatencyView), Error> {
        let scope = snapshot.scope(&self.scope).await?;
        let ask = LatencyAsk {
            timing: self.metric.1,
            namespace: scope.code(),
            upstream: self.upstream.as_deref(),
            model: self.model.as_deref(),
        };
        let mut window = snapshot.window(&self.ask)?;
        if !ask.is_in_minutes() {
            window = window.without_minutes()?;
        }
        let found = snapshot.reader.latency(window.rows, &window.buckets(), ask).await?;
        let view = self.view(&scope, &window, found, snapshot.as_of())?;
        Ok((scope, view))
    }
}

impl Latency {
    fn view(
        &self,
        scope: &Scope,
        window: &Window,
        (mut each, total): (Vec<Histogram>, Histogram),
        as_of: AsOfView,
    ) -> Result<LatencyView, Error> {
        let (metric, timing) = self.metric;
        let mut labels = window.labels();
        if window.rows == Rows::Totals {
            let mut kept = Histogram::new(timing);
            each.iter().for_each(|histogram| kept.merge(histogram));
            let earlier = total.minus(&kept).ok_or(QueryError::AboveTotals)?;
            if earlier != Histogram::new(timing) {
                labels.insert(0, EARLIER.to_owned());
                each.insert(0, earlier);
            }
        }
        let each: Vec<Shown> =
            each.iter().map(|one| Shown::of(timing, one)).collect::<Result<_, _>>()?;
        let total = Shown::of(timing, &total)?;
        let bounds = timing.bounds_us().iter().map(|us| Some(us / 1_000));
        Ok(LatencyView {
            namespace: scope.label().to_owned(),
            upstream: self.upstream.clone(),
            model: self.model.clone(),
            metric,
            labels,
            bounds_ms: bounds.chain([None]).collect(),
            quantiles: QuantileLists::of(&each),
            avg: each.iter().map(|shown| shown.mean_us().map(milliseconds)).collect(),
            totals: TotalsView {
                count: total.count,
                quantiles: Quantiles::by(|per_mille| total.quantile_us(per_mille)),
                avg: total.mean_us().map(milliseconds),
                counts: total.counts,
            },
            counts: each.into_iter().map(|shown| shown.counts).collect(),
            step: window.step.word(),
            step_seconds: window.step.seconds(),
            timezone: window.timezone(),
            range: window.cover(),
            as_of,
        })
    }
}
