//! Reads the log through connections that cannot write.
//! A read is one short statement: the rows that fit. It sees the last commit, holds a snapshot only
//! while the statement runs, and never holds up the writer. A garbled row is delivered and marked;
//! a missing row is an error; nothing is skipped.

use std::path::Path;

use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::error::QueueError;
use crate::limits::READ_RECORDS_MAX;
use crate::record::{Record, Watermarks, offset_after, row_crc32c, row_id};
use crate::schema;

/// The records from an offset on without a gap, as many as fit into a number of bytes, and one at
/// least. Which fit is found out within the statement, because each row of an answer is handed from
/// thread to thread.
const ROWS: &str = "
WITH RECURSIVE fit (id, total) AS (
  SELECT id, coalesce(length(bytes), 0) FROM log WHERE id = ?1
  UNION ALL
  SELECT log.id, fit.total + coalesce(length(log.bytes), 0)
    FROM fit JOIN log ON log.id = fit.id + 1
   WHERE fit.total + coalesce(length(log.bytes), 0) <= ?2
   LIMIT ?3)
SELECT id, append_time_us, crc32c, bytes FROM log
 WHERE id BETWEEN ?1 AND (SELECT max(id) FROM fit) ORDER BY id";
const ENDS: &str = "
SELECT low, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'log'), 0)
  FROM meta WHERE one = 1";

/// Reads an embedded log. Cheap to clone: clones share the connections. Used through
/// [`crate::QueueReader`].
#[derive(Debug, Clone)]
pub struct Reader {
    pool: SqlitePool,
    pub(crate) generation: u32,
    pub(crate) partitions: u32,
}

impl Reader {
    pub(crate) async fn open(dir: &Path) -> Result<Reader, QueueError> {
        let pool = schema::open_readers(dir).await?;
        let mut conn = pool.acquire().await.map_err(QueueError::sql("open the log for reading"))?;
        schema::check_linked_version(&mut conn).await?;
        let head = schema::load_head(&mut conn, &dir.join(schema::FILE)).await?;
        drop(conn);
        Ok(Reader { pool, generation: head.generation, partitions: head.partitions })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn check_partition(&self, partition: u32) -> Result<(), QueueError> {
        if partition < self.partitions {
            return Ok(());
        }
        Err(QueueError::Partition { partition, partitions: self.partitions })
    }

    pub(crate) async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        self.check_partition(partition)?;
        let (low, high): (i64, i64) = sqlx::query_as(ENDS)
            .fetch_one(&self.pool)
            .await
            .map_err(QueueError::sql("read the ends of the log"))?;
        Ok(Watermarks { low: offset_after(low), high: offset_after(high) })
    }

    pub(crate) async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        self.check_partition(partition)?;
        if from >= i64::MAX as u64 {
            let high = self.watermarks(partition).await?.high;
            return Err(QueueError::PastEnd { high });
        }
        let rows = sqlx::query(ROWS)
            .bind(row_id(from))
            .bind(i64::try_from(bytes_max).unwrap_or(i64::MAX))
            .bind(i64::try_from(READ_RECORDS_MAX).expect("a small constant"))
            .fetch_all(&self.pool)
            .await
            .map_err(QueueError::sql("read records"))?;
        let records: Vec<Record> =
            rows.iter().zip(from..).map_while(|(row, offset)| record_at(row, offset)).collect();
        if records.is_empty() {
            self.explain_absence(partition, from).await?;
        }
        Ok(records)
    }

    /// Nothing was found at `from`: fine at the end of the log, an error anywhere else. The ends
    /// are read after the rows, and the low end again after the next row: both only grow, so
    /// that a commit or a retention in between is never taken for damage.
    async fn explain_absence(&self, partition: u32, from: u64) -> Result<(), QueueError> {
        let Watermarks { low, high } = self.watermarks(partition).await?;
        if from < low {
            return Err(QueueError::Gap { low });
        }
        if from > high {
            return Err(QueueError::PastEnd { high });
        }
        if from == high {
            return Ok(());
        }
        let at_or_after: Option<i64> = sqlx::query_scalar("SELECT min(id) FROM log WHERE id >= ?")
            .bind(row_id(from))
            .fetch_one(&self.pool)
            .await
            .map_err(QueueError::sql("look for the next record"))?;
        if at_or_after == Some(row_id(from)) {
            // Written since the rows were read: the next read finds it.
            return Ok(());
        }
        let Watermarks { low, .. } = self.watermarks(partition).await?;
        if from < low {
            return Err(QueueError::Gap { low });
        }
        let next = at_or_after.map_or(high, |id| offset_after(id - 1));
        Err(QueueError::Hole { offset: from, next })
    }
}

/// The record in a row, or `None` if the row is not the one at `offset`.
fn record_at(row: &SqliteRow, offset: u64) -> Option<Record> {
    if number(row, 0) != row_id(offset) {
        return None;
    }
    let append_time_us = number(row, 1);
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(3).unwrap_or(None);
    let intact = bytes
        .as_deref()
        .is_some_and(|b| i64::from(row_crc32c(offset, append_time_us, b)) == number(row, 2));
    let bytes = Bytes::from(bytes.unwrap_or_default());
    Some(Record { offset, append_time_us, bytes, intact })
}

/// A number in a row; unchecked, because a damaged row may hold a value of any type, which
/// the checksum then shows.
fn number(row: &SqliteRow, column: usize) -> i64 {
    row.try_get_unchecked(column).unwrap_or(0)
}
