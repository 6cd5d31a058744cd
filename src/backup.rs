//! `gatemeter backup` and `gatemeter restore`: a copy of the ledger while it is in use, and a
//! ledger out of such a copy.
//!
//! A backup only reads. A restore writes where there is no ledger, and nowhere else; what was
//! counted since the backup is counted again by the roles, once they start.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use jiff::Timestamp;
use queue::DirectoryLock;
use serde::Serialize;
use store::Store;
use store::backup::{self, Progress, Summary};
use tokio::signal::unix::{SignalKind, signal};

use crate::place::Place;
use crate::services;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What is told.
#[derive(Debug, clap::Args)]
struct Told {
    /// Tell no progress
    #[arg(long)]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `gatemeter backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The file to be made; one that exists is never replaced
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    told: Told,
}

/// Options of `gatemeter restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// A file of `gatemeter backup`
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Check the file from end to end and restore nothing
    #[arg(long, conflicts_with_all = ["data", "cluster"])]
    check: bool,
    #[command(flatten)]
    told: Told,
}

/// What a backup holds, as it is printed.
#[derive(Debug, Serialize)]
struct Held<'a> {
    file: &'a Path,
    bytes: u64,
    made_us: i64,
    version: i64,
    committed_us: i64,
    format: i64,
    partitions: Vec<Resumes>,
}

/// Where a partition resumes.
#[derive(Debug, Serialize)]
struct Resumes {
    generation: u32,
    partition: u32,
    next: u64,
}

/// Writes a backup.
///
/// # Errors
/// There is no ledger, it cannot be read, or the file cannot be made. No file is left.
pub async fn run(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let BackupArgs { file, place, told } = args;
    let store = match place.cluster {
        false => Store::open_read_only(&place.data).await?,
        true => {
            Store::open_mysql_read_only(&services::mysql_options(&place.settings()?.mysql)?).await?
        }
    };
    let teller = Teller::new(told.quiet);
    let tell = |progress: Progress<'_>| teller.tell(progress);
    let made = unless_interrupted(store.backup(&file, &tell)).await?;
    store.close().await;
    told.show("backup", &file, &made)?;
    Ok(ExitCode::SUCCESS)
}

/// Restores a backup, or only checks it.
///
/// # Errors
/// The backup is damaged or of a newer program, or its place is in use: nothing was written then.
pub async fn restore(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let RestoreArgs { file, place, check, told } = args;
    let teller = Teller::new(told.quiet);
    let tell = |progress: Progress<'_>| teller.tell(progress);
    if check {
        let held = unless_interrupted(backup::check(&file, &tell)).await?;
        told.show("sound", &file, &held)?;
        return Ok(ExitCode::SUCCESS);
    }
    let held = match place.cluster {
        false => {
            let _lock = DirectoryLock::acquire(&place.data)?;
            unless_interrupted(backup::restore_to_directory(&file, &place.data, &tell)).await?
        }
        true => {
            let server = services::mysql_options(&place.settings()?.mysql)?;
            unless_interrupted(backup::restore_to_server(&file, &server, &tell)).await?
        }
    };
    told.show("restored", &file, &held)?;
    if !place.cluster && !place.data.join("queue.db").exists() {
        eprintln!(
            "warning: there is no log (queue.db) in {}. Put it there before anything starts: with \
             another one the ledger counts nothing",
            place.data.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Carries something out, unless a signal comes first; a file that is half written is removed.
async fn unless_interrupted<T>(work: impl Future<Output = store::Result<T>>) -> anyhow::Result<T> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminates = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => Ok(done?),
        _ = interrupts.recv() => bail!("interrupted"),
        _ = terminates.recv() => bail!("interrupted"),
    }
}

impl Told {
    fn show(&self, word: &str, file: &Path, held: &Summary) -> anyhow::Result<()> {
        let partitions = held.partitions.iter();
        let held = Held {
            file,
            bytes: held.bytes,
            made_us: held.made_us,
            version: held.version,
            committed_us: held.committed_us,
            format: held.format,
            partitions: partitions
                .map(|mark| Resumes {
                    generation: mark.generation,
                    partition: mark.partition,
                    next: mark.next,
                })
                .collect(),
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&held)?)?;
            return Ok(());
        }
        let Held { bytes, version, format, .. } = held;
        writeln!(out, "{word}: {}, {bytes} bytes", file.display())?;
        let committed = time(held.committed_us);
        writeln!(out, "ledger version {version}, committed {committed}, format {format}")?;
        for Resumes { generation, partition, next } in held.partitions {
            writeln!(out, "generation {generation}, partition {partition}: next offset {next}")?;
        }
        Ok(())
    }
}

/// Tells progress on standard error, now and then.
struct Teller {
    /// When it was told last; `None` if it is not to be.
    last: Option<Mutex<Instant>>,
}

impl Teller {
    fn new(is_quiet: bool) -> Teller {
        Teller { last: (!is_quiet).then(|| Mutex::new(Instant::now())) }
    }

    fn tell(&self, progress: Progress<'_>) {
        let Some(last) = &self.last else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() < TELL_EVERY {
            return;
        }
        *last = Instant::now();
        match progress {
            Progress::Bytes { done, of } => eprintln!("{done} of about {of} bytes"),
            Progress::Rows { table, done } => eprintln!("{done} rows copied, at table {table}"),
        }
    }
}

fn time(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |at| format!("{at:.0}"))
}
