//! The way over HTTP: a batch is the body of a request to ingest.
//!
//! Responses are classified here and nowhere else: which status is an answer, which one can be
//! retried, and which one is permanent.

use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use service::chain;
use service::client::check_url;

use crate::answer::Answer;
use crate::attempt::{Taken, Try};
use crate::compress::Compress;

/// Longest `Retry-After` that is respected.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Largest answer in bytes: 2,000 rejects with a long reason each fit.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Characters of an error response that are shown.
const REFUSAL_CHARS_MAX: usize = 300;

/// Posts bodies to one ingest.
pub struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    key: Option<HeaderValue>,
    compress: Compress,
}

impl Poster {
    /// Posts to `url` over at most `n_connections` kept connections.
    ///
    /// # Errors
    /// The URL is not one of plain HTTP, or the key is no header value.
    pub fn new(
        url: &str,
        key: Option<&str>,
        n_connections: usize,
        compress: Compress,
    ) -> anyhow::Result<Poster> {
        let mut connector = HttpConnector::new();
        // A body ends in a small packet, which must not wait for the receiver's acknowledgement.
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(n_connections)
            .build(connector);
        let key = match key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                    .ok()
                    .context("the ingest key has characters that are not allowed in a header")?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Poster { client, uri: events_uri(url)?, key, compress })
    }

    /// Packs a body away from the async threads, where other answers are waited for.
    ///
    /// # Errors
    /// It cannot be compressed.
    pub async fn pack(&self, body: Bytes) -> Result<Bytes, String> {
        let compress = self.compress;
        if compress == Compress::None {
            return Ok(body);
        }
        let packed = tokio::task::spawn_blocking(move || compress.pack(&body)).await;
        match packed {
            Ok(Ok(packed)) => Ok(packed),
            Ok(Err(fault)) => Err(format!("the body cannot be compressed: {fault}")),
            Err(fault) => Err(format!("the body cannot be compressed: {fault}")),
        }
    }

    /// Posts a packed body of `n_items` events once.
    ///
    /// # Errors
    /// The result if there was no answer.
    pub async fn post(&self, body: &Bytes, n_items: usize) -> Result<Try, Try> {
        let (status, headers, body) = self.exchange(body).await?;
        Ok(judge(status, &headers, &body, n_items))
    }

    async fn exchange(&self, body: &Bytes) -> Result<(StatusCode, HeaderMap, Bytes), Try> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(name) = self.compress.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        let response = self.client.request(request).await.map_err(|fault| {
            let taken = if fault.is_connect() { Taken::No(0) } else { Taken::Perhaps };
            Try::failed(&chain(&fault), taken)
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|fault| Try::failed(&chain(fault.as_ref()), Taken::Perhaps))?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], n_items: usize) -> Try {
    let excerpt = || {
        let text: String = String::from_utf8_lossy(body).chars().take(REFUSAL_CHARS_MAX).collect();
        format!("ingest answered {status}: {}", text.trim().escape_debug())
    };
    match status.as_u16() {
        200..=299 => match Answer::read(body, n_items) {
            Ok(answer) => Try::Answered(answer),
            Err(fault) => Try::Strange(format!("{}: {fault:#}", excerpt())),
        },
        422 => match Answer::read(body, n_items) {
            // Nothing valid in the batch: right for one of malformed events only.
            Ok(answer) if answer.accepted == 0 => Try::Answered(answer),
            _ => Try::Refused { why: excerpt(), status: 422 },
        },
        429 => Try::Failed { why: excerpt(), taken: Taken::No(429), wait: retry_after(headers) },
        408 | 500..=599 => {
            Try::Failed { why: excerpt(), taken: Taken::Perhaps, wait: retry_after(headers) }
        }
        number => Try::Refused { why: excerpt(), status: number },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn events_uri(url: &str) -> anyhow::Result<Uri> {
    let url = check_url(url).map_err(|fault| anyhow!("the URL `{url}`: {fault}"))?;
    let uri: Uri = url.parse()?;
    if uri.path().trim_end_matches('/').is_empty() {
        return Ok(format!("{}/v1/events", url.trim_end_matches('/')).parse()?);
    }
    Ok(uri)
}

#[cfg(test)]
mod tests;
