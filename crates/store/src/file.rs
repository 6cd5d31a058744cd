//! The connection that writes the ledger's file, and the foreign locks that can block it.
//!
//! Every write begins here, so that the wait for a foreign lock is bounded and reported. A task
//! probes the file while it is idle. Nothing here decides what is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use queue::{ForeignLock, WAL_ALARM_BYTES};
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use crate::error::{Result, StoreError};

/// What `/readyz` and the logs report while another process holds the file's write lock.
const LOCKED: &str = "the ledger is locked by another process, nothing can be stored";

/// The writing connection, with the state of foreign locks.
#[derive(Debug)]
pub(crate) struct FileConn {
    pub conn: SqliteConnection,
    pub state: Arc<FileState>,
}

/// State that the writing connection shares with health checks.
#[derive(Debug)]
pub(crate) struct FileState {
    pub lock: ForeignLock,
    wal: PathBuf,
    is_wal_large: AtomicBool,
}

impl FileConn {
    /// A connection to the file whose write-ahead log is at `wal`.
    pub(crate) fn new(conn: SqliteConnection, wal: PathBuf) -> FileConn {
        let is_wal_large = AtomicBool::new(false);
        let state = FileState { lock: ForeignLock::new(LOCKED), wal, is_wal_large };
        FileConn { conn, state: Arc::new(state) }
    }

    /// Begins to write.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.state.lock.begin(&mut self.conn).await.map_err(StoreError::sql("begin"))
    }

    /// Commits.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.conn.execute("COMMIT").await.map_err(StoreError::sql("commit"))?;
        Ok(())
    }

    /// Rolls back; returns whether a transaction was open.
    pub(crate) async fn rollback(&mut self) -> bool {
        self.conn.execute("ROLLBACK").await.is_ok()
    }

    /// Probes whether the file can be written, and measures its write-ahead log.
    pub(crate) async fn probe(&mut self) -> Result<()> {
        self.state.watch_size();
        self.state.lock.probe(&mut self.conn).await.map_err(StoreError::sql("look at its file"))
    }
}

impl FileState {
    /// Size of the write-ahead log in bytes; it grows while some reader holds an old snapshot.
    pub(crate) fn wal_bytes(&self) -> u64 {
        std::fs::metadata(&self.wal).map_or(0, |file| file.len())
    }

    fn watch_size(&self) {
        let wal_bytes = self.wal_bytes();
        let is_large = wal_bytes > WAL_ALARM_BYTES;
        if is_large && !self.is_wal_large.load(Ordering::Relaxed) {
            tracing::warn!(
                wal_bytes,
                wal_alarm_bytes = WAL_ALARM_BYTES,
                "the ledger's write-ahead log is large, a reader may hold an old snapshot"
            );
        }
        self.is_wal_large.store(is_large, Ordering::Relaxed);
    }
}
