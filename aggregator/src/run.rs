//! Starts the aggregator: a publisher that takes over, a worker per partition, the committer,
//! retention and the port; and stops them in an order that loses nothing.
//!
//! Workers run on threads of their own, since counting a batch takes longer than an async thread
//! may be held. The role never imports ingest or api; `Aggregator` has what they need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use clock::Wall;
use queue::{Queue, QueueError};
use service::auth::Access;
use service::chain;
use service::config::Settings;
use service::health::Readiness;
use service::metrics::ProcessMetrics;
use service::shutdown::{Phase, Shutdown};
use service::status::{Lag, Live};
use store::{Generation, Keep, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, warn};

use crate::accept;
use crate::budget::Budget;
use crate::committer::CommitLoop;
use crate::confirm::Confirmer;
use crate::frames;
use crate::http::{HttpState, router};
use crate::metrics::Gauges;
use crate::publisher::{Publisher, Start};
use crate::retention;
use crate::worker::{FINISH_MAX, Worker, WorkerError, WorkerParts};

/// Interval at which namespaces, connections and held series are updated.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Interval at which the lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How long a gateway's report of open connections is shown, microseconds.
const CONNECTIONS_TTL_US: i64 = 60 * 1_000_000;
const DAY_US: i64 = 24 * 3_600 * 1_000_000;
const HOUR_US: i64 = 3_600 * 1_000_000;

/// Dependencies of the aggregator.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log that is counted.
    pub queue: Arc<Queue>,
    /// The ledger that the counts are committed to.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Set while the dedup set is at its budget.
    pub pressure: Arc<AtomicBool>,
    /// Access to the partitions and to accepting losses.
    pub access: Access,
    /// Whether other processes can reach the ledger. Each page is then confirmed with it first, and
    /// none is served while it does not answer.
    pub is_shared: bool,
}

