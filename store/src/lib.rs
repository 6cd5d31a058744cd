//! The ledger and the configuration in SQL: SQLite, through one connection that writes and a few
//! that read.
//!
//! Commits of the aggregator, labels of ingest and settings of the api go through `Store`, each in
//! one transaction that its caller cannot cancel half way. Questions go through a `Reader`, which
//! sees one committed version. Nothing here decides what counts: that is `ledger`.

mod error;
mod rows;
mod schema;
mod read;
mod part;
mod config;
mod retain;
mod write;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use event::Secret;
use ledger::commit::{Claim, Commit, CommitId, Outcome, Resolution};
use ledger::measures::Measures;
use ledger::series::FullLabels;
use ledger::window::Window;
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, watch};

pub use config::{
    ConnectionsRow, KeyRow, LabelKind, LabelName, LabelRequest, NamespaceFilter, NamespaceRow,
    NamespaceStatus, Page, Registration,
};
pub use error::{Result, StoreError};
pub use part::{Rows, TokenSums};
pub use read::{AsOf, Baseline, JournalRow, LetterCount, PartitionRow, Reader};
pub use retain::{Keep, Retained};

use write::Writer;

/// A generation of the log: made once, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Number of the generation.
    pub generation: u32,
    /// Partitions of the log.
    pub partitions: u32,
    /// Keys the hash of ids.
    pub secret: Secret,
    /// Admission and memory.
    pub window: Window,
}

/// What a publisher takes over from: one committed version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Ledger version.
    pub version: i64,
    /// When it was committed, microseconds since the epoch.
    pub committed_us: i64,
    /// The commit that made it; nothing before the first one.
    pub commit: Option<CommitId>,
    /// Counter totals.
    pub totals: Vec<(FullLabels, Measures)>,
    /// Where the partitions stand.
    pub partitions: Vec<PartitionRow>,
    /// Namespaces as configured.
    pub namespaces: Vec<NamespaceRow>,
}

/// The ledger and the configuration.
#[derive(Debug)]
pub struct Store {
    /// Nothing if the store was opened for reading only.
    writer: Option<Arc<Mutex<Writer>>>,
    readers: SqlitePool,
    fatal: watch::Sender<bool>,
}

/// Runs statements on the writer in one transaction, in a task of its own, so that a caller who
/// goes away cannot leave it half done.
macro_rules! transact {
    ($store:expr, |$conn:ident| $body:expr) => {{
        let writer = Arc::clone($store.writer.as_ref().ok_or(StoreError::ReadOnly)?);
        let task = tokio::spawn(async move {
            let mut writer = writer.lock().await;
            let $conn: &mut SqliteConnection = &mut writer.conn;
            $conn.execute("BEGIN IMMEDIATE").await.map_err(StoreError::sql("begin"))?;
            match $body.await {
                Ok(done) => match $conn.execute("COMMIT").await {
                    Ok(_) => Ok(done),
                    Err(error) => {
                        let _ = $conn.execute("ROLLBACK").await;
                        Err(StoreError::of("commit", error))
                    }
                },
                Err(error) => {
                    let _ = $conn.execute("ROLLBACK").await;
                    Err(error)
                }
            }
        });
        $store.noted(task.await.unwrap_or_else(|error| Err(defect(&error))))
    }};
}

impl Store {
    /// Opens the ledger of a directory, or makes it. The caller holds the lock of the directory.
    ///
    /// # Errors
    /// `Format` for a file of a newer program, `SqliteTooOld`, or what the disk says.
    pub async fn open(dir: &Path) -> Result<Store> {
        let writer = Writer::new(schema::open_writer(dir).await?);
        Ok(Store {
            writer: Some(Arc::new(Mutex::new(writer))),
            readers: schema::open_readers(dir).await?,
            fatal: watch::Sender::new(false),
        })
    }

    /// Opens the ledger of a directory for reading, without the lock and beside a writer.
    ///
    /// # Errors
    /// `Missing` if there is none; else as `open`.
    pub async fn open_read_only(dir: &Path) -> Result<Store> {
        let readers = schema::open_readers(dir).await?;
        Ok(Store { writer: None, readers, fatal: watch::Sender::new(false) })
    }

