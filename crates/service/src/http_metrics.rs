//! Counts the requests that a role serves itself, under the names and labels of the contract.
//!
//! A middleware looks at the request on its way in and at the response on its way out. Every label
//! is bounded: methods come from a list, endpoints are route templates, and the namespace is what
//! the handler says it is, never what the client wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{Method, StatusCode};
use prometheus::{HistogramVec, IntCounterVec};

use crate::error::Error;
use crate::metrics::ProcessMetrics;

/// Upper bounds of the duration buckets in seconds: those of the contract, which the aggregator
/// uses as well, so that both fit on one dashboard.
pub const DURATION_BUCKETS_SECONDS: [f64; 16] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68,
];

/// Statuses with which a route is exposed at zero from the start: the failures that alerts watch. A
/// series that begins with its first event shows no increase.
const FAILURES: [StatusCode; 2] =
    [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];

/// The namespace a request asked about. A handler puts it into the extensions of its response, and
/// only for a namespace that exists: every value becomes a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceLabel(pub String);

/// Put into the extensions of a request by the server: true once its body was too slow, which turns
/// the response into a 408 regardless of the handler. Code that counts responses itself must check
/// it.
#[derive(Clone, Debug, Default)]
pub struct SlowBody(Arc<AtomicBool>);

impl SlowBody {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the answer becomes a 408.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `http_requests_total` and `http_request_duration_seconds`; cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    /// Registers both families.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn new(metrics: &ProcessMetrics) -> Result<HttpMetrics, Error> {
        let requests = metrics.counter_vec(
            "http_requests_total",
            "Requests that this process served, by method, route and status.",
            &["method", "endpoint", "status_code", "namespace", "upstream"],
        )?;
        let seconds = metrics.histogram_vec(
            "http_request_duration_seconds",
            "Time from the header of a request to the header of its response.",
            &["method", "endpoint", "namespace", "upstream"],
            &DURATION_BUCKETS_SECONDS,
        )?;
        Ok(HttpMetrics { requests, seconds })
    }

    /// Exposes a route at zero before its first request: its success and its failures. A route
    /// whose responses name a namespace starts once one does.
    pub fn begin(&self, method: &Method, endpoint: &str, good: StatusCode) {
        let method = method_label(method);
        for status in [good].iter().chain(&FAILURES) {
            let labels = [method, endpoint, status.as_str(), "none", "none"];
            self.requests.with_label_values(&labels).inc_by(0);
        }
        // One that was never observed is on the page as well.
        let _ = self.seconds.with_label_values(&[method, endpoint, "none", "none"]);
    }

    /// Counts every request to this router, also those to its fallbacks. Call it last.
    pub fn count(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), count))
    }

    fn observe(&self, seen: &Seen, response: &Response) {
        let endpoint = seen.path.as_ref().map_or("none", MatchedPath::as_str);
        let namespace = response.extensions().get::<NamespaceLabel>();
        let namespace = namespace.map_or("none", |label| label.0.as_str());
        let is_slow = seen.slow_body.as_ref().is_some_and(SlowBody::is_set);
        let status = if is_slow { StatusCode::REQUEST_TIMEOUT } else { response.status() };
        self.requests
            .with_label_values(&[seen.method, endpoint, status.as_str(), namespace, "none"])
            .inc();
        self.seconds
            .with_label_values(&[seen.method, endpoint, namespace, "none"])
            .observe(seen.begin.elapsed().as_secs_f64());
    }
}

/// What is recorded of a request before it is handled.
struct Seen {
    begin: Instant,
    method: &'static str,
    path: Option<MatchedPath>,
    slow_body: Option<SlowBody>,
}

async fn count(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let seen = Seen {
        begin: Instant::now(),
        method: method_label(request.method()),
        path: request.extensions().get::<MatchedPath>().cloned(),
        slow_body: request.extensions().get::<SlowBody>().cloned(),
    };
    let response = next.run(request).await;
    metrics.observe(&seen, &response);
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
