//! What can go wrong in the store, one enum for the crate.
//!
//! Each variant determines what a caller may do next: retry, report, or exit.

use std::path::{Path, PathBuf};

use queue::SqliteClass;

use crate::server_error::Meaning;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A read or write failed for now. It had no effect, unless a server's answer to COMMIT was
    /// lost; a retry is correct in either case.
    #[error("the ledger could not {action}")]
    Sql {
        /// The operation that failed.
        action: &'static str,
        /// The database's message.
        #[source]
        source: sqlx::Error,
    },
    /// Another process holds a lock on the file. Nothing was written; retry later.
    #[error("the ledger is locked by another process and could not {action}")]
    Locked {
        /// The operation that failed.
        action: &'static str,
        /// SQLite's message; `None` if it was not asked again.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The disk is full; nothing was written. Reads still work; retry later.
    #[error("the disk of the ledger is full")]
    DiskFull,
    /// What the disk holds is uncertain, or the ledger contradicts itself. The process must exit.
    #[error("the ledger cannot be trusted any more: {reason}")]
    Fatal {
        /// What was found.
        reason: String,
    },
    /// A newer program has migrated the ledger while this one ran. The process must exit.
    #[error("the ledger has format {found}, this program knows {known}: a newer one must go on")]
    Newer {
        /// Format of the ledger.
        found: i64,
        /// Newest format that this program knows.
        known: i64,
    },
    /// The file is not a ledger of a known format.
    #[error("{} is not a ledger that this program knows: {reason}", .path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The database is not a ledger of a known format, or its server is not supported.
    #[error("the database {database} is not a ledger that this program knows: {reason}")]
    Database {
        /// Name of the database.
        database: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no ledger to read.
    #[error("there is no ledger at {}", .0.display())]
    Missing(PathBuf),
    /// The linked SQLite is too old.
    #[error("SQLite {found} is too old: {needed} or newer is needed")]
    SqliteTooOld {
        /// Version of the linked SQLite.
        found: String,
        /// Oldest supported version.
        needed: &'static str,
    },
    /// The log has another number of partitions than its generation was made with.
    #[error(
        "generation {generation} has {stored} partitions in the ledger, but {given} in the log"
    )]
    Partitions {
        /// Number of the generation.
        generation: u32,
        /// Partitions in the ledger.
        stored: u32,
        /// Partitions in the log.
        given: u32,
    },
    /// A namespace of this code exists.
    #[error("namespace {0} exists already")]
    Exists(String),
    /// A read-only server lacks a version that exists: it may be the primary before a failover, or
    /// a lagging replica. Retry: a new connection may reach another server.
    #[error("the server is read-only and lacks version {version}, another may have its address")]
    Behind {
        /// The requested version.
        version: i64,
    },
    /// The file is no backup that can be restored. Nothing was written.
    #[error("{} cannot be restored: {reason}", .path.display())]
    Backup {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is restored into a place that is in use.
    #[error("nothing can be restored into {place}: {reason}")]
    Occupied {
        /// Directory, or name of the database.
        place: String,
        /// What is there.
        reason: String,
    },
    /// The file exists, and nothing replaces it.
    #[error("{} exists already", .0.display())]
    FileExists(PathBuf),
    /// A file of a backup could not be read or written.
    #[error("could not {action} {}", .path.display())]
    File {
        /// The operation that failed.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The system's message.
        #[source]
        source: std::io::Error,
    },
    /// The store was opened for reading only.
    #[error("the ledger is open for reading only")]
    ReadOnly,
}

impl StoreError {
    /// Whether the process must exit.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, StoreError::Fatal { .. } | StoreError::Newer { .. })
    }

    /// Whether another process holds a lock on the file.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, StoreError::Locked { .. })
    }

    /// The error for a caller queued behind one that already waits for a lock.
    pub(crate) fn held() -> StoreError {
        StoreError::Locked { action: "begin", source: None }
    }

    /// The reason for refusing a write, phrased to follow "because".
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            StoreError::Locked { .. } => "the ledger is locked by another process",
            StoreError::DiskFull => "the disk of the ledger is full",
            _ => "the ledger does not answer",
        }
    }

    /// Classifies an error of SQLite.
    pub(crate) fn of(action: &'static str, source: sqlx::Error) -> StoreError {
        match SqliteClass::of(&source) {
            SqliteClass::Locked => StoreError::Locked { action, source: Some(source) },
            SqliteClass::Full => StoreError::DiskFull,
            SqliteClass::Ends => {
                StoreError::Fatal { reason: format!("could not {action}: {source}") }
            }
            SqliteClass::Unable | SqliteClass::Defect => StoreError::Sql { action, source },
        }
    }

    /// Classifies an error of a server. A server that is gone, read-only, out of connections or in
    /// a deadlock says nothing about its data: these conditions are transient, so none of them is
    /// fatal.
    pub(crate) fn of_server(action: &'static str, source: sqlx::Error) -> StoreError {
        match Meaning::of(&source) {
            Meaning::Full => StoreError::DiskFull,
            Meaning::Rule => StoreError::Fatal { reason: format!("could not {action}: {source}") },
            _ => StoreError::Sql { action, source },
        }
    }

    /// For `map_err`, with an error of a file.
    pub(crate) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_path_buf();
        move |source| StoreError::File { action, path, source }
    }

    /// For `map_err`, with an error of SQLite.
    pub(crate) fn sql(action: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        move |source| StoreError::of(action, source)
    }

    /// For `map_err`, with an error of a server.
    pub(crate) fn server(action: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        move |source| StoreError::of_server(action, source)
    }
}

/// Result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;
