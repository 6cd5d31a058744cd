//! The file of the embedded log: how it is opened, what its tables are, what must hold in it.
//!
//! `log` has one row per record; its key is the offset plus one. AUTOINCREMENT keeps the highest
//! key ever given in `sqlite_sequence`, so that offsets go on after retention has emptied the
//! table. `meta` has one row: format, generation, partitions, and the book-keeping that is
//! changed in the same transaction as the rows it is about. On open the two are held against
//! each other; a file that contradicts itself is not opened. Nothing here writes a record.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor, Row};

use crate::error::QueueError;
use crate::foreign_lock::LOCK_TRY;
use crate::limits::{BUSY_SECONDS_MAX, PAGE_BYTES, READERS_MAX, WAL_KEEP_BYTES};
use crate::record::offset_after;

/// Name of the database file in the data directory.
pub(crate) const FILE: &str = "queue.db";

/// Name of its write-ahead log.
pub(crate) const WAL_FILE: &str = "queue.db-wal";

/// Layout of the tables; grows with each change that an older program could not read.
const FORMAT: i64 = 1;

/// Generation of a new log.
const GENERATION: u32 = 1;

/// Partitions of an embedded log.
const PARTITIONS: u32 = 1;

/// Oldest SQLite without the write-ahead log bug that can corrupt a file.
const SQLITE_OLDEST: (u32, u32, u32) = (3, 51, 3);
const SQLITE_OLDEST_TEXT: &str = "3.51.3";

/// `PRAGMA synchronous` as SQLite answers it for FULL: each commit syncs the write-ahead log.
const SYNCHRONOUS_FULL: i64 = 2;

const CREATE: &str = "
BEGIN IMMEDIATE;
CREATE TABLE log (
    id             INTEGER PRIMARY KEY AUTOINCREMENT, -- offset + 1
    append_time_us INTEGER NOT NULL,                  -- the writer's wall clock
    crc32c         INTEGER NOT NULL,                  -- over offset, append time and bytes
    bytes          BLOB    NOT NULL
) STRICT;
CREATE TABLE meta (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    format         INTEGER NOT NULL,
    generation     INTEGER NOT NULL,
    partitions     INTEGER NOT NULL,
    created_us     INTEGER NOT NULL,
    low            INTEGER NOT NULL,                  -- oldest offset retained
    bytes          INTEGER NOT NULL,                  -- log bytes held, with row overhead
    last_append_us INTEGER                            -- append time of the newest record ever
) STRICT;
";

const HEAD: &str = "
SELECT format, generation, partitions, low, bytes, last_append_us,
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'log'), 0) AS high_id,
       (SELECT min(id) FROM log) AS min_id,
       (SELECT max(id) FROM log) AS max_id
  FROM meta WHERE one = 1";

/// The file's own bookkeeping, in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub generation: u32,
    pub partitions: u32,
    /// Oldest offset retained.
    pub low: u64,
    /// Next offset to be written.
    pub high: u64,
    /// Log bytes held, with row overhead.
    pub bytes: u64,
    /// Append time of the newest record ever, in microseconds.
    pub last_append_us: Option<i64>,
}

/// Refuses a SQLite older than 3.51.3, by the text of `sqlite_version()`.
pub(crate) fn check_sqlite_version(found: &str) -> Result<(), QueueError> {
    let mut parts = found.split('.').map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    let version = (next(), next(), next());
    match version {
        (Some(major), Some(minor), Some(patch)) if (major, minor, patch) >= SQLITE_OLDEST => Ok(()),
        _ => Err(QueueError::SqliteTooOld { found: found.to_owned(), needed: SQLITE_OLDEST_TEXT }),
    }
}

/// Opens the file for writing; makes it if it is missing. The caller holds the directory lock.
pub(crate) async fn open_writer(
    dir: &Path,
    created_us: i64,
) -> Result<(SqliteConnection, Head), QueueError> {
    let path = dir.join(FILE);
    let mut conn = connect_writer(dir).await.map_err(QueueError::sql("open the log"))?;
    check_linked_version(&mut conn).await?;
    check_durable(&mut conn, &path).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut conn)
        .await
        .map_err(QueueError::sql("read the log's schema"))?;
    if tables == 0 {
        create(&mut conn, created_us).await.map_err(QueueError::sql("create the log"))?;
    }
    let head = load_head(&mut conn, &path).await?;
    Ok((conn, head))
}

