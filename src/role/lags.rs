//! The lag of every partition, and why one is halted, for a process that does not count itself.
//!
//! Log ends come from the brokers, committed offsets and halts from the ledger, which the owners
//! tell, whichever process each is; both are polled about once a second. A lag is therefore a
//! second or two old; it is shown, and nothing is counted from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::Dependency;
use queue::{QueueError, QueueReader};
use service::config::Settings;
use service::shutdown::{Phase, Shutdown};
use service::status::{Halted, Lag};
use store::{Store, StoreError};
use tracing::warn;

use super::watch::ANSWER_MAX;
use crate::services;

/// Pause between two polls of the same service.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// The newest result of the polls.
#[derive(Debug, Default)]
pub struct Lags {
    polled: Mutex<Polled>,
}

#[derive(Debug, Default)]
struct Polled {
    partitions: BTreeMap<u32, Offsets>,
    log_fault: Option<&'static str>,
    ledger_fault: Option<&'static str>,
}

/// The end of one partition, how far it is committed, and why it is halted.
#[derive(Clone, Debug, Default)]
struct Offsets {
    high: u64,
    next: u64,
    behind_since: Option<Instant>,
    halted: Option<Halted>,
}

impl Lags {
    /// The lag of every partition.
    pub fn lag(&self) -> Vec<Lag> {
        let polled = self.lock();
        let lag = |(partition, offsets): (&u32, &Offsets)| {
            let age = offsets.behind_since.map_or(0, |since| since.elapsed().as_micros());
            Lag {
                partition: *partition,
                next: offsets.next,
                frames: offsets.high.saturating_sub(offsets.next),
                commit_age_us: u64::try_from(age).unwrap_or(u64::MAX),
                halted: offsets.halted.clone(),
            }
        };
        polled.partitions.iter().map(lag).collect()
    }

    /// Whether log and ledger answer.
    pub fn dependencies(&self) -> Vec<Dependency> {
        let polled = self.lock();
        vec![
            Dependency { name: "log", fault: polled.log_fault },
            Dependency { name: "ledger", fault: polled.ledger_fault },
        ]
    }

    /// Polls the log until shutdown.
    pub async fn follow_log(self: Arc<Lags>, settings: Settings, shutdown: Shutdown) {
        let mut log = None;
        while shutdown.phase() == Phase::Running {
            if log.is_none() {
                log = self.open_log(&settings).await;
            }
            if let Some(reader) = &log
                && let Err(error) = self.poll_log(reader).await
            {
                self.lost_log(&error.into());
                log = None;
            }
            shutdown.sleep(POLL_EVERY).await;
        }
        if let Some(reader) = log {
            reader.close().await;
        }
    }

    /// Polls the ledger until shutdown. A task of its own: the log may be slow to answer.
    pub async fn follow_ledger(
        self: Arc<Lags>,
        store: Arc<Store>,
        generation: u32,
        shutdown: Shutdown,
    ) {
        while shutdown.phase() == Phase::Running {
            let poll = self.poll_ledger(&store, generation);
            if tokio::time::timeout(ANSWER_MAX, poll).await.is_err() {
                self.lock().ledger_fault = Some("does not answer");
            }
            shutdown.sleep(POLL_EVERY).await;
        }
    }

    /// Opens the log if there is one yet: ingest or an aggregator creates the topic.
    async fn open_log(&self, settings: &Settings) -> Option<QueueReader> {
        let error = match services::log_to_read(settings).await {
            Ok(reader) => return Some(reader),
            Err(error) => error,
        };
        let cause = error.downcast_ref::<QueueError>();
        if !matches!(cause, Some(QueueError::TopicMissing { .. })) {
            self.lost_log(&error);
        }
        None
    }

    async fn poll_ledger(&self, store: &Store, generation: u32) {
        let read = async {
            let mut reader = store.read().await?;
            Ok::<_, StoreError>((reader.partitions().await?, reader.owners(generation).await?))
        };
        let read = read.await;
        let mut polled = self.lock();
        polled.ledger_fault = read.as_ref().err().map(|_| "does not answer");
        let Ok((rows, owners)) = read else { return };
        let mut halted = aggregator::halts(owners);
        for row in rows.into_iter().filter(|row| row.generation == generation) {
            let offsets = polled.partitions.entry(row.partition).or_default();
            offsets.halted = halted.remove(&row.partition);
            if row.progress.next != offsets.next {
                // There was a commit: what is behind now was appended after it.
                offsets.next = row.progress.next;
                offsets.behind_since = None;
            }
        }
    }

    async fn poll_log(&self, log: &QueueReader) -> Result<(), QueueError> {
        let mut highs = BTreeMap::new();
        for partition in 0..log.partitions() {
            highs.insert(partition, log.watermarks(partition).await?.high);
        }
        let mut polled = self.lock();
        polled.log_fault = None;
        for (partition, high) in highs {
            let offsets = polled.partitions.entry(partition).or_default();
            offsets.high = high;
            let since = offsets.behind_since.unwrap_or_else(Instant::now);
            offsets.behind_since = (high > offsets.next).then_some(since);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Polled> {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost_log(&self, error: &anyhow::Error) {
        let mut polled = self.lock();
        if polled.log_fault.is_none() {
            warn!(error = &**error as &dyn std::error::Error, "log does not answer");
        }
        polled.log_fault = Some("does not answer");
    }
}

#[cfg(test)]
mod tests;
