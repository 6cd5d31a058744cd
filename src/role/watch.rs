//! Looks at log and ledger from aside, for `/readyz`.
//!
//! A role that has nothing to do just now would not notice that it cannot do it. So each service is
//! asked about once a second what costs it next to nothing, and an answer that does not come within
//! a bound is a reason against readiness until one does.

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

/// Time from one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Looks at every partition of the log until shutdown.
pub async fn log(queue: Arc<Queue>, brokers: String, reason: Reason, shutdown: Shutdown) {
    let mut sight = Sight { what: format!("the log at {brokers}"), reason, is_away: false };
    while shutdown.phase() == Phase::Running {
        sight.saw(timeout(ANSWER_MAX, look_at_log(&queue)).await);
        rest(&shutdown).await;
    }
}

/// Looks at the ledger until shutdown.
pub async fn ledger(store: Arc<Store>, reason: Reason, shutdown: Shutdown) {
    let mut sight = Sight { what: "the ledger".to_owned(), reason, is_away: false };
    while shutdown.phase() == Phase::Running {
        sight.saw(timeout(ANSWER_MAX, look_at_ledger(&store)).await);
        rest(&shutdown).await;
    }
}

async fn look_at_log(queue: &Queue) -> Result<(), String> {
    for partition in 0..queue.partitions() {
        queue.watermarks(partition).await.map_err(|error| chain(&error))?;
    }
    Ok(())
}

async fn look_at_ledger(store: &Store) -> Result<(), String> {
    let mut reader = store.read().await.map_err(|error| chain(&error))?;
    reader.partitions().await.map_err(|error| chain(&error))?;
    Ok(())
}

/// What is seen of a service.
struct Sight {
    what: String,
    reason: Reason,
    is_away: bool,
}

impl Sight {
    fn saw(&mut self, seen: Result<Result<(), String>, Elapsed>) {
        let seen = seen.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let what = &self.what;
        match (&seen, self.is_away) {
            (Err(error), false) => warn!(what, error, "a service does not answer"),
            (Ok(()), true) => info!(what, "a service answers again"),
            _ => {}
        }
        self.is_away = seen.is_err();
        self.reason.set(self.is_away.then(|| format!("{what} does not answer")));
    }
}

async fn rest(shutdown: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(LOOK_EVERY) => {}
        () = shutdown.requested() => {}
    }
}
