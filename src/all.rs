//! `gatemeter all`: ingest, aggregator and api in one process on embedded storage.
//!
//! Everything is opened and bound before anything is served. On shutdown ingest and api stop
//! first, so that nothing new comes in, then the aggregator commits what it has read. A storage
//! failure ends the process: it is never papered over.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use cache::{Cache, CacheOptions};
use queue::{DirectoryLock, EmbeddedOptions, Queue};
use service::answer::with_fallbacks;
use service::auth::{Access, DevMode, check_listen};
use service::config::{Settings, Sources, load};
use service::health::routes;
use service::metrics::ProcessMetrics;
use service::shutdown::{Shutdown, Trigger, channel, on_signals};
use service::token_count;
use store::{Generation, Store};
use tracing::{error, info, warn};

use crate::keys::{Guarded, access};
use crate::rights;
use crate::services::refuse_foreign_log;
use crate::ports::{Each, Ports, Stopped};

/// Options of `gatemeter all`.
#[derive(Debug, clap::Args)]
pub struct AllArgs {
    /// Settings file [default: gatemeter.toml in the working directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of log, ledger and keys [default: ./gatemeter-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ask for no key; listens on loopback only
    #[arg(long)]
    dev: bool,
    /// Let --dev listen on any address: for containers whose ports are published on loopback
    #[arg(long, requires = "dev")]
    dev_any_address: bool,
    /// Address of the API and the page [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDRESS")]
    api_listen: Option<SocketAddr>,
    /// Address of the metrics [default: 127.0.0.1:8002]
    #[arg(long, value_name = "ADDRESS")]
    aggregator_listen: Option<SocketAddr>,
    /// Address that takes events in [default: 127.0.0.1:8003]
    #[arg(long, value_name = "ADDRESS")]
    ingest_listen: Option<SocketAddr>,
    /// Accept the wall clock as it is, although it jumped
    #[arg(long)]
    accept_clock: bool,
}

impl AllArgs {
    /// The settings of the process: file, environment, then these flags.
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut flags = Vec::new();
        let mut flag = |path: &str, value: Option<String>| {
            flags.extend(value.map(|value| (path.to_owned(), value)));
        };
        flag("data.dir", self.data.as_ref().map(|dir| dir.display().to_string()));
        flag("api.listen", self.api_listen.map(|address| address.to_string()));
        flag("aggregator.listen", self.aggregator_listen.map(|address| address.to_string()));
        flag("ingest.listen", self.ingest_listen.map(|address| address.to_string()));
        Ok(load(&Sources::of_process(self.config.clone(), flags))?)
    }

    fn dev_mode(&self) -> DevMode {
        match (self.dev, self.dev_any_address) {
            (false, _) => DevMode::Off,
            (true, false) => DevMode::Loopback,
            (true, true) => DevMode::AnyAddress,
        }
    }
}

/// Runs until a signal or a storage failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop, named with its place.
pub async fn run(args: AllArgs) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    service::telemetry::init(&settings.log)?;
    // Before anything else, so that a signal during the start ends it cleanly as well.
    let (trigger, shutdown) = channel();
    let signals = on_signals(trigger.clone())?;
    let dev = args.dev_mode();
    check_listen("api", settings.api.listen, dev)?;
    check_listen("aggregator", settings.aggregator.listen, dev)?;
    check_listen("ingest", settings.ingest.listen, dev)?;
    let dir = settings.data.dir.clone();
    let _lock = DirectoryLock::acquire(&dir)?;
    rights::check(&dir)?;
    let mut ports = Ports::bind(&settings, &shutdown).await?;
    let (storage, keys) = match open(&settings, &args, &mut ports).await {
        Ok(opened) => opened,
        Err(error) if error.is::<Stopped>() => {
            info!("stopped before the start was complete");
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error),
    };
    let ended = serve(&settings, &storage, keys, ports, &trigger, shutdown).await;
    signals.abort();
    let closing = async {
        storage.queue.close().await;
        storage.store.close().await;
    };
    if tokio::time::timeout(CLOSE_MAX, closing).await.is_err() {
        warn!("log and ledger were not closed in time, the next start checkpoints them");
    }
    ended?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// How the two guarded listeners are guarded.
struct Keys {
    ingest: Access,
    admin: Access,
}

/// Log and ledger.
struct Storage {
    queue: Arc<Queue>,
    store: Arc<Store>,
    generation: Generation,
}

/// Opens log, ledger and keys, or makes them; waits while somebody else has locked one. The caller
/// holds the lock of the directory.
async fn open(
    settings: &Settings,
    args: &AllArgs,
    ports: &mut Ports,
) -> anyhow::Result<(Storage, Keys)> {
    let dir = &settings.data.dir;
    let dev = args.dev_mode();
    if dev != DevMode::Off {
        info!("development mode: no key is asked for");
    }
    let options = EmbeddedOptions {
        retention_us: i64::from(settings.queue.retention_days) * 24 * 3_600 * 1_000_000,
        bytes_max: settings.queue.bytes_max,
        accept_clock: args.accept_clock,
        ..EmbeddedOptions::default()
    };
    let opening = async || {
        let opened = Queue::open_embedded(dir, options).await;
        opened.with_context(|| format!("the log in {} cannot be opened", dir.display()))
    };
    let queue = Arc::new(ports.unlocked(opening).await?);
    let opening = async || {
        let opened = Store::open(dir).await;
        opened.with_context(|| format!("the ledger in {} cannot be opened", dir.display()))
    };
    let store = Arc::new(ports.unlocked(opening).await?);
    let making = async || {
        let (generation, partitions) = (queue.generation(), queue.partitions());
        if store.known_generation(generation).await?.is_none() {
            refuse_foreign_log(queue.watermarks(0).await?.high, generation)?;
        }
        Ok(store.generation(generation, partitions).await?)
    };
    let generation = ports.unlocked(making).await?;
    let ingest = ports.unlocked(async || access(Guarded::Ingest, dir, dev, &store).await).await?;
    let admin = ports.unlocked(async || access(Guarded::Admin, dir, dev, &store).await).await?;
    Ok((Storage { queue, store, generation }, Keys { ingest, admin }))
}

