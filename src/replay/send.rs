//! One batch on its way: sent until it is answered, with the same bytes each time.
//!
//! A batch goes in whose first send is on the tape already; a delivery comes out that says what
//! was answered, and how many sends may have been taken although their answer never came. A
//! status that a repetition cannot change ends the delivery at once. After its deadline a batch
//! goes out only in a run that keeps recorded times; the totals then call its events undecided.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use crate::replay::answer::Answer;
use crate::replay::args::Times;
use crate::replay::compress::Compress;
use crate::replay::item::Batch;
use crate::replay::progress::Notices;
use crate::replay::tape::{Line, Tape};
use crate::replay::timing::{now_us, show_us};

/// Longest wait for one answer: three times what ingest itself allows a batch.
const TRY_MAX: Duration = Duration::from_secs(30);
/// First pause after a failure..
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// ..doubled each time up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A receiver that asks for more patience than this is asked again anyway.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Largest answer in bytes: 2,000 rejects with a long reason each fit.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Letters of a refusal that are shown.
const REFUSAL_CHARS_MAX: usize = 300;

/// A failure is told once it has lasted this long: a busy moment is no trouble.
const TROUBLE_AFTER: Duration = Duration::from_secs(1);

/// A batch in flight, as far as can be told at any moment.
pub struct Flight {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Sends that may have been taken; the one under way is among them.
    n_unsure: AtomicU64,
    is_sending: AtomicBool,
}

impl Flight {
    /// Before the first send of this session; `n_unsure` sends of earlier ones may have been taken.
    pub fn new(batch: Arc<Batch>, n_unsure: u64) -> Flight {
        let (n_unsure, is_sending) = (AtomicU64::new(n_unsure), AtomicBool::new(false));
        Flight { batch, n_unsure, is_sending }
    }

    /// Sends that may have been taken although no answer came.
    pub fn n_unsure(&self) -> u64 {
        self.n_unsure.load(Ordering::Acquire)
    }

    /// Whether a send is under way, so that its answer is worth waiting for.
    pub fn is_sending(&self) -> bool {
        self.is_sending.load(Ordering::Acquire)
    }

    fn begin(&self) {
        self.n_unsure.fetch_add(1, Ordering::AcqRel);
        self.is_sending.store(true, Ordering::Release);
    }

    fn end(&self, is_sure: Taken) {
        if is_sure != Taken::Perhaps {
            self.n_unsure.fetch_sub(1, Ordering::AcqRel);
        }
        self.is_sending.store(false, Ordering::Release);
    }
}

/// What happens to a batch whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It is not sent: the run promised exact totals.
    Stop,
    /// It is sent, and its events are undecided: recorded times are what they are.
    Send,
}

impl Overdue {
    /// As these event times ask for.
    pub fn of(times: Times) -> Overdue {
        match times {
            Times::Keep => Overdue::Send,
            Times::Now | Times::Fit { .. } => Overdue::Stop,
        }
    }
}

/// What became of a batch.
pub struct Delivery {
    /// The batch.
    pub batch: Arc<Batch>,
    /// The answer, or why there is none.
    pub verdict: Result<Answer, String>,
    /// Sends, other than the answered one, that may have been taken.
    pub n_unsure: u64,
    /// Sends beyond the first.
    pub n_retries: u64,
    /// How long each answered send took, microseconds.
    pub latencies_us: Vec<u64>,
}

/// How batches travel.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions {
    /// Kept connections, at most.
    pub n_connections: usize,
    /// A batch without an answer for this long is given up.
    pub give_up_after: Duration,
    /// How bodies are packed.
    pub compress: Compress,
    /// What happens to a batch whose deadline has passed.
    pub overdue: Overdue,
}

/// How a batch is sent; shared by all that are in flight.
pub struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    key: Option<HeaderValue>,
    options: SendOptions,
    tape: Option<Tape>,
    notices: Notices,
}

