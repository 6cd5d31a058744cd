//! `gatemeter ingest`: takes events in over HTTP and appends them to the log on Kafka.
//!
//! Several run side by side without knowing of each other: labels are registered through the
//! ledger, and copies that came in through two of them meet in one partition.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ingest::RawWay;
use service::config::Settings;
use service::health::Reason;
use service::opening::Opening;
use service::server::Drain;
use service::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, warn};

use super::follow::Listing;
use super::{follow, open, watch};
use crate::compose::{self, DRAIN_MAX, Sharing, Storage};
use crate::keys::{Guarded, access};
use crate::process::{Process, Role};
use crate::services;

/// Runs until a signal or a failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop.
pub async fn run(
    process: &Process,
    opening: Opening,
    mut serving: Pin<&mut impl Future<Output = Drain>>,
) -> anyhow::Result<()> {
    let Process { settings, dev, trigger, shutdown } = process;
    let opened = async {
        let store = Arc::new(services::ledger(settings, &opening).await?);
        let queue = Arc::new(services::log_to_write(settings, &opening).await?);
        let generation = services::generation(settings, &store, &opening).await?;
        let access = services::patiently(&opening, async || {
            access(Guarded::Ingest, &settings.data.dir, *dev, &store).await
        });
        let access = access.await?;
        let version = async || Ok(store.frame_version().await?);
        let version = services::patiently(&opening, version).await?;
        let storage = Storage::new(queue, store, generation, Sharing::Shared);
        storage.frame_version.store(version, Ordering::Relaxed);
        Ok((storage, access))
    };
    let Some((storage, access)) = open(opened, serving.as_mut(), shutdown).await? else {
        return Ok(());
    };
    let (log, raw) = (Reason::default(), Reason::default());
    let faults = vec![log.clone(), raw.clone()];
    let (queue, store) = (&storage.queue, &storage.store);
    let (brokers, pressure) = (settings.kafka.brokers.clone(), Arc::clone(&storage.pressure));
    let frame_version = Arc::clone(&storage.frame_version);
    let row = compose::this_process(Role::Ingest, settings)?;
    let listing = Listing::start(store, row, shutdown.clone());
    let tasks = [
        tokio::spawn(follow::pressure(Arc::clone(store), pressure, shutdown.clone())),
        tokio::spawn(follow::frame_version(Arc::clone(store), frame_version, shutdown.clone())),
        tokio::spawn(watch::log(Arc::clone(queue), brokers, log, shutdown.clone())),
    ];
    let ingest = compose::ingest(settings, &storage, access, faults).await?;
    opening.open(ingest.router());
    let mut reading = Reading::start(settings, ingest.raw(), raw, shutdown.clone());
    let failed = tokio::select! {
        _ = &mut serving => None,
        error = storage.failed() => Some(error),
        () = reading.failed() => Some(anyhow::anyhow!("raw topics cannot be read any more")),
    };
    if let Some(error) = failed {
        error!(reason = %error, "the process ends");
        trigger.stop_now();
        serving.await;
        listing.ended().await;
        return Err(error);
    }
    if timeout(DRAIN_MAX, reading.ended()).await.is_err() {
        warn!("raw messages in flight were abandoned, they will be read again");
    }
    // Its router keeps the intake open.
    drop(opening);
    compose::drain(ingest).await;
    listing.ended().await;
    tasks.iter().for_each(JoinHandle::abort);
    storage.close().await;
    Ok(())
}

/// The reading of raw topics, if there are any.
struct Reading {
    /// `None` once it has ended.
    task: Option<JoinHandle<bool>>,
}

impl Reading {
    /// Reads as soon as the topics can be opened; until then `reason` is why they cannot. Events
    /// over HTTP do not wait for that.
    fn start(settings: &Settings, raw: RawWay, reason: Reason, shutdown: Shutdown) -> Reading {
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

    /// Returns if it fails; never if it ends with the shutdown, or there are no topics.
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

    /// Waits until it has ended.
    async fn ended(&mut self) {
        if let Some(task) = &mut self.task {
            // The process ends either way.
            let _ = task.await;
            self.task = None;
        }
    }
}
