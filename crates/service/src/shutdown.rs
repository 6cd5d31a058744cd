//! Shutdown signal for tasks.
//!
//! One [`Trigger`] is pulled by a signal, a test or a task that cannot go on; every task holds a
//! clone of [`Shutdown`] and waits on it beside its work. The phase only ever rises, so that no
//! task can miss it. Nothing here ends the process: `main` returns once its tasks are joined.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::Error;

/// Phase of the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Running.
    Running,
    /// Draining: no new work is accepted; work in flight may finish.
    Draining,
    /// Stopping: work in flight is dropped.
    Immediate,
}

/// Starts the shutdown. Dropping every clone counts as a request to drain, since no one is left to
/// make one.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<Phase>);

/// Receives the shutdown signal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

/// A trigger and the receivers of its signal.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks every task to drain. Idempotent.
    pub fn drain(&self) {
        self.raise(Phase::Draining);
    }

    /// Asks every task to stop immediately.
    pub fn stop_now(&self) {
        self.raise(Phase::Immediate);
    }

    fn raise(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let is_later = phase > *current;
            if is_later {
                *current = phase;
            }
            is_later
        });
    }
}

impl Shutdown {
    /// Current phase.
    pub fn phase(&self) -> Phase {
        let phase = *self.0.borrow();
        if self.0.has_changed().is_err() { phase.max(Phase::Draining) } else { phase }
    }

    /// Returns once a drain is requested; immediately if it already was.
    pub async fn requested(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits for `time`, or until a drain is requested if that is sooner. Returns the phase then.
    pub async fn sleep(&self, time: Duration) -> Phase {
        // Either way the phase says how it ended.
        let _ = tokio::time::timeout(time, self.requested()).await;
        self.phase()
    }

    /// Returns once everything is to be dropped; never if all triggers are gone without it.
    pub async fn immediate(&self) {
        if !self.reached(Phase::Immediate).await {
            std::future::pending().await
        }
    }

    /// Whether the phase was reached, and not merely all triggers dropped.
    async fn reached(&self, phase: Phase) -> bool {
        self.0.clone().wait_for(|current| *current >= phase).await.is_ok()
    }
}

/// Ties SIGTERM and SIGINT to the trigger: the first one drains, the second stops at once.
///
/// The task ends after the second signal, or with the runtime; abort it to stop listening.
///
/// # Errors
/// The operating system refuses to deliver signals.
pub fn on_signals(trigger: Trigger) -> Result<JoinHandle<()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    Ok(tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "shutdown requested, draining");
        trigger.drain();
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "second signal, stopping immediately");
        trigger.stop_now();
    }))
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests;
