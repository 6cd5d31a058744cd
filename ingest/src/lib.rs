//! Accepts events over HTTP and from raw topics, and acknowledges them once they are durable.
//!
//! A body is decompressed (`encoding`) and parsed (`event::native`), its labels are checked against
//! their budgets (`label`), its events are stamped into columns (`stamp`), merged with those of
//! other requests and appended to the log (`gather`). `intake` runs these steps for both sources;
//! then `http` answers the client, or `raw` commits the offset of the topic. Nothing is promised
//! before that point, and the meaning of an event never changes after it. Prompt text never leaves
//! this crate: `estimate` counts its tokens if no usage was reported, and it is dropped with the
//! body.

mod metrics;
mod encoding;
mod names;
mod parsed;
mod settle;
mod label;
mod estimate;
mod gateways;
mod producers;
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
pub use letters::Letters;
pub use raw::RawParts;

use intake::{Intake, Refusals};
use metrics::IngestMetrics;
use raw::RawDeps;
use raw_account::RawHealth;

/// A running ingest.
#[derive(Debug)]
pub struct Ingest {
    raw: RawWay,
    letters: Letters,
    router: Router,
    gatherers: Vec<JoinHandle<()>>,
}

/// Starts the gatherer tasks. The caller serves the router.
///
/// # Errors
/// If the labels cannot be read or a metric cannot be registered.
pub async fn start(parts: Parts, process: Arc<ProcessMetrics>) -> Result<Ingest, IngestError> {
    let metrics = IngestMetrics::new(&process)?;
    let (refusals, health) = (Arc::<Refusals>::default(), RawHealth::default());
    let started = Intake::start(parts.clone(), metrics.clone(), Arc::clone(&refusals)).await;
    let (intake, gatherers) = started?;
    let letters = Letters {
        intake: intake.clone(),
        store: Arc::clone(&parts.store),
        generation: parts.queue.generation(),
    };
    let router = http::router(
        intake.clone(),
        &parts,
        metrics.clone(),
        Arc::clone(&refusals),
        health.clone(),
        letters.clone(),
        process,
    );
    let raw = RawWay { deps: RawDeps { intake, store: parts.store, metrics, refusals }, health };
    Ok(Ingest { raw, letters, router, gatherers })
}

/// Consumes raw topics on behalf of an ingest.
#[derive(Clone, Debug)]
pub struct RawWay {
    deps: RawDeps,
    health: RawHealth,
}

impl RawWay {
    /// Consumes raw topics until shutdown. Returns false if they can no longer be read: the process
    /// must then exit.
    pub async fn read(self, parts: RawParts, shutdown: Shutdown) -> bool {
        self.health.set(parts.reader.watch(), parts.topics.clone());
        raw::run(self.deps, parts, shutdown).await
    }
}

impl Ingest {
    /// The routes of ingest's port.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The consumer of raw topics, not yet reading.
    pub fn raw(&self) -> RawWay {
        self.raw.clone()
    }

    /// Sends dead letters again.
    pub fn letters(&self) -> Letters {
        self.letters.clone()
    }

    /// Waits until every event in flight is appended. All clones of the router, all consumers of
    /// raw topics and all that send letters again must be dropped before, as they could submit
    /// more.
    pub async fn drained(self) {
        drop((self.router, self.raw, self.letters));
        for gatherer in self.gatherers {
            if let Err(error) = gatherer.await {
                error!(%error, "gatherer panicked");
            }
        }
    }
}