/// Why the aggregator could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    /// The ledger failed.
    #[error("ledger failed")]
    Store(#[from] StoreError),
    /// The log failed.
    #[error("log failed")]
    Queue(#[from] QueueError),
    /// A worker failed.
    #[error(transparent)]
    Failed(#[from] WorkerError),
    /// A metric could not be registered.
    #[error("process metrics failed")]
    Metrics(#[from] service::Error),
    /// The ledger was restored to an earlier state under a running process.
    #[error("ledger was restored to an earlier state, restart to count from there")]
    Restored,
    /// The random number generator failed.
    #[error("no random numbers for the ids of commits: {0}")]
    Random(getrandom::Error),
    /// A worker or the committer panicked.
    #[error("worker or committer ended unexpectedly")]
    Panicked,
}

/// A running aggregator.
#[derive(Debug)]
pub struct Aggregator {
    publisher: Arc<Publisher>,
    gauges: Arc<Gauges>,
    queue: Arc<Queue>,
    store: Arc<Store>,
    router: Router,
    tasks: Tasks,
    helpers: Vec<JoinHandle<()>>,
    restored: watch::Receiver<bool>,
}

/// What the dedup sets of all partitions may hold together.
fn budget(settings: &Settings, parts: &Parts) -> Arc<Budget> {
    let (n_partitions, pressure) = (parts.generation.partitions, Arc::clone(&parts.pressure));
    Arc::new(Budget::new(settings.aggregator.dedup_bytes_max, n_partitions, pressure))
}

/// How long rows of the ledger are kept.
fn keep(settings: &Settings) -> Keep {
    let options = &settings.aggregator;
    Keep {
        minute_us: i64::from(options.minute_hours) * HOUR_US,
        quarter_us: i64::from(options.quarter_days) * DAY_US,
        consumer_us: i64::from(options.consumer_days) * DAY_US,
        journal_us: i64::from(options.journal_days) * DAY_US,
        letter_us: i64::from(options.dead_letter_days) * DAY_US,
    }
}

/// The workers and the committer.
type Tasks = JoinSet<Result<(), AggregatorError>>;

/// Starts the committer and a worker for each partition. The committer ends when the last worker
/// has.
fn spawn(
    commit_loop: CommitLoop,
    parts: WorkerParts,
    requests: Vec<accept::Requests>,
    shutdown: &Shutdown,
) -> Tasks {
    let mut tasks = JoinSet::new();
    let handle = Handle::current();
    tasks.spawn_blocking({
        let handle = handle.clone();
        move || Ok(handle.block_on(commit_loop.run())?)
    });
    for (partition, requests) in (0..parts.generation.partitions).zip(requests) {
        let worker = Worker::new(parts.clone(), partition, requests, shutdown.clone());
        let handle = handle.clone();
        tasks.spawn_blocking(move || Ok(handle.block_on(worker.run())?));
    }
    tasks
}

/// Takes over and begins to count. Serving the router is the caller's.
///
/// # Errors
/// If the ledger or the log cannot be read.
pub async fn start(
    settings: &Settings,
    parts: Parts,
    metrics: Arc<ProcessMetrics>,
    shutdown: Shutdown,
) -> Result<Aggregator, AggregatorError> {
    let publisher = Arc::new(Publisher::default());
    let gauges = Gauges::new(&metrics)?;
    take_over(&parts, &publisher, &gauges).await?;
    let options = &settings.aggregator;
    let (commit_loop, commits) = CommitLoop::new(
        Arc::clone(&parts.store),
        Arc::clone(&publisher),
        shutdown.clone(),
        FINISH_MAX,
    )
    .map_err(AggregatorError::Random)?;
    let worker_parts = WorkerParts {
        queue: Arc::clone(&parts.queue),
        store: Arc::clone(&parts.store),
        generation: parts.generation.clone(),
        commits,
        publisher: Arc::clone(&publisher),
        gauges: Arc::clone(&gauges),
        budget: budget(settings, &parts),
        commit_interval: Duration::from_millis(options.commit_interval_ms),
        letter_rows_per_hour: i64::try_from(options.dead_letter_rows_per_hour).unwrap_or(i64::MAX),
    };
    let (requesters, requests): (Vec<_>, Vec<_>) =
        (0..parts.generation.partitions).map(|_| accept::requests()).unzip();
    let tasks = spawn(commit_loop, worker_parts, requests, &shutdown);
    let (restored_sender, restored) = watch::channel(false);
    let following = follow(parts.clone(), Arc::clone(&publisher), shutdown.clone());
    let helpers = vec![
        tokio::spawn(async move {
            if let Err(error) = following.await {
                // `wait` reports it; without a waiter the process is ending anyway.
                error!(%error, "metrics page is closed until the process restarts");
                let _ = restored_sender.send(true);
            }
        }),
        tokio::spawn(watch_lag(Arc::clone(&gauges), Arc::clone(&parts.queue), shutdown.clone())),
        tokio::spawn(retention::run(
            Arc::clone(&parts.queue),
            Arc::clone(&parts.store),
            Arc::clone(&gauges),
            keep(settings),
            shutdown,
        )),
    ];
    let state = HttpState {
        publisher: Arc::clone(&publisher),
        confirmer: Arc::new(Confirmer::new(parts.is_shared.then(|| Arc::clone(&parts.store)))),
        metrics,
        gauges: Arc::clone(&gauges),
        queue: Arc::clone(&parts.queue),
        store: Arc::clone(&parts.store),
    };
    let accept_state = accept::AcceptState {
        gauges: Arc::clone(&gauges),
        queue: Arc::clone(&parts.queue),
        workers: Arc::new(requesters),
    };
    let frames_state = frames::FramesState {
        store: Arc::clone(&parts.store),
        generation: parts.generation.generation,
    };
    let router = router(state)
        .merge(accept::router(accept_state, &parts.access))
        .merge(frames::router(frames_state, &parts.access));
    let Parts { queue, store, .. } = parts;
    Ok(Aggregator { publisher, gauges, queue, store, router, tasks, helpers, restored })
}

impl Aggregator {
    /// The routes that the aggregator's port serves, besides health.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Whether pages are served and every partition is counted; for `/readyz`.
    pub fn readiness(&self) -> impl Fn() -> Readiness + Send + Sync + Clone + use<> {
        let (publisher, gauges) = (Arc::clone(&self.publisher), Arc::clone(&self.gauges));
        let (queue, store) = (Arc::clone(&self.queue), Arc::clone(&self.store));
        move || {
            let lags = gauges.lag(&queue);
            let halted = lags.iter().filter_map(|lag| {
                let reason = &lag.halted.as_ref()?.reason;
                Some(format!("partition {} is halted: {reason}", lag.partition))
            });
            let refusing = store.refusing().or(store.takes_no_writes()).map(str::to_owned);
            let reasons = publisher.ready().err().into_iter().chain(halted).chain(refusing);
            Readiness::from_reasons(reasons.collect())
        }
    }

    /// The lag of every partition.
    pub fn lag(&self) -> impl Fn() -> Vec<Lag> + Send + Sync + Clone + use<> {
        let (gauges, queue) = (Arc::clone(&self.gauges), Arc::clone(&self.queue));
        move || gauges.lag(&queue)
    }

    /// Totals of the page that is shown; `None` while there is none.
    pub fn live(&self) -> impl Fn() -> Option<Live> + Send + Sync + Clone + use<> {
        let publisher = Arc::clone(&self.publisher);
        move || publisher.live()
    }

    /// Waits until the workers have ended, after shutdown or for a failure: the first one is given.
    ///
    /// # Errors
    /// A failure after which the process must exit.
    pub async fn ended(&mut self) -> Result<(), AggregatorError> {
        while !self.tasks.is_empty() {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                Ok(_) = self.restored.wait_for(|is_restored| *is_restored) => {
                    return Err(AggregatorError::Restored);
                }
            };
            match ended {
                None | Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(panic)) => {
                    error!(%panic, "worker or committer panicked");
                    return Err(AggregatorError::Panicked);
                }
            }
        }
        for helper in self.helpers.drain(..) {
            if let Err(error) = helper.await {
                warn!(%error, "task panicked");
            }
        }
        Ok(())
    }

    /// Waits until the workers have ended after shutdown, however they end: for a process that ends
    /// after a failure which was reported already.
    pub async fn stopped(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                warn!(error = chain(&error), "worker or committer failed");
            }
        }
    }
}

