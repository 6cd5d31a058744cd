//! Opens the ledger's file and migrates it to the newest format.
//!
//! Formats are migrations in `migrations/sqlite`, each applied atomically. A file of a newer
//! version is refused.

use std::path::Path;
use std::time::Duration;

use queue::LOCK_TRY;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor};

use crate::error::{Result, StoreError};
use crate::file::FileConn;

/// Name of the database file in the data directory.
pub(crate) const FILE: &str = "ledger.db";
/// Name of its write-ahead log.
const WAL_FILE: &str = "ledger.db-wal";
/// The migrations; the newest number is the format of this version.
pub(crate) const MIGRATIONS: [&str; 12] = [
    include_str!("../migrations/sqlite/0001_ledger.sql"),
    include_str!("../migrations/sqlite/0002_raw_letters.sql"),
    include_str!("../migrations/sqlite/0003_consumers.sql"),
    include_str!("../migrations/sqlite/0004_accepted_losses.sql"),
    include_str!("../migrations/sqlite/0005_bytes.sql"),
    include_str!("../migrations/sqlite/0006_topic_ids.sql"),
    include_str!("../migrations/sqlite/0007_frames.sql"),
    include_str!("../migrations/sqlite/0008_commit_ranges.sql"),
    include_str!("../migrations/sqlite/0009_time_per_token.sql"),
    include_str!("../migrations/sqlite/0010_roll_ups.sql"),
    include_str!("../migrations/sqlite/0011_several_aggregators.sql"),
    include_str!("../migrations/sqlite/0012_late_events.sql"),
];
/// Connections for reading: the API's answers side by side.
const READERS_MAX: u32 = 4;
/// How long a reader waits for a lock: it meets one only while another program recovers the file or
/// locks it exclusively.
const BUSY: Duration = Duration::from_secs(5);
/// Memory for pages of the writer, in KiB (negative: SQLite's notation for KiB).
const WRITER_CACHE_KIB: &str = "-65536";
/// Pages in the write-ahead log that start a checkpoint.
const WAL_PAGES: &str = "4000";
/// Size to which the write-ahead log is truncated when it restarts: what it grew beyond that, while
/// a reader held an old snapshot, is released. Four times what starts a checkpoint.
const WAL_KEEP_BYTES: &str = "67108864";
/// Oldest SQLite without the write-ahead log bug that can corrupt a file.
const SQLITE_OLDEST: (u32, u32, u32) = (3, 51, 3);
const SQLITE_OLDEST_TEXT: &str = "3.51.3";

/// Refuses a SQLite older than 3.51.3, by the text of `sqlite_version()`.
pub(crate) fn check_version(found: &str) -> Result<()> {
    let mut parts = found.split('.').map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), Some(patch)) if (major, minor, patch) >= SQLITE_OLDEST => Ok(()),
        _ => Err(StoreError::SqliteTooOld { found: found.to_owned(), needed: SQLITE_OLDEST_TEXT }),
    }
}

/// Opens the file for writing and migrates it to the newest format; creates it if it is missing.
pub(crate) async fn open_writer(dir: &Path) -> Result<FileConn> {
    let path = dir.join(FILE);
    let mut conn = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("cache_size", WRITER_CACHE_KIB)
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("journal_size_limit", WAL_KEEP_BYTES)
        .statement_cache_capacity(200)
        .busy_timeout(LOCK_TRY)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(StoreError::sql("open"))?;
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut conn)
        .await
        .map_err(StoreError::sql("ask for the version of SQLite"))?;
    check_version(&found)?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut conn)
        .await
        .map_err(StoreError::sql("ask for the journal mode"))?;
    if journal != "wal" {
        let reason = format!("its journal mode is {journal}, not wal: commits would not be safe");
        return Err(StoreError::Format { path, reason });
    }
    let mut file = FileConn::new(conn, dir.join(WAL_FILE));
    migrate(&mut file, &path).await?;
    Ok(file)
}

/// Read-only connections, which never block the writer.
pub(crate) async fn open_readers(dir: &Path) -> Result<SqlitePool> {
    let path = dir.join(FILE);
    match tokio::fs::try_exists(&path).await {
        Ok(true) => {}
        Ok(false) | Err(_) => return Err(StoreError::Missing(path)),
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(StoreError::sql("open for reading"))?;
    let mut conn = pool.acquire().await.map_err(StoreError::sql("open for reading"))?;
    check_format(&mut conn, &path).await?;
    Ok(pool)
}

/// Format of the file, 0 for a new one.
async fn format(conn: &mut SqliteConnection) -> Result<i64> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'")
        .fetch_one(&mut *conn)
        .await
        .map_err(StoreError::sql("read its schema"))?;
    if tables == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT format FROM meta")
        .fetch_one(conn)
        .await
        .map_err(StoreError::sql("read its format"))
}

/// Refuses a file of another format than this version's.
async fn check_format(conn: &mut SqliteConnection, path: &Path) -> Result<()> {
    let found = format(conn).await?;
    if found == MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let reason = format!("it has format {found}, this program knows {}", MIGRATIONS.len());
    Err(StoreError::Format { path: path.to_path_buf(), reason })
}

/// Applies the migrations that the file lacks.
async fn migrate(file: &mut FileConn, path: &Path) -> Result<()> {
    let found = format(&mut file.conn).await?;
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    for step in missing.unwrap_or_default() {
        file.begin().await?;
        file.conn.execute(*step).await.map_err(StoreError::sql("apply a migration"))?;
        file.commit().await?;
    }
    check_format(&mut file.conn, path).await
}

#[cfg(test)]
mod tests;
