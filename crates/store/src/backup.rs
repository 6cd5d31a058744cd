//! Backups of the ledger while it is in use, and their restore.
//!
//! A backup is a SQLite file with the tables of the ledger at one version, and a seal behind it.
//! From a file it is made by SQLite itself; from a server, row by row out of one snapshot. It never
//! has its name before it is whole. A restore checks the whole backup before it writes, and writes
//! only where there is no ledger. What was counted since the backup is counted again, by the roles,
//! from the offsets that the restored ledger has; the journal says that it was restored, since more
//! may have been shown than it has.

mod value;
mod layout;
mod copy;
mod part;
mod seal;
mod database;
mod onto_server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clock::Wall;
use sqlx::sqlite::SqlitePool;

use self::layout::{META, Pattern};
use self::part::{AS_SQLITE, OWNER_ONLY, PartFile};
use crate::Store;
use crate::access::Readers;
use crate::error::{Result, StoreError};
use crate::journal;
use crate::schema::{self, MIGRATIONS};
use crate::server_options::MysqlOptions;
use crate::sql::{Backend, Conn};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Ledger version.
    pub version: i64,
    /// When it was committed, microseconds since the epoch; 0 before the first commit.
    pub committed_us: i64,
    /// When the backup was finished, microseconds since the epoch.
    pub made_us: i64,
    /// Format of the ledger.
    pub format: i64,
    /// Size of the database in bytes.
    pub bytes: u64,
    /// Where each partition resumes, by generation and partition.
    pub partitions: Vec<PartitionMark>,
}

/// Where a partition resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMark {
    /// Generation of the log.
    pub generation: u32,
    /// Partition.
    pub partition: u32,
    /// Offset of the first frame that is not counted.
    pub next: u64,
}

/// What was done up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Bytes of a file are copied or checked.
    Bytes {
        /// Bytes up to now.
        done: u64,
        /// Bytes at the end, roughly.
        of: u64,
    },
    /// Rows are copied.
    Rows {
        /// Table at which it is.
        table: &'a str,
        /// Rows of all tables up to now.
        done: u64,
    },
}

/// Is told of progress, often.
pub type Report<'a> = dyn Fn(Progress<'_>) + Sync + 'a;

/// How often the size of a growing file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Store {
    /// Writes a backup of one version of the ledger, beside whoever writes. A failure leaves no
    /// file.
    ///
    /// # Errors
    /// `FileExists` if there is such a file, or the error of the database or the file.
    pub async fn backup(&self, file: &Path, report: &Report<'_>) -> Result<Summary> {
        let part = PartFile::create(file, OWNER_ONLY)?;
        match &self.readers {
            Readers::Sqlite(pool) => copy_file(pool, part.path(), report).await?,
            Readers::Mysql(_) => {
                let mut source = self.readers.begin().await?;
                copy_server(&mut source, part.path(), report).await?;
            }
        }
        seal::put(part.path(), Wall::now(), report).await?;
        let summary = check(part.path(), report).await?;
        part.publish()?;
        Ok(summary)
    }
}

/// Checks a backup from end to end, and changes nothing.
///
/// # Errors
/// `Backup` if it cannot be restored, with the reason.
pub async fn check(file: &Path, report: &Report<'_>) -> Result<Summary> {
    let seal = seal::check(file, report).await?;
    database::summary(file, seal).await
}

/// Makes the ledger of a directory out of a backup. The caller holds the directory lock.
///
/// # Errors
/// `Backup`, or `Occupied` if there is a ledger, or a rest of one; nothing was written.
pub async fn restore_to_directory(file: &Path, dir: &Path, report: &Report<'_>) -> Result<Summary> {
    let target = dir.join(schema::FILE);
    // SQLite would replay an old write-ahead log into the new file.
    for end in ["", "-wal", "-shm", "-journal"] {
        let path = dir.join(format!("{}{end}", schema::FILE));
        if std::fs::symlink_metadata(&path).is_ok() {
            let reason = format!("there is {}: move it away first", path.display());
            return Err(StoreError::Occupied { place: dir.display().to_string(), reason });
        }
    }
    let summary = check(file, report).await?;
    let part = unsealed_copy(file, &target, AS_SQLITE, report).await?;
    let mut conn = database::open_to_write(part.path()).await?;
    journal::keep_restore(&mut conn, Wall::now()).await?;
    database::close(conn).await?;
    part.publish()?;
    Ok(summary)
}

