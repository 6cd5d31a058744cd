//! Copies rows between a file and a server, table by table, in bounded memory.

use sqlx::AssertSqlSafe;

use super::layout::{META, Table};
use super::value::Value;
use super::{Progress, Report};
use crate::error::{Result, StoreError};
use crate::many::{marks, pieces, rows_max};
use crate::schema::MIGRATIONS;
use crate::server::Sink;
use crate::sql::{Conn, Row};

const READ: &str = "read the rows of a table";
const WRITE: &str = "write the rows of a table";
/// Bytes of values after which a statement is sent, whatever the number of its rows: a server
/// refuses one that is larger than its `max_allowed_packet`, 16 MiB by default.
const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Rows after which a transaction on a server ends: a cluster of servers bounds its size.
const COMMIT_ROWS: u64 = 10_000;
/// Rows that one statement deletes.
const DELETE_ROWS: u64 = 10_000;

/// Whether a table has any row.
pub(super) async fn has_rows(conn: &mut Conn, table: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM `{table}` LIMIT 1");
    let query = conn.query(AssertSqlSafe(sql));
    Ok(conn.fetch_optional(query, READ).await?.is_some())
}

/// Number of rows of a table.
pub(super) async fn n_rows(conn: &mut Conn, table: &str) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM `{table}`");
    let query = conn.query(AssertSqlSafe(sql));
    let n: i64 = conn.fetch_one(query, READ).await?.get(0)?;
    Ok(n.unsigned_abs())
}

/// Deletes the rows of tables, children first; the transaction that is open ends meanwhile.
pub(super) async fn clear(target: &mut Conn, tables: &[Table]) -> Result<()> {
    for Table { name, .. } in tables.iter().rev().filter(|table| table.name != META) {
        // Files have no LIMIT here, and no need of one.
        let limit = target.backend().text("", " LIMIT 10000");
        loop {
            target.begin().await?;
            let query = target.query(AssertSqlSafe(format!("DELETE FROM `{name}`{limit}")));
            let done = target.execute(query, "delete the rows of a table").await?;
            target.commit().await?;
            if limit.is_empty() || done.rows < DELETE_ROWS {
                break;
            }
        }
    }
    Ok(())
}

/// Copies every row of these tables but that of `meta`; the rows of each.
pub(super) async fn rows(
    source: &mut Conn,
    target: &mut Conn,
    tables: &[Table],
    report: &Report<'_>,
) -> Result<Vec<u64>> {
    let (mut counts, mut n_before) = (Vec::new(), 0);
    for table in tables {
        if table.name == META {
            counts.push(1);
            continue;
        }
        let query = source.query(AssertSqlSafe(table.select()));
        target.begin().await?;
        let mut copier = Copier::new(target, table, report, n_before);
        source.each(query, READ, &mut copier).await?;
        let n = copier.finish().await?;
        target.commit().await?;
        counts.push(n);
        n_before += n;
    }
    Ok(counts)
}

/// The only row of `meta`, in the order of its columns.
pub(super) async fn meta(source: &mut Conn, table: &Table) -> Result<Vec<Value>> {
    let query = source.query(AssertSqlSafe(table.select()));
    let row = source.fetch_one(query, READ).await?;
    table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| Value::read(&row, at, column.kind))
        .collect()
}

/// Refuses a ledger that a newer program has migrated, or that is being restored.
pub(super) fn check_format(table: &Table, values: &[Value]) -> Result<()> {
    let at = table.columns.iter().position(|column| column.name == "format");
    let known = MIGRATIONS.len() as i64;
    match at.and_then(|at| values.get(at)) {
        Some(Value::Integer(found)) if *found == known => Ok(()),
        Some(Value::Integer(found)) => Err(StoreError::Newer { found: *found, known }),
        _ => Err(StoreError::Fatal { reason: "it has no format".to_owned() }),
    }
}

/// Writes the row of `meta` over the one that is there. The caller commits.
pub(super) async fn put_meta(target: &mut Conn, table: &Table, values: &[Value]) -> Result<()> {
    let changes: Vec<String> =
        table.columns.iter().map(|column| format!("`{}` = ?", column.name)).collect();
    let sql = format!("UPDATE `{META}` SET {}", changes.join(", "));
    let mut query = target.query(AssertSqlSafe(sql));
    for value in values {
        query = value.bind(query);
    }
    target.execute(query, WRITE).await?;
    Ok(())
}

/// Takes the rows of one table and writes them to another database.
struct Copier<'t> {
    target: &'t mut Conn,
    table: &'t Table,
    report: &'t Report<'t>,
    rows_max: usize,
    waiting: Vec<Vec<Value>>,
    waiting_bytes: usize,
    n_before: u64,
    n_written: u64,
    n_uncommitted: u64,
    failed: Option<StoreError>,
}

impl<'t> Copier<'t> {
    fn new(
        target: &'t mut Conn,
        table: &'t Table,
        report: &'t Report<'t>,
        n_before: u64,
    ) -> Copier<'t> {
        let rows_max = rows_max(target.backend(), table.columns.len());
        Copier {
            target,
            table,
            report,
            rows_max,
            waiting: Vec::with_capacity(rows_max),
            waiting_bytes: 0,
            n_before,
            n_written: 0,
            n_uncommitted: 0,
            failed: None,
        }
    }

    async fn add(&mut self, row: &Row) -> Result<()> {
        let columns = self.table.columns.iter().enumerate();
        let values: Vec<Value> =
            columns.map(|(at, column)| Value::read(row, at, column.kind)).collect::<Result<_>>()?;
        self.waiting_bytes += values.iter().map(Value::size).sum::<usize>();
        self.waiting.push(values);
        if self.waiting.len() >= self.rows_max || self.waiting_bytes >= STATEMENT_BYTES_MAX {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes what waits.
    async fn write(&mut self) -> Result<()> {
        let Table { name, columns } = self.table;
        let names = self.table.names();
        let waiting = std::mem::take(&mut self.waiting);
        for piece in pieces(&waiting, self.rows_max) {
            let marks = marks(piece.len(), columns.len());
            let sql = format!("INSERT INTO `{name}` ({names}) VALUES {marks}");
            let mut query = self.target.query(AssertSqlSafe(sql));
            for value in piece.iter().flatten() {
                query = value.bind(query);
            }
            self.target.execute(query, WRITE).await?;
        }
        let n = waiting.len() as u64;
        self.n_written += n;
        self.n_uncommitted += n;
        self.waiting_bytes = 0;
        if self.n_uncommitted >= COMMIT_ROWS {
            self.target.commit().await?;
            self.target.begin().await?;
            self.n_uncommitted = 0;
        }
        let done = self.n_before + self.n_written;
        (self.report)(Progress::Rows { table: name, done });
        Ok(())
    }

    /// Writes the rest; how many rows there were.
    async fn finish(mut self) -> Result<u64> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.write().await?;
        Ok(self.n_written)
    }
}

impl Sink<Row> for Copier<'_> {
    async fn take(&mut self, row: Row) -> bool {
        match self.add(&row).await {
            Ok(()) => true,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}
