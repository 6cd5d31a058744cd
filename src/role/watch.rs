//! Probes log and ledger for `/readyz`, apart from the role's own work.
//!
//! An idle role would not notice that a service is gone. So each service is sent a cheap request
//! about once a second, and while none is answered within its time limit the role is not ready.

use std::sync::Arc;
use std::time::Duration;

use queue::Queue;
use service::chain;
use service::health::Reason;
use service::shutdown::{Phase, Shutdown};
use store::Store;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::{info, warn};

/// Pause between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Probes every partition of the log until shutdown.
pub async fn log(queue: Arc<Queue>, brokers: String, reason: Reason, shutdown: Shutdown) {
    let mut probe = Probe { what: format!("the log at {brokers}"), reason, is_away: false };
    while shutdown.phase() == Phase::Running {
        probe.record(timeout(ANSWER_MAX, probe_log(&queue)).await);
        shutdown.sleep(PROBE_EVERY).await;
    }
}

/// Probes the ledger until shutdown.
pub async fn ledger(store: Arc<Store>, reason: Reason, shutdown: Shutdown) {
    let mut probe = Probe { what: "the ledger".to_owned(), reason, is_away: false };
    while shutdown.phase() == Phase::Running {
        probe.record(timeout(ANSWER_MAX, probe_ledger(&store)).await);
        shutdown.sleep(PROBE_EVERY).await;
    }
}

async fn probe_log(queue: &Queue) -> Result<(), String> {
    for partition in 0..queue.partitions() {
        queue.watermarks(partition).await.map_err(|error| chain(&error))?;
    }
    Ok(())
}

async fn probe_ledger(store: &Store) -> Result<(), String> {
    let mut reader = store.read().await.map_err(|error| chain(&error))?;
    reader.partitions().await.map_err(|error| chain(&error))?;
    Ok(())
}

/// A service under probe. Logs only when its state changes.
struct Probe {
    what: String,
    reason: Reason,
    is_away: bool,
}

impl Probe {
    fn record(&mut self, answer: Result<Result<(), String>, Elapsed>) {
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let what = &self.what;
        match (&answer, self.is_away) {
            (Err(error), false) => warn!(what, error, "a service does not answer"),
            (Ok(()), true) => info!(what, "a service answers again"),
            _ => {}
        }
        self.is_away = answer.is_err();
        self.reason.set(self.is_away.then(|| format!("{what} does not answer")));
    }
}
