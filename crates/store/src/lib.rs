//! The ledger and the configuration in SQL: a local SQLite file, or a database on a MySQL or
//! MariaDB server.
//!
//! Commits of the aggregator, labels of ingest and settings of the api go through `Store`, each in
//! one transaction that completes even if its caller is cancelled. Queries go through a `Reader`,
//! which sees one committed version. Nothing here decides what counts: that is `ledger`.

mod server_error;
mod error;
mod server_options;
mod server;
mod file;
mod sql;
mod steps;
mod many;
mod rows;
mod term;
mod rolled;
mod schema;
mod server_schema;
mod generation;
mod read;
mod journal;
mod part;
mod latency;
pub mod usage;
mod letter;
mod letter_page;
mod raw_place;
mod namespace;
mod label;
mod connections;
mod pressure;
mod key;
mod retain;
mod dictionary;
mod baseline;
mod snapshot;
mod accepted;
mod roll_up;
mod write;
mod resolve;
mod frames;
mod access;
mod late;
mod lease;
pub mod backup;
pub mod plain;
mod process;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clock::Wall;
use ledger::commit::{Claim, Commit, CommitId, Outcome, Resolution};
use tokio::sync::{Mutex, watch};

pub use accepted::AcceptedRow;
pub use connections::ConnectionsRow;
pub use error::{Result, StoreError};
pub use frames::{Owners, Raised};
pub use generation::Generation;
pub use journal::RangeRow;
pub use key::KeyRow;
pub use label::{LabelKind, LabelName, LabelRequest, Registration};
pub use late::MergedRow;
pub use latency::{Histogram, LatencyAsk, Timing};
pub use letter::{LetterFilter, LogLetter, RawLetter};
pub use letter_page::{LetterAsk, LetterGroup, LetterPlace, LetterRow, LetterSource};
pub use namespace::{NamespaceFilter, NamespaceRow, NamespaceStatus, Page, folded};
pub use part::{Part, Pulse, Rows};
pub use process::{OwnerRow, ProcessRow};
pub use raw_place::{Known, RawPlace, Settled};
pub use read::{AsOf, Baseline, LetterCount, PartitionRow, Reader, Stamp};
pub use retain::{Keep, Retained};
pub use server_options::{MysqlOptions, MysqlTls};
pub use snapshot::Snapshot;

use access::{Readers, Writers, transact, watch_file};
use server::Era;
use sql::Conn;
use write::{Memory, Writer};

/// The ledger and the configuration.
#[derive(Debug)]
pub struct Store {
    /// `None` if the store is read-only.
    writers: Option<Writers>,
    readers: Readers,
    n_read_statements: Arc<AtomicU64>,
    fatal: watch::Sender<bool>,
}

impl Store {
    /// Opens the ledger of a directory, or creates it. The caller holds the directory lock.
    ///
    /// # Errors
    /// `Format` for a file of a newer version, `SqliteTooOld`, or an I/O error.
    pub async fn open(dir: &Path) -> Result<Store> {
        let file = schema::open_writer(dir).await?;
        let state = Arc::clone(&file.state);
        let memory = Memory::default();
        let writer = Arc::new(Mutex::new(Writer::new(Conn::Sqlite(file), memory.clone())));
        let readers = Readers::Sqlite(schema::open_readers(dir).await?);
        let weak = Arc::downgrade(&writer);
        let store = Store::new(Some(Writers::Sqlite(writer, state, memory)), readers);
        tokio::spawn(watch_file(weak, store.fatal.clone()));
        Ok(store)
    }

    /// Opens the ledger of a directory for reading, without the directory lock and alongside a
    /// writer.
    ///
    /// # Errors
    /// `Missing` if there is none; otherwise as [`Store::open`].
    pub async fn open_read_only(dir: &Path) -> Result<Store> {
        Ok(Store::new(None, Readers::Sqlite(schema::open_readers(dir).await?)))
    }

    /// Opens the ledger in a server database, and creates missing tables. Several processes may do
    /// so concurrently.
    ///
    /// # Errors
    /// `Database` for tables of a newer version or an unsupported server; otherwise the server's
    /// error.
    pub async fn open_mysql(options: &MysqlOptions) -> Result<Store> {
        let era = Era::default();
        let server = server_schema::open_writers(options, &era).await?;
        let readers = Readers::Mysql(server_schema::open_readers(options, &era).await?);
        Ok(Store::new(Some(Writers::Mysql(server, Memory::default())), readers))
    }

    /// Opens the ledger in a server database for reading. A database user without write privileges
    /// suffices.
    ///
    /// # Errors
    /// `Database` if there are no tables of this version's format; otherwise as `open_mysql`.
    pub async fn open_mysql_read_only(options: &MysqlOptions) -> Result<Store> {
        let readers = server_schema::open_readers(options, &Era::default()).await?;
        Ok(Store::new(None, Readers::Mysql(readers)))
    }

    fn new(writers: Option<Writers>, readers: Readers) -> Store {
        let n_read_statements = Arc::default();
        Store { writers, readers, n_read_statements, fatal: watch::Sender::new(false) }
    }

