//! Single flight: of the callers that miss the same answer at once, one works it out and the
//! others wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as FlightMutex, OwnedMutexGuard};

/// Answers that are being worked out, by key. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SingleFlight(Arc<Mutex<HashMap<String, Weak<FlightMutex<()>>>>>);

/// The part of a caller.
#[derive(Debug)]
pub(crate) enum Flight {
    /// Works the answer out; the followers wait until this is dropped.
    Leader(#[expect(dead_code, reason = "held until it is dropped")] OwnedMutexGuard<()>),
    /// Has waited for the leader. If the leader failed, or answered at another version, a follower
    /// works the answer out at once and does not wait again: while the ledger is down a queue of
    /// followers would add up its timeouts.
    Follower,
}

impl SingleFlight {
    /// Waits while another caller works out the answer of this key.
    pub async fn join(&self, key: &str) -> Flight {
        let flight = self.flight(key);
        match Arc::clone(&flight).try_lock_owned() {
            Ok(guard) => Flight::Leader(guard),
            Err(_) => {
                drop(flight.lock().await);
                Flight::Follower
            }
        }
    }

    fn flight(&self, key: &str) -> Arc<FlightMutex<()>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key).and_then(Weak::upgrade) {
            return flight;
        }
        // Bounded by the requests in flight.
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        flights.insert(key.to_owned(), Arc::downgrade(&flight));
        flight
    }
}

#[cfg(test)]
mod tests;
