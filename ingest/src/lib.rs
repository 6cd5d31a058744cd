//! Takes events in over HTTP, and from raw topics, and answers when they are durable.
//!
//! A body is unpacked (`encoding`) and parsed (`event::native`), its labels are settled against
//! their budgets (`label`), its events are stamped into columns (`stamp`), gathered with those of
//! other requests and appended to the log (`gather`); `intake` is that way as a whole. `http`
//! answers a client, `raw` moves the offset of a topic: before that nothing is promised, and after
//! it the meaning of an event never changes. Prompt text ends here: `estimate` counts its tokens
//! where no usage was reported, and it goes with the body.

mod metrics;
mod encoding;
mod label;
mod estimate;
mod gateways;
mod stamp;
mod gather;
mod raw_account;
mod intake;
mod answer;
mod body;
mod letters;
mod http;
mod raw;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use service::metrics::ProcessMetrics;
use service::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tracing::error;

pub use intake::{IngestError, Parts};
pub use letters::{LetterAddress, REPLAY_LETTERS_MAX, RejectedLetter, ReplayRequest, ReplayResult};
pub use raw::RawParts;

use intake::{Intake, Refusals};
use metrics::IngestMetrics;
use raw::RawDoor;
use raw_account::RawState;

/// A running ingest.
#[derive(Debug)]
pub struct Ingest {
    raw: RawWay,
    router: Router,
    gatherers: Vec<JoinHandle<()>>,
}

/// Starts the gatherers. Serving the router is the caller's.
///
/// # Errors
/// If the labels cannot be read or a metric cannot be registered.
pub async fn start(parts: Parts, process: Arc<ProcessMetrics>) -> Result<Ingest, IngestError> {
    let metrics = IngestMetrics::new(&process)?;
    let (refusals, state) = (Arc::<Refusals>::default(), RawState::default());
    let started = Intake::start(parts.clone(), metrics.clone(), Arc::clone(&refusals)).await;
    let (intake, gatherers) = started?;
    let router = http::router(
        intake.clone(),
        &parts,
        metrics.clone(),
        Arc::clone(&refusals),
        state.clone(),
        process,
    );
    let raw = RawWay { door: RawDoor { intake, store: parts.store, metrics, refusals }, state };
    Ok(Ingest { raw, router, gatherers })
}

/// The way of messages of raw topics into the log.
#[derive(Clone, Debug)]
pub struct RawWay {
    door: RawDoor,
    state: RawState,
}

impl RawWay {
    /// Reads raw topics until the shutdown. Ends by itself only with false, when they cannot be
    /// read any more: then the process must exit.
    pub async fn read(self, parts: RawParts, shutdown: Shutdown) -> bool {
        self.state.set(parts.reader.watch(), parts.topics.clone());
        raw::run(self.door, parts, shutdown).await
    }
}

impl Ingest {
    /// The routes of ingest's port.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The way of messages of raw topics into the log.
    pub fn raw(&self) -> RawWay {
        self.raw.clone()
    }

    /// Waits until everything that was handed over is appended. The router and its clones, and
    /// readers of raw topics, must be gone by then: they could hand over more.
    pub async fn drained(self) {
        drop((self.router, self.raw));
        for gatherer in self.gatherers {
            if let Err(error) = gatherer.await {
                error!(%error, "gatherer panicked");
            }
        }
    }
}