    /// The generation of the log; created at the first start, with a random secret.
    ///
    /// # Errors
    /// `Partitions` if the log has another number than the generation was made with.
    pub async fn generation(&self, generation: u32, partitions: u32) -> Result<Generation> {
        let found = match self.writers {
            Some(_) => transact!(self, |conn| generation::make(conn, generation, partitions))?,
            None => {
                let mut conn = self.readers.begin().await?;
                generation::read(&mut conn, generation).await?.ok_or(StoreError::ReadOnly)?
            }
        };
        if found.partitions != partitions {
            let stored = found.partitions;
            return Err(StoreError::Partitions { generation, stored, given: partitions });
        }
        Ok(found)
    }

    /// The generation of the log; `None` if it does not exist.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn known_generation(&self, generation: u32) -> Result<Option<Generation>> {
        let mut conn = self.readers.begin().await?;
        generation::read(&mut conn, generation).await
    }

    /// Claims a partition for a new owner, which knows frames up to version `frames`.
    ///
    /// # Errors
    /// The error of the database; nothing was written.
    pub async fn claim(
        &self,
        generation: u32,
        partition: u32,
        nonce: [u8; 16],
        frames: u8,
    ) -> Result<Claim> {
        let writers = self.writers()?;
        let task = tokio::spawn(async move {
            writers.hold().await?.claim(generation, partition, nonce, frames).await
        });
        self.noted(task.await.unwrap_or_else(|error| Err(defect(&error))))
    }

    /// Executes a commit atomically. Returns the outcome, and the error to be logged if there was
    /// one. Completes even if the caller stops waiting.
    pub async fn commit(&self, commit: Arc<Commit>) -> (Outcome, Option<StoreError>) {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return (Outcome::Aborted, Some(error)),
        };
        let task = tokio::spawn(async move {
            match writers.hold().await {
                Ok(mut held) => held.commit(&commit, Wall::now()).await,
                Err(error) => (Outcome::Aborted, Some(error)),
            }
        });
        let (outcome, error) = match task.await {
            Ok(done) => done,
            Err(error) => (Outcome::Unknown, Some(defect(&error))),
        };
        (outcome, error.and_then(|error| self.noted::<()>(Err(error)).err()))
    }

    /// Resolves a commit whose outcome is unknown.
    ///
    /// # Errors
    /// The error of the database, or that the commit is still in progress; the outcome stays
    /// unknown.
    pub async fn resolve(&self, commit: &Commit) -> Result<Resolution> {
        let mut held = self.writers()?.hold_new().await?;
        self.noted(held.resolve(commit).await)
    }

    /// The commit that created a version, as long as the journal has it; the newest is always kept.
    ///
    /// # Errors
    /// `Behind` if a read-only server does not have it; otherwise see [`Reader`].
    pub async fn commit_of(&self, version: i64) -> Result<Option<CommitId>> {
        self.read().await?.certain_commit_of(version).await
    }

    /// Namespaces with a number above this, by number.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn namespaces_after(&self, id: i64) -> Result<Vec<NamespaceRow>> {
        self.read().await?.namespaces_after(id).await
    }

    /// Every registered name.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn load_labels(&self) -> Result<Vec<LabelName>> {
        self.read().await?.labels().await
    }

    /// The registered names of a kind, of all scopes.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn label_names(&self, kind: LabelKind) -> Result<Vec<String>> {
        self.read().await?.label_names(kind).await
    }

    /// Keys of a role.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn keys(&self, role: &str) -> Result<Vec<KeyRow>> {
        self.read().await?.keys(role).await
    }

    /// Registers names, all in one transaction; the answers are in the order of the requests.
    ///
    /// # Errors
    /// The error of the database; nothing was written.
    pub async fn register_many(&self, requests: Vec<LabelRequest>) -> Result<Vec<Registration>> {
        transact!(self, steps => label::register(steps, &requests, Wall::now()))
    }

    /// Creates a namespace on an operator's request.
    ///
    /// # Errors
    /// `Exists` if there is one of this code.
    pub async fn create_namespace(&self, code: &str, name: &str) -> Result<NamespaceRow> {
        let (code, name) = (code.to_owned(), name.to_owned());
        transact!(self, steps => label::create_namespace(steps, &code, &name, Wall::now()))
    }

    /// Enables or disables a namespace; `None` if the number is unknown.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn set_namespace_status(
        &self,
        id: i64,
        status: NamespaceStatus,
    ) -> Result<Option<NamespaceRow>> {
        transact!(self, |conn| namespace::set_status(conn, id, status, Wall::now()))
    }

    /// Stores the newest report of each gateway and namespace.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn put_connections(&self, rows: Vec<ConnectionsRow>) -> Result<()> {
        transact!(self, |conn| connections::put_connections(conn, &rows))
    }

    /// Stores dead letters of raw topics: messages, or events in them, that were rejected. Existing
    /// rows are left unchanged. Beyond `hour_max` rows an hour, one row represents many.
    ///
    /// # Errors
    /// The error of the database; nothing was written.
    pub async fn put_raw_letters(&self, letters: Vec<RawLetter>, hour_max: i64) -> Result<()> {
        transact!(self, |conn| letter::put_raw(conn, &letters, hour_max, Wall::now()))
    }

    /// Stores the progress of a consumer group in raw topics. A topic id other than the stored one
    /// changes nothing: the stored progress is settled first. Entries of `known` are stored only
    /// where the row has the same topic id.
    ///
    /// # Errors
    /// The error of the database; nothing was written.
    pub async fn put_raw_places(
        &self,
        reader: &str,
        places: Vec<RawPlace>,
        known: Vec<RawPlace>,
    ) -> Result<()> {
        let reader = reader.to_owned();
        transact!(self, |conn| raw_place::put_all(conn, &reader, &places, &known, Wall::now()))
    }

    /// Settles the progress in a replaced topic, whose name now belongs to `topic_id`. Returns the
    /// last known progress, with what `known` adds to it, unless it was settled before.
    ///
    /// # Errors
    /// The error of the database; nothing was written.
    pub async fn settle_raw_place(
        &self,
        reader: &str,
        known: Known,
        topic_id: String,
    ) -> Result<Option<Settled>> {
        let reader = reader.to_owned();
        transact!(self, |conn| raw_place::settle(conn, &reader, &known, &topic_id, Wall::now()))
    }

    /// Settles the progress in all earlier topics of the same name.
    ///
    /// # Errors
    /// The error of the database; nothing was written.
    pub async fn settle_raw_topic(
        &self,
        reader: &str,
        topic: &str,
        topic_id: String,
    ) -> Result<Vec<Settled>> {
        let (reader, topic) = (reader.to_owned(), topic.to_owned());
        transact!(self, |conn| {
            raw_place::settle_rest(conn, &reader, &topic, &topic_id, Wall::now())
        })
    }

    /// Records that an aggregator's dedup set is full, so that every ingest sheds events until it
    /// has room again.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn put_pressure(&self, now: Wall) -> Result<()> {
        transact!(self, |conn| pressure::put(conn, now))
    }

    /// The frame version that ingest writes.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn frame_version(&self) -> Result<u8> {
        self.read().await?.frame_version().await
    }

    /// Raises the frame version that ingest writes, if the owner of every partition of the
    /// generation knows it. There is no way back. The caller knows the version itself.
    ///
    /// # Errors
    /// The error of the database; where a server's answer to COMMIT was lost, trying again tells.
    pub async fn raise_frame_version(
        &self,
        generation: u32,
        to: u8,
        owners: Owners,
    ) -> Result<Raised> {
        transact!(self, steps => frames::raise(steps, generation, to, owners))
    }

    /// Stores the hash of a key of a role, bound to a source.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn put_key(&self, role: &str, source: &str, sha256: [u8; 32]) -> Result<()> {
        let (role, source) = (role.to_owned(), source.to_owned());
        transact!(self, |conn| key::put_key(conn, &role, &source, sha256, Wall::now()))
    }

    /// Deletes rows that are no longer kept; bounded work per call.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn retain(&self, now: Wall, keep: &Keep) -> Result<Retained> {
        let keep = *keep;
        transact!(self, |conn| retain::retain(conn, now, &keep))
    }

    /// Rolls up the next rows whose time ended a while ago, so that queries of long ranges read
    /// few; bounded work per call. Returns whether there are more. No number changes.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn roll_up(&self, now: Wall) -> Result<bool> {
        transact!(self, steps => roll_up::roll_up(steps, now))
    }

    /// Turns true when the ledger can no longer be trusted; the process must then exit.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.subscribe()
    }

    /// Why writes are refused although the ledger works: another process holds the lock of its
    /// file. A lock of less than a second refuses nothing. `None` on a server.
    #[must_use]
    pub fn refusing(&self) -> Option<&'static str> {
        match &self.writers {
            Some(Writers::Sqlite(_, file, _)) => file.lock.report(),
            _ => None,
        }
    }

    /// Why writes are refused although reads work: the server is read-only.
    #[must_use]
    pub fn takes_no_writes(&self) -> Option<&'static str> {
        self.writers.as_ref().and_then(Writers::takes_no_writes)
    }

    /// Size of the write-ahead log of a file in bytes; 0 on a server.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        match &self.writers {
            Some(Writers::Sqlite(_, file, _)) => file.wal_bytes(),
            _ => 0,
        }
    }

    /// Closes the connections. Later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(writers) = &self.writers {
            writers.close().await;
        }
    }

    fn writers(&self) -> Result<Writers> {
        self.writers.clone().ok_or(StoreError::ReadOnly)
    }

    /// Sets the failure flag for a fatal error before it is returned.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && error.is_fatal()
            && !self.fatal.send_replace(true)
        {
            // Logged once, here: the code that ends the process does not know the cause.
            tracing::error!(%error, "ledger failed");
        }
        result
    }
}

/// The error for a task that panicked.
pub(crate) fn defect(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Fatal { reason: format!("a write panicked: {error}") }
}