    /// The generation of the log; made at the first start, with a random secret.
    ///
    /// # Errors
    /// `Partitions` if the log has another number than the generation was made with.
    pub async fn generation(&self, generation: u32, partitions: u32) -> Result<Generation> {
        let found = match self.writer {
            Some(_) => transact!(self, |conn| make_generation(conn, generation, partitions))?,
            None => {
                let mut conn = self.readers.acquire().await.map_err(StoreError::sql("read"))?;
                read_generation(&mut conn, generation).await?.ok_or(StoreError::ReadOnly)?
            }
        };
        if found.partitions != partitions {
            let stored = found.partitions;
            return Err(StoreError::Partitions { generation, stored, given: partitions });
        }
        Ok(found)
    }

    /// Takes a partition for a new owner.
    ///
    /// # Errors
    /// What the database says; nothing happened then.
    pub async fn claim(&self, generation: u32, partition: u32, nonce: [u8; 16]) -> Result<Claim> {
        let writer = Arc::clone(self.writer.as_ref().ok_or(StoreError::ReadOnly)?);
        let task =
            tokio::spawn(
                async move { writer.lock().await.claim(generation, partition, nonce).await },
            );
        self.noted(task.await.unwrap_or_else(|error| Err(defect(&error))))
    }

    /// Carries out a commit, or leaves no trace of it; beside the outcome the error, if there was
    /// one, to be logged. Goes on to its end even if the caller stops waiting.
    pub async fn commit(&self, commit: Arc<Commit>) -> (Outcome, Option<StoreError>) {
        let Some(writer) = self.writer.as_ref().map(Arc::clone) else {
            return (Outcome::Aborted, Some(StoreError::ReadOnly));
        };
        let task = tokio::spawn(async move { writer.lock().await.commit(&commit, now_us()).await });
        let (outcome, error) = match task.await {
            Ok(done) => done,
            Err(error) => (Outcome::Unknown, Some(defect(&error))),
        };
        (outcome, error.and_then(|error| self.noted::<()>(Err(error)).err()))
    }

