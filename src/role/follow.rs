//! What roles learn of each other through the ledger, each second: memory pressure of the dedup
//! sets, the frame version, and which processes run.
//!
//! An aggregator without memory for recognising copies stores so; ingest refuses events meanwhile,
//! and what is stored expires by itself. The frame version is raised by an operator, and ingest
//! writes frames of it from then on. While the ledger does not answer, what was read last stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use clock::Wall;
use service::chain;
use service::shutdown::{Phase, Shutdown};
use store::{ProcessRow, Store};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

/// How often the ledger is asked or told.
const EVERY: Duration = Duration::from_secs(1);
/// How often a process says that it runs.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long the ledger may take to take a process off the list when it ends.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Stores the pressure of this aggregator until shutdown.
pub async fn publish_pressure(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if pressure.load(Ordering::Relaxed)
            && let Err(error) = store.put_pressure(Wall::now()).await
        {
            warn!(%error, "memory pressure could not be stored");
        }
        shutdown.sleep(EVERY).await;
    }
}

/// Reads whether any aggregator is under pressure, until shutdown.
pub async fn pressure(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if let Ok(is_under_pressure) = store.under_pressure(Wall::now()).await {
            pressure.store(is_under_pressure, Ordering::Relaxed);
        }
        shutdown.sleep(EVERY).await;
    }
}

/// Reads the frame version until shutdown. It never goes down: an answer of a replica, or of a
/// ledger that was put back, may be older than frames of this version in the log.
pub async fn frame_version(store: Arc<Store>, newest: Arc<AtomicU8>, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if let Ok(version) = store.frame_version().await
            && newest.fetch_max(version, Ordering::Relaxed) < version
        {
            info!(version, "frame version raised");
        }
        shutdown.sleep(EVERY).await;
    }
}

/// Tells the ledger that this process runs. An aggregator tells more, and itself.
pub struct Listing(JoinHandle<()>);

impl Listing {
    /// Begins to tell.
    pub fn start(store: &Arc<Store>, process: ProcessRow, shutdown: Shutdown) -> Listing {
        Listing(tokio::spawn(list(Arc::clone(store), process, shutdown)))
    }

    /// Waits until the process is off the list, once shutdown has begun and before the ledger is
    /// closed. A ledger that does not answer keeps it for an hour.
    pub async fn ended(mut self) {
        if tokio::time::timeout(LEAVE_MAX, &mut self.0).await.is_err() {
            debug!("process is still listed");
            self.0.abort();
        }
    }
}

/// Tells until shutdown, then takes the process off the list.
async fn list(store: Arc<Store>, process: ProcessRow, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        let seen_us = Wall::now().as_us();
        if let Err(error) =
            store.put_process(ProcessRow { seen_us, ..process.clone() }, vec![]).await
        {
            debug!(error = chain(&error), "process could not report");
        }
        shutdown.sleep(TELL_EVERY).await;
    }
    if let Err(error) = store.remove_process(process.id).await {
        debug!(error = chain(&error), "process is still listed");
    }
}

#[cfg(test)]
mod tests;
