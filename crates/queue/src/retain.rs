//! What retention may delete.
//! Rows go from the low end only, so that what is kept is contiguous, and never at or past the
//! floor that the consumer still needs. A row goes if it is older than the retention time, or
//! while the log holds more than it is trimmed to. The first row that must stay ends it: a
//! garbled append time can hold up the rule of age, but not the rule of size. One plan is
//! bounded; the writer carries it out in one transaction.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::limits::{RETAIN_CHUNK_BYTES_MAX, RETAIN_ROWS_MAX};
use crate::record::row_bytes;
use crate::schema::Head;

const OLDEST: &str =
    "SELECT append_time_us, length(bytes) FROM log WHERE id <= ? ORDER BY id LIMIT ?";

/// How long and how much the log keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Age in microseconds from which a row may go.
    pub age_us: i64,
    /// Bytes above which nothing is appended.
    pub bytes_max: u64,
}

impl Retention {
    /// Trimmed below the bound, so that appends find room between two retention calls.
    fn trimmed_bytes(&self) -> u64 {
        self.bytes_max - self.bytes_max / 8
    }
}

/// The oldest rows that one transaction deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Rows, from the low end.
    pub n_rows: u64,
    /// Log bytes that they count for.
    pub bytes: u64,
    /// True if the plan ended at its bound on work.
    pub more: bool,
}

/// Looks at the oldest rows below `floor` and decides how many go.
pub(crate) async fn plan(
    conn: &mut SqliteConnection,
    head: &Head,
    retention: Retention,
    floor: u64,
    now_us: i64,
) -> Result<Plan, sqlx::Error> {
    let rows = sqlx::query(OLDEST)
        .bind(i64::try_from(floor).unwrap_or(i64::MAX))
        .bind(RETAIN_ROWS_MAX)
        .fetch_all(conn)
        .await?;
    let rows = rows.iter().map(|row| Oldest {
        append_time_us: row.try_get_unchecked(0).unwrap_or(i64::MAX),
        payload_bytes: row.try_get_unchecked::<i64, _>(1).map_or(0, |n| n.max(0) as usize),
    });
    Ok(choose(rows, head.bytes, retention, now_us))
}

/// One of the oldest rows.
#[derive(Debug, Clone, Copy)]
struct Oldest {
    append_time_us: i64,
    payload_bytes: usize,
}

fn choose(
    oldest: impl Iterator<Item = Oldest>,
    held_bytes: u64,
    retention: Retention,
    now_us: i64,
) -> Plan {
    let before_us = now_us.saturating_sub(retention.age_us);
    // A log within its bound is left alone; one that is at it is trimmed a step further.
    let keep_bytes = retention.trimmed_bytes();
    let mut plan = Plan { n_rows: 0, bytes: 0, more: false };
    for row in oldest {
        let too_old = row.append_time_us < before_us;
        let too_much = held_bytes.saturating_sub(plan.bytes) > keep_bytes;
        if !too_old && !too_much {
            return plan;
        }
        if plan.bytes >= RETAIN_CHUNK_BYTES_MAX {
            return Plan { more: true, ..plan };
        }
        plan.n_rows += 1;
        plan.bytes += row_bytes(row.payload_bytes);
    }
    Plan { more: plan.n_rows == u64::from(RETAIN_ROWS_MAX), ..plan }
}

#[cfg(test)]
mod tests;
