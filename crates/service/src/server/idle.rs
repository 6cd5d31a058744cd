//! The connections that can be evicted: those without a request, in the order in which they became
//! idle, and those that have been receiving a body for a while.
//!
//! A connection enters when it is accepted and after each answer, and leaves when a request begins;
//! it enters again while its body is awaited. The accept loop evicts the oldest when it needs room,
//! idle ones first. The list holds handles only and closes nothing itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a body may be awaited before its connection can be evicted. Every body sent at a normal
/// rate has arrived by then; a deliberately slow client must not shut out others.
const RECEIVING_GRACE: Duration = Duration::from_secs(3);

/// List of connections that can be evicted.
#[derive(Debug, Default)]
pub(super) struct IdleList {
    inner: Mutex<Inner>,
    grown: Notify,
}

/// An entry in the list, valid until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Signal that asks a connection to close.
#[derive(Debug, Default)]
pub(super) struct Leave {
    notify: Notify,
    is_cut: AtomicBool,
}

impl Leave {
    /// Returns when the connection is asked to close.
    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }

    /// Whether it is to close in the middle of a body.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: BTreeMap<u64, Arc<Leave>>,
    /// With the time from which on each may be evicted.
    receiving: BTreeMap<u64, (Instant, Arc<Leave>)>,
}

impl Inner {
    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl IdleList {
    /// Adds an idle connection as the youngest; `leave` is notified if it is evicted.
    pub(super) fn enter(&self, leave: Arc<Leave>) -> Ticket {
        let mut inner = self.lock();
        let ticket = inner.ticket();
        inner.waiting.insert(ticket, leave);
        drop(inner);
        self.grown.notify_one();
        Ticket(ticket)
    }

    /// Adds a connection whose body is waited for.
    pub(super) fn receive(&self, leave: Arc<Leave>) -> Ticket {
        let mut inner = self.lock();
        let ticket = inner.ticket();
        inner.receiving.insert(ticket, (Instant::now() + RECEIVING_GRACE, leave));
        drop(inner);
        self.grown.notify_one();
        Ticket(ticket)
    }

    /// Removes a connection, unless it was evicted.
    pub(super) fn leave(&self, ticket: Ticket) {
        let mut inner = self.lock();
        inner.waiting.remove(&ticket.0);
        inner.receiving.remove(&ticket.0);
    }

    /// Evicts the connection that has been idle for longest, or else the one that has been
    /// receiving its body for longest, once that is long enough. Returns whether there was one.
    pub(super) fn evict_oldest(&self) -> bool {
        let mut inner = self.lock();
        if let Some((_, leave)) = inner.waiting.pop_first() {
            leave.notify.notify_one();
            return true;
        }
        let now = Instant::now();
        let Some(oldest) = inner.receiving.first_entry().filter(|entry| entry.get().0 <= now)
        else {
            return false;
        };
        let (_, leave) = oldest.remove();
        leave.is_cut.store(true, Ordering::Release);
        leave.notify.notify_one();
        true
    }

    /// Returns when `evict_oldest` may find one that it did not find before. For one waiter.
    pub(super) async fn grown(&self) {
        let due = self.lock().receiving.first_key_value().map(|(_, (due, _))| *due);
        tokio::select! {
            () = self.grown.notified() => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while the list is held")
    }
}
