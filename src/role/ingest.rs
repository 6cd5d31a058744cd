//! `gatemeter ingest`: takes events in over HTTP and appends them to the log on Kafka.
//!
//! Several run side by side without knowing of each other: labels are registered through the
//! ledger, and copies that came in through two of them meet in one partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service::config::Settings;
use service::metrics::ProcessMetrics;
use service::server::Server;
use service::shutdown::Shutdown;
use store::Store;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::{Start, now_us};
use crate::keys::{Guarded, access};
use crate::services;

/// How long the last appends may take once the listener is closed.
const DRAIN: Duration = Duration::from_secs(1);
/// How often it is asked whether an aggregator is out of memory.
const PRESSURE_EVERY: Duration = Duration::from_secs(1);

/// Runs until a signal or a failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop.
pub async fn run(start: Start) -> anyhow::Result<()> {
    let Start { settings, dev, trigger, shutdown } = start;
    let store = Arc::new(services::ledger(&settings, &shutdown).await?);
    let queue = Arc::new(services::log_to_write(&settings, &shutdown).await?);
    let generation = services::generation(&settings, &store).await?;
    let access = access(Guarded::Ingest, &settings.data.dir, dev, &store).await?;
    let server = Server::bind("ingest", settings.ingest.listen).await?;
    let pressure = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(Arc::clone(&store), Arc::clone(&pressure), shutdown.clone()));
    let metrics = Arc::new(ProcessMetrics::new("ingest", env!("CARGO_PKG_VERSION"))?);
    let parts = ingest::Parts {
        queue: Arc::clone(&queue),
        store: Arc::clone(&store),
        generation,
        access,
        pressure,
        settings: settings.ingest.clone(),
    };
    let ingest = ingest::start(parts, metrics).await?;
    let mut fatal = queue.fatal();
    let mut reading = Reading::begin(&settings, &ingest, shutdown.clone()).await?;
    let serving = server.serve(ingest.router(), &settings.server, shutdown);
    tokio::pin!(serving);
    let failed = tokio::select! {
        _ = &mut serving => None,
        Ok(_) = fatal.wait_for(|is_fatal| *is_fatal) => {
            Some("the log failed and cannot be trusted")
        }
        () = reading.failed() => Some("raw topics cannot be read any more"),
    };
    if let Some(reason) = failed {
        error!(reason, "the process ends");
        trigger.stop_now();
        serving.await;
        anyhow::bail!(reason);
    }
    if tokio::time::timeout(DRAIN, reading.ended()).await.is_err() {
        warn!("raw messages under way are not waited for any longer, they come again");
    }
    if tokio::time::timeout(DRAIN, ingest.drained()).await.is_err() {
        warn!("requests that were cut off are not waited for any longer");
    }
    watching.abort();
    queue.close().await;
    store.close().await;
    Ok(())
}

/// The reading of raw topics, if there are any.
struct Reading {
    /// Nothing once it has ended.
    task: Option<JoinHandle<bool>>,
}

impl Reading {
    async fn begin(
        settings: &Settings,
        ingest: &ingest::Ingest,
        shutdown: Shutdown,
    ) -> anyhow::Result<Reading> {
        let topics = settings.kafka.raw_topics.0.clone();
        if topics.is_empty() {
            return Ok(Reading { task: None });
        }
        let reader = services::raw_topics(settings, &topics, &shutdown).await?;
        let letters_per_hour = settings.aggregator.dead_letter_rows_per_hour;
        let parts = ingest::RawParts { reader, topics, letters_per_hour };
        Ok(Reading { task: Some(ingest.read_raw(parts, shutdown)) })
    }

    /// Returns when it has failed; never if it ends as it should, or there is none.
    async fn failed(&mut self) {
        if let Some(task) = &mut self.task {
            let ended = task.await;
            self.task = None;
            if !matches!(ended, Ok(true)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Waits for its end.
    async fn ended(&mut self) {
        if let Some(task) = &mut self.task {
            // How it ended does not matter any more.
            let _ = task.await;
            self.task = None;
        }
    }
}

/// Follows whether some aggregator is out of memory for recognising copies. A ledger that does not
/// answer changes nothing: what was known holds on.
async fn watch(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    loop {
        if let Ok(is_under_pressure) = store.under_pressure(now_us()).await {
            pressure.store(is_under_pressure, Ordering::Relaxed);
        }
        tokio::select! {
            () = tokio::time::sleep(PRESSURE_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}