/// How one send ended.
enum Try {
    Answered(Answer),
    /// Worth another send.
    Failed {
        why: String,
        taken: Taken,
        wait: Option<Duration>,
    },
    /// Not worth another send.
    Refused {
        why: String,
        status: u16,
    },
    /// The receiver is not the ingest of the contract; what it did is unknown.
    Strange(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Perhaps,
    /// Certainly: it is answered.
    Yes,
    /// Never, with this status; 0 where no connection was made.
    No(u16),
}

impl Sender {
    /// Sends to `url`, each try under the same options.
    ///
    /// # Errors
    /// The URL is not one of plain HTTP, or the key is no header value.
    pub fn new(
        url: &str,
        key: Option<&str>,
        options: SendOptions,
        tape: Option<Tape>,
    ) -> anyhow::Result<Sender> {
        let mut connector = HttpConnector::new();
        // A body ends in a small packet, which must not wait for the receiver's acknowledgement.
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(options.n_connections)
            .build(connector);
        let key = match key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                    .ok()
                    .context("the ingest key holds letters that no header may hold")?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let (uri, notices) = (events_uri(url)?, Notices::default());
        Ok(Sender { client, uri, key, options, tape, notices })
    }

    /// Who is told of trouble.
    #[must_use]
    pub fn with_notices(self, notices: Notices) -> Sender {
        Sender { notices, ..self }
    }

    /// Sends a batch until it is answered, refused or given up.
    pub async fn deliver(&self, flight: &Flight) -> Delivery {
        let batch = Arc::clone(&flight.batch);
        let (verdict, latencies_us) = (Err(String::new()), Vec::new());
        let mut delivery = Delivery { batch, verdict, n_unsure: 0, n_retries: 0, latencies_us };
        delivery.verdict = self.send_until_answered(flight, &mut delivery).await;
        delivery.n_unsure = flight.n_unsure();
        delivery
    }

