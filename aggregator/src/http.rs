//! The aggregator's own port: `/metrics` with its two sections, `/healthz`, `/readyz`.
//!
//! The business section is the publisher's prebuilt page; the process section is rendered on
//! request. Before the first page, and while a shared ledger does not answer, both `/metrics` and
//! its business section are 503, so that a scraper sees a gap and never a dip. Of several processes
//! all but the publisher answer without a business section.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use queue::Queue;
use service::metrics::ProcessMetrics;
use service::query::{parameters, quoted};
use service::server::Peer;
use store::Store;

use crate::confirm::{Confirmed, Confirmer};
use crate::lead::TIMEOUT_US;
use crate::metrics::Gauges;
use crate::page::{Page, Piece, gzip};
use crate::publisher::{Publisher, Reader};

/// The header that makes a request a scrape.
const SCRAPE_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// Longest timeout that a request is believed to have, seconds.
const TIMEOUT_S_MAX: f64 = 20.0 * 60.0;
/// Content type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// State of the handlers.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// Source of the business section.
    pub publisher: Arc<Publisher>,
    /// Confirms a page before it is served.
    pub confirmer: Arc<Confirmer>,
    /// Source of the process section.
    pub metrics: Arc<ProcessMetrics>,
    /// Gauges that are refreshed at each request.
    pub gauges: Arc<Gauges>,
    /// The log, for its size gauges.
    pub queue: Arc<Queue>,
    /// The ledger, for its size gauges.
    pub store: Arc<Store>,
}

/// The routes of `/metrics`.
pub fn router(state: HttpState) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(state)
}

/// Which sections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Both,
    Business,
    Process,
}

/// Reads `section` from the query.
///
/// # Errors
/// A sentence that names the parameter.
fn section(uri: &Uri) -> Result<Section, String> {
    let parameters = parameters(uri, &["section"])?;
    match parameters.first().map(|(_, section)| section.as_str()) {
        None => Ok(Section::Both),
        Some("business") => Ok(Section::Business),
        Some("process") => Ok(Section::Process),
        Some(other) => Err(format!("section must be business or process, not {}", quoted(other))),
    }
}

async fn metrics(
    State(state): State<HttpState>,
    uri: Uri,
    peer: Option<Extension<Peer>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let section = match section(&uri) {
        Ok(section) => section,
        Err(fault) => return (StatusCode::BAD_REQUEST, format!("{fault}\n")).into_response(),
    };
    let process = match section {
        Section::Business => None,
        Section::Both | Section::Process => {
            state.gauges.refresh(&state.queue, &state.store);
            Some(Bytes::from(state.metrics.render()))
        }
    };
    let page = match section {
        Section::Process => None,
        Section::Both | Section::Business => {
            let reader = reader(peer.map(|Extension(peer)| peer), &method, &headers);
            match state.confirmer.confirm(&state.publisher, timeout_us(&headers)).await {
                Ok(Confirmed::Standby) => None,
                Ok(Confirmed::Publisher { at_least }) => {
                    match state.publisher.page(reader, at_least) {
                        Ok(page) => Some(page),
                        Err(reason) => return closed(reason),
                    }
                }
                Err(reason) => {
                    state.publisher.asked_in_vain(reader);
                    return closed(reason.to_owned());
                }
            }
        }
    };
    if accepts_gzip(&headers) { compressed(page, process).await } else { plain(page, process) }
}

/// Identifies the requester. Only a request whose response contains the page is a scrape.
/// Prometheus servers are distinguished by address and user agent: two of one version behind one
/// address count as one.
fn reader(peer: Option<Peer>, method: &Method, headers: &HeaderMap) -> Reader {
    if method != Method::GET || !headers.contains_key(SCRAPE_HEADER) {
        return Reader::Other;
    }
    let mut hasher = DefaultHasher::new();
    peer.hash(&mut hasher);
    for name in [USER_AGENT.as_str(), "x-forwarded-for"] {
        headers.get(name).map(HeaderValue::as_bytes).hash(&mut hasher);
    }
    Reader::Scrape(hasher.finish())
}

/// When the requester gives the request up, microseconds.
fn timeout_us(headers: &HeaderMap) -> i64 {
    let seconds = headers.get(SCRAPE_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let seconds = seconds.filter(|seconds: &f64| (0.0..=TIMEOUT_S_MAX).contains(seconds));
    seconds.map_or(TIMEOUT_US, |seconds| (seconds * 1e6).ceil() as i64)
}

/// The sections uncompressed.
fn plain(page: Option<Arc<Page>>, process: Option<Bytes>) -> Response {
    let parts: Vec<Bytes> = page.map(|page| page.text.clone()).into_iter().chain(process).collect();
    let body = match <[Bytes; 1]>::try_from(parts) {
        Ok([one]) => Body::from(one),
        Err(parts) => Body::from(parts.concat()),
    };
    ([(CONTENT_TYPE, TEXT_FORMAT), (VARY, "accept-encoding")], body).into_response()
}

/// The sections as one gzip member.
async fn compressed(page: Option<Arc<Page>>, process: Option<Bytes>) -> Response {
    let compress = move || {
        let business = page.as_ref().map(|page| page.piece());
        let process = process.as_deref().map(|text| Arc::new(Piece::of(text)));
        gzip(&business.into_iter().chain(process).collect::<Vec<_>>())
    };
    let body = match tokio::task::spawn_blocking(compress).await {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "page could not be compressed");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers =
        [(CONTENT_TYPE, TEXT_FORMAT), (CONTENT_ENCODING, "gzip"), (VARY, "accept-encoding")];
    (headers, body).into_response()
}

/// The response while there is no page.
fn closed(reason: String) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, format!("{reason}\n")).into_response()
}

/// Whether the client accepts gzip, by name or by `*`, and does not prefer plain text.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let listed: Vec<(String, f32)> = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').filter_map(weighed))
        .collect();
    let weight = |name: &str| listed.iter().find(|(listed, _)| listed == name).map(|(_, q)| *q);
    let gzip = weight("gzip").or(weight("x-gzip")).or(weight("*")).unwrap_or(0.0);
    gzip > 0.0 && weight("identity").is_none_or(|plain| gzip >= plain)
}

/// An entry of `Accept-Encoding` in lower case with its weight; `None` if it does not parse.
fn weighed(entry: &str) -> Option<(String, f32)> {
    let entry = entry.to_ascii_lowercase();
    let mut parts = entry.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    let weight = weight.map_or(Some(1.0), |text| text.parse().ok())?;
    (0.0..=1.0).contains(&weight).then_some((name, weight))
}

#[cfg(test)]
mod tests;
