//! `gatemeter admin status`: who counts what, who shows it, and which processes run, as the ledger
//! knows it.
//!
//! It only reads, and asks no process: it works while they run, and tells what is wrong when none
//! does. Log ends come from the log; where that does not answer the lag is unknown.

mod view;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clock::Wall;
use queue::{Queue, QueueError, QueueReader};
use service::config::Settings;
use store::{Generation, OwnerRow, PartitionRow, ProcessRow, Store};

use self::view::Status;
use crate::place::Place;
use crate::services;

/// Exit code if the ledger was read and something is wrong.
const UNWELL: u8 = 3;
/// Longest wait for the ends of the log.
const LOG_MAX: Duration = Duration::from_secs(10);

/// Options of `gatemeter admin status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 if every partition is counted and a publisher is there; 3 if one is halted or has no \
owner,\nor there is no publisher; 1 if the ledger cannot be read, with the reason; 2 for a wrong \
option.")]
pub struct StatusArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON; docs/operations.md has its fields
    #[arg(long)]
    json: bool,
}

/// What ledger and log say.
#[derive(Debug)]
struct Found {
    /// By the clock of this machine.
    now: Wall,
    /// Whether the ledger is on a server that several processes use.
    is_shared: bool,
    format: i64,
    version: i64,
    committed_us: i64,
    is_restored: bool,
    frame_version: u8,
    /// Number of the generation.
    generation: u32,
    n_partitions: u32,
    partitions: Vec<PartitionRow>,
    owners: Vec<OwnerRow>,
    processes: Vec<ProcessRow>,
    term: i64,
    holder: Option<[u8; 16]>,
    /// End of each partition of the log, or why they are not known.
    ends: Result<BTreeMap<u32, u64>, String>,
}

/// Shows how everything is.
///
/// # Errors
/// The ledger cannot be read, or it does not know the log.
pub async fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let found = match args.place.cluster {
        true => on_server(&args.place.settings()?).await?,
        false => in_directory(&args.place).await?,
    };
    let status = Status::of(&found);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write!(out, "{}", status.text())?;
    }
    Ok(if status.is_well() { ExitCode::SUCCESS } else { ExitCode::from(UNWELL) })
}

async fn on_server(settings: &Settings) -> anyhow::Result<Found> {
    let options = services::mysql_options(&settings.mysql)?;
    let opened = Store::open_mysql_read_only(&options).await;
    let place = format!("the ledger at {}:{}", options.host, options.port);
    let store = opened.with_context(|| format!("{place} cannot be read"))?;
    let number = settings.kafka.generation;
    let Some(generation) = store.known_generation(number).await? else {
        bail!("{place} does not know generation {number} of the log: nothing has started with it");
    };
    let log = async { ends(services::log_to_read(settings).await?).await.map_err(Into::into) };
    let found = Found { is_shared: true, ..read(&store, &generation).await? };
    store.close().await;
    Ok(Found { ends: in_time(log).await, ..found })
}

async fn in_directory(place: &Place) -> anyhow::Result<Found> {
    let dir = &place.data;
    let opened = Store::open_read_only(dir).await;
    let store = opened.with_context(|| {
        format!(
            "the ledger in {} cannot be read; --data names another directory, --cluster means the \
             one on MySQL",
            dir.display()
        )
    })?;
    let log = Queue::open_embedded_read_only(dir).await;
    // Without the log it is the one that the ledger has counted, which knows one.
    let number = match &log {
        Ok(log) => log.generation(),
        Err(_) => {
            let rows = store.read().await?.partitions().await?;
            rows.iter().map(|row| row.generation).max().unwrap_or(1)
        }
    };
    let Some(generation) = store.known_generation(number).await? else {
        bail!(
            "the ledger in {} does not know generation {number} of the log: nothing has started \
             with it",
            dir.display()
        );
    };
    let found = Found { is_shared: false, ..read(&store, &generation).await? };
    store.close().await;
    let log = async { ends(log?).await.map_err(Into::into) };
    Ok(Found { ends: in_time(log).await, ..found })
}

/// Everything that the ledger says, at one version.
async fn read(store: &Store, generation: &Generation) -> store::Result<Found> {
    let number = generation.generation;
    let mut reader = store.read().await?;
    let now = Wall::now();
    let lease = reader.lease().await?;
    let mut partitions = reader.partitions().await?;
    partitions.retain(|row| row.generation == number);
    let as_of = reader.as_of();
    Ok(Found {
        now,
        is_shared: false,
        format: reader.format().await?,
        version: as_of.version,
        committed_us: as_of.committed_us,
        is_restored: reader.is_restored().await?,
        frame_version: reader.frame_version().await?,
        generation: number,
        n_partitions: generation.partitions,
        partitions,
        owners: reader.owners(number).await?,
        processes: reader.processes(now).await?,
        term: lease.term,
        holder: lease.holder,
        ends: Ok(BTreeMap::new()),
    })
}

/// The end of each partition. Closes the log.
async fn ends(log: QueueReader) -> Result<BTreeMap<u32, u64>, QueueError> {
    let mut ends = BTreeMap::new();
    for partition in 0..log.partitions() {
        ends.insert(partition, log.watermarks(partition).await?.high);
    }
    log.close().await;
    Ok(ends)
}

async fn in_time(
    log: impl Future<Output = anyhow::Result<BTreeMap<u32, u64>>>,
) -> Result<BTreeMap<u32, u64>, String> {
    match tokio::time::timeout(LOG_MAX, log).await {
        Ok(found) => found.map_err(|error| format!("{error:#}")),
        Err(_) => Err(format!("the log did not answer within {} s", LOG_MAX.as_secs())),
    }
}

#[cfg(test)]
mod tests;
