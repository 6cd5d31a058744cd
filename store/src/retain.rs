//! Deletes rows that are no longer kept, a bounded number per call.
//!
//! Totals, labels and namespaces are never deleted: what was shown once is shown for ever.

use sqlx::sqlite::SqliteConnection;

use crate::error::{Result, StoreError};

/// Most rows that one statement deletes, so that no commit waits for long.
const ROWS_MAX: i64 = 20_000;
/// How long a gateway's last report of connections is remembered, microseconds: a day.
const CONNECTIONS_US: i64 = 24 * 3_600 * 1_000_000;
const MINUTE_US: i64 = 60 * 1_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// How long rows are kept, all in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Minute rows, by their minute.
    pub minute_us: i64,
    /// Quarter-hour rows, by their quarter.
    pub quarter_us: i64,
    /// Journal and baselines, by their commit.
    pub journal_us: i64,
    /// Dead letters, by when they were stored.
    pub letter_us: i64,
}

/// What one call deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Rows of all tables.
    pub deleted: u64,
    /// Whether some table may have more to delete.
    pub more: bool,
}

/// One round over all tables, in one transaction of the caller.
pub(crate) async fn retain(
    conn: &mut SqliteConnection,
    now_us: i64,
    keep: &Keep,
) -> Result<Retained> {
    let rounds = [
        (
            "DELETE FROM minute WHERE (at, series) IN \
             (SELECT at, series FROM minute WHERE at < ?1 LIMIT ?2)",
            (now_us - keep.minute_us).div_euclid(MINUTE_US),
        ),
        (
            "DELETE FROM quarter WHERE (at, series) IN \
             (SELECT at, series FROM quarter WHERE at < ?1 LIMIT ?2)",
            (now_us - keep.quarter_us).div_euclid(15 * MINUTE_US),
        ),
        (
            "DELETE FROM commit_journal WHERE version IN \
             (SELECT version FROM commit_journal WHERE committed_us < ?1 \
             AND version < (SELECT v FROM ledger_version) LIMIT ?2)",
            now_us - keep.journal_us,
        ),
        (
            "DELETE FROM dead_letter WHERE rowid IN \
             (SELECT rowid FROM dead_letter WHERE stored_us < ?1 LIMIT ?2)",
            now_us - keep.letter_us,
        ),
        (
            "DELETE FROM baseline_total WHERE (day, series) IN \
             (SELECT day, series FROM baseline_total WHERE day < ?1 LIMIT ?2)",
            (now_us - keep.journal_us).div_euclid(DAY_US),
        ),
        (
            "DELETE FROM baseline WHERE day < ?1 AND ?2 > 0 AND NOT EXISTS \
             (SELECT 1 FROM baseline_total t WHERE t.day = baseline.day)",
            (now_us - keep.journal_us).div_euclid(DAY_US),
        ),
        ("DELETE FROM connections WHERE seen_us < ?1 AND ?2 > 0", now_us - CONNECTIONS_US),
    ];
    let mut retained = Retained::default();
    for (sql, before) in rounds {
        let done = sqlx::query(sql)
            .bind(before)
            .bind(ROWS_MAX)
            .execute(&mut *conn)
            .await
            .map_err(StoreError::sql("delete old rows"))?;
        retained.deleted += done.rows_affected();
        retained.more |= done.rows_affected() >= ROWS_MAX.cast_unsigned();
    }
    Ok(retained)
}
