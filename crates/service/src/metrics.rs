//! Process metrics of one role: its operation, not the business counters.
//!
//! A role registers its metrics at the start and writes to them; `/metrics` renders them. They are
//! per instance and begin at zero with every start. Business counters never come in here: those
//! are views of the committed ledger.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE as CONTENT_TYPE_NAME;
use http::{StatusCode, Uri};
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::Error;
use crate::query::{parameters, quoted};

/// What [`ProcessMetrics::render`] returns, for the `Content-Type` header.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process metrics of one role; cheap to clone, all clones share the values.
#[derive(Clone, Debug)]
pub struct ProcessMetrics {
    registry: Registry,
}

impl ProcessMetrics {
    /// A page with `process_*` (CPU, memory, open files, start) and `gatemeter_build_info`.
    ///
    /// # Errors
    /// None in practice: the names are fixed and the registry is new.
    pub fn new(role: &str, version: &str) -> Result<ProcessMetrics, Error> {
        let metrics = ProcessMetrics { registry: Registry::new() };
        #[cfg(target_os = "linux")]
        metrics.register("process", prometheus::process_collector::ProcessCollector::for_self())?;
        let build = metrics.gauge_vec(
            "gatemeter_build_info",
            "Always 1; the labels tell which role of which version runs.",
            &["role", "version"],
        )?;
        build.with_label_values(&[role, version]).set(1);
        Ok(metrics)
    }

    /// A count of whole things that only grows.
    ///
    /// # Errors
    /// This and the others below: the name is taken, or name or labels are not valid.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.made(name, IntCounter::new(name, help))
    }

    /// Counts of whole things by label; the values of each label must be bounded.
    ///
    /// # Errors
    /// As for [`ProcessMetrics::counter`].
    pub fn counter_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.made(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A whole number that goes up and down.
    ///
    /// # Errors
    /// As for [`ProcessMetrics::counter`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.made(name, IntGauge::new(name, help))
    }

    /// Measures in seconds or another unit with a fraction, by label; for shown ages, never for
    /// sums. The values of each label must be bounded.
    ///
    /// # Errors
    /// As for [`ProcessMetrics::counter`].
    pub fn gauge_float_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, Error> {
        self.made(name, GaugeVec::new(Opts::new(name, help), labels))
    }

    /// Whole numbers that go up and down, by label; the values of each label must be bounded.
    ///
    /// # Errors
    /// As for [`ProcessMetrics::counter`].
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.made(name, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A distribution over these buckets: upper bounds, rising, in the unit of the name.
    ///
    /// # Errors
    /// As for [`ProcessMetrics::counter`], or the bounds do not rise.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.made(name, Histogram::with_opts(options))
    }

    /// Distributions by label; the values of each label must be bounded.
    ///
    /// # Errors
    /// As for [`ProcessMetrics::histogram`].
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.made(name, HistogramVec::new(options, labels))
    }

    /// The page, in the text format 0.0.4.
    pub fn render(&self) -> String {
        let page = TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("gathered families are never empty and a String takes every write");
        with_float_bounds(&page)
    }

    /// The answer to `GET /metrics` of a process that has no other section than this one.
    pub fn answer(&self, uri: &Uri) -> Response {
        let section = match parameters(uri, &["section"]) {
            Ok(parameters) => parameters.into_iter().next().map(|(_, section)| section),
            Err(fault) => return (StatusCode::BAD_REQUEST, format!("{fault}\n")).into_response(),
        };
        match section.filter(|section| section != "process") {
            None => ([(CONTENT_TYPE_NAME, CONTENT_TYPE)], self.render()).into_response(),
            Some(other) => {
                let text = format!("section must be process here, not {}\n", quoted(&other));
                (StatusCode::BAD_REQUEST, text).into_response()
            }
        }
    }

    fn made<M: Collector + Clone + 'static>(
        &self,
        name: &str,
        metric: Result<M, prometheus::Error>,
    ) -> Result<M, Error> {
        let metric = metric.map_err(|source| Error::Metric { name: name.to_owned(), source })?;
        self.register(name, metric.clone())?;
        Ok(metric)
    }

    fn register<M: Collector + 'static>(&self, name: &str, metric: M) -> Result<(), Error> {
        self.registry
            .register(Box::new(metric))
            .map_err(|source| Error::Metric { name: name.to_owned(), source })
    }
}

/// The route `/metrics` of a process that has no other section than this one, with its description.
pub fn described_route<S>(metrics: Arc<ProcessMetrics>) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    OpenApiRouter::default().routes(routes!(page)).with_state(metrics)
}

/// The metrics of this process, for Prometheus.
///
/// docs/metrics.md has every family. Those of the business are on the aggregator's port.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Health",
    params(("section" = Option<String>, Query, description = "The only section that there is here.",
        pattern = "^process$")),
    responses(
        (status = 200, description = "The page, in the text format 0.0.4.", body = String,
            content_type = "text/plain"),
        (status = 400, description = "An unknown parameter or section.", body = String,
            content_type = "text/plain"),
    ),
)]
async fn page(State(metrics): State<Arc<ProcessMetrics>>, uri: Uri) -> Response {
    metrics.answer(&uri)
}

/// A page whose buckets have the bounds that the aggregator's business families have: `1.0` where
/// the library writes `1`. Prometheus 3 makes one form of both when it scrapes, older servers do
/// not, and a query over both jobs would then find two series for one bound.
fn with_float_bounds(page: &str) -> String {
    let mut text = String::with_capacity(page.len() + 256);
    let mut histogram = None;
    for line in page.split_inclusive('\n') {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            histogram = declared.trim_end().strip_suffix(" histogram");
        }
        let is_bucket = histogram
            .and_then(|name| line.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with("_bucket{"));
        // The library writes the bound behind all other labels.
        let parts = line.rsplit_once(LE).filter(|_| is_bucket);
        match parts.and_then(|(head, tail)| Some((head, tail.split_once('"')?))) {
            Some((head, (bound, tail))) if bound.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.extend([head, LE, bound, ".0\"", tail]);
            }
            _ => text.push_str(line),
        }
    }
    text
}

/// Begins the bound of a bucket.
const LE: &str = "le=\"";

#[cfg(test)]
mod tests;