    /// What became of a commit whose outcome is unknown.
    ///
    /// # Errors
    /// What the database says; the outcome is then still unknown.
    pub async fn resolve(&self, commit: &Commit) -> Result<Resolution> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        self.noted(writer.lock().await.resolve(commit).await)
    }

    /// Begins to read: everything the reader answers is of one committed version.
    ///
    /// # Errors
    /// What the database says, or that all connections stayed busy for 5 s.
    pub async fn read(&self) -> Result<Reader> {
        Reader::new(self.readers.begin().await.map_err(StoreError::sql("begin to read"))?).await
    }

    /// Everything that a publisher takes over from.
    ///
    /// # Errors
    /// As every read.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut reader = self.read().await?;
        let AsOf { version, committed_us } = reader.as_of();
        Ok(Snapshot {
            version,
            committed_us,
            commit: reader.commit_of(version).await?,
            totals: reader.total_rows(None).await?,
            partitions: reader.partitions().await?,
            namespaces: reader.namespaces_after(0).await?,
        })
    }

    /// The commit that made a version, while the journal has it: the newest one always.
    ///
    /// # Errors
    /// As every read.
    pub async fn commit_of(&self, version: i64) -> Result<Option<CommitId>> {
        self.read().await?.commit_of(version).await
    }

    /// Namespaces with a number above this, by number.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespaces_after(&self, id: i64) -> Result<Vec<NamespaceRow>> {
        self.read().await?.namespaces_after(id).await
    }

    /// Every registered name.
    ///
    /// # Errors
    /// As every read.
    pub async fn load_labels(&self) -> Result<Vec<LabelName>> {
        self.read().await?.labels().await
    }

    /// Keys of a role.
    ///
    /// # Errors
    /// As every read.
    pub async fn keys(&self, role: &str) -> Result<Vec<KeyRow>> {
        self.read().await?.keys(role).await
    }

    /// Registers names, all in one transaction; the answers are in the order of the requests.
    ///
    /// # Errors
    /// What the database says; nothing happened then.
    pub async fn register_many(&self, requests: Vec<LabelRequest>) -> Result<Vec<Registration>> {
        transact!(self, |conn| config::register(conn, &requests, now_us()))
    }

    /// Makes a namespace by hand.
    ///
    /// # Errors
    /// `Exists` if there is one of this code.
    pub async fn create_namespace(&self, code: &str, name: &str) -> Result<NamespaceRow> {
        let (code, name) = (code.to_owned(), name.to_owned());
        transact!(self, |conn| config::create_namespace(conn, &code, &name, now_us()))
    }

    /// Enables or disables a namespace; nothing if there is none of this number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_namespace_status(
        &self,
        id: i64,
        status: NamespaceStatus,
    ) -> Result<Option<NamespaceRow>> {
        transact!(self, |conn| config::set_status(conn, id, status, now_us()))
    }

    /// Keeps the newest report of each gateway and namespace.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_connections(&self, rows: Vec<ConnectionsRow>) -> Result<()> {
        transact!(self, |conn| config::put_connections(conn, &rows))
    }

    /// Stores the hash of a key of a role, bound to a source.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_key(&self, role: &str, source: &str, sha256: [u8; 32]) -> Result<()> {
        let (role, source) = (role.to_owned(), source.to_owned());
        transact!(self, |conn| config::put_key(conn, &role, &source, sha256, now_us()))
    }

    /// Deletes rows that are no longer kept; bounded work per call.
    ///
    /// # Errors
    /// What the database says.
    pub async fn retain(&self, now_us: i64, keep: &Keep) -> Result<Retained> {
        let keep = *keep;
        transact!(self, |conn| retain::retain(conn, now_us, &keep))
    }

    /// Turns true when the ledger cannot be trusted any more; then the process must exit.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.subscribe()
    }

    /// Closes the connections. Later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            let conn = &mut writer.lock().await.conn;
            if let Err(error) = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
                tracing::warn!(%error, "ledger was not closed cleanly");
            }
        }
    }

    /// Raises the flag for a fatal error on its way to the caller.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && error.is_fatal()
            && !self.fatal.send_replace(true)
        {
            // Once, and before anybody acts on it: what ends the process only knows that it ended.
            tracing::error!(%error, "ledger failed");
        }
        result
    }
}

/// Reads a generation, or makes it.
async fn make_generation(
    conn: &mut SqliteConnection,
    generation: u32,
    partitions: u32,
) -> Result<Generation> {
    if let Some(found) = read_generation(conn, generation).await? {
        return Ok(found);
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Fatal {
        reason: format!("no random numbers for the secret of the log: {error}"),
    })?;
    let window = Window::default();
    sqlx::query("INSERT INTO generation VALUES (?, ?, ?, ?, ?, ?)")
        .bind(generation)
        .bind(partitions)
        .bind(secret.as_slice())
        .bind(window.past_us)
        .bind(window.ahead_us)
        .bind(window.keep_us)
        .execute(conn)
        .await
        .map_err(StoreError::sql("make a generation"))?;
    Ok(Generation { generation, partitions, secret: Secret(secret), window })
}

async fn read_generation(
    conn: &mut SqliteConnection,
    generation: u32,
) -> Result<Option<Generation>> {
    let row = sqlx::query(
        "SELECT partitions, secret, past_us, ahead_us, keep_us FROM generation \
         WHERE generation = ?",
    )
    .bind(generation)
    .fetch_optional(conn)
    .await
    .map_err(StoreError::sql("read a generation"))?;
    let Some(row) = row else { return Ok(None) };
    let window = Window {
        past_us: rows::get(&row, 2)?,
        ahead_us: rows::get(&row, 3)?,
        keep_us: rows::get(&row, 4)?,
    };
    if !window.is_sound() {
        return Err(StoreError::Fatal { reason: "the window of the log is not sound".to_owned() });
    }
    Ok(Some(Generation {
        generation,
        partitions: rows::number(&row, 0, "number of partitions")?,
        secret: Secret(rows::bytes(&row, 1)?),
        window,
    }))
}

/// A task of ours that ended by a panic.
fn defect(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Fatal { reason: format!("a write ended by a defect: {error}") }
}

/// The wall clock, microseconds since the epoch: for when something was stored, never for what
/// counts.
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
