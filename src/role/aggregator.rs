//! `gatemeter aggregator`: counts the log on Kafka into the ledger and exposes the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator::Aggregator;
use clock::Wall;
use service::answer::with_fallbacks;
use service::health::{Readiness, Reason, routes};
use service::metrics::ProcessMetrics;
use service::opening::Opening;
use service::server::Server;
use service::shutdown::{Shutdown, channel};
use service::token_count;
use store::Store;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::{Start, make, watch};
use crate::keys::{Guarded, access};
use crate::live;
use crate::services;

/// How long workers may take to end after a failure; they give their last commit up sooner.
const STOP_MAX: Duration = Duration::from_secs(2);
/// How often memory pressure of the dedup set is published.
const PRESSURE_EVERY: Duration = Duration::from_secs(1);

/// Runs until a signal or a failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop.
pub async fn run(start: Start) -> anyhow::Result<()> {
    let Start { settings, dev, trigger, shutdown } = start;
    let server = Server::bind("aggregator", settings.aggregator.listen).await?;
    let opening = Opening::default();
    let serving = server.serve(opening.router(), &settings.server, shutdown.clone());
    tokio::pin!(serving);
    let making = async {
        let store = Arc::new(services::ledger(&settings, &opening).await?);
        let access = access(Guarded::Admin, &settings.data.dir, dev, &store).await?;
        let queue = Arc::new(services::log_to_count(&settings, &opening).await?);
        let generation = services::generation(&settings, &store, &opening).await?;
        Ok((store, access, queue, generation))
    };
    let Some((store, access, queue, generation)) =
        make(making, serving.as_mut(), &shutdown).await?
    else {
        return Ok(());
    };
    let pressure = Arc::new(AtomicBool::new(false));
    let telling = tokio::spawn(tell(Arc::clone(&store), Arc::clone(&pressure), shutdown.clone()));
    let metrics = Arc::new(ProcessMetrics::new("aggregator", env!("CARGO_PKG_VERSION"))?);
    let parts = aggregator::Parts {
        queue: Arc::clone(&queue),
        store: Arc::clone(&store),
        generation,
        pressure,
        access: access.clone(),
        is_shared: true,
    };
    // It commits what it has read after the listener is closed.
    let (aggregator_trigger, aggregator_shutdown) = channel();
    let mut aggregator = aggregator::start(&settings, parts, metrics, aggregator_shutdown).await?;
    let cache = services::cache(&settings)?;
    let sharing = tokio::spawn(live::publish(cache, aggregator.live(), shutdown.clone()));
    let router = aggregator.router().merge(token_count::routes(&access));
    let faults = [Reason::default(), Reason::default()];
    let [ledger, log] = faults.clone();
    let brokers = settings.kafka.brokers.clone();
    let watching = [
        tokio::spawn(watch::ledger(Arc::clone(&store), ledger, shutdown.clone())),
        tokio::spawn(watch::log(Arc::clone(&queue), brokers, log, shutdown.clone())),
        telling,
        sharing,
    ];
    opening.open(with_fallbacks(router.merge(routes(readiness(&aggregator, faults)))));
    let mut fatal = queue.fatal();
    let failed = tokio::select! {
        _ = &mut serving => None,
        Ok(_) = fatal.wait_for(|is_fatal| *is_fatal) => {
            Some(anyhow::anyhow!("the log failed and cannot be trusted"))
        }
        ended = aggregator.ended() => {
            let ended = ended.err().map(anyhow::Error::from);
            Some(ended.unwrap_or_else(|| anyhow::anyhow!("the aggregator ended by itself")))
        }
    };
    if let Some(error) = failed {
        error!(error = &*error as &dyn std::error::Error, "counting failed, the process ends");
        trigger.stop_now();
        serving.await;
        aggregator_trigger.drain();
        stop(&mut aggregator).await;
        return Err(error);
    }
    aggregator_trigger.drain();
    aggregator.ended().await?;
    watching.iter().for_each(JoinHandle::abort);
    queue.close().await;
    store.close().await;
    Ok(())
}

/// What the aggregator says of itself, and what is seen from aside.
fn readiness(
    aggregator: &Aggregator,
    faults: [Reason; 2],
) -> impl Fn() -> Readiness + Clone + Send + Sync + use<> {
    let counting = aggregator.readiness();
    move || {
        let mut reasons: Vec<String> = faults.iter().filter_map(Reason::get).collect();
        if let Readiness::NotReady(more) = counting() {
            reasons.extend(more);
        }
        Readiness::from_reasons(reasons)
    }
}

/// Waits for the workers: threads of ours must not outlive the runtime that they wait on.
async fn stop(aggregator: &mut aggregator::Aggregator) {
    if tokio::time::timeout(STOP_MAX, aggregator.stopped()).await.is_err() {
        warn!("the workers did not stop in time");
    }
}

/// Tells every ingest, through the ledger, while there is no memory left for recognising copies.
async fn tell(store: Arc<Store>, pressure: Arc<AtomicBool>, shutdown: Shutdown) {
    loop {
        if pressure.load(Ordering::Relaxed)
            && let Err(error) = store.put_pressure(Wall::now()).await
        {
            warn!(%error, "memory pressure could not be stored");
        }
        tokio::select! {
            () = tokio::time::sleep(PRESSURE_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}
