//! Which tables a ledger has: read from the schema itself, so that a table of a later format cannot
//! be forgotten.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use super::value::Kind;
use crate::error::{Result, StoreError};
use crate::file::FileConn;
use crate::schema::MIGRATIONS;
use crate::sql::{Backend, Conn};

const ACTION: &str = "read its schema";
/// The row that says which format a ledger has; a restore writes it last.
pub(super) const META: &str = "meta";

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    pub kind: Kind,
}

impl Table {
    /// Names of the columns, as both databases understand them.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> =
            self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        names.join(", ")
    }

    /// Reads every row. A file hands them over in the order of their keys.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM `{}`", self.names(), self.name)
    }
}

/// The tables of a ledger in a file, in an order in which rows can be stored:
/// a table that refers to another one comes after it.
pub(super) async fn tables_of(conn: &mut Conn) -> Result<Vec<Table>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' \
               AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
               ORDER BY (SELECT count(*) FROM pragma_foreign_key_list(sqlite_schema.name)) > 0, \
               rowid";
    let mut tables = Vec::new();
    for row in conn.fetch_all(Backend::Sqlite.query(sql), ACTION).await? {
        let name: String = row.get(0)?;
        let sql = "SELECT name, type FROM pragma_table_info(?) ORDER BY cid";
        let query = Backend::Sqlite.query(sql).bind(name.as_str());
        let mut columns = Vec::new();
        for row in conn.fetch_all(query, ACTION).await? {
            let (column, kind): (String, String) = (row.get(0)?, row.get(1)?);
            let kind = Kind::of_type(&kind).ok_or_else(|| StoreError::Fatal {
                reason: format!("column {column} of table {name} has the unknown type {kind}"),
            })?;
            columns.push(Column { name: column, kind });
        }
        tables.push(Table { name, columns });
    }
    Ok(tables)
}

/// A ledger of this program's format in memory: the pattern that any other is compared with.
pub(super) struct Pattern {
    pub tables: Vec<Table>,
    /// Tables that have rows in a ledger that nobody has used.
    pub filled: Vec<String>,
}

impl Pattern {
    pub(super) async fn new() -> Result<Pattern> {
        let options = SqliteConnectOptions::new().in_memory(true).disable_statement_logging();
        let mut conn = options.connect().await.map_err(StoreError::sql("open in memory"))?;
        for step in MIGRATIONS {
            conn.execute(step).await.map_err(StoreError::sql("apply a migration"))?;
        }
        let mut conn = Conn::Sqlite(FileConn::new(conn, Default::default()));
        let tables = tables_of(&mut conn).await?;
        let mut filled = Vec::new();
        for Table { name, .. } in &tables {
            if super::copy::has_rows(&mut conn, name).await? {
                filled.push(name.clone());
            }
        }
        Ok(Pattern { tables, filled })
    }
}
