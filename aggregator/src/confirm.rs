//! Whether the ledger still stands behind the page: asked anew for each page, where the ledger is
//! a server that others may reach as well.
//!
//! A process that cannot ask does not know whether it is still the one to show anything, and shows
//! nothing: a gap is harmless, a page of somebody who was replaced is not. Requests that come
//! while one asks share the next answer, so that however many come, one asks at a time, and every
//! answer was asked for after its request came.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::publisher::Publisher;

/// Longest wait for the ledger: well below the time that Prometheus gives a scrape.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Why nothing is shown while the ledger is down.
const NO_ANSWER: &str = "no page: the ledger does not answer";

/// Asks the ledger, or stands for one that needs no asking.
#[derive(Debug)]
pub struct Confirmer {
    /// Nothing where the holder of the directory's lock is the only one to show anything.
    store: Option<Arc<Store>>,
    /// When somebody last began to ask, and whether there was an answer.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Confirmer {
    /// Asks this ledger for each page, or none.
    pub fn new(store: Option<Arc<Store>>) -> Confirmer {
        Confirmer { store, last: Mutex::new(None) }
    }

    /// Returns once the ledger has answered a question that was asked after this call.
    ///
    /// # Errors
    /// It did not answer in time, as a sentence for people.
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

/// Asks for the commit behind the version that is shown. A ledger that went back has another there,
/// and the publisher then shows nothing any more.
async fn ask(store: &Store, publisher: &Publisher) -> Result<(), StoreError> {
    match publisher.version() {
        Some(version) => {
            // One that went back is confirmed all the same: the publisher has a better reason.
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
