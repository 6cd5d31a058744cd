//! Keeps the write-ahead log bounded without making an append wait.
//! The writer calls `step` after it has answered its callers. A small backlog is copied back on
//! the writer's own connection, so that the log can start over; a large one, as a long reader
//! leaves behind, goes to a connection of its own while the writer goes on. Only PASSIVE
//! checkpoints are used: they never wait for a reader. Nothing here touches a record.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::task::JoinHandle;

use crate::limits::{CHECKPOINT_BYTES, CHECKPOINT_INLINE_BYTES_MAX, WAL_ALARM_BYTES};
use crate::schema;

/// When to copy back, and how much at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckpointLimits {
    /// Bytes appended between two steps.
    pub every_bytes: u64,
    /// The largest backlog, in bytes, that is copied back in line.
    pub inline_bytes_max: u64,
}

impl Default for CheckpointLimits {
    fn default() -> CheckpointLimits {
        CheckpointLimits {
            every_bytes: CHECKPOINT_BYTES,
            inline_bytes_max: CHECKPOINT_INLINE_BYTES_MAX,
        }
    }
}

/// Copies the write-ahead log back into the file, piece by piece.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    dir: PathBuf,
    limits: CheckpointLimits,
    page_bytes: u64,
    bytes_since: u64,
    background: Option<JoinHandle<Result<(), sqlx::Error>>>,
    alarmed: bool,
}

impl Checkpointer {
    /// `page_bytes` is the page size of the file.
    pub(crate) fn new(dir: &Path, limits: CheckpointLimits, page_bytes: u64) -> Checkpointer {
        Checkpointer {
            dir: dir.to_path_buf(),
            limits,
            page_bytes,
            bytes_since: 0,
            background: None,
            alarmed: false,
        }
    }

    /// Notes bytes that a commit has written.
    pub(crate) fn wrote(&mut self, bytes: u64) {
        self.bytes_since += bytes;
    }

    /// Does what is due. An error is one of the storage, and as serious as one of a write.
    pub(crate) async fn step(&mut self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.bytes_since < self.limits.every_bytes {
            return Ok(());
        }
        self.bytes_since = 0;
        self.watch_size();
        if let Some(task) = self.background.take_if(|task| task.is_finished()) {
            task.await.unwrap_or(Ok(()))?;
        }
        let backlog_bytes = backlog_pages(conn).await? * self.page_bytes;
        if backlog_bytes <= self.limits.inline_bytes_max {
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(conn).await?;
        } else if self.background.is_none() {
            self.background = Some(tokio::spawn(copy_back(self.dir.clone())));
        }
        Ok(())
    }

    /// Waits for what runs in the background. What it could not do, the next opening does.
    pub(crate) async fn finish(&mut self) {
        if let Some(task) = self.background.take() {
            let _ = task.await;
        }
    }

    fn watch_size(&mut self) {
        let wal_bytes = wal_bytes(&self.dir);
        let above = wal_bytes > WAL_ALARM_BYTES;
        if above && !self.alarmed {
            tracing::warn!(
                wal_bytes,
                wal_alarm_bytes = WAL_ALARM_BYTES,
                "the queue's write-ahead log is large, a reader may hold an old snapshot"
            );
        }
        self.alarmed = above;
    }
}

/// Size of the write-ahead log on disk, in bytes; 0 if there is none.
pub(crate) fn wal_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join(schema::WAL_FILE)).map_or(0, |file| file.len())
}

/// Pages in the write-ahead log that are not yet copied back.
async fn backlog_pages(conn: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(conn).await?;
    let frames = row.try_get::<i64, _>(1)? - row.try_get::<i64, _>(2)?;
    Ok(u64::try_from(frames).unwrap_or(0))
}

async fn copy_back(dir: PathBuf) -> Result<(), sqlx::Error> {
    let mut conn = schema::connect_writer(&dir).await?;
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut conn).await?;
    conn.close().await
}
