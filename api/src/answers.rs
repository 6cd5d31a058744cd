//! Questions, and answers that were given before: whether one still holds, and what is shown while
//! the ledger is down.
//!
//! An answer holds for one ledger version, one state of the namespaces and one minute of the clock,
//! for ranges move with the minute; it is then the very answer that the ledger would give, and is
//! not worked out again: all who ask at one version share it. What of it changes with the second is
//! renewed each time. Answers about the configuration hold for two seconds at most, or until some
//! process says that it has changed. While the ledger does not answer, the newest answer to the
//! same question is given and says that it is stale; without one there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cache::{Channel, Heard};
use clock::Wall;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use ledger::window::MINUTE_US;
use prometheus::IntCounterVec;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use service::answer::{Answer, ApiError};
use service::http_metrics::NamespaceLabel;
use service::metrics::ProcessMetrics;
use store::Stamp;
use tokio::sync::broadcast::error::RecvError;

use crate::context::Parts;
use crate::error::Error;
use crate::single_flight::SingleFlight;
use crate::snapshot::{Scope, Snapshot};

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
}

/// A question that is answered from one snapshot.
pub(crate) trait Question: Sync {
    /// What the answer shows.
    type Data: Serialize + Send;
    /// What it is about.
    const ABOUT: About = About::Ledger;

    /// Works the answer out, and says which namespaces it is about.
    fn answer(
        &self,
        snapshot: &mut Snapshot,
    ) -> impl Future<Output = Result<(Scope, Self::Data), Error>> + Send;

    /// Renews what of an earlier answer does not come from its version of the ledger. There is no
    /// snapshot while the ledger does not answer.
    fn renew(
        &self,
        data: Box<RawValue>,
        _snapshot: Option<&mut Snapshot>,
    ) -> impl Future<Output = Result<Box<RawValue>, Error>> + Send {
        std::future::ready(Ok(data))
    }
}

/// An answer as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    basis: Basis,
    /// When it was worked out, microseconds since 1970.
    at_us: i64,
    /// State of the configuration as this process counts it.
    epoch: u64,
    /// The one namespace that it is about.
    namespace: Option<String>,
    /// The data of the answer.
    data: Box<RawValue>,
    /// Whether the ledger could not be asked.
    #[serde(skip)]
    is_stale: bool,
}

/// What an answer stands on: at the same one the ledger would give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Basis {
    version: i64,
    /// When it was committed: a ledger that was restored reaches the same versions once more.
    committed_us: i64,
    namespaces: i64,
    changed_us: i64,
    oldest_minute: Option<i64>,
    oldest_quarter: Option<i64>,
    /// Minute of the clock, since 1970.
    minute: i64,
}

impl Basis {
    fn of(snapshot: &Snapshot) -> Basis {
        let Stamp { version, namespaces, changed_us, oldest_minute, oldest_quarter } =
            snapshot.stamp;
        let minute = snapshot.now_us.div_euclid(MINUTE_US);
        let committed_us = snapshot.reader.as_of().committed_us;
        Basis {
            version,
            committed_us,
            namespaces,
            changed_us,
            oldest_minute,
            oldest_quarter,
            minute,
        }
    }
}

/// What questions are answered by. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Answers {
    /// What the API works on.
    pub parts: Parts,
    /// Grows with every change of the configuration that this process hears of.
    epoch: Arc<AtomicU64>,
    /// Callers that miss the same answer wait for one of them.
    flights: SingleFlight,
    /// Questions by where their answer came from.
    found: IntCounterVec,
}

impl Answers {
    /// Begins to listen for changes; must be called within a tokio runtime.
    pub fn new(parts: &Parts, process: &ProcessMetrics) -> Result<Answers, service::Error> {
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
        let (heard, mut listener) = (Arc::clone(&epoch), parts.cache.listen());
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
        Ok(Answers { parts: parts.clone(), epoch, flights: SingleFlight::default(), found })
    }

