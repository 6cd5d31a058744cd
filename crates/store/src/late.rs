//! What the second pass for late events asks of the ledger: where in the log they are, where in the
//! log a stretch of its clock is, and which events were merged before.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use event::Key;
use ledger::commit::Commit;
use sqlx::AssertSqlSafe;

use crate::Store;
use crate::access::transact;
use crate::error::Result;
use crate::journal::{RANGE, RangeRow, range_row};
use crate::many::{look_max, marks, padded, pieces, rows_max};
use crate::read::Reader;
use crate::rows::{bytes, get, number, signed};
use crate::sql::Backend;
use crate::steps::Steps;

const COLUMNS: &str = "generation, `partition`, event_key, time_us, at";
const N_COLUMNS: usize = 5;
/// Most rows that one call forgets.
const FORGET_MAX: i64 = 20_000;

/// Records the late events that a commit merges, in the commit's transaction. One that is there
/// already is an error: it would be counted twice.
pub(crate) async fn keep(steps: &mut Steps, commit: &Commit) -> Result<()> {
    let backend = steps.backend();
    for part in &commit.parts {
        for piece in pieces(&part.late.merged, rows_max(backend, N_COLUMNS)) {
            let marks = marks(piece.len(), N_COLUMNS);
            let sql = format!("INSERT INTO late_merged ({COLUMNS}) VALUES {marks}");
            let mut query = backend.query(AssertSqlSafe(sql));
            for merged in piece {
                query = query
                    .bind(part.owner.generation)
                    .bind(part.owner.partition)
                    .bind(merged.key.0.to_vec())
                    .bind(merged.time_us)
                    .bind(signed(merged.offset)?);
            }
            steps.run(query, "record merged events").await?;
        }
    }
    Ok(())
}

impl Reader {
    /// The first ranges of a partition at or after an offset that have late events.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn late_ranges(
        &mut self,
        (generation, partition): (u32, u32),
        from: u64,
        n_max: u32,
    ) -> Result<Vec<RangeRow>> {
        let sql = format!(
            "SELECT {RANGE} FROM commit_range WHERE generation = ? AND `partition` = ? \
             AND base >= ? AND late > 0 ORDER BY base LIMIT ?"
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(generation).bind(partition);
        let rows = self.rows(query.bind(signed(from)?).bind(n_max)).await?;
        rows.iter().map(range_row).collect()
    }

    /// The ranges of a partition in which the log's clock may stand in a stretch, in the order of
    /// the log.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn ranges_within(
        &mut self,
        (generation, partition): (u32, u32),
        clock_us: &RangeInclusive<i64>,
    ) -> Result<Vec<RangeRow>> {
        let of_partition = format!(
            "SELECT {RANGE} FROM commit_range WHERE generation = ? AND `partition` = ? \
             AND next > base"
        );
        let sql = format!("{of_partition} AND last_clock_us BETWEEN ? AND ? ORDER BY base");
        let query = self.conn.query(AssertSqlSafe(sql)).bind(generation).bind(partition);
        let query = query.bind(*clock_us.start()).bind(*clock_us.end());
        let mut rows = self.rows(query).await?;
        // The clock never goes back: of those that end later, only the first may begin within.
        let sql =
            format!("{of_partition} AND last_clock_us > ? ORDER BY last_clock_us, base LIMIT 1");
        let query = self.conn.query(AssertSqlSafe(sql)).bind(generation).bind(partition);
        rows.extend(self.rows(query.bind(*clock_us.end())).await?);
        rows.iter().map(range_row).collect()
    }

    /// The log's clock, microseconds, up to which not all that was counted can be read again, if
    /// the log of the partition begins at `low`. `None` if everything can be.
    ///
    /// What came before a loss that was accepted cannot, nor what another generation counted, nor
    /// what the journal has forgotten.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn unread_us(
        &mut self,
        (generation, partition): (u32, u32),
        low: u64,
    ) -> Result<Option<i64>> {
        let sql = "SELECT max(clock_us) FROM partition_state WHERE generation < ?";
        let rows = self.rows(self.conn.query(sql).bind(generation)).await?;
        let earlier: Option<i64> = rows.first().map_or(Ok(None), |row| get(row, 0))?;
        let sql = "SELECT max(next) FROM accepted_loss WHERE generation = ? AND `partition` = ?";
        let query = self.conn.query(sql).bind(generation).bind(partition);
        let rows = self.rows(query).await?;
        let accepted: Option<i64> = rows.first().map_or(Ok(None), |row| get(row, 0))?;
        let lowest = signed(low)?.max(accepted.unwrap_or(0));
        Ok(self.clock_before((generation, partition), lowest).await?.max(earlier))
    }

    /// The log's clock before an offset, or later.
    async fn clock_before(
        &mut self,
        (generation, partition): (u32, u32),
        offset: i64,
    ) -> Result<Option<i64>> {
        let sql = "SELECT last_clock_us FROM commit_range WHERE generation = ? AND `partition` = ? \
                   AND base < ? AND last_clock_us IS NOT NULL ORDER BY base DESC LIMIT 1";
        let query = self.conn.query(sql).bind(generation).bind(partition).bind(offset);
        if let Some(row) = self.rows(query).await?.first() {
            return get(row, 0);
        }
        let sql = "SELECT base, first_clock_us FROM commit_range WHERE generation = ? \
                   AND `partition` = ? AND next > base ORDER BY base LIMIT 1";
        let query = self.conn.query(sql).bind(generation).bind(partition);
        let first = self.rows(query).await?;
        let first = first
            .first()
            .map(|row| Ok((get::<i64>(row, 0)?, get::<Option<i64>>(row, 1)?)))
            .transpose()?;
        Ok(match first {
            // Nothing was counted before it.
            Some((0, _)) => None,
            Some((_, first_clock_us)) => Some(first_clock_us.unwrap_or(i64::MAX)),
            None if offset == 0 => None,
            None => Some(i64::MAX),
        })
    }

    /// Which events with one of these keys were merged, with their times.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn merged_times(
        &mut self,
        (generation, partition): (u32, u32),
        keys: &[Key],
    ) -> Result<Vec<(Key, i64)>> {
        let mut found = Vec::new();
        for piece in keys.chunks(look_max(self.conn.backend(), 1)) {
            let piece = padded(piece);
            let marks = vec!["?"; piece.len()].join(", ");
            let sql = format!(
                "SELECT event_key, time_us FROM late_merged \
                 WHERE generation = ? AND `partition` = ? AND event_key IN ({marks})"
            );
            let mut query = self.conn.query(AssertSqlSafe(sql)).bind(generation).bind(partition);
            for key in piece {
                query = query.bind(key.0.to_vec());
            }
            for row in self.rows(query).await? {
                found.push((Key(bytes(&row, 0)?), get(&row, 1)?));
            }
        }
        Ok(found)
    }

    /// Every merged event whose frame was in the log when somebody looked last: generation,
    /// partition, key, time and offset of the frame.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn merged(&mut self, generation: u32) -> Result<Vec<MergedRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM late_merged WHERE generation = ? \
             ORDER BY `partition`, event_key, time_us"
        );
        let rows = self.rows(self.conn.query(AssertSqlSafe(sql)).bind(generation)).await?;
        rows.iter()
            .map(|row| {
                Ok(MergedRow {
                    partition: number(row, 1, "partition")?,
                    key: bytes(row, 2)?,
                    time_us: get(row, 3)?,
                    offset: number(row, 4, "offset")?,
                })
            })
            .collect()
    }
}

