//! How each role is put together from storage, settings and keys, one function per role.
//!
//! `gatemeter all` and the single roles call the same functions and differ in what they pass: the
//! storage they have opened, what can keep a role from being ready, where the API gets lag and
//! totals. Nothing is opened or served here; the caller decides when a role ends, and in which
//! order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::time::Duration;

use aggregator::{Aggregator, AggregatorError};
use api::{DependencyView, LagView, LiveView, Resend};
use cache::Cache;
use clock::Wall;
use ingest::Ingest;
use queue::Queue;
use service::answer::with_fallbacks;
use service::auth::Access;
use service::config::Settings;
use service::health::{self, Readiness, Reason};
use service::metrics::ProcessMetrics;
use service::opening::Router;
use service::shutdown::{Trigger, channel};
use service::token_count;
use store::{Generation, ProcessRow, Store};
use tracing::warn;

use crate::process::{Process, Role};

/// How long the last appends may take once a listener is closed: an append takes milliseconds.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long workers may take to end after a failure; they give their last commit up sooner.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who else uses a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: files of this process.
    Own,
    /// Other processes, through Kafka and MySQL.
    Shared,
}

/// Log and ledger, opened.
#[derive(Debug)]
pub struct Storage {
    /// The log.
    pub queue: Arc<Queue>,
    /// The ledger.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Who else uses them.
    pub sharing: Sharing,
    /// Set by the aggregator while the dedup set is at its budget, read by ingest. Processes of
    /// their own pass it on through the ledger.
    pub pressure: Arc<AtomicBool>,
    /// The frame version that ingest writes: that of the ledger, as far as it is known.
    pub frame_version: Arc<AtomicU8>,
}

impl Storage {
    /// Storage without memory pressure, whose frame version was not read yet: any reader knows the
    /// first one.
    pub fn new(
        queue: Arc<Queue>,
        store: Arc<Store>,
        generation: Generation,
        sharing: Sharing,
    ) -> Storage {
        let frame_version = Arc::new(AtomicU8::new(1));
        Storage { queue, store, generation, sharing, pressure: Arc::default(), frame_version }
    }

    /// Returns why the process must end, once its storage cannot be written any more. A ledger on
    /// a server is not watched: there a failed statement is retried and spoils nothing.
    pub async fn failed(&self) -> anyhow::Error {
        let (mut queue, mut store) = (self.queue.fatal(), self.store.fatal());
        let what = tokio::select! {
            Ok(_) = queue.wait_for(|is_fatal| *is_fatal) => "the log",
            Ok(_) = store.wait_for(|is_fatal| *is_fatal), if self.sharing == Sharing::Own => {
                "the ledger"
            }
            else => std::future::pending().await,
        };
        anyhow::anyhow!("{what} failed and cannot be trusted")
    }

    /// Closes log and ledger.
    pub async fn close(&self) {
        self.queue.close().await;
        self.store.close().await;
    }
}

/// Starts ingest. It is not ready while one of `faults` is set.
///
/// # Errors
/// The labels cannot be read.
pub async fn ingest(
    settings: &Settings,
    storage: &Storage,
    access: Access,
    faults: Vec<Reason>,
) -> anyhow::Result<Ingest> {
    let parts = ingest::Parts {
        queue: Arc::clone(&storage.queue),
        store: Arc::clone(&storage.store),
        generation: storage.generation.clone(),
        access,
        pressure: Arc::clone(&storage.pressure),
        frame_version: Arc::clone(&storage.frame_version),
        settings: settings.ingest.clone(),
        faults,
    };
    Ok(ingest::start(parts, metrics(Role::Ingest)?).await?)
}

/// Waits for the last appends of ingest. Its routers must be gone.
pub async fn drain(ingest: Ingest) {
    if tokio::time::timeout(DRAIN_MAX, ingest.drained()).await.is_err() {
        warn!("requests that were cut off were abandoned");
    }
}

/// A running aggregator. It has a shutdown of its own, since it must count what comes in until
/// everything else of the process has ended.
pub struct Counting {
    aggregator: Aggregator,
    trigger: Trigger,
    router: Router,
}

