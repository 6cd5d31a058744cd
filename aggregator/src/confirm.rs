//! Confirms each page with the ledger, where the ledger is a server that other processes can reach.
//!
//! A process that cannot reach the ledger does not know whether it is still the owner, and exposes
//! nothing: a gap is harmless, a page of a replaced process is not. Requests that arrive during a
//! query share the next one, so that at most one query runs at a time, and every answer is newer
//! than its request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::publisher::Publisher;

/// Longest wait for the ledger: well below the scrape timeout of Prometheus.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Reason for 503 while the ledger is down.
const NO_ANSWER: &str = "no page: the ledger does not answer";

/// Queries the ledger, or needs no confirmation.
#[derive(Debug)]
pub struct Confirmer {
    /// `None` where the directory lock already guarantees a single owner.
    store: Option<Arc<Store>>,
    /// When the last query began, and whether it was answered.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Confirmer {
    /// Confirms each page with this ledger, or with none.
    pub fn new(store: Option<Arc<Store>>) -> Confirmer {
        Confirmer { store, last: Mutex::new(None) }
    }

    /// Returns once the ledger has answered a query that began after this call.
    ///
    /// # Errors
    /// It did not answer in time; a human-readable sentence.
    pub async fn confirm(&self, publisher: &Publisher) -> Result<(), &'static str> {
        let Some(store) = &self.store else { return Ok(()) };
        let came = Instant::now();
        let mut last = self.last.lock().await;
        let is_confirmed = match *last {
            Some((began, is_confirmed)) if began >= came => is_confirmed,
            _ => {
                let began = Instant::now();
                let asked = tokio::time::timeout(ANSWER_MAX, ask(store, publisher)).await;
                let is_confirmed = matches!(asked, Ok(Ok(())));
                *last = Some((began, is_confirmed));
                is_confirmed
            }
        };
        if is_confirmed { Ok(()) } else { Err(NO_ANSWER) }
    }
}

/// Reads the commit of the exposed version. A restored ledger has another one there, and the
/// publisher then closes the page.
async fn ask(store: &Store, publisher: &Publisher) -> Result<(), StoreError> {
    match publisher.version() {
        Some(version) => {
            // A restored ledger is confirmed too: the publisher has a better reason to close.
            publisher.close_if_restored(version, store.commit_of(version).await?);
        }
        None => {
            store.read().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
