//! Which processes run, and who counts each partition: what they said of themselves last.
//!
//! Nothing that counts reads this. It tells operators whom to ask, a publisher which partitions of
//! other processes are halted, and the api why one is.

use clock::Wall;
use ledger::lease::Nonce;
use sqlx::AssertSqlSafe;

use crate::Store;
use crate::access::transact;
use crate::error::{Result, StoreError};
use crate::many::{marks, pieces, rows_max};
use crate::plain::PlainReader;
use crate::read::Reader;
use crate::rows::{get, nonce, number, signed};
use crate::sql::{Backend, Row};
use crate::steps::Steps;

/// How long a process is listed after it was heard last, microseconds.
const LISTED_US: i64 = 60 * 60 * 1_000_000;
/// How long a process is taken to be alive after it was heard last, microseconds: it is heard every
/// few seconds, and the clocks of two machines may differ by some.
const ALIVE_US: i64 = 30 * 1_000_000;
/// Longest reason of a halted partition that is stored, characters.
const REASON_MAX: usize = 1_000;
const ACTION: &str = "tell which processes run";
const OWNER: &str = "generation, `partition`, process, epoch, halted, resumes_at, seen_us";
const N_OWNER: usize = 7;

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessRow {
    /// Identifies it for as long as it runs.
    pub id: Nonce,
    /// The role that it runs.
    pub role: String,
    /// Where it listens.
    pub address: String,
    /// Version of the program.
    pub program: String,
    /// When it started, microseconds since the epoch by its own clock.
    pub started_us: i64,
    /// When it was heard last, microseconds since the epoch by its own clock.
    pub seen_us: i64,
}

impl ProcessRow {
    /// Whether it was heard lately. Clocks that differ by many seconds make this wrong.
    #[must_use]
    pub fn is_alive(&self, now: Wall) -> bool {
        now.as_us() - self.seen_us < ALIVE_US
    }
}

/// Who counts a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerRow {
    /// Generation of the log.
    pub generation: u32,
    /// Partition.
    pub partition: u32,
    /// The process.
    pub process: Nonce,
    /// Number of the claim by which it counts.
    pub epoch: i64,
    /// Why it is halted.
    pub halted: Option<String>,
    /// The offset at which it would resume if the loss was accepted; `None` if nothing can be.
    pub resumes_at: Option<u64>,
    /// When it was heard last, microseconds since the epoch by its own clock.
    pub seen_us: i64,
}

impl Store {
    /// Stores what a process says of itself and of the partitions that it counts. A partition that
    /// somebody claimed later is left as it is.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn put_process(&self, process: ProcessRow, owners: Vec<OwnerRow>) -> Result<()> {
        transact!(self, steps => put(steps, &process, &owners))
    }

    /// A process ends: it is no longer listed.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn remove_process(&self, id: Nonce) -> Result<()> {
        transact!(self, steps => remove(steps, id))
    }
}

impl Reader {
    /// The processes that were heard within the last hour, by role and address.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn processes(&mut self, now: Wall) -> Result<Vec<ProcessRow>> {
        let sql = "SELECT id, role, address, program, started_us, seen_us FROM process \
                   WHERE seen_us > ? ORDER BY role, address, id";
        let rows = self.rows(self.conn.query(sql).bind(now.as_us() - LISTED_US)).await?;
        rows.iter()
            .map(|row| {
                Ok(ProcessRow {
                    id: certain(row, 0)?,
                    role: get(row, 1)?,
                    address: get(row, 2)?,
                    program: get(row, 3)?,
                    started_us: get(row, 4)?,
                    seen_us: get(row, 5)?,
                })
            })
            .collect()
    }

    /// Who counts each partition of a generation, by the newest claim, as far as it said so.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn owners(&mut self, generation: u32) -> Result<Vec<OwnerRow>> {
        let sql = "SELECT o.generation, o.`partition`, o.process, o.epoch, o.halted, o.resumes_at, \
                   o.seen_us FROM partition_owner o JOIN partition_state p \
                   ON p.generation = o.generation AND p.`partition` = o.`partition` \
                   AND p.epoch = o.epoch WHERE o.generation = ? ORDER BY o.`partition`";
        let rows = self.rows(self.conn.query(sql).bind(generation)).await?;
        rows.iter()
            .map(|row| {
                let resumes_at: Option<i64> = get(row, 5)?;
                Ok(OwnerRow {
                    generation: number(row, 0, "generation")?,
                    partition: number(row, 1, "partition")?,
                    process: certain(row, 2)?,
                    epoch: get(row, 3)?,
                    halted: get(row, 4)?,
                    resumes_at: resumes_at.and_then(|offset| u64::try_from(offset).ok()),
                    seen_us: get(row, 6)?,
                })
            })
            .collect()
    }
}

