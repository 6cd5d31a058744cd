//! `gatemeter all`: ingest, aggregator and api in one process on embedded storage.
//!
//! Everything is opened and bound before anything is served. On shutdown ingest and api stop
//! first, so that nothing new comes in, then the aggregator commits what it has read. A storage
//! failure ends the process: it is never papered over.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aggregator::FRAMES_KNOWN;
use anyhow::Context as _;
use api::Dependency;
use cache::{Cache, CacheOptions};
use ingest::Letters;
use queue::{DirectoryLock, EmbeddedOptions, Queue};
use service::auth::Access;
use store::{Owners, Raised, Store};
use tracing::{error, info, warn};

use crate::compose::{self, Counting, Sharing, Storage, Views};
use crate::keys::{Guarded, access};
use crate::ports::{Each, Ports};
use crate::process::{self, Process, ProcessArgs, Role};
use crate::services::refuse_foreign_log;
use crate::{resend, rights};

/// Options of `gatemeter all`.
#[derive(Debug, clap::Args)]
pub struct AllArgs {
    #[command(flatten)]
    process: ProcessArgs,
    /// Folder of log, ledger and keys [default: ./gatemeter-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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

const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// How long closing the files may take; a start after a crash does the same work.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Runs until a signal or a storage failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop, named with its place.
pub async fn run(args: AllArgs) -> anyhow::Result<ExitCode> {
    let data = args.data.map(|dir| ("data.dir".to_owned(), dir.display().to_string()));
    let flags = [
        data,
        Role::Api.listen_flag(args.api_listen),
        Role::Aggregator.listen_flag(args.aggregator_listen),
        Role::Ingest.listen_flag(args.ingest_listen),
    ];
    let flags = flags.into_iter().flatten().collect();
    process::run(args.process, flags, &Role::ALL, async |process| {
        let dir = &process.settings.data.dir;
        let _lock = DirectoryLock::acquire(dir)?;
        rights::check(dir)?;
        let mut ports = Ports::bind(&process.settings, &process.shutdown).await?;
        let options = EmbeddedOptions {
            retention_us: i64::from(process.settings.queue.retention_days) * DAY_US,
            bytes_max: process.settings.queue.bytes_max,
            accept_clock: args.accept_clock,
            ..EmbeddedOptions::default()
        };
        let storage = open(dir, options, &mut ports).await?;
        let keys = keys(&process, &storage.store, &mut ports).await?;
        let ended = serve(&process, &storage, keys, ports).await;
        if tokio::time::timeout(CLOSE_MAX, storage.close()).await.is_err() {
            warn!("log and ledger were not closed in time, the next start checkpoints them");
        }
        ended
    })
    .await
}

/// Opens log and ledger, or makes them; waits while somebody else has locked one. The caller holds
/// the lock of the directory.
async fn open(dir: &Path, options: EmbeddedOptions, ports: &mut Ports) -> anyhow::Result<Storage> {
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
    // Who has the lock of the directory is the only one that counts this log.
    let raising = async || {
        let (number, owners) = (generation.generation, Owners::Own);
        if store.raise_frame_version(number, FRAMES_KNOWN, owners).await? == Raised::Done {
            info!(version = FRAMES_KNOWN, "frame version raised");
        }
        Ok(store.frame_version().await?)
    };
    let version = ports.unlocked(raising).await?;
    let storage = Storage::new(queue, store, generation, Sharing::Own);
    storage.frame_version.store(version, Ordering::Relaxed);
    Ok(storage)
}

/// How the two guarded listeners are guarded.
struct Keys {
    ingest: Access,
    admin: Access,
}

/// Reads the keys, or makes them.
async fn keys(process: &Process, store: &Store, ports: &mut Ports) -> anyhow::Result<Keys> {
    let dir = &process.settings.data.dir;
    let mut key = async |guarded| {
        ports.unlocked(async || access(guarded, dir, process.dev, store).await).await
    };
    Ok(Keys { ingest: key(Guarded::Ingest).await?, admin: key(Guarded::Admin).await? })
}

/// Serves until shutdown or a storage failure, then drains in order.
async fn serve(
    process: &Process,
    storage: &Storage,
    keys: Keys,
    ports: Ports,
) -> anyhow::Result<()> {
    let settings = &process.settings;
    let mut counting = compose::aggregator(settings, storage, &keys.admin, Vec::new()).await?;
    let ingest = compose::ingest(settings, storage, keys.ingest, Vec::new()).await?;
    // Alone in its process, it has nobody to share with.
    let options = CacheOptions { bytes_max: settings.redis.own_bytes_max, ..Default::default() };
    let cache = Arc::new(Cache::new(&options)?);
    // Dropped before the last appends are waited for.
    let letters = Arc::new(ingest.letters());
    let views = views(storage, &counting, &letters);
    let api = compose::api(process, &storage.store, keys.admin, cache, views)?;
    let routers = Each { ingest: ingest.router(), aggregator: counting.router(), api };
    let serving = ports.serve(routers);
    tokio::pin!(serving);
    let failed = tokio::select! {
        () = &mut serving => None,
        error = storage.failed() => Some(error),
        error = counting.failed() => Some(error),
    };
    if let Some(error) = failed {
        error!(error = &*error as &dyn std::error::Error, "storage failed, the process ends");
        process.trigger.stop_now();
        serving.await;
        counting.stop().await;
        return Err(error);
    }
    drop(letters);
    compose::drain(ingest).await;
    Ok(counting.drain().await?)
}

/// What the API sees of the roles beside it.
fn views(storage: &Storage, counting: &Counting, letters: &Arc<Letters>) -> Views {
    let (log, ledger) = (storage.queue.fatal(), storage.store.fatal());
    let dependencies = move || {
        [("log", &log), ("ledger", &ledger)]
            .map(|(name, fatal)| Dependency {
                name,
                fault: fatal.borrow().then_some("cannot be written any more"),
            })
            .to_vec()
    };
    Views {
        lag: counting.lag(),
        dependencies: Arc::new(dependencies),
        live: counting.live(),
        resend: Some(resend::within(letters)),
    }
}
