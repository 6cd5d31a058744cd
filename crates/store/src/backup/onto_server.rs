//! A backup becomes the ledger in an empty database on a server.
//!
//! The row of `meta` says meanwhile that a restore is under way: no role opens such a database, and
//! a claim or commit of one that has it open is refused. It is written last, when every table has
//! as many rows as the backup. The named lock of the migrations is held to the end, so that a role
//! that starts meanwhile waits. A restore that was cut off leaves what nobody opens; the next one
//! begins again.

use std::time::Duration;

use clock::Wall;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqlitePool;

use super::copy::{clear, has_rows, meta, n_rows, put_meta, rows};
use super::layout::{META, Pattern, Table};
use super::value::Value;
use super::{Report, database};
use crate::error::{Result, StoreError};
use crate::journal;
use crate::server_options::MysqlOptions;
use crate::server_schema::{self, MIGRATIONS, RESTORING};
use crate::sql::{Backend, Conn};

/// Longest time of a statement: one may delete or count many rows.
const STATEMENT_MAX: Duration = Duration::from_secs(3_600);

/// Restores a file of this program's format that was checked.
///
/// # Errors
/// `Occupied` if the database is in use.
pub(super) async fn restore(
    pool: &SqlitePool,
    options: &MysqlOptions,
    report: &Report<'_>,
) -> Result<()> {
    let options = MysqlOptions { statement_timeout: STATEMENT_MAX, ..options.clone() };
    let Pattern { tables, filled } = Pattern::new().await?;
    let mut source = database::begin(pool).await?;
    let Some(meta_table) = tables.iter().find(|table| table.name == META) else {
        return Err(StoreError::Fatal { reason: "a ledger has no row of its format".to_owned() });
    };
    let place = options.database.clone();
    let occupied = |reason: String| StoreError::Occupied { place: place.clone(), reason };
    let (mut target, found) = server_schema::open_to_restore(&options).await?;
    if found != RESTORING + MIGRATIONS.len() as i64 {
        check_empty(&mut target, &tables, &filled).await.map_err(|error| match error {
            Refused::Rows(table) => occupied(format!(
                "it holds a ledger, table {table} has rows. Restore into a new database"
            )),
            Refused::Store(error) => error,
        })?;
    }
    mark(&mut target).await?;
    clear(&mut target, &tables).await?;
    // Whoever still writes gets in the way of a row, or adds one.
    let written = rows(&mut source, &mut target, &tables, report).await;
    let written = written.map_err(|error| match error {
        StoreError::Fatal { reason } => {
            occupied(format!("{reason}. Stop every role, and restore again"))
        }
        error => error,
    })?;
    for (Table { name, .. }, wanted) in tables.iter().zip(written) {
        let found = n_rows(&mut target, name).await?;
        if found != wanted {
            return Err(occupied(format!(
                "table {name} has {found} rows instead of {wanted}, another process wrote \
                 meanwhile. Stop every role, and restore again"
            )));
        }
    }
    let values: Vec<Value> = meta(&mut source, meta_table).await?;
    target.begin().await?;
    journal::keep_restore(&mut target, Wall::now()).await?;
    put_meta(&mut target, meta_table, &values).await?;
    target.commit().await
}

/// Why a database is not restored into.
enum Refused {
    /// This table has rows.
    Rows(String),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

/// Refuses a database that was used: by whoever made the tables, or by roles since.
async fn check_empty(
    target: &mut Conn,
    tables: &[Table],
    filled: &[String],
) -> std::result::Result<(), Refused> {
    for Table { name, .. } in tables.iter().filter(|table| !filled.contains(&table.name)) {
        if has_rows(target, name).await? {
            return Err(Refused::Rows(name.clone()));
        }
    }
    Ok(())
}

/// Says that a restore is under way. Waits for claims, which hold the row in share mode.
async fn mark(target: &mut Conn) -> Result<()> {
    let marked = RESTORING + MIGRATIONS.len() as i64;
    target.begin().await?;
    let sql = format!("UPDATE `{META}` SET format = ?");
    let query = Backend::Mysql.query(AssertSqlSafe(sql)).bind(marked);
    target.execute(query, "begin to restore").await?;
    target.commit().await
}
