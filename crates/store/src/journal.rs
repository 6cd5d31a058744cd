//! The journal: one row for each commit, and one for the range that it added of each partition.

use clock::Wall;
use ledger::commit::{Commit, CommitId, RangeSums};
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::many::{marks, rows_max};
use crate::read::Reader;
use crate::rows::{bytes, get, number, signed};
use crate::sql::{Backend, Conn, Row};
use crate::steps::Steps;

/// Columns of a range.
pub(crate) const RANGE: &str = "version, generation, `partition`, base, next, events, counted, \
     input_tokens, output_tokens, digest, first_clock_us, last_clock_us, late";
/// Number of these columns.
const N_RANGE: usize = 13;

/// Says that the ledger was put back, and that nobody is the publisher: a process that was when the
/// copy was made may be alive.
pub(crate) const NOTE_RESTORED: &str = "UPDATE publisher SET restored = 1, holder = NULL";
/// What the id of a restore begins with; those of commits are drawn by chance.
const RESTORED: &[u8; 8] = b"restored";

/// What one commit added of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRow {
    /// The version that the commit created.
    pub version: i64,
    /// Generation of the log.
    pub generation: u32,
    /// Partition.
    pub partition: u32,
    /// First offset of the range.
    pub base: u64,
    /// Offset after the range.
    pub next: u64,
    /// What the range added.
    pub sums: RangeSums,
}

/// Raises the ledger's version, and records the commit that does so with its ranges.
pub(crate) async fn keep(steps: &mut Steps, commit: &Commit, now: Wall) -> Result<i64> {
    const ACTION: &str = "write the journal";
    let version = raise(steps, now).await?;
    let backend = steps.backend();
    let sql = "INSERT INTO commit_journal (version, commit_id, committed_us) VALUES (?, ?, ?)";
    let query = backend.query(sql).bind(version).bind(commit.id.0.to_vec()).bind(now.as_us());
    steps.run(query, ACTION).await?;
    // Not cut into powers of two: a process has few numbers of partitions, and all other commits
    // wait for each statement here.
    for parts in commit.parts.chunks(rows_max(backend, N_RANGE)) {
        let marks = marks(parts.len(), N_RANGE);
        let sql = format!("INSERT INTO commit_range ({RANGE}) VALUES {marks}");
        let mut query = backend.query(AssertSqlSafe(sql));
        for part in parts {
            let sums = &part.sums;
            query = query
                .bind_number(version)
                .bind(part.owner.generation)
                .bind(part.owner.partition)
                .bind_number(signed(part.base)?)
                .bind_number(signed(part.progress.next)?)
                .bind_number(sums.events)
                .bind_number(sums.counted)
                .bind_number(sums.input_tokens)
                .bind_number(sums.output_tokens)
                .bind_number(sums.digest)
                .bind(sums.first_clock_us)
                .bind(sums.last_clock_us)
                .bind_number(sums.late);
        }
        steps.run(query, ACTION).await?;
    }
    Ok(version)
}

/// Records that a restore made the next version: as a commit that adds nothing. Until all that may
/// have been shown is counted again the ledger says so, and nobody is the publisher. The caller
/// begins and commits.
pub(crate) async fn keep_restore(conn: &mut Conn, now: Wall) -> Result<()> {
    const ACTION: &str = "record a restore";
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| StoreError::Fatal {
        reason: format!("no random numbers for the id of a restore: {error}"),
    })?;
    id[..RESTORED.len()].copy_from_slice(RESTORED);
    let sql = "INSERT INTO commit_journal (version, commit_id, committed_us) \
               SELECT v + 1, ?, ? FROM ledger_version";
    let query = conn.query(sql).bind(id.to_vec()).bind(now.as_us());
    conn.execute(query, ACTION).await?;
    let query = conn.query("UPDATE ledger_version SET v = v + 1, committed_us = ?");
    conn.execute(query.bind(now.as_us()), ACTION).await?;
    conn.execute(conn.query(NOTE_RESTORED), ACTION).await?;
    Ok(())
}

/// The next version.
async fn raise(steps: &mut Steps, now: Wall) -> Result<i64> {
    const ACTION: &str = "raise the version";
    let backend = steps.backend();
    let sql = backend.text(
        "UPDATE ledger_version SET v = v + 1, committed_us = ? RETURNING v",
        // The number comes back with the answer: one way there and back less while all wait.
        "UPDATE ledger_version SET v = LAST_INSERT_ID(v + 1), committed_us = ?",
    );
    let query = backend.query(sql).bind(now.as_us());
    match backend {
        Backend::Sqlite => steps.one(query, ACTION).await?.get(0),
        Backend::Mysql => Ok(steps.run(query, ACTION).await?.last_id.cast_signed()),
    }
}

/// Reads the columns of a range.
pub(crate) fn range_row(row: &Row) -> Result<RangeRow> {
    Ok(RangeRow {
        version: get(row, 0)?,
        generation: number(row, 1, "generation")?,
        partition: number(row, 2, "partition")?,
        base: number(row, 3, "base")?,
        next: number(row, 4, "next offset")?,
        sums: RangeSums {
            events: get(row, 5)?,
            counted: get(row, 6)?,
            input_tokens: get(row, 7)?,
            output_tokens: get(row, 8)?,
            digest: get(row, 9)?,
            first_clock_us: get(row, 10)?,
            last_clock_us: get(row, 11)?,
            late: get(row, 12)?,
        },
    })
}

impl Reader {
    /// The ranges of all commits that are kept, by version and partition.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn ranges(&mut self) -> Result<Vec<RangeRow>> {
        let sql =
            format!("SELECT {RANGE} FROM commit_range ORDER BY version, generation, `partition`");
        let rows = self.rows(self.conn.query(AssertSqlSafe(sql))).await?;
        rows.iter().map(range_row).collect()
    }

    /// The commit that created a version, if the journal has it.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn commit_of(&mut self, version: i64) -> Result<Option<CommitId>> {
        let query = self.conn.query("SELECT commit_id FROM commit_journal WHERE version = ?");
        let rows = self.rows(query.bind(version)).await?;
        rows.first().map(|row| Ok(CommitId(bytes(row, 0)?))).transpose()
    }

    /// Like [`Reader::commit_of`], from a ledger that must have it.
    ///
    /// # Errors
    /// `Behind` if a read-only server does not have it; otherwise see [`Reader`].
    pub async fn certain_commit_of(&mut self, version: i64) -> Result<Option<CommitId>> {
        match self.commit_of(version).await? {
            None if self.conn.is_read_only() => Err(StoreError::Behind { version }),
            commit => Ok(commit),
        }
    }
}
