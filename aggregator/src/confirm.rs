//! Confirms each page with the ledger, where the ledger is a server that other processes can reach.
//!
//! A process that cannot reach the ledger does not know whether it is still the publisher, and
//! exposes nothing: a gap is harmless, a page of a replaced process is not. Requests that arrive
//! during a query share the next one, so that at most one query runs at a time, and every answer is
//! newer than its request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::lease::{Answer, LeaseRow};
use store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::lead::{Leadership, NOBODY, SILENT};
use crate::publisher::Publisher;

/// Longest wait for the ledger: well below the scrape timeout of Prometheus.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Reason for 503 while the ledger is down.
const NO_ANSWER: &str = "no page: the ledger does not answer";

/// Whether this process shows the business section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It does, if its page is of this version or a later one.
    Publisher {
        /// The version.
        at_least: i64,
    },
    /// Another process does.
    Standby,
}

/// Queries the ledger, or needs no confirmation.
#[derive(Debug)]
pub struct Confirmer {
    /// `None` where the directory lock already guarantees a single owner.
    shared: Option<(Arc<Store>, Arc<Leadership>)>,
    last: Mutex<Option<Look>>,
}

/// A query.
#[derive(Clone, Copy, Debug)]
struct Look {
    began: Instant,
    /// The lease and the version of the ledger; `None` if it was not answered.
    found: Option<(LeaseRow, i64)>,
}

impl Confirmer {
    /// Confirms each page with this ledger, or with none.
    pub fn new(shared: Option<(Arc<Store>, Arc<Leadership>)>) -> Confirmer {
        Confirmer { shared, last: Mutex::new(None) }
    }

    /// Returns once the ledger has answered a query that began after this call. The caller is given
    /// up by its own client after `timeout_us`.
    ///
    /// # Errors
    /// Why nothing may be shown now; a human-readable sentence.
    pub async fn confirm(
        &self,
        publisher: &Publisher,
        timeout_us: i64,
    ) -> Result<Confirmed, &'static str> {
        let Some((store, leadership)) = &self.shared else {
            return Ok(Confirmed::Publisher { at_least: 0 });
        };
        let (came, came_us) = (Instant::now(), publisher.elapsed_us());
        let mut last = self.last.lock().await;
        let found = match *last {
            Some(Look { began, found }) if began >= came => found,
            _ => {
                let began = Instant::now();
                let asked = tokio::time::timeout(ANSWER_MAX, ask(store, publisher)).await;
                let found = asked.ok().and_then(Result::ok);
                *last = Some(Look { began, found });
                found
            }
        };
        match leadership.answer(&found.ok_or(NO_ANSWER)?, came_us, timeout_us) {
            Answer::Page { at_least } => Ok(Confirmed::Publisher { at_least }),
            Answer::Standby => Ok(Confirmed::Standby),
            Answer::Silence => Err(SILENT),
            Answer::Nobody => Err(NOBODY),
        }
    }
}

/// Reads the lease, the version, and the commit of the exposed version. A restored ledger has
/// another one there, and the publisher then closes the page.
async fn ask(store: &Store, publisher: &Publisher) -> Result<(LeaseRow, i64), StoreError> {
    // Before the snapshot, which has it then.
    let version = publisher.version();
    let mut reader = store.read().await?;
    if let Some(version) = version {
        // A restored ledger is confirmed too: the publisher has a better reason to close.
        publisher.close_if_restored(version, reader.certain_commit_of(version).await?);
    }
    Ok((reader.lease().await?, reader.as_of().version))
}

#[cfg(test)]
mod tests;
