//! The thread that a poller runs on: its start, its stop, and the notice that it has ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::{Handler, Poller};
use crate::error::QueueError;
use crate::limits::KAFKA_CLOSE_SECONDS_MAX;

/// Longest wait for the end of the thread.
const CLOSE_MAX: Duration = Duration::from_secs(KAFKA_CLOSE_SECONDS_MAX);

/// Whether a poller and what belongs to it are to end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The thread of a poller, which is stopped when this is dropped. It is never joined: a client that
/// cannot leave its group must not keep the process from ending.
pub(crate) struct PollerThread {
    name: &'static str,
    stop: Stop,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl PollerThread {
    /// Starts the thread. `fatal` turns true if it ends without being stopped.
    ///
    /// # Errors
    /// [`QueueError::Io`] if there can be no more threads.
    pub(crate) fn start<H: Handler>(
        name: &'static str,
        poller: Poller<H>,
        stop: Stop,
        fatal: watch::Sender<bool>,
    ) -> Result<PollerThread, QueueError> {
        let (ending, ended) = oneshot::channel();
        let at_end = AtEnd { name, stop: stop.clone(), fatal, _ending: ending };
        let run = move || {
            let at_end = at_end;
            poller.run(&at_end.stop);
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        spawned.map_err(|source| QueueError::io("start the thread for", name, source))?;
        Ok(PollerThread { name, stop, ended: Mutex::new(Some(ended)) })
    }

    /// Stops the thread and waits for its end within a bound, at the first call.
    pub(crate) async fn close(&self) {
        self.stop.set();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ended) = ended else { return };
        if tokio::time::timeout(CLOSE_MAX, ended).await.is_err() {
            let thread = self.name;
            tracing::warn!(thread, "consumer did not leave in time, the group will notice");
        }
    }
}

impl Drop for PollerThread {
    fn drop(&mut self) {
        self.stop.set();
    }
}

/// Reports the end of the thread, also by a panic. A thread that ends without being stopped has
/// failed, and the process must exit.
struct AtEnd {
    name: &'static str,
    stop: Stop,
    fatal: watch::Sender<bool>,
    /// Its receiver notices when this is dropped.
    _ending: oneshot::Sender<()>,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        if !self.stop.is_set() {
            let thread = self.name;
            tracing::error!(thread, "the consumer's thread ended, the process must exit");
            self.fatal.send_replace(true);
        }
    }
}
