//! GET and POST over plain HTTP, for pages and answers.
//!
//! One request at a time, with a bound on time and size. A failed connection is an error for the
//! caller to report or retry; nothing is retried here.

use std::error::Error as StdError;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::secret_file::read_key;

/// Longest wait for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// Largest answer in bytes: a page of half a million series.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Characters of an error response that are shown.
const REFUSAL_CHARS_MAX: usize = 300;

/// Why no complete response was received.
type Fault = Box<dyn StdError + Send + Sync>;

/// An HTTP client with keep-alive connections, which clones share.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    key: Option<HeaderValue>,
}

impl Client {
    /// A client that authenticates with this key.
    ///
    /// # Errors
    /// The key is not a valid header value.
    pub fn new(key: Option<&str>) -> Result<Client, Error> {
        let key = match key {
            None => None,
            Some(key) => {
                let value = HeaderValue::from_str(&format!("Bearer {key}"));
                let mut value = value.map_err(Error::ClientKey)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Client { pool: Pool::builder(TokioExecutor::new()).build(HttpConnector::new()), key })
    }

    /// A client that shows the key in this file, or none.
    ///
    /// # Errors
    /// The file cannot be read or holds no key.
    pub fn with_key_file(path: Option<&Path>) -> Result<Client, Error> {
        Client::new(path.map(read_key).transpose()?.as_deref())
    }

    /// The `data` of an answer in our envelope.
    ///
    /// # Errors
    /// As [`Client::get`], and [`Error::NotOurs`].
    pub async fn get_data<T: DeserializeOwned>(&self, url: &str) -> Result<T, Error> {
        data(url, &self.get(url).await?)
    }

    /// Posts a value as JSON and returns the `data` of the answer.
    ///
    /// # Errors
    /// No answer in time, one that is too large or no text, a status other than 2xx
    /// ([`Error::Answered`], with the message of the envelope), or [`Error::NotOurs`].
    pub async fn post_data<T: DeserializeOwned>(
        &self,
        url: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_string(body).map_err(|source| no_answer(url, source))?;
        let (status, text) = self.post(url, body).await?;
        if status.is_success() {
            return data(url, &text);
        }
        let text = match serde_json::from_str::<Message>(&text) {
            Ok(Message { message }) => shown(&message),
            Err(_) => shown(&text),
        };
        Err(Error::Answered { url: url.to_owned(), status, text })
    }

    /// The text at an address.
    ///
    /// # Errors
    /// No response in time, one that is too large or not text, or a status other than 200.
    pub async fn get(&self, url: &str) -> Result<String, Error> {
        let request = Request::new(Full::default());
        let (status, text) = self.exchange(url, request, ANSWER_TIME_MAX).await?;
        if status != StatusCode::OK {
            let (url, text) = (url.to_owned(), shown(&text));
            let hint = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "give the admin key with --key-file DIR/admin.key"
                }
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                    return Err(Error::Answered { url, status, text });
                }
                _ if status.is_server_error() => {
                    return Err(Error::Answered { url, status, text });
                }
                _ => "is this the address of Gatemeter's aggregator or api?",
            };
            return Err(Error::Refused { url, status, text, hint });
        }
        Ok(text)
    }

    /// Posts a JSON text; gives status and text of the answer, whatever they are.
    ///
    /// # Errors
    /// No response in time, or one that is too large or not text.
    async fn post(&self, url: &str, json: String) -> Result<(StatusCode, String), Error> {
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        self.exchange(url, request, ANSWER_TIME_MAX).await
    }

    /// Status of a URL, and the beginning of its response.
    ///
    /// # Errors
    /// No response within the limit, or one that is too large or not text.
    pub async fn probe(&self, url: &str, limit: Duration) -> Result<(StatusCode, String), Error> {
        let request = Request::new(Full::default());
        let (status, text) = self.exchange(url, request, limit).await?;
        Ok((status, text.chars().take(REFUSAL_CHARS_MAX).collect()))
    }

    /// Sends a request to an address; gives status and text of the answer within the limit.
    async fn exchange(
        &self,
        url: &str,
        mut request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, String), Error> {
        *request.uri_mut() = url.parse::<Uri>()?;
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        tokio::time::timeout(limit, self.ask(request))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {limit:?}").into()))
            .map_err(|source| no_answer(url, source))
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, String), Fault> {
        let (head, body) = self.pool.request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((head.status, String::from_utf8(body.to_vec())?))
    }
}

/// An answer in our envelope, as far as a client reads it.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// What an envelope without data says.
#[derive(Deserialize)]
struct Message {
    message: String,
}

fn data<T: DeserializeOwned>(url: &str, text: &str) -> Result<T, Error> {
    match serde_json::from_str(text) {
        Ok(Envelope { data }) => Ok(data),
        Err(source) => Err(Error::NotOurs { url: url.to_owned(), source }),
    }
}

/// The beginning of a text, safe to print.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(REFUSAL_CHARS_MAX).collect();
    text.trim().escape_debug().to_string()
}

fn no_answer(url: &str, source: impl Into<Fault>) -> Error {
    Error::NoAnswer { url: url.to_owned(), source: source.into() }
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
/// The URL is not supported; the error names the reason.
pub fn check_url(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if uri.scheme_str() != Some("http") || uri.authority().is_none() {
        return Err("must begin with http:// and name a host".to_owned());
    }
    // A later request would find no port in it and use port 80.
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return Err("must have a port from 1 to 65535, or none".to_owned());
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests;
