//! The statements of a write, any of which may be made to fail.
//!
//! Claims, commits and registrations go through `Steps` and nothing else, so that a test can count
//! their statements and make the n-th one fail for every n, on either database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::error::{Result, StoreError};
use crate::sql::{Backend, Bound, Conn, Done, Row};

/// Statements left before one fails; set by tests only.
#[derive(Clone, Debug)]
pub(crate) struct FailAfter(Arc<AtomicI64>);

/// Value at which no statement fails.
const NEVER: i64 = i64::MIN;

impl Default for FailAfter {
    fn default() -> FailAfter {
        FailAfter(Arc::new(AtomicI64::new(NEVER)))
    }
}

impl FailAfter {
    /// Makes a statement fail after this many others, or none for `None`.
    #[cfg(test)]
    pub(crate) fn set(&self, n_statements: Option<u32>) {
        self.0.store(n_statements.map_or(NEVER, i64::from), Ordering::Relaxed);
    }

    /// Statements left before one fails.
    #[cfg(test)]
    pub(crate) fn left(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn count_down(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            NEVER => Ok(()),
            0 => Err(StoreError::of("work: a test says so", sqlx::Error::WorkerCrashed)),
            n => {
                self.0.store(n - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

/// A connection that writes.
#[derive(Debug)]
pub(crate) struct Steps {
    pub conn: Conn,
    fail_after: FailAfter,
}

impl Steps {
    pub(crate) fn new(conn: Conn, fail_after: FailAfter) -> Steps {
        Steps { conn, fail_after }
    }

    /// Kind of its database.
    pub(crate) fn backend(&self) -> Backend {
        self.conn.backend()
    }

    /// Begins to write; on a server, unless a transaction is open.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.fail_after.count_down()?;
        self.conn.begin().await
    }

    /// Commits. After an error of a server the outcome is unknown.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.fail_after.count_down()?;
        self.conn.commit().await
    }

    /// Executes a statement.
    pub(crate) async fn run(&mut self, query: Bound<'_>, action: &'static str) -> Result<Done> {
        self.fail_after.count_down()?;
        self.conn.execute(query, action).await
    }

    /// All rows of an answer.
    pub(crate) async fn all(&mut self, query: Bound<'_>, action: &'static str) -> Result<Vec<Row>> {
        self.fail_after.count_down()?;
        self.conn.fetch_all(query, action).await
    }

    /// The only row of an answer.
    pub(crate) async fn one(&mut self, query: Bound<'_>, action: &'static str) -> Result<Row> {
        self.fail_after.count_down()?;
        self.conn.fetch_one(query, action).await
    }
}