/// A connection that may write, with the settings that make a COMMIT durable.
pub(crate) async fn connect_writer(dir: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(dir.join(FILE))
        .create_if_missing(true)
        .page_size(u32::try_from(PAGE_BYTES).expect("a page size fits"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // The checkpointer decides when, so that no acknowledgement waits for a checkpoint.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_KEEP_BYTES.to_string())
        .busy_timeout(LOCK_TRY)
        .disable_statement_logging()
        .connect()
        .await
}

/// Connections that cannot write. They read the snapshot of the last commit and never hold up
/// the writer.
pub(crate) async fn open_readers(dir: &Path) -> Result<SqlitePool, QueueError> {
    let path = dir.join(FILE);
    match tokio::fs::try_exists(&path).await {
        Ok(true) => {}
        Ok(false) => return Err(QueueError::Missing { path }),
        Err(e) => return Err(QueueError::io("look for the log", path, e)),
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(BUSY_SECONDS_MAX))
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(QueueError::sql("open the log for reading"))
}

/// SQLite falls back silently where a setting cannot be had, for example where the file
/// system has no shared memory; then no commit may be acknowledged.
async fn check_durable(conn: &mut SqliteConnection, path: &Path) -> Result<(), QueueError> {
    let refused =
        |setting, found| QueueError::NotDurable { path: path.to_path_buf(), setting, found };
    let journal_mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *conn)
        .await
        .map_err(QueueError::sql("ask for the journal mode"))?;
    if journal_mode != "wal" {
        return Err(refused("journal_mode", journal_mode));
    }
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut *conn)
        .await
        .map_err(QueueError::sql("ask for the synchronous level"))?;
    if synchronous < SYNCHRONOUS_FULL {
        return Err(refused("synchronous", synchronous.to_string()));
    }
    Ok(())
}

/// Page size of the file in bytes.
pub(crate) async fn page_bytes(conn: &mut SqliteConnection) -> Result<u64, QueueError> {
    let bytes: i64 = sqlx::query_scalar("PRAGMA page_size")
        .fetch_one(conn)
        .await
        .map_err(QueueError::sql("ask for the page size"))?;
    Ok(u64::try_from(bytes).unwrap_or(PAGE_BYTES))
}

/// Limits the file to a number of pages: what lies beyond answers as a full disk does.
pub(crate) async fn limit_pages(
    conn: &mut SqliteConnection,
    pages_max: u32,
) -> Result<(), QueueError> {
    conn.execute(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages_max}")))
        .await
        .map_err(QueueError::sql("limit the log's pages"))?;
    Ok(())
}

/// Refuses to go on with a SQLite that is too old.
pub(crate) async fn check_linked_version(conn: &mut SqliteConnection) -> Result<(), QueueError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(conn)
        .await
        .map_err(QueueError::sql("ask for the version of SQLite"))?;
    check_sqlite_version(&found)
}

/// Reads the file's own bookkeeping and checks it against the rows.
pub(crate) async fn load_head(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Head, QueueError> {
    let corrupt = |reason: String| QueueError::Corrupt { path: path.to_path_buf(), reason };
    let row = sqlx::query(HEAD)
        .fetch_optional(conn)
        .await
        .map_err(QueueError::sql("read the log's head"))?
        .ok_or_else(|| corrupt("its meta row is missing".to_owned()))?;
    let number = |name: &str| row.try_get_unchecked::<i64, _>(name).unwrap_or(-1);
    let format = number("format");
    if format > FORMAT {
        return Err(QueueError::Format { path: path.to_path_buf(), found: format, known: FORMAT });
    }
    let rows = Rows {
        low: number("low"),
        high: number("high_id"),
        min_id: row.try_get_unchecked("min_id").unwrap_or(None),
        max_id: row.try_get_unchecked("max_id").unwrap_or(None),
    };
    rows.check().map_err(corrupt)?;
    let count = |name: &str| {
        u32::try_from(number(name)).map_err(|_| corrupt(format!("its {name} is out of range")))
    };
    Ok(Head {
        generation: count("generation")?,
        partitions: count("partitions")?,
        low: offset_after(rows.low),
        high: offset_after(rows.high),
        bytes: offset_after(number("bytes")),
        last_append_us: row.try_get_unchecked("last_append_us").unwrap_or(None),
    })
}

/// The ends of the table according to the meta row, the sequence and the rows themselves.
struct Rows {
    low: i64,
    high: i64,
    min_id: Option<i64>,
    max_id: Option<i64>,
}

impl Rows {
    /// Rows lost at either end by a damaged page would shift an offset or lose a record
    /// silently; so they are looked for.
    fn check(&self) -> Result<(), String> {
        let Rows { low, high, min_id, max_id } = *self;
        if low < 0 || low > high {
            return Err(format!("it starts at offset {low} and ends at {high}"));
        }
        let (first, last) = match (min_id, max_id) {
            (Some(first), Some(last)) => (first - 1, last),
            _ => (high, high),
        };
        if first != low {
            return Err(format!("its first row is at offset {first}, not at {low}"));
        }
        if last != high {
            return Err(format!("its rows end at offset {last}, not at {high}"));
        }
        Ok(())
    }
}

async fn create(conn: &mut SqliteConnection, created_us: i64) -> Result<(), sqlx::Error> {
    // One transaction: a crash leaves either no table or all of them with their meta row.
    conn.execute(CREATE).await?;
    sqlx::query(
        "INSERT INTO meta (one, format, generation, partitions, created_us, low, bytes) \
         VALUES (1, ?, ?, ?, ?, 0, 0)",
    )
    .bind(FORMAT)
    .bind(GENERATION)
    .bind(PARTITIONS)
    .bind(created_us)
    .execute(&mut *conn)
    .await?;
    conn.execute("COMMIT").await?;
    Ok(())
}

#[cfg(test)]
mod tests;
