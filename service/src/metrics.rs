//! Process metrics of one role: what it does, not what it counts.
//!
//! A role registers its metrics at the start and writes to them; `/metrics` renders them. They are
//! per instance and begin at zero with every start. Business counters never come in here: those
//! are views of the committed ledger.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::error::Error;

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
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("gathered families are never empty and a String takes every write")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_shows_what_was_registered_in_text_format() {
        let metrics = ProcessMetrics::new("ingest", "0.1.0").expect("a new registry");
        let count = metrics.counter("gatemeter_things_total", "Things seen.").expect("a new name");
        let sizes = metrics
            .histogram("gatemeter_thing_bytes", "Size of a thing.", &[10.0, 100.0])
            .expect("a new name");
        let by_reason = metrics
            .counter_vec("gatemeter_rejected_total", "Things refused.", &["reason"])
            .expect("a new name");
        count.inc_by(3);
        sizes.observe(11.0);
        by_reason.with_label_values(&["a\"b\n"]).inc();
        let page = metrics.render();
        for line in [
            "gatemeter_build_info{role=\"ingest\",version=\"0.1.0\"} 1\n",
            "# HELP gatemeter_things_total Things seen.\n# TYPE gatemeter_things_total counter\n",
            "gatemeter_things_total 3\n",
            "gatemeter_thing_bytes_bucket{le=\"100\"} 1\n",
            "gatemeter_rejected_total{reason=\"a\\\"b\\n\"} 1\n",
        ] {
            assert!(page.contains(line), "{line:?} is missing in {page}");
        }
        if cfg!(target_os = "linux") {
            assert!(page.contains("process_resident_memory_bytes "), "{page}");
        }
    }

    #[test]
    fn name_that_is_taken_is_refused_by_name() {
        let metrics = ProcessMetrics::new("api", "0.1.0").expect("a new registry");
        metrics.gauge("gatemeter_lag", "Lag.").expect("a new name");
        let error = metrics.gauge("gatemeter_lag", "Lag.").expect_err("the name is taken");
        assert_eq!(error.to_string(), "cannot register the metric gatemeter_lag");
    }
}