    /// The configuration was changed by this process: it and every other one looks anew.
    pub fn config_changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.parts.cache.publish(Channel::Config, Bytes::from_static(b"changed"));
    }

    /// Answers a question, named by its key: with an earlier answer that holds, with a new one, or
    /// with the newest that there is while the ledger does not answer.
    pub async fn answer<Q: Question>(&self, key: String, question: &Q) -> Result<Known, ApiError> {
        let epoch = self.epoch.load(Ordering::Acquire);
        if Q::ABOUT == About::Config
            && let Some(known) = self.own(&key)
            && known.epoch == epoch
            && (0..CONFIG_US).contains(&(Wall::now().as_us() - known.at_us))
        {
            return Ok(self.found(known, "process"));
        }
        if self.parts.is_ledger_down()
            && let Some(known) = self.newest(&key).await
        {
            // Nobody waits to find out what is known.
            return Ok(self.stale(known, question).await?);
        }
        let error = match Snapshot::open(&self.parts).await {
            Err(error) => error,
            Ok(snapshot) => match self.at(snapshot, epoch, &key, question).await {
                Err(error) if error.is_outage() => error,
                answered => return Ok(answered?),
            },
        };
        match self.newest(&key).await {
            Some(known) => Ok(self.stale(known, question).await?),
            None => Err(error.into()),
        }
    }

    /// The answer at a snapshot: an earlier one if it holds.
    async fn at<Q: Question>(
        &self,
        mut snapshot: Snapshot,
        epoch: u64,
        key: &str,
        question: &Q,
    ) -> Result<Known, Error> {
        let basis = Basis::of(&snapshot);
        let mut flight = None;
        if Q::ABOUT == About::Ledger {
            let mut earlier = self.earlier(key, basis).await;
            if earlier.is_none() {
                flight = Some(self.flights.join(key).await);
                // Another caller may have worked it out since.
                earlier = self.own_at(key, basis);
            }
            if let Some(mut known) = earlier {
                drop(flight);
                known.data = question.renew(known.data, Some(&mut snapshot)).await?;
                return Ok(known);
            }
        }
        let (scope, data) = question.answer(&mut snapshot).await?;
        let known = Known {
            basis,
            at_us: snapshot.now_us,
            epoch,
            namespace: scope.code().map(str::to_owned),
            data: to_raw_value(&data)?,
            is_stale: false,
        };
        self.parts.cache.put(key, serde_json::to_vec(&known)?.into());
        drop(flight);
        Ok(self.found(known, "ledger"))
    }

    /// An earlier answer that holds, given by this process or by another.
    async fn earlier(&self, key: &str, basis: Basis) -> Option<Known> {
        if let Some(known) = self.own_at(key, basis) {
            return Some(known);
        }
        let bytes = self.parts.cache.shared(key).await?;
        let known = Known::read(&bytes).filter(|known| known.basis == basis)?;
        self.parts.cache.keep(key, bytes);
        Some(self.found(known, "redis"))
    }

    /// An earlier answer of this process that holds.
    fn own_at(&self, key: &str, basis: Basis) -> Option<Known> {
        let known = self.own(key).filter(|known| known.basis == basis)?;
        Some(self.found(known, "process"))
    }

    /// The newest answer that was given to a question.
    async fn newest(&self, key: &str) -> Option<Known> {
        let shared = self.parts.cache.shared(key).await.and_then(|bytes| Known::read(&bytes));
        let both = self.own(key).into_iter().chain(shared);
        both.max_by_key(|known| (known.basis.version, known.at_us))
    }

    /// An earlier answer while the ledger does not answer.
    async fn stale<Q: Question>(&self, known: Known, question: &Q) -> Result<Known, Error> {
        let data = question.renew(known.data, None).await?;
        Ok(self.found(Known { data, is_stale: true, ..known }, "stale"))
    }

    fn own(&self, key: &str) -> Option<Known> {
        self.parts.cache.own(key).and_then(|bytes| Known::read(&bytes))
    }

    fn found(&self, known: Known, source: &str) -> Known {
        self.found.with_label_values(&[source]).inc();
        known
    }
}

impl Known {
    /// Reads an answer as it was kept; one of another form is none.
    fn read(bytes: &[u8]) -> Option<Known> {
        serde_json::from_slice(bytes).ok()
    }
}

impl IntoResponse for Known {
    fn into_response(self) -> Response {
        let answer = Answer::ok(self.data);
        let answer = if self.is_stale { answer.stale() } else { answer };
        of_moment(answer, self.namespace)
    }
}

/// An answer about one namespace or several. Its numbers are those of a moment: nobody else may
/// keep them.
pub(crate) fn of_moment<T: Serialize>(answer: Answer<T>, namespace: Option<String>) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(code) = namespace {
        response.extensions_mut().insert(NamespaceLabel(code));
    }
    response
}
