//! What can go wrong in the store, one enum for the crate.
//!
//! Each variant says what a caller may do next: try again, tell the user, or exit.

use std::path::PathBuf;

use queue::SqliteClass;

use crate::server_error::Meaning;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A read or write did not work now. Nothing of it happened, unless the answer of a server to
    /// COMMIT was lost; to try again is right in either case.
    #[error("the ledger could not {action}")]
    Sql {
        /// What was being done.
        action: &'static str,
        /// The database's message.
        #[source]
        source: sqlx::Error,
    },
    /// Somebody else holds a lock on the file. Nothing happened; try again later.
    #[error("the ledger is locked by another process and could not {action}")]
    Locked {
        /// What was being done.
        action: &'static str,
        /// SQLite's message; `None` if it was not asked again.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The disk is full; nothing happened. Reads go on; try again later.
    #[error("the disk of the ledger is full")]
    DiskFull,
    /// What the disk holds is uncertain, or the ledger contradicts itself. The process must exit.
    #[error("the ledger cannot be trusted any more: {reason}")]
    Fatal {
        /// What was seen.
        reason: String,
    },
    /// The file is not a ledger of a known format.
    #[error("{} is not a ledger that this program knows: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The database of a server is not a ledger of a known format, or its server will not do.
    #[error("the database {database} is not a ledger that this program knows: {reason}")]
    Database {
        /// Its name.
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
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The log has another number of partitions than its generation was made with.
    #[error(
        "generation {generation} has {stored} partitions in the ledger, but {given} in the log"
    )]
    Partitions {
        /// The generation.
        generation: u32,
        /// As stored.
        stored: u32,
        /// As the log has them.
        given: u32,
    },
    /// A namespace of this code exists.
    #[error("namespace {0} exists already")]
    Exists(String),
    /// A server that takes no writes lacks a version that there is: it may be the primary before a
    /// switch, or a replica that has yet to catch up. Try again: a new connection may reach
    /// another.
    #[error("the server takes no writes and has no version {version}, another may stand there")]
    Behind {
        /// The version that was asked for.
        version: i64,
    },
    /// The store was opened for reading only.
    #[error("the ledger is open for reading only")]
    ReadOnly,
}

impl StoreError {
    /// Whether the process must exit.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, StoreError::Fatal { .. })
    }

    /// Whether somebody else holds a lock on the file.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, StoreError::Locked { .. })
    }

    /// For whoever stands behind one that waits for a lock already.
    pub(crate) fn held() -> StoreError {
        StoreError::Locked { action: "begin", source: None }
    }

    /// What to tell whoever wanted to write, in words that fit after "because".
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            StoreError::Locked { .. } => "the ledger is locked by another process",
            StoreError::DiskFull => "the disk of the ledger is full",
            _ => "the ledger does not answer",
        }
    }

    /// Sorts an error of SQLite.
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

    /// Sorts an error of a server. A server that is gone, read-only, out of connections or in a
    /// deadlock says nothing about what it holds: all of that passes, so none of it is fatal.
    pub(crate) fn of_server(action: &'static str, source: sqlx::Error) -> StoreError {
        match Meaning::of(&source) {
            Meaning::Full => StoreError::DiskFull,
            Meaning::Rule => StoreError::Fatal { reason: format!("could not {action}: {source}") },
            _ => StoreError::Sql { action, source },
        }
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
