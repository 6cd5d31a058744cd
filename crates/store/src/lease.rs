//! The `publisher` lease: a row that `ledger::lease` decides about, moved by compare-and-swap.

use ledger::lease::{LeaseRow, Nonce};

use crate::Store;
use crate::access::transact;
use crate::error::{Result, StoreError};
use crate::journal::NOTE_RESTORED;
use crate::read::Reader;
use crate::rows::{get, nonce};
use crate::steps::Steps;

const ACTION: &str = "move the publisher lease";

/// A change of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Acquire(Nonce),
    Renew,
    GiveBack,
}

impl Reader {
    /// The lease at this version.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn lease(&mut self) -> Result<LeaseRow> {
        let rows = self.rows(self.conn.query("SELECT term, holder, beat FROM publisher")).await?;
        let missing = || StoreError::Fatal { reason: "its publisher lease is gone".to_owned() };
        let row = rows.first().ok_or_else(missing)?;
        Ok(LeaseRow { term: get(row, 0)?, holder: nonce(row, 1)?, beat: get(row, 2)? })
    }
}

impl Reader {
    /// Whether the ledger was put back to an earlier state, and what was shown of it before may not
    /// be counted again yet.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn is_restored(&mut self) -> Result<bool> {
        let rows = self.rows(self.conn.query("SELECT restored FROM publisher")).await?;
        rows.first().map_or(Ok(false), |row| Ok(get::<i64>(row, 0)? != 0))
    }
}

impl Store {
    /// Notes that the ledger was put back to an earlier state. Nobody is the publisher then: a
    /// process that was when the copy was made may be alive.
    ///
    /// # Errors
    /// The error of the database; it may be noted.
    pub async fn note_restored(&self) -> Result<()> {
        transact!(self, steps => note(steps, NOTE_RESTORED))
    }

    /// Notes that all that was shown before a restore is counted again.
    ///
    /// # Errors
    /// The error of the database; it may be noted.
    pub async fn note_caught_up(&self) -> Result<()> {
        transact!(self, steps => note(steps, "UPDATE publisher SET restored = 0"))
    }

    /// Takes the lease over, if it still is this row. Returns whether it is taken.
    ///
    /// # Errors
    /// The error of the database. If a server's answer to COMMIT was lost, it may be taken; nobody
    /// knows, and it expires.
    pub async fn acquire_lease(&self, row: LeaseRow, me: Nonce) -> Result<bool> {
        transact!(self, steps => change(steps, row, Change::Acquire(me)))
    }

    /// Renews the lease, if it still is this row. Returns whether it is renewed.
    ///
    /// # Errors
    /// The error of the database; it may be renewed.
    pub async fn renew_lease(&self, row: LeaseRow) -> Result<bool> {
        transact!(self, steps => change(steps, row, Change::Renew))
    }

    /// Gives the lease back, if it still is this row: the next holder need not be silent. The
    /// caller answers no request any more. Returns whether it is given back.
    ///
    /// # Errors
    /// The error of the database; it may be given back.
    pub async fn give_lease_back(&self, row: LeaseRow) -> Result<bool> {
        transact!(self, steps => change(steps, row, Change::GiveBack))
    }
}

async fn change(steps: &mut Steps, row: LeaseRow, change: Change) -> Result<bool> {
    let backend = steps.backend();
    let condition = match row.holder {
        Some(_) => "term = ? AND beat = ? AND holder = ?",
        None => "term = ? AND beat = ? AND holder IS NULL",
    };
    let (next, holder) = match change {
        Change::Acquire(me) => (LeaseRow { term: row.term + 1, ..row }, Some(me)),
        Change::Renew => (LeaseRow { beat: row.beat + 1, ..row }, row.holder),
        Change::GiveBack => (row, None),
    };
    let sql = format!("UPDATE publisher SET term = ?, holder = ?, beat = ? WHERE {condition}");
    let mut query = backend
        .query(sqlx::AssertSqlSafe(sql))
        .bind(next.term)
        .bind(holder.map(|id| id.to_vec()))
        .bind(next.beat)
        .bind(row.term)
        .bind(row.beat);
    if let Some(holder) = row.holder {
        query = query.bind(holder.to_vec());
    }
    Ok(steps.run(query, ACTION).await?.rows == 1)
}

async fn note(steps: &mut Steps, sql: &'static str) -> Result<()> {
    steps.run(steps.backend().query(sql), "note a restore").await.map(|_| ())
}
