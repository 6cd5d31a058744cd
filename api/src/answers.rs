//! Answers that were given before: whether one still holds, and what is shown while the ledger is
//! down.
//!
//! An answer holds for one ledger version, one state of the namespaces and one minute of the clock,
//! for ranges move with the minute; it is then the very answer that the ledger would give, and is
//! not worked out again. Answers about the configuration hold for two seconds at most, or until
//! some process says that it has changed. While the ledger does not answer, the newest answer to
//! the same question is given and says that it is stale; without one there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cache::{Cache, Channel, Heard};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use ledger::window::MINUTE_US;
use prometheus::IntCounterVec;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use service::answer::{Answer, ApiError};
use service::http_metrics::NamespaceLabel;
use service::metrics::ProcessMetrics;
use store::{Reader, Stamp, StoreError};
use tokio::sync::broadcast::error::RecvError;

use crate::context::{Parts, now_us};
use crate::error::Error;
use crate::scope::Scope;

/// Longest wait for the ledger to begin an answer: then an older one is better.
const LEDGER_MAX: Duration = Duration::from_secs(2);
/// How long an answer about the configuration holds without a look, microseconds.
const CONFIG_US: i64 = 2_000_000;

/// Where answers come from.
const SOURCES: [&str; 4] = ["process", "redis", "ledger", "stale"];

/// What a question is about, and so when an answer to it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// Numbers of the ledger.
    Ledger,
    /// The configuration.
    Config,
    /// The state of this moment: no earlier answer holds.
    Now,
}

/// An answer as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    stamp: KnownStamp,
    /// Minute of the clock, since 1970.
    minute: i64,
    /// When it was worked out, microseconds since 1970.
    at_us: i64,
    /// State of the configuration as this process counts it.
    epoch: u64,
    /// The one namespace that it is about.
    namespace: Option<String>,
    /// The data of the answer.
    pub data: Box<RawValue>,
    /// Whether the ledger could not be asked.
    #[serde(skip)]
    is_stale: bool,
}

/// What of the ledger an answer stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownStamp {
    version: i64,
    namespaces: i64,
    changed_us: i64,
    /// Retention deletes rows without a new version.
    oldest_minute: Option<i64>,
    oldest_quarter: Option<i64>,
}

/// How a question begins.
pub(crate) enum Begun {
    /// An earlier answer will do.
    Known(Known),
    /// It has to be worked out.
    Open(Box<Asked>),
}

/// A question that is being worked out.
pub(crate) struct Asked {
    /// The ledger as the answer shows it.
    pub reader: Reader,
    /// The clock that ranges are laid over.
    pub now_us: i64,
    answers: Answers,
    key: String,
    stamp: KnownStamp,
    epoch: u64,
}

/// The answers that were given before. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    cache: Arc<Cache>,
    /// Grows with every change of the configuration that this process hears of.
    epoch: Arc<AtomicU64>,
    /// Questions by where their answer came from.
    found: IntCounterVec,
}

