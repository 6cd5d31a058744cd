//! `gatemeter ingest`: takes events in over HTTP and appends them to the log on Kafka.
//!
//! Several run side by side without knowing of each other: labels are registered through the
//! ledger, and copies that came in through two of them meet in one partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::Wall;
use ingest::RawWay;
use service::config::Settings;
use service::health::Reason;
use service::metrics::ProcessMetrics;
use service::opening::Opening;
use service::server::Server;
use service::shutdown::Shutdown;
use store::Store;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::{Start, make, watch};
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
    let server = Server::bind("ingest", settings.ingest.listen).await?;
    let opening = Opening::default();
    let serving = server.serve(opening.router(), &settings.server, shutdown.clone());
    tokio::pin!(serving);
    let making = async {
        let store = Arc::new(services::ledger(&settings, &opening).await?);
        let queue = Arc::new(services::log_to_write(&settings, &opening).await?);
        let generation = services::generation(&settings, &store, &opening).await?;
        let access = access(Guarded::Ingest, &settings.data.dir, dev, &store).await?;
        Ok((store, queue, generation, access))
    };
    let Some((store, queue, generation, access)) =
        make(making, serving.as_mut(), &shutdown).await?
    else {
        return Ok(());
    };
    let pressure = Arc::new(AtomicBool::new(false));
    let (log, raw) = (Reason::default(), Reason::default());
    let brokers = settings.kafka.brokers.clone();
    let watching = [
        tokio::spawn(follow(Arc::clone(&store), Arc::clone(&pressure), shutdown.clone())),
        tokio::spawn(watch::log(Arc::clone(&queue), brokers, log.clone(), shutdown.clone())),
    ];
    let metrics = Arc::new(ProcessMetrics::new("ingest", env!("CARGO_PKG_VERSION"))?);
    let parts = ingest::Parts {
        queue: Arc::clone(&queue),
        store: Arc::clone(&store),
        generation,
        access,
        pressure,
        settings: settings.ingest.clone(),
        faults: vec![log, raw.clone()],
    };
    let ingest = ingest::start(parts, metrics).await?;
    let mut fatal = queue.fatal();
    opening.open(ingest.router());
    let mut reading = Reading::begin(&settings, ingest.raw(), raw, shutdown);
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
        warn!("raw messages in flight were abandoned, they will be read again");
    }
    // Its router holds the way into the log open.
    drop(opening);
    if tokio::time::timeout(DRAIN, ingest.drained()).await.is_err() {
        warn!("requests that were cut off were abandoned");
    }
    watching.iter().for_each(JoinHandle::abort);
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
    /// Begins once the topics can be read, and says until then why they cannot: what comes over
    /// HTTP does not wait for them.
    fn begin(settings: &Settings, raw: RawWay, reason: Reason, shutdown: Shutdown) -> Reading {
        let topics = settings.kafka.raw_topics.0.clone();
        if topics.is_empty() {
            return Reading { task: None };
        }
        let settings = settings.clone();
        let read = async move {
            let opened = tokio::select! {
                opened = services::raw_topics(&settings, &topics, &reason) => opened,
                () = shutdown.requested() => return true,
            };
            let reader = match opened {
                Ok(reader) => reader,
                Err(error) => {
                    error!(error = &*error as &dyn std::error::Error, "raw topics");
                    return false;
                }
            };
            let letters_per_hour = settings.aggregator.dead_letter_rows_per_hour;
            let group = settings.kafka.raw_group.clone();
            let parts = ingest::RawParts { reader, group, topics, letters_per_hour };
            raw.read(parts, shutdown).await
        };
        Reading { task: Some(tokio::spawn(read)) }
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
async fn follow(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    loop {
        if let Ok(is_under_pressure) = store.under_pressure(Wall::now()).await {
            pressure.store(is_under_pressure, Ordering::Relaxed);
        }
        tokio::select! {
            () = tokio::time::sleep(PRESSURE_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}
