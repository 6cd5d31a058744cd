//! The connections without a request, in the order in which they became idle.
//!
//! A connection enters when it is accepted and after each answer, and leaves when a request begins;
//! the accept loop takes the oldest out when it needs room. The list holds handles only: it closes
//! nothing itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct IdleList {
    inner: Mutex<Inner>,
    grown: Notify,
}

/// A place in the list; it is good for one stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl IdleList {
    /// Adds a connection at the young end; `leave` is notified if it is to go.
    pub(super) fn enter(&self, leave: Arc<Notify>) -> Ticket {
        let mut inner = self.lock();
        let ticket = inner.next;
        inner.next += 1;
        inner.waiting.insert(ticket, leave);
        drop(inner);
        self.grown.notify_one();
        Ticket(ticket)
    }

    /// Takes a connection out; nothing happens if it was evicted before.
    pub(super) fn leave(&self, ticket: Ticket) {
        self.lock().waiting.remove(&ticket.0);
    }

    /// Asks the connection idle for longest to go. Whether there was one.
    pub(super) fn evict_oldest(&self) -> bool {
        let oldest = self.lock().waiting.pop_first();
        if let Some((_, leave)) = &oldest {
            leave.notify_one();
        }
        oldest.is_some()
    }

    /// Returns after a connection has entered since the last return. For one waiter.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while the list is held")
    }
}