impl Answers {
    /// Begins to listen for changes; must be called within a tokio runtime.
    pub fn new(cache: Arc<Cache>, process: &ProcessMetrics) -> Result<Answers, service::Error> {
        let found = process.counter_vec(
            "gatemeter_cache_answers_total",
            "Questions by where their answer came from: process, redis, ledger, or stale while \
             the ledger was down.",
            &["source"],
        )?;
        for source in SOURCES {
            found.with_label_values(&[source]).inc_by(0);
        }
        let epoch = Arc::new(AtomicU64::new(0));
        let (heard, mut listener) = (Arc::clone(&epoch), cache.listen());
        // Ends with the cache.
        tokio::spawn(async move {
            loop {
                match listener.recv().await {
                    Ok(Heard::Message(Channel::Live, _)) => {}
                    Ok(Heard::Message(Channel::Config, _) | Heard::Gap)
                    | Err(RecvError::Lagged(_)) => {
                        heard.fetch_add(1, Ordering::AcqRel);
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Ok(Answers { cache, epoch, found })
    }

    /// The configuration was changed by this process: it and every other one looks anew.
    pub fn config_changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.cache.publish(Channel::Config, Bytes::from_static(b"changed"));
    }

    /// Begins to answer a question, named by its key.
    pub async fn begin(&self, parts: &Parts, about: About, key: String) -> Result<Begun, ApiError> {
        let now_us = now_us();
        let epoch = self.epoch.load(Ordering::Acquire);
        let own = self.cache.own(&key).and_then(|bytes| Known::read(&bytes));
        if about == About::Config
            && let Some(known) = &own
            && known.epoch == epoch
            && (0..CONFIG_US).contains(&(now_us - known.at_us))
        {
            return Ok(self.known(known.clone(), "process"));
        }
        if parts.is_ledger_down()
            && let Some(known) = self.newest(&key).await
        {
            // Nobody waits to find out what is known.
            return Ok(Begun::Known(known));
        }
        let (reader, stamp) = match read(parts).await {
            Ok(begun) => begun,
            Err(error) => return self.stale(&key, error).await.map(Begun::Known),
        };
        let minute = now_us.div_euclid(MINUTE_US);
        let holds = |known: &Known| (known.stamp, known.minute) == (stamp, minute);
        if about == About::Ledger {
            if let Some(known) = own.filter(holds) {
                return Ok(self.known(known, "process"));
            }
            let shared = self.cache.shared(&key).await;
            if let Some(bytes) = shared
                && let Some(known) = Known::read(&bytes).filter(holds)
            {
                self.cache.keep(&key, bytes);
                return Ok(self.known(known, "redis"));
            }
        }
        let answers = self.clone();
        Ok(Begun::Open(Box::new(Asked { reader, now_us, answers, key, stamp, epoch })))
    }

    fn known(&self, known: Known, source: &str) -> Begun {
        self.found.with_label_values(&[source]).inc();
        Begun::Known(known)
    }

    /// The newest answer that was given to a question, as a stale one.
    async fn newest(&self, key: &str) -> Option<Known> {
        let own = self.cache.own(key).and_then(|bytes| Known::read(&bytes));
        let shared = self.cache.shared(key).await.and_then(|bytes| Known::read(&bytes));
        let both = own.into_iter().chain(shared);
        let newest = both.max_by_key(|known| (known.stamp.version, known.at_us))?;
        self.found.with_label_values(&["stale"]).inc();
        Some(Known { is_stale: true, ..newest })
    }

    /// The same, or why the ledger gave none.
    async fn stale(&self, key: &str, error: Error) -> Result<Known, ApiError> {
        match self.newest(key).await {
            Some(known) => Ok(known),
            None => Err(error.into()),
        }
    }
}

/// Begins to read, and says what the ledger stands at.
async fn read(parts: &Parts) -> Result<(Reader, KnownStamp), Error> {
    let reading = async {
        let mut reader = parts.store.read().await?;
        let Stamp { version, namespaces, changed_us } = reader.stamp().await?;
        let (oldest_minute, oldest_quarter) =
            (reader.oldest_minute().await?, reader.oldest_quarter().await?);
        let stamp = KnownStamp { version, namespaces, changed_us, oldest_minute, oldest_quarter };
        Ok::<_, StoreError>((reader, stamp))
    };
    match tokio::time::timeout(LEDGER_MAX, reading).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(Error::LedgerDown),
    }
}

impl Asked {
    /// Ends with an answer, or with an older one if the ledger went away meanwhile.
    pub async fn answer<T: Serialize>(
        self: Box<Self>,
        found: Result<(Scope, T), Error>,
    ) -> Result<Known, ApiError> {
        let Asked { now_us, answers, key, stamp, epoch, .. } = *self;
        let (scope, data) = match found {
            Ok(found) => found,
            Err(error @ Error::Store(StoreError::Sql { .. } | StoreError::Locked { .. })) => {
                return answers.stale(&key, error).await;
            }
            Err(error) => return Err(error.into()),
        };
        let data = to_raw_value(&data).map_err(|error| {
            tracing::error!(%error, "answer cannot be written as JSON");
            ApiError::internal()
        })?;
        let known = Known {
            stamp,
            minute: now_us.div_euclid(MINUTE_US),
            at_us: now_us,
            epoch,
            namespace: scope.code().map(str::to_owned),
            data,
            is_stale: false,
        };
        if let Ok(bytes) = serde_json::to_vec(&known) {
            answers.cache.put(&key, bytes.into());
        }
        answers.found.with_label_values(&["ledger"]).inc();
        Ok(known)
    }
}

impl Known {
    /// Reads an answer as it was kept; one of another form is none.
    fn read(bytes: &[u8]) -> Option<Known> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether the ledger could not be asked.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }
}

impl IntoResponse for Known {
    /// Its numbers are those of a moment: nobody else may keep them.
    fn into_response(self) -> Response {
        let answer = Answer::ok(self.data);
        let answer = if self.is_stale { answer.stale() } else { answer };
        let mut response = answer.into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(code) = self.namespace {
            response.extensions_mut().insert(NamespaceLabel(code));
        }
        response
    }
}
