//! Starts the aggregator: a publisher that takes over, a worker per partition, the committer,
//! retention and the port; and stops them in an order that loses nothing.
//!
//! Workers run on threads of their own, since counting a batch takes longer than an async thread
//! may be held. The role never imports ingest or api; `Aggregator` has what they need.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use queue::Queue;
use service::chain;
use service::config::Settings;
use service::health::Readiness;
use service::metrics::ProcessMetrics;
use service::shutdown::{Phase, Shutdown};
use service::status::{Lag, Live};
use store::{Keep, Store};
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
use crate::late::{Pass, PassParts};
use crate::lead::{Lead, Leadership};
use crate::metrics::Gauges;
use crate::parts::{AggregatorError, Parts};
use crate::publisher::{Committers, Publisher};
use crate::report;
use crate::retention;
use crate::worker::{FINISH_MAX, Worker, WorkerParts};

/// Interval at which the lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);
const DAY_US: i64 = 24 * 3_600 * 1_000_000;
const HOUR_US: i64 = 3_600 * 1_000_000;

/// A running aggregator.
#[derive(Debug)]
pub struct Aggregator {
    publisher: Arc<Publisher>,
    leadership: Option<Arc<Leadership>>,
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

/// The routes of everything that runs.
fn routes(
    parts: &Parts,
    publisher: &Arc<Publisher>,
    gauges: &Arc<Gauges>,
    (metrics, leadership): (Arc<ProcessMetrics>, Option<Arc<Leadership>>),
    requesters: Vec<accept::Requester>,
) -> Router {
    let state = HttpState {
        publisher: Arc::clone(publisher),
        confirmer: Arc::new(Confirmer::new(
            leadership.map(|leadership| (Arc::clone(&parts.store), leadership)),
        )),
        metrics,
        gauges: Arc::clone(gauges),
        queue: Arc::clone(&parts.queue),
        store: Arc::clone(&parts.store),
    };
    let accept_state = accept::AcceptState {
        gauges: Arc::clone(gauges),
        queue: Arc::clone(&parts.queue),
        workers: Arc::new(requesters),
        store: Arc::clone(&parts.store),
        generation: parts.generation.generation,
        process: parts.process.clone(),
    };
    let frames_state = frames::FramesState {
        store: Arc::clone(&parts.store),
        generation: parts.generation.generation,
    };
    router(state)
        .merge(accept::router(accept_state, &parts.access))
        .merge(frames::router(frames_state, &parts.access))
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
    let committers = if parts.is_shared { Committers::Any } else { Committers::Own };
    let publisher = Arc::new(Publisher::new(committers));
    let gauges = Gauges::new(&metrics)?;
    let leadership = parts.is_shared.then(|| Arc::new(Leadership::new(parts.process.id)));
    let mut lead =
        Lead::new(parts.clone(), Arc::clone(&publisher), Arc::clone(&gauges), leadership.clone());
    lead.begin().await?;
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
        desks: (0..parts.generation.partitions).map(|_| Arc::default()).collect(),
    };
    let keep = keep(settings);
    parts.store.keep_minutes(keep.minute_us)?;
    let pass = Pass::new(
        PassParts {
            queue: Arc::clone(&parts.queue),
            store: Arc::clone(&parts.store),
            generation: parts.generation.clone(),
            publisher: Arc::clone(&publisher),
            desks: worker_parts.desks.clone(),
            every: Duration::from_secs(u64::from(options.late_seconds)),
        },
        shutdown.clone(),
    );
    let (requesters, requests): (Vec<_>, Vec<_>) =
        (0..parts.generation.partitions).map(|_| accept::requests()).unzip();
    let tasks = spawn(commit_loop, worker_parts, requests, &shutdown);
    let (restored_sender, restored) = watch::channel(false);
    let leading = lead.run(shutdown.clone());
    let helpers = vec![
        tokio::spawn(async move {
            if let Err(error) = leading.await {
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
            keep,
            shutdown.clone(),
        )),
        tokio::task::spawn_blocking(move || Handle::current().block_on(pass.run())),
        tokio::spawn(report::run(parts.clone(), Arc::clone(&gauges), shutdown)),
    ];
    let router = routes(&parts, &publisher, &gauges, (metrics, leadership.clone()), requesters);
    let Parts { queue, store, .. } = parts;
    Ok(Aggregator { publisher, leadership, gauges, queue, store, router, tasks, helpers, restored })
}

impl Aggregator {
    /// The routes that the aggregator's port serves, besides health.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Whether pages are served and every partition of this process is counted; for `/readyz`.
    pub fn readiness(&self) -> impl Fn() -> Readiness + Send + Sync + Clone + use<> {
        let (publisher, gauges) = (Arc::clone(&self.publisher), Arc::clone(&self.gauges));
        let (queue, store) = (Arc::clone(&self.queue), Arc::clone(&self.store));
        let leadership = self.leadership.clone();
        move || {
            let (lags, owned) = (gauges.lag(&queue), gauges.owned());
            // Those of other processes keep this one from nothing: were it not ready for them, an
            // upgrade that waits for it could not replace the one that halted them.
            let lags = lags.iter().filter(|lag| owned.contains(&lag.partition));
            let halted = lags.filter_map(|lag| {
                let reason = &lag.halted.as_ref()?.reason;
                Some(format!("partition {} is halted: {reason}", lag.partition))
            });
            let refusing = store.refusing().or(store.takes_no_writes()).map(str::to_owned);
            let led = leadership.as_ref();
            let led = led.map(|leadership| leadership.ready(publisher.elapsed_us()));
            let led = led.and_then(Result::err).map(str::to_owned);
            let reasons = publisher.ready().err().or(led).into_iter().chain(halted).chain(refusing);
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
