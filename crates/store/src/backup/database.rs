//! The database in a backup: how it is opened, and what it holds.

use std::path::Path;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor};

use super::seal::Seal;
use super::{PartitionMark, Summary};
use crate::error::{Result, StoreError};
use crate::file::FileConn;
use crate::rows::number;
use crate::schema::MIGRATIONS;
use crate::sql::{Backend, Conn};

const READ: &str = "read the backup";

/// Opens a file that nobody writes for reading. Needs no right to write in its folder.
pub(super) async fn open(path: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(true)
        .disable_statement_logging();
    let options = SqlitePoolOptions::new().max_connections(1).connect_with(options);
    options.await.map_err(StoreError::sql("open the backup"))
}

/// Opens a file that nobody else sees for writing. Nothing of it is safe before it is synced.
pub(super) async fn open_to_write(path: &Path) -> Result<Conn> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .locking_mode(SqliteLockingMode::Exclusive)
        .foreign_keys(false)
        .disable_statement_logging();
    let conn = options.connect().await.map_err(StoreError::sql("open the backup"))?;
    Ok(Conn::Sqlite(FileConn::new(conn, path.with_extension("no-wal"))))
}

/// Begins to read one state of a file.
pub(super) async fn begin(pool: &SqlitePool) -> Result<Conn> {
    Ok(Conn::SqliteRead(pool.begin().await.map_err(StoreError::sql(READ))?))
}

/// Executes statements that have no parameters.
pub(super) async fn script(conn: &mut Conn, sql: &str, action: &'static str) -> Result<()> {
    let Conn::Sqlite(file) = conn else { return Err(StoreError::ReadOnly) };
    let done = file.conn.execute(AssertSqlSafe(sql.to_owned())).await;
    done.map(|_| ()).map_err(StoreError::sql(action))
}

/// Closes a file, so that all of it is with the operating system.
pub(super) async fn close(conn: Conn) -> Result<()> {
    let Conn::Sqlite(file) = conn else { return Err(StoreError::ReadOnly) };
    file.conn.close().await.map_err(StoreError::sql("close the backup"))
}

/// What a sealed file holds.
///
/// # Errors
/// `Backup` if this program cannot restore it, or SQLite finds it damaged.
pub(super) async fn summary(path: &Path, seal: Seal) -> Result<Summary> {
    let refused = |reason: String| StoreError::Backup { path: path.to_path_buf(), reason };
    let told = |error: StoreError| match error {
        StoreError::Fatal { reason } => refused(reason),
        StoreError::Sql { action, source } => refused(format!("could not {action}: {source}")),
        other => other,
    };
    let pool = open(path).await.map_err(told)?;
    let mut conn = begin(&pool).await.map_err(told)?;
    let read = read(&mut conn, seal).await;
    drop(conn);
    pool.close().await;
    read.map_err(told)?.map_err(refused)
}

/// What a file holds, or why it must not be restored.
async fn read(conn: &mut Conn, seal: Seal) -> Result<std::result::Result<Summary, String>> {
    let format = one(conn, "SELECT format FROM meta").await?;
    let known = MIGRATIONS.len() as i64;
    if !(1..=known).contains(&format) {
        return Ok(Err(format!(
            "it has format {format}, this program knows {known}: restore it with a newer one"
        )));
    }
    let sql = "PRAGMA integrity_check(1)";
    let found: String = conn.fetch_one(Backend::Sqlite.query(sql), READ).await?.get(0)?;
    if found != "ok" {
        return Ok(Err(format!("its pages are damaged: {found}")));
    }
    let mut partitions = Vec::new();
    let sql = "SELECT generation, partition, next FROM partition_state ORDER BY 1, 2";
    for row in conn.fetch_all(Backend::Sqlite.query(sql), READ).await? {
        partitions.push(PartitionMark {
            generation: number(&row, 0, "generation")?,
            partition: number(&row, 1, "partition")?,
            next: number(&row, 2, "offset")?,
        });
    }
    Ok(Ok(Summary {
        version: one(conn, "SELECT v FROM ledger_version").await?,
        committed_us: one(conn, "SELECT committed_us FROM ledger_version").await?,
        made_us: seal.made_us,
        format,
        bytes: seal.n_bytes,
        partitions,
    }))
}

async fn one(conn: &mut Conn, sql: &'static str) -> Result<i64> {
    conn.fetch_one(Backend::Sqlite.query(sql), READ).await?.get(0)
}
