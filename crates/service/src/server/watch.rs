//! What one connection is doing, and until when it may.
//!
//! The stream reports bytes that come in and writes that stall; the service reports requests that
//! begin and answers that end. From this follows one deadline, which the connection's task keeps.
//! hyper's own header timer is not used: it also runs between two requests, where a client may
//! rest for longer than it may take for a header.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use super::idle::{IdleList, Leave, Ticket};
use crate::config::ServerSettings;

/// Shared by the stream, the service and the task of one connection.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    idle: Arc<IdleList>,
    leave: Arc<Leave>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    header: std::time::Duration,
    idle: std::time::Duration,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Requests whose answer has not been handed over whole.
    n_requests: usize,
    /// Entry among the idle connections, while it is idle.
    ticket: Option<Ticket>,
    /// Since when the client has not read any of the pending bytes.
    stalled: Option<Instant>,
}

impl State {
    fn is_busy(&self) -> bool {
        self.n_requests > 0 || self.stalled.is_some()
    }
}

/// Each with the time at which it becomes too long.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No byte of a request yet.
    Rest(Instant),
    /// Some of a header.
    Header(Instant),
    /// A request; its body has a separate time limit, its handler none.
    Busy,
}

impl Watch {
    /// For a connection that was just accepted: it has the time of a header to send one.
    pub(super) fn new(settings: &ServerSettings, idle: Arc<IdleList>) -> Arc<Watch> {
        let limits = Limits { header: settings.header_timeout(), idle: settings.idle_timeout() };
        let leave = Arc::new(Leave::default());
        let ticket = Some(idle.enter(Arc::clone(&leave)));
        let phase = Phase::Rest(Instant::now() + limits.header);
        let state = Mutex::new(State { phase, n_requests: 0, ticket, stalled: None });
        Arc::new(Watch { limits, idle, leave, state })
    }

    /// Returns when the accept loop evicts this connection.
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
    }

    /// Whether the accept loop evicts this connection although its body is incomplete.
    pub(super) fn is_cut(&self) -> bool {
        self.leave.is_cut()
    }

    /// Marks a body as awaited until the guard is dropped; meanwhile the connection can be evicted.
    pub(super) fn receiving(self: &Arc<Watch>) -> Receiving {
        let ticket = self.idle.receive(Arc::clone(&self.leave));
        Receiving { watch: Arc::clone(self), ticket }
    }

    /// Whether a request is being served, or the end of an answer has still to be sent.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().is_busy()
    }

    /// When the connection is to be closed in its current state.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let stall = state.stalled.map(|since| since + self.limits.idle);
        let phase = match state.phase {
            Phase::Rest(until) | Phase::Header(until) => Some(until),
            Phase::Busy => None,
        };
        match (stall, phase) {
            (Some(stall), Some(phase)) => Some(stall.min(phase)),
            (stall, phase) => stall.or(phase),
        }
    }

    /// Records that bytes arrived.
    pub(super) fn on_read(&self) {
        let mut state = self.lock();
        if let Phase::Rest(_) = state.phase {
            state.phase = Phase::Header(Instant::now() + self.limits.header);
        }
    }

    /// Records that the client read bytes.
    pub(super) fn on_write(&self) {
        let mut state = self.lock();
        if state.stalled.take().is_some() {
            self.settle(&mut state);
        }
    }

    /// The client does not read at present.
    pub(super) fn on_stall(&self) {
        let mut state = self.lock();
        if state.stalled.is_none() {
            state.stalled = Some(Instant::now());
            self.settle(&mut state);
        }
    }

    /// A request begins; it lasts until the guard is dropped.
    pub(super) fn request(self: &Arc<Watch>) -> RequestGuard {
        let mut state = self.lock();
        state.phase = Phase::Busy;
        state.n_requests += 1;
        self.settle(&mut state);
        drop(state);
        RequestGuard(Arc::clone(self))
    }

    fn on_request_end(&self) {
        let mut state = self.lock();
        state.n_requests -= 1;
        if state.n_requests == 0 {
            state.phase = Phase::Rest(Instant::now() + self.limits.idle);
            self.settle(&mut state);
        }
    }

    /// Updates the entry in the idle list to match the state. The list's lock is taken under the
    /// state's, and never the other way round.
    fn settle(&self, state: &mut State) {
        if state.is_busy() {
            if let Some(ticket) = state.ticket.take() {
                self.idle.leave(ticket);
            }
        } else if state.ticket.is_none() {
            state.ticket = Some(self.idle.enter(Arc::clone(&self.leave)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the state is held")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let ticket = self.lock().ticket.take();
        if let Some(ticket) = ticket {
            self.idle.leave(ticket);
        }
    }
}

/// A body that is awaited.
#[derive(Debug)]
pub(super) struct Receiving {
    watch: Arc<Watch>,
    ticket: Ticket,
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.watch.idle.leave(self.ticket);
    }
}

/// One request, from its header to the last byte of its answer.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Watch>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.on_request_end();
    }
}