impl PlainReader {
    /// Where the process listens that holds the publisher lease; `None` if none does, or it was not
    /// heard within the last hour.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn publisher(&mut self) -> Result<Option<String>> {
        let Some(holder) = self.0.lease().await?.holder else { return Ok(None) };
        let mut listed = self.0.processes(Wall::now()).await?.into_iter();
        Ok(listed.find(|process| process.id == holder).map(|process| process.address))
    }
}

/// The id of a process, which no row lacks.
fn certain(row: &Row, at: usize) -> Result<Nonce> {
    let missing = || StoreError::Fatal { reason: "a process has no id".to_owned() };
    nonce(row, at)?.ok_or_else(missing)
}

async fn put(steps: &mut Steps, process: &ProcessRow, owners: &[OwnerRow]) -> Result<()> {
    let backend = steps.backend();
    let sql = backend.text(
        "INSERT INTO process (id, role, address, program, started_us, seen_us) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET seen_us = excluded.seen_us",
        "INSERT INTO process (id, role, address, program, started_us, seen_us) \
         VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE seen_us = VALUES(seen_us)",
    );
    let query = backend
        .query(sql)
        .bind(process.id.to_vec())
        .bind(process.role.as_str())
        .bind(process.address.as_str())
        .bind(process.program.as_str())
        .bind(process.started_us)
        .bind(process.seen_us);
    steps.run(query, ACTION).await?;
    let sql = "DELETE FROM process WHERE seen_us <= ?";
    steps.run(backend.query(sql).bind(process.seen_us - LISTED_US), ACTION).await?;
    for piece in pieces(owners, rows_max(backend, N_OWNER)) {
        put_owners(steps, piece).await?;
    }
    Ok(())
}

async fn put_owners(steps: &mut Steps, owners: &[OwnerRow]) -> Result<()> {
    let backend = steps.backend();
    // On a server each column is set in order: the epoch, which the others depend on, comes last.
    let newer = |column: &str| match column {
        "epoch" => "epoch = GREATEST(epoch, VALUES(epoch))".to_owned(),
        _ => format!("{column} = IF(VALUES(epoch) >= epoch, VALUES({column}), {column})"),
    };
    let columns = ["process", "halted", "resumes_at", "seen_us", "epoch"];
    let marks = marks(owners.len(), N_OWNER);
    let sql = match backend {
        Backend::Sqlite => {
            let set = columns.map(|column| format!("{column} = excluded.{column}")).join(", ");
            format!(
                "INSERT INTO partition_owner ({OWNER}) VALUES {marks} \
                 ON CONFLICT (generation, `partition`) DO UPDATE SET {set} \
                 WHERE excluded.epoch >= epoch"
            )
        }
        Backend::Mysql => format!(
            "INSERT INTO partition_owner ({OWNER}) VALUES {marks} ON DUPLICATE KEY UPDATE {}",
            columns.map(newer).join(", ")
        ),
    };
    let mut query = backend.query(AssertSqlSafe(sql));
    for owner in owners {
        let reason: Option<String> =
            owner.halted.as_ref().map(|reason| reason.chars().take(REASON_MAX).collect());
        query = query
            .bind(owner.generation)
            .bind(owner.partition)
            .bind(owner.process.to_vec())
            .bind(owner.epoch)
            .bind(reason)
            .bind(owner.resumes_at.map(signed).transpose()?)
            .bind(owner.seen_us);
    }
    steps.run(query, ACTION).await.map(|_| ())
}

async fn remove(steps: &mut Steps, id: Nonce) -> Result<()> {
    let query = steps.backend().query("DELETE FROM process WHERE id = ?").bind(id.to_vec());
    steps.run(query, ACTION).await.map(|_| ())
}
