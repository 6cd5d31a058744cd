//! Memory pressure of the dedup set, passed from aggregators to every ingest through the ledger.
//!
//! An aggregator without memory for recognising copies stores so once a second; ingest reads it as
//! often and refuses events meanwhile. What is stored expires by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::Wall;
use service::shutdown::{Phase, Shutdown};
use store::Store;
use tracing::warn;

/// How often pressure is stored and read.
const EVERY: Duration = Duration::from_secs(1);

/// Stores the pressure of this aggregator until shutdown.
pub async fn publish(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if pressure.load(Ordering::Relaxed)
            && let Err(error) = store.put_pressure(Wall::now()).await
        {
            warn!(%error, "memory pressure could not be stored");
        }
        shutdown.sleep(EVERY).await;
    }
}

/// Reads whether any aggregator is under pressure, until shutdown. While the ledger does not
/// answer, the last state stands.
pub async fn follow(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if let Ok(is_under_pressure) = store.under_pressure(Wall::now()).await {
            pressure.store(is_under_pressure, Ordering::Relaxed);
        }
        shutdown.sleep(EVERY).await;
    }
}