/// Starts the aggregator. It is not ready while one of `faults` is set.
///
/// # Errors
/// Log or ledger cannot be read.
pub async fn aggregator(
    settings: &Settings,
    storage: &Storage,
    access: &Access,
    faults: Vec<Reason>,
) -> anyhow::Result<Counting> {
    let mut process = this_process(Role::Aggregator, settings)?;
    if storage.sharing == Sharing::Own {
        "all".clone_into(&mut process.role);
    }
    let parts = aggregator::Parts {
        queue: Arc::clone(&storage.queue),
        store: Arc::clone(&storage.store),
        generation: storage.generation.clone(),
        pressure: Arc::clone(&storage.pressure),
        access: access.clone(),
        is_shared: storage.sharing == Sharing::Shared,
        process,
    };
    let (trigger, shutdown) = channel();
    let metrics = metrics(Role::Aggregator)?;
    let aggregator = aggregator::start(settings, parts, metrics, shutdown).await?;
    let counting = aggregator.readiness();
    let readiness = move || {
        let mut reasons: Vec<String> = faults.iter().filter_map(Reason::get).collect();
        if let Readiness::NotReady(more) = counting() {
            reasons.extend(more);
        }
        Readiness::from_reasons(reasons)
    };
    let router = aggregator.router().merge(token_count::routes(access));
    let router = with_fallbacks(router.merge(health::routes(readiness)));
    Ok(Counting { aggregator, trigger, router })
}

/// This process, as the ledger lists it.
///
/// # Errors
/// The random number generator failed.
pub fn this_process(role: Role, settings: &Settings) -> anyhow::Result<ProcessRow> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    let now_us = Wall::now().as_us();
    Ok(ProcessRow {
        id,
        role: role.name().to_owned(),
        address: reachable(role.listen(settings)),
        program: VERSION.to_owned(),
        started_us: now_us,
        seen_us: now_us,
    })
}

/// An address that tells processes apart: one that listens everywhere goes by the name of its
/// machine.
fn reachable(listen: SocketAddr) -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        name if listen.ip().is_unspecified() && !name.is_empty() => {
            format!("{name}:{}", listen.port())
        }
        _ => listen.to_string(),
    }
}

impl Counting {
    /// The routes of the aggregator's port.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// A view of the lag of every partition.
    pub fn lag(&self) -> LagView {
        Arc::new(self.aggregator.lag())
    }

    /// A view of the totals of the page.
    pub fn live(&self) -> LiveView {
        Arc::new(self.aggregator.live())
    }

    /// Returns why the process must end, once counting has stopped without having been asked to.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.aggregator.ended().await {
            Err(error) => error.into(),
            Ok(()) => anyhow::anyhow!("the aggregator ended by itself"),
        }
    }

    /// Commits what was read, and ends. Called when nothing more can come in.
    ///
    /// # Errors
    /// The last commit failed.
    pub async fn drain(mut self) -> Result<(), AggregatorError> {
        self.trigger.drain();
        self.aggregator.ended().await
    }

    /// Ends after a failure. Waits for the workers, whose threads must not outlive the runtime.
    pub async fn stop(mut self) {
        self.trigger.drain();
        if tokio::time::timeout(STOP_MAX, self.aggregator.stopped()).await.is_err() {
            warn!("the aggregator did not stop in time");
        }
    }
}

/// Where the API gets what the ledger does not hold.
pub struct Views {
    /// The lag of every partition.
    pub lag: LagView,
    /// What the process depends on, and how it is.
    pub dependencies: DependencyView,
    /// The newest totals.
    pub live: LiveView,
    /// The way of dead letters to ingest, if there is one.
    pub resend: Option<Resend>,
}

/// The routes of the API.
///
/// # Errors
/// A metric cannot be registered.
pub fn api(
    process: &Process,
    store: &Arc<Store>,
    access: Access,
    cache: Arc<Cache>,
    views: Views,
) -> anyhow::Result<Router> {
    let Views { lag, dependencies, live, resend } = views;
    let parts = api::Parts {
        store: Arc::clone(store),
        access,
        lag,
        dependencies,
        timezone: process.settings.api.timezone.clone(),
        version: VERSION,
        cache,
        live,
        resend,
        shutdown: process.shutdown.clone(),
    };
    Ok(api::router(parts, metrics(Role::Api)?)?)
}

fn metrics(role: Role) -> anyhow::Result<Arc<ProcessMetrics>> {
    Ok(Arc::new(ProcessMetrics::new(role.name(), VERSION)?))
}