/// A late event that was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedRow {
    /// Partition.
    pub partition: u32,
    /// Identity of the event.
    pub key: [u8; 16],
    /// Time of the event, microseconds.
    pub time_us: i64,
    /// Offset of its frame.
    pub offset: u64,
}

impl Store {
    /// From now on commits add no minutes that are older than this, microseconds, unless older ones
    /// are there: those are deleted soon, and a single one would look as if all since were there.
    ///
    /// # Errors
    /// `ReadOnly`.
    pub fn keep_minutes(&self, kept_us: i64) -> Result<()> {
        self.writers()?.memory().minutes_kept_us.store(kept_us, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets merged events whose frames have left the log, which now begins at `low`. One call
    /// does a bounded amount of work and says whether there may be more.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn forget_merged(&self, generation: u32, partition: u32, low: u64) -> Result<bool> {
        transact!(self, steps => forget(steps, generation, partition, low))
    }
}

async fn forget(steps: &mut Steps, generation: u32, partition: u32, low: u64) -> Result<bool> {
    let backend = steps.backend();
    let sql = match backend {
        Backend::Sqlite => {
            "DELETE FROM late_merged WHERE (generation, `partition`, event_key, time_us) IN \
             (SELECT generation, `partition`, event_key, time_us FROM late_merged \
             WHERE generation = ? AND `partition` = ? AND at < ? LIMIT ?)"
        }
        Backend::Mysql => {
            "DELETE FROM late_merged WHERE generation = ? AND `partition` = ? AND at < ? LIMIT ?"
        }
    };
    let query = backend.query(sql).bind(generation).bind(partition);
    let query = query.bind(signed(low)?).bind(FORGET_MAX);
    let done = steps.run(query, "forget merged events").await?;
    Ok(done.rows >= FORGET_MAX.cast_unsigned())
}