/// Measures the lag every second, so that a wait is noticed without a scrape and while the ledger
/// does not answer.
async fn watch_lag(gauges: Arc<Gauges>, queue: Arc<Queue>, shutdown: Shutdown) {
    while shutdown.sleep(LAG_EVERY).await == Phase::Running {
        drop(gauges.lag(&queue));
    }
}

/// Loads one snapshot of the ledger, and the log ends to reach before the first page.
async fn take_over(
    parts: &Parts,
    publisher: &Publisher,
    gauges: &Gauges,
) -> Result<(), AggregatorError> {
    let snapshot = parts.store.snapshot().await?;
    let mut goals = BTreeMap::new();
    for partition in 0..parts.generation.partitions {
        goals.insert(partition, parts.queue.watermarks(partition).await?.high);
    }
    let generation = parts.generation.generation;
    for row in snapshot.partitions.iter().filter(|row| row.generation == generation) {
        gauges.known(row.partition, row.progress.next);
    }
    publisher.take_over(Start {
        version: snapshot.version,
        commit: snapshot.commit,
        totals: snapshot.totals,
        accounts: snapshot
            .partitions
            .iter()
            .filter(|row| row.generation == generation)
            .map(|row| (row.partition, row.progress.account))
            .collect(),
        namespaces: snapshot.namespaces.into_iter().map(|row| row.code).collect(),
        goals,
    });
    Ok(())
}

/// Follows namespaces, connections and the ledger's version until shutdown.
async fn follow(
    parts: Parts,
    publisher: Arc<Publisher>,
    shutdown: Shutdown,
) -> Result<(), AggregatorError> {
    let mut last_id = 0;
    let mut last_connections = Vec::new();
    while shutdown.sleep(FOLLOW_EVERY).await == Phase::Running {
        match poll(&parts, &publisher, &mut last_id, &mut last_connections).await {
            Ok(()) => {}
            Err(error @ AggregatorError::Restored) => return Err(error),
            Err(error) => {
                warn!(error = chain(&error), "ledger did not answer, page is not updated")
            }
        }
    }
    Ok(())
}

/// Updates the page with new namespaces and changed connections, once.
async fn poll(
    parts: &Parts,
    publisher: &Publisher,
    last_id: &mut i64,
    last_connections: &mut Vec<(String, i64)>,
) -> Result<(), AggregatorError> {
    if let Some(version) = publisher.version()
        && publisher.close_if_restored(version, parts.store.commit_of(version).await?)
    {
        return Err(AggregatorError::Restored);
    }
    let mut reader = parts.store.read().await?;
    let rows = reader.namespaces_after(*last_id).await?;
    let connections = reader.connections(Wall::now().as_us() - CONNECTIONS_TTL_US).await?;
    // Only now, so that after an error the next update reads the rows again.
    *last_id = rows.iter().map(|row| row.id).fold(*last_id, i64::max);
    let codes: Vec<String> = rows.into_iter().map(|row| row.code).collect();
    let has_changed = connections != *last_connections;
    publisher.follow(&codes, has_changed.then_some(connections.as_slice()));
    *last_connections = connections;
    Ok(())
}
