//! Waiting after a failure, longer each time.

use std::time::Duration;

use service::shutdown::{Phase, Shutdown};

/// First wait after a failure; it doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait after a failure: a store that is back is noticed within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How long to wait after the next failure.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    shutdown: Shutdown,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Backoff {
        Backoff { next: BACKOFF_MIN, shutdown }
    }

    /// Something succeeded.
    pub fn reset(&mut self) {
        self.next = BACKOFF_MIN;
    }

    /// Waits, or until shutdown begins; during shutdown only by the first step.
    pub async fn wait(&mut self) {
        let wait = self.next;
        self.next = (wait * 2).min(BACKOFF_MAX);
        if self.shutdown.phase() != Phase::Running {
            return tokio::time::sleep(BACKOFF_MIN).await;
        }
        self.shutdown.sleep(wait).await;
    }
}
