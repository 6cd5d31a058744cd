//! GET and POST over plain HTTP, for pages and answers.
//!
//! One request at a time, with a bound on time and size. A connection that fails is an error for
//! the caller to show or to try again; nothing is retried here.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longest wait for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// Largest answer in bytes: a page of half a million series.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Letters of a refusal that are shown.
const REFUSAL_CHARS_MAX: usize = 300;

/// A fault that no repetition can change.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl std::fmt::Display for Hopeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Asks over kept connections; clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    key: Option<HeaderValue>,
}

impl Client {
    /// A client that shows this key.
    ///
    /// # Errors
    /// The key is no header value.
    pub fn new(key: Option<&str>) -> anyhow::Result<Client> {
        let key = match key {
            None => None,
            Some(key) => {
                let value = HeaderValue::from_str(&format!("Bearer {key}"));
                let mut value = value.context("the key holds letters that no header may hold")?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Client { pool: Pool::builder(TokioExecutor::new()).build(HttpConnector::new()), key })
    }

    /// The text at an address.
    ///
    /// # Errors
    /// No answer in time, one that is too large or no text, or another status than 200; it is
    /// `Hopeless` for one that stays as it is.
    pub async fn get(&self, url: &str) -> anyhow::Result<String> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url.parse::<Uri>()?;
        let exchange = tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(request)).await;
        let (status, text) = exchange
            .map_err(|_| anyhow::anyhow!("no answer within {ANSWER_TIME_MAX:?}"))
            .and_then(|answer| answer)
            .with_context(|| url.to_owned())?;
        if status != StatusCode::OK {
            let text: String = text.chars().take(REFUSAL_CHARS_MAX).collect();
            let text = format!("{url} answered {status}: {}", text.trim().escape_debug());
            match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    let hint = "give the admin key with --key-file DIR/admin.key";
                    return Err(Hopeless(format!("{text}; {hint}")).into());
                }
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => bail!("{text}"),
                _ if status.is_server_error() => bail!("{text}"),
                _ => {
                    let hint = "is this the address of Gatemeter's aggregator or api?";
                    return Err(Hopeless(format!("{text}; {hint}")).into());
                }
            }
        }
        Ok(text)
    }

    /// Posts a JSON text; gives status and text of the answer, whatever they are.
    ///
    /// # Errors
    /// No answer in time, or one that is too large or no text.
    pub async fn post(&self, url: &str, json: String) -> anyhow::Result<(StatusCode, String)> {
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse::<Uri>()?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let exchange = tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(request)).await;
        exchange
            .map_err(|_| anyhow::anyhow!("no answer within {ANSWER_TIME_MAX:?}"))
            .and_then(|answer| answer)
            .with_context(|| url.to_owned())
    }

    /// Status of an address, and the first letters of what it answers.
    ///
    /// # Errors
    /// No answer within the limit, or one that is too large or no text.
    pub async fn probe(&self, url: &str, limit: Duration) -> anyhow::Result<(StatusCode, String)> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url.parse::<Uri>()?;
        let exchange = tokio::time::timeout(limit, self.exchange(request)).await;
        let (status, text) = exchange
            .map_err(|_| anyhow::anyhow!("no answer within {limit:?}"))
            .and_then(|answer| answer)
            .with_context(|| url.to_owned())?;
        Ok((status, text.chars().take(REFUSAL_CHARS_MAX).collect()))
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, String)> {
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        let (head, body) = self.pool.request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        Ok((head.status, String::from_utf8(body.to_vec())?))
    }
}

/// The address of a page: `/metrics` is added to a bare host.
///
/// # Errors
/// As `check_url`.
pub fn page_url(url: &str) -> Result<String, String> {
    with_path(url, "/metrics")
}

/// The address of a probe: `/readyz` is added to a bare host.
///
/// # Errors
/// As `check_url`.
pub fn probe_url(url: &str) -> Result<String, String> {
    with_path(url, "/readyz")
}

fn with_path(url: &str, path: &str) -> Result<String, String> {
    let url = check_url(url)?;
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let is_bare = uri.path().trim_end_matches('/').is_empty() && uri.query().is_none();
    Ok(if is_bare { format!("{}{path}", url.trim_end_matches('/')) } else { url })
}

/// Checks that an address is one of plain HTTP.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_url(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if uri.scheme_str() != Some("http") || uri.authority().is_none() {
        return Err("must begin with http:// and name a host".to_owned());
    }
    // Whoever asks later would find no port in it, and ask port 80.
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return Err("must have a port from 1 to 65535, or none".to_owned());
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_is_added_to_a_bare_host_only() {
        for (given, asked) in [
            ("http://h:8002", "http://h:8002/metrics"),
            ("http://h:8002/", "http://h:8002/metrics"),
            ("http://h/metrics", "http://h/metrics"),
            ("http://h/x?y=1", "http://h/x?y=1"),
        ] {
            assert_eq!(page_url(given).as_deref(), Ok(asked));
        }
        assert!(page_url("h:8002").is_err());
        for bad in
            ["http://h:99999", "http://h:0/x", "http://h:/x", "http://[::1]:65536", "http://"]
        {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        for good in ["http://[::1]", "http://[::1]:1", "http://a:b@h:65535", "http://a:b@h"] {
            assert_eq!(check_url(good).as_deref(), Ok(good));
        }
        assert_eq!(probe_url("http://h:8002").as_deref(), Ok("http://h:8002/readyz"));
        assert_eq!(probe_url("http://h:8002/healthz").as_deref(), Ok("http://h:8002/healthz"));
    }
}