    async fn send_until_answered(
        &self,
        flight: &Flight,
        delivery: &mut Delivery,
    ) -> Result<Answer, String> {
        let number = delivery.batch.number;
        let body = self.pack(&delivery.batch).await?;
        let started = Instant::now();
        let give_up_at = started + self.options.give_up_after;
        let mut pause = PAUSE_MIN;
        loop {
            flight.begin();
            let outcome = self.send_once(delivery, &body, give_up_at).await;
            flight.end(outcome.taken());
            let (why, wait) = match outcome {
                Try::Answered(answer) => {
                    self.note(Line::answer(number, &answer))?;
                    return Ok(answer);
                }
                Try::Refused { why, status } => {
                    self.note(Line::Refused { batch: number, status })?;
                    return Err(why);
                }
                Try::Strange(why) => return Err(why),
                Try::Failed { why, taken, wait } => {
                    if let Taken::No(status) = taken {
                        self.note(Line::Refused { batch: number, status })?;
                    }
                    (why, wait)
                }
            };
            let wait = wait.unwrap_or(pause).max(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            if Instant::now() + wait >= give_up_at {
                return Err(format!("gave up after {:?}: {why}", self.options.give_up_after));
            }
            if started.elapsed() >= TROUBLE_AFTER {
                let left = give_up_at.saturating_duration_since(Instant::now());
                self.notices.tell(|| trouble(number, &why, now_us(), left));
            }
            tokio::time::sleep(wait).await;
            self.check_deadline(&delivery.batch)?;
            if let Some(tape) = &self.tape {
                let line = Line::Send { batch: number };
                tape.write_synced(vec![line]).await.map_err(|fault| format!("{fault:#}"))?;
            }
            delivery.n_retries += 1;
        }
    }

    /// Packs the body away from the async threads, where other answers are waited for.
    async fn pack(&self, batch: &Batch) -> Result<Bytes, String> {
        let (compress, body) = (self.options.compress, batch.body.clone());
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

    async fn send_once(&self, delivery: &mut Delivery, body: &Bytes, give_up_at: Instant) -> Try {
        let until = give_up_at.min(Instant::now() + TRY_MAX);
        let started = Instant::now();
        let sent_us = now_us();
        let exchange = tokio::time::timeout_at(until, self.exchange(body)).await;
        match exchange {
            Err(_) => failed("no answer in time", Taken::Perhaps),
            Ok(Err(failure)) => failure,
            Ok(Ok((status, headers, body))) => {
                let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                delivery.latencies_us.push(latency_us);
                match judge(status, &headers, &body, delivery.batch.items.len()) {
                    Try::Answered(answer) => Try::Answered(Answer { sent_us, ..answer }),
                    other => other,
                }
            }
        }
    }

    async fn exchange(&self, body: &Bytes) -> Result<(StatusCode, HeaderMap, Bytes), Try> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(name) = self.options.compress.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        let response = self.client.request(request).await.map_err(|fault| {
            let taken = if fault.is_connect() { Taken::No(0) } else { Taken::Perhaps };
            failed(&chain(&fault), taken)
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|fault| failed(&chain(fault.as_ref()), Taken::Perhaps))?;
        Ok((head.status, head.headers, body.to_bytes()))
    }

    fn note(&self, line: Line) -> Result<(), String> {
        let Some(tape) = &self.tape else { return Ok(()) };
        tape.write(&[line]).map_err(|fault| format!("{fault:#}"))
    }

    /// Refuses a batch whose events would by now fall into another class, unless such events may
    /// be undecided.
    ///
    /// # Errors
    /// Says which limit has passed, in words.
    pub fn check_deadline(&self, batch: &Batch) -> Result<(), String> {
        let deadline_us = batch.deadline_us();
        if self.options.overdue == Overdue::Send || now_us() <= deadline_us {
            return Ok(());
        }
        Err(format!(
            "batch {} could be sent until {} only: after that its oldest event turns late, or its \
             nearest event of the future comes true; begin a new run, send faster, or fit the \
             times into a shorter window (--times fit:30m)",
            batch.number,
            show_us(deadline_us)
        ))
    }
}

impl Try {
    /// Whether the send may have been taken without an answer that says so.
    fn taken(&self) -> Taken {
        match self {
            Try::Answered(_) => Taken::Yes,
            Try::Failed { taken, .. } => *taken,
            Try::Refused { status, .. } => Taken::No(*status),
            Try::Strange(_) => Taken::Perhaps,
        }
    }
}

/// What is told while a batch finds no answer.
fn trouble(number: u64, why: &str, now_us: i64, left: Duration) -> String {
    let left_us = i64::try_from(left.as_micros()).unwrap_or(i64::MAX);
    let until = show_us(now_us.saturating_add(left_us));
    let until = until.split_once(' ').map_or(until.as_str(), |(_, time)| time);
    format!("batch {number}: {why}; trying again until {until}")
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

fn failed(why: &str, taken: Taken) -> Try {
    Try::Failed { why: why.to_string(), taken, wait: None }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

fn events_uri(url: &str) -> anyhow::Result<Uri> {
    let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
    if uri.scheme_str() != Some("http") || uri.authority().is_none() {
        bail!("`{url}` must begin with http:// and name a host");
    }
    if uri.path().trim_end_matches('/').is_empty() {
        return Ok(format!("{}/v1/events", url.trim_end_matches('/')).parse()?);
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_events_is_added_to_a_bare_host() {
        for url in ["http://127.0.0.1:8003", "http://127.0.0.1:8003/"] {
            assert_eq!(events_uri(url).unwrap(), "http://127.0.0.1:8003/v1/events");
        }
        assert_eq!(events_uri("http://h/x").unwrap(), "http://h/x");
        for url in ["https://h", "h:8003", "/v1", ""] {
            assert!(events_uri(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_a_status_that_may_change_is_tried_again() {
        let again = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            matches!(judge(status, &HeaderMap::new(), b"{}", 1), Try::Failed { .. })
        };
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(again(status), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 413, 415, 422] {
            assert!(!again(status), "{status}");
        }
    }

    #[test]
    fn trouble_names_batch_reason_and_end_of_patience() {
        let text = trouble(7, "connection refused", 1_700_000_000_000_000, TRY_MAX);
        assert_eq!(text, "batch 7: connection refused; trying again until 22:13:50Z");
    }

    #[test]
    fn patience_asked_for_is_given_up_to_a_bound() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("3"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("86400"));
        assert_eq!(retry_after(&headers), Some(RETRY_AFTER_MAX));
    }
}
