//! `gatemeter aggregator`: counts the log on Kafka into the ledger and exposes the metrics.

use std::pin::Pin;
use std::sync::Arc;

use service::health::Reason;
use service::opening::Opening;
use service::server::Drain;
use tokio::task::JoinHandle;
use tracing::error;

use super::{follow, open, watch};
use crate::compose::{self, Sharing, Storage};
use crate::keys::{Guarded, access};
use crate::process::Process;
use crate::{live, services};

/// Runs until a signal or a failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop.
pub async fn run(
    process: &Process,
    opening: &Opening,
    mut serving: Pin<&mut impl Future<Output = Drain>>,
) -> anyhow::Result<()> {
    let Process { settings, dev, trigger, shutdown } = process;
    let opened = async {
        let store = Arc::new(services::ledger(settings, opening).await?);
        let access = services::patiently(opening, async || {
            access(Guarded::Admin, &settings.data.dir, *dev, &store).await
        });
        let access = access.await?;
        let queue = Arc::new(services::log_to_count(settings, opening).await?);
        let generation = services::generation(settings, &store, opening).await?;
        Ok((Storage::new(queue, store, generation, Sharing::Shared), access))
    };
    let Some((storage, access)) = open(opened, serving.as_mut(), shutdown).await? else {
        return Ok(());
    };
    let (ledger, log) = (Reason::default(), Reason::default());
    let faults = vec![ledger.clone(), log.clone()];
    let mut counting = compose::aggregator(settings, &storage, &access, faults).await?;
    let cache = services::cache(settings)?;
    let (queue, store) = (&storage.queue, &storage.store);
    let (brokers, pressure) = (settings.kafka.brokers.clone(), Arc::clone(&storage.pressure));
    let tasks = [
        tokio::spawn(watch::ledger(Arc::clone(store), ledger, shutdown.clone())),
        tokio::spawn(watch::log(Arc::clone(queue), brokers, log, shutdown.clone())),
        tokio::spawn(follow::publish_pressure(Arc::clone(store), pressure, shutdown.clone())),
        tokio::spawn(live::publish(cache, counting.live(), shutdown.clone())),
    ];
    opening.open(counting.router());
    let failed = tokio::select! {
        _ = &mut serving => None,
        error = storage.failed() => Some(error),
        error = counting.failed() => Some(error),
    };
    if let Some(error) = failed {
        error!(error = &*error as &dyn std::error::Error, "counting failed, the process ends");
        trigger.stop_now();
        serving.await;
        counting.stop().await;
        return Err(error);
    }
    counting.drain().await?;
    tasks.iter().for_each(JoinHandle::abort);
    storage.close().await;
    Ok(())
}
