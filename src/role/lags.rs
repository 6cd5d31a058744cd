//! How far the counting is behind, as a process sees it that does not count itself.
//!
//! The ends of the log come from the brokers and the committed offsets from the ledger, about once
//! a second; what is shown is little older than that, and nothing is counted from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use queue::{QueueError, QueueReader};
use service::config::Settings;
use service::shutdown::{Phase, Shutdown};
use store::Store;
use tracing::warn;

use super::watch::ANSWER_MAX;
use crate::services;

/// Time from one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was seen last.
#[derive(Debug, Default)]
pub struct Lags {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    places: BTreeMap<u32, Place>,
    log: Option<&'static str>,
    ledger: Option<&'static str>,
}

/// Where one partition stands.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    high: u64,
    next: u64,
    behind_since: Option<Instant>,
}

impl Lags {
    /// How far each partition is behind.
    pub fn lag(&self) -> Vec<api::Lag> {
        let seen = self.lock();
        let lag = |(partition, place): (&u32, &Place)| {
            let age = place.behind_since.map_or(0, |since| since.elapsed().as_micros());
            api::Lag {
                partition: *partition,
                frames: place.high.saturating_sub(place.next),
                commit_age_us: u64::try_from(age).unwrap_or(u64::MAX),
                halted: None,
            }
        };
        seen.places.iter().map(lag).collect()
    }

    /// How log and ledger answer.
    pub fn dependencies(&self) -> Vec<api::Dependency> {
        let seen = self.lock();
        vec![
            api::Dependency { name: "log", fault: seen.log },
            api::Dependency { name: "ledger", fault: seen.ledger },
        ]
    }

    /// Looks at the log until shutdown.
    pub async fn follow_log(self: Arc<Lags>, settings: Settings, stop: Shutdown) {
        let mut log = None;
        while stop.phase() == Phase::Running {
            if log.is_none() {
                log = self.open(&settings).await;
            }
            if let Some(reader) = &log
                && let Err(error) = self.look_at_log(reader).await
            {
                self.lost(&error.into());
                log = None;
            }
            rest(&stop).await;
        }
        if let Some(reader) = log {
            reader.close().await;
        }
    }

    /// Looks at the ledger until shutdown. Apart from the log, whose answers may take long.
    pub async fn follow_ledger(
        self: Arc<Lags>,
        store: Arc<Store>,
        generation: u32,
        stop: Shutdown,
    ) {
        while stop.phase() == Phase::Running {
            let look = self.look_at_ledger(&store, generation);
            if tokio::time::timeout(ANSWER_MAX, look).await.is_err() {
                self.lock().ledger = Some("does not answer");
            }
            rest(&stop).await;
        }
    }

    /// Opens the log, once there is one: it is made by whoever writes or counts it first.
    async fn open(&self, settings: &Settings) -> Option<QueueReader> {
        let error = match services::log_to_read(settings).await {
            Ok(reader) => return Some(reader),
            Err(error) => error,
        };
        let cause = error.downcast_ref::<QueueError>();
        if !matches!(cause, Some(QueueError::TopicMissing { .. })) {
            self.lost(&error);
        }
        None
    }

    async fn look_at_ledger(&self, store: &Store, generation: u32) {
        let rows = match store.read().await {
            Ok(mut reader) => reader.partitions().await,
            Err(error) => Err(error),
        };
        let mut seen = self.lock();
        seen.ledger = rows.as_ref().err().map(|_| "does not answer");
        for row in rows.into_iter().flatten().filter(|row| row.generation == generation) {
            let place = seen.places.entry(row.partition).or_default();
            if row.progress.next != place.next {
                // A commit since then: what waits now has not waited for as long.
                place.next = row.progress.next;
                place.behind_since = None;
            }
        }
    }

    async fn look_at_log(&self, log: &QueueReader) -> Result<(), QueueError> {
        let mut highs = BTreeMap::new();
        for partition in 0..log.partitions() {
            highs.insert(partition, log.watermarks(partition).await?.high);
        }
        let mut seen = self.lock();
        seen.log = None;
        for (partition, high) in highs {
            let place = seen.places.entry(partition).or_default();
            place.high = high;
            let since = place.behind_since.unwrap_or_else(Instant::now);
            place.behind_since = (high > place.next).then_some(since);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, error: &anyhow::Error) {
        let mut seen = self.lock();
        if seen.log.is_none() {
            warn!(error = &**error as &dyn std::error::Error, "log does not answer");
        }
        seen.log = Some("does not answer");
    }
}

async fn rest(stop: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(LOOK_EVERY) => {}
        () = stop.requested() => {}
    }
}