impl Storage {
    /// Returns when log or ledger can no longer be written.
    async fn failed(&self) -> &'static str {
        let (mut queue, mut store) = (self.queue.fatal(), self.store.fatal());
        tokio::select! {
            Ok(_) = queue.wait_for(|is_fatal| *is_fatal) => "the log",
            Ok(_) = store.wait_for(|is_fatal| *is_fatal) => "the ledger",
            else => std::future::pending().await,
        }
    }
}

/// How long the last appends may take once all listeners are closed: an append takes milliseconds.
const DRAIN: Duration = Duration::from_secs(1);

/// How long the aggregator may take to end after a failure; it gives its last commit up sooner.
const STOP_MAX: Duration = Duration::from_secs(2);

/// How long closing the files may take; a start after a crash does the same work.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Serves until shutdown or a storage failure, then drains in order.
async fn serve(
    settings: &Settings,
    storage: &Storage,
    keys: Keys,
    ports: Ports,
    trigger: &Trigger,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let pressure = Arc::new(AtomicBool::new(false));
    // The aggregator goes on until nothing more can come in.
    let (aggregator_trigger, aggregator_shutdown) = channel();
    let aggregator_metrics = Arc::new(ProcessMetrics::new("aggregator", version)?);
    let parts = aggregator::Parts {
        queue: Arc::clone(&storage.queue),
        store: Arc::clone(&storage.store),
        generation: storage.generation.clone(),
        pressure: Arc::clone(&pressure),
        access: keys.admin.clone(),
        is_shared: false,
    };
    let mut aggregator =
        aggregator::start(settings, parts, aggregator_metrics, aggregator_shutdown).await?;
    let ingest_metrics = Arc::new(ProcessMetrics::new("ingest", version)?);
    let parts = ingest::Parts {
        queue: Arc::clone(&storage.queue),
        store: Arc::clone(&storage.store),
        generation: storage.generation.clone(),
        access: keys.ingest,
        pressure,
        settings: settings.ingest.clone(),
        faults: Vec::new(),
    };
    let ingest = ingest::start(parts, ingest_metrics).await?;
    let counting = token_count::routes(&keys.admin);
    let api_metrics = Arc::new(ProcessMetrics::new("api", version)?);
    let api_parts = api_parts(settings, storage, keys.admin, &aggregator, shutdown.clone())?;
    let api_router = api::router(api_parts, api_metrics)?;
    let aggregator_router = aggregator.router().merge(counting);
    let aggregator_router = with_fallbacks(aggregator_router.merge(routes(aggregator.readiness())));
    let ingest_router = ingest.router();
    let routers = Each { ingest: ingest_router, aggregator: aggregator_router, api: api_router };
    let serving = ports.serve(routers);
    tokio::pin!(serving);
    let failed = tokio::select! {
        _ = &mut serving => None,
        what = storage.failed() => Some(anyhow::anyhow!("{what} failed and cannot be trusted")),
        ended = aggregator.ended() => {
            let ended = ended.err().map(anyhow::Error::from);
            Some(ended.unwrap_or_else(|| anyhow::anyhow!("the aggregator ended by itself")))
        }
    };
    if let Some(error) = failed {
        error!(error = &*error as &dyn std::error::Error, "storage failed, the process ends");
        trigger.stop_now();
        serving.await;
        aggregator_trigger.drain();
        // Threads of ours must not outlive the runtime that they wait on.
        if tokio::time::timeout(STOP_MAX, aggregator.stopped()).await.is_err() {
            warn!("the aggregator did not stop in time");
        }
        return Err(error);
    }
    if tokio::time::timeout(DRAIN, ingest.drained()).await.is_err() {
        warn!("requests that were cut off were abandoned");
    }
    aggregator_trigger.drain();
    aggregator.ended().await?;
    Ok(())
}

/// What the API works on, with a view of the aggregator's lag.
fn api_parts(
    settings: &Settings,
    storage: &Storage,
    access: Access,
    aggregator: &aggregator::Aggregator,
    shutdown: Shutdown,
) -> anyhow::Result<api::Parts> {
    let (log, ledger) = (storage.queue.fatal(), storage.store.fatal());
    let dependencies = move || {
        [("log", &log), ("ledger", &ledger)]
            .map(|(name, fatal)| api::Dependency {
                name,
                fault: fatal.borrow().then_some("cannot be written any more"),
            })
            .to_vec()
    };
    // Alone in its process, it has nobody to share with.
    let options = CacheOptions { bytes_max: settings.redis.own_bytes_max, ..Default::default() };
    Ok(api::Parts {
        store: Arc::clone(&storage.store),
        access,
        lag: Arc::new(aggregator.lag()),
        dependencies: Arc::new(dependencies),
        timezone: settings.api.timezone.clone(),
        version: env!("CARGO_PKG_VERSION"),
        cache: Arc::new(Cache::new(&options)?),
        live: Arc::new(aggregator.live()),
        shutdown,
    })
}