/// Makes the ledger of an empty database on a server out of a backup.
///
/// # Errors
/// `Backup`, or `Occupied` if the database is in use: nothing was written. After any other error
/// the database is of no use to a role until a restore has succeeded.
pub async fn restore_to_server(
    file: &Path,
    options: &MysqlOptions,
    report: &Report<'_>,
) -> Result<Summary> {
    let summary = check(file, report).await?;
    // One of an earlier format takes the steps to this one in a copy beside it.
    let is_older = summary.format != MIGRATIONS.len() as i64;
    let upgraded = match is_older {
        true => {
            let mut name = file.as_os_str().to_owned();
            name.push(".upgraded");
            let target = PathBuf::from(name);
            Some(unsealed_copy(file, &target, OWNER_ONLY, report).await?)
        }
        false => None,
    };
    let pool = database::open(upgraded.as_ref().map_or(file, PartFile::path)).await?;
    let restored = onto_server::restore(&pool, options, report).await;
    pool.close().await;
    restored.map(|()| summary)
}

/// Copies a file as SQLite itself does it: one state, and no lock that a writer meets.
async fn copy_file(pool: &SqlitePool, target: &Path, report: &Report<'_>) -> Result<()> {
    const ACTION: &str = "back up the ledger";
    let name = target.to_str().ok_or_else(|| StoreError::Backup {
        path: target.to_path_buf(),
        reason: "its path is not in UTF-8".to_owned(),
    })?;
    let mut conn = pool.acquire().await.map_err(StoreError::sql(ACTION))?;
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let of: i64 =
        sqlx::query_scalar(sql).fetch_one(&mut *conn).await.map_err(StoreError::sql(ACTION))?;
    let copying = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut *conn);
    tokio::pin!(copying);
    loop {
        tokio::select! {
            done = &mut copying => return done.map(drop).map_err(StoreError::sql(ACTION)),
            () = tokio::time::sleep(LOOK_EVERY) => {
                let done = std::fs::metadata(target).map_or(0, |file| file.len());
                report(Progress::Bytes { done, of: of.unsigned_abs() });
            }
        }
    }
}

/// Copies the snapshot of a server row by row into a file of the same format.
async fn copy_server(source: &mut Conn, file: &Path, report: &Report<'_>) -> Result<()> {
    let Pattern { tables, .. } = Pattern::new().await?;
    let mut target = database::open_to_write(file).await?;
    for step in MIGRATIONS {
        database::script(&mut target, step, "make the tables of a backup").await?;
    }
    copy::clear(&mut target, &tables).await?;
    copy::rows(source, &mut target, &tables, report).await?;
    if let Some(table) = tables.iter().find(|table| table.name == META) {
        let values = copy::meta(source, table).await?;
        copy::check_format(table, &values)?;
        target.begin().await?;
        copy::put_meta(&mut target, table, &values).await?;
        target.commit().await?;
    }
    // The file has the references of its schema; the server checks only some of them.
    let query = Backend::Sqlite.query("SELECT \"table\", parent FROM pragma_foreign_key_check");
    if let Some(row) = target.fetch_optional(query, "check the rows of a backup").await? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(1)?);
        let reason = format!("a row of {table} has none of {parent} that it refers to");
        return Err(StoreError::Fatal { reason });
    }
    database::close(target).await
}

/// Copies a backup that was checked, without its seal, and takes the steps to this program's
/// format.
async fn unsealed_copy(
    file: &Path,
    target: &Path,
    mode: u32,
    report: &Report<'_>,
) -> Result<PartFile> {
    let part = PartFile::create(target, mode)?;
    seal::copy(file, part.path(), report).await?;
    let mut conn = database::open_to_write(part.path()).await?;
    let query = Backend::Sqlite.query("SELECT format FROM meta");
    let format: i64 = conn.fetch_one(query, "read its format").await?.get(0)?;
    let missing = usize::try_from(format).ok().and_then(|format| MIGRATIONS.get(format..));
    for step in missing.unwrap_or_default() {
        database::script(&mut conn, step, "apply a migration").await?;
    }
    database::close(conn).await?;
    Ok(part)
}

/// Every table of this program's format with its columns.
#[cfg(test)]
pub(crate) async fn tables_of_this_format() -> Result<Vec<(String, Vec<String>)>> {
    let names = |table: layout::Table| {
        (table.name, table.columns.into_iter().map(|column| column.name).collect())
    };
    Ok(Pattern::new().await?.tables.into_iter().map(names).collect())
}

/// Turns a ledger that no program has open into a backup, whatever its format.
#[cfg(test)]
pub(crate) async fn seal_for_tests(file: &Path) {
    seal::put(file, Wall::from_us(1), &|_| {}).await.expect("sealed");
}
