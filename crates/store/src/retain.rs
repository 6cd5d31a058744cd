//! Deletes rows that are no longer kept, a bounded number per call.
//!
//! Totals, labels and namespaces are never deleted: what was shown once is shown forever.

use clock::Wall;

use crate::error::Result;
use crate::sql::Conn;

/// Most rows that one statement deletes, so that no commit waits for long.
const ROWS_MAX: i64 = 20_000;
/// How long a gateway's last report of connections is remembered, microseconds: ten minutes,
/// because it is shown for only one.
const CONNECTIONS_US: i64 = 10 * 60 * 1_000_000;
const MINUTE_US: i64 = 60 * 1_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// How long rows are kept, all in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Minute rows, by their minute.
    pub minute_us: i64,
    /// Quarter-hour rows, by their quarter.
    pub quarter_us: i64,
    /// Consumer rows, by their quarter.
    pub consumer_us: i64,
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

/// Deletes rows older than its first parameter, at most as many as its second one.
struct Round {
    sqlite: &'static str,
    mysql: &'static str,
    before: i64,
}

/// One round over all tables, in one transaction of the caller.
pub(crate) async fn retain(conn: &mut Conn, now: Wall, keep: &Keep) -> Result<Retained> {
    let mut retained = Retained::default();
    for round in rows(now.as_us(), keep).into_iter().chain(records(now.as_us(), keep)) {
        let backend = conn.backend();
        let query = backend.query(backend.text(round.sqlite, round.mysql));
        let query = query.bind(round.before).bind(ROWS_MAX);
        let done = conn.execute(query, "delete old rows").await?;
        retained.deleted += done.rows;
        retained.more |= done.rows >= ROWS_MAX.cast_unsigned();
    }
    Ok(retained)
}

/// The rounds over rows of sums, table by table. A server has DELETE .. LIMIT; SQLite selects the
/// rows first.
fn rows(now_us: i64, keep: &Keep) -> [Round; 7] {
    [
        Round {
            sqlite: "DELETE FROM minute WHERE (at, series) IN \
                     (SELECT at, series FROM minute WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM minute WHERE at < ? ORDER BY at, series LIMIT ?",
            before: (now_us - keep.minute_us).div_euclid(MINUTE_US),
        },
        Round {
            sqlite: "DELETE FROM quarter WHERE (at, series) IN \
                     (SELECT at, series FROM quarter WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM quarter WHERE at < ? ORDER BY at, series LIMIT ?",
            before: (now_us - keep.quarter_us).div_euclid(15 * MINUTE_US),
        },
        Round {
            sqlite: "DELETE FROM consumer_quarter WHERE (at, series) IN \
                     (SELECT at, series FROM consumer_quarter WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM consumer_quarter WHERE at < ? ORDER BY at, series LIMIT ?",
            before: (now_us - keep.consumer_us).div_euclid(15 * MINUTE_US),
        },
        Round {
            sqlite: "DELETE FROM namespace_minute WHERE (namespace, at) IN \
                     (SELECT namespace, at FROM namespace_minute WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM namespace_minute WHERE at < ? ORDER BY at LIMIT ?",
            before: (now_us - keep.minute_us).div_euclid(MINUTE_US),
        },
        Round {
            sqlite: "DELETE FROM namespace_quarter WHERE (namespace, at) IN \
                     (SELECT namespace, at FROM namespace_quarter WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM namespace_quarter WHERE at < ? ORDER BY at LIMIT ?",
            before: (now_us - keep.quarter_us).div_euclid(15 * MINUTE_US),
        },
        // Days of which nothing is kept.
        Round {
            sqlite: "DELETE FROM day WHERE (at, series) IN \
                     (SELECT at, series FROM day WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM day WHERE at < ? ORDER BY at, series LIMIT ?",
            before: (now_us - keep.quarter_us).div_euclid(DAY_US),
        },
        Round {
            sqlite: "DELETE FROM consumer_day WHERE (at, series) IN \
                     (SELECT at, series FROM consumer_day WHERE at < ?1 LIMIT ?2)",
            mysql: "DELETE FROM consumer_day WHERE at < ? ORDER BY at, series LIMIT ?",
            before: (now_us - keep.consumer_us).div_euclid(DAY_US),
        },
    ]
}

/// The rounds over everything else. The journal keeps its newest line.
fn records(now_us: i64, keep: &Keep) -> [Round; 7] {
    [
        Round {
            sqlite: "DELETE FROM commit_journal WHERE version IN \
                     (SELECT version FROM commit_journal WHERE committed_us < ?1 \
                     AND version < (SELECT v FROM ledger_version) LIMIT ?2)",
            mysql: "DELETE FROM commit_journal WHERE committed_us < ? \
                    AND version < (SELECT v FROM ledger_version) ORDER BY committed_us LIMIT ?",
            before: now_us - keep.journal_us,
        },
        // Ranges go with their commits; an empty journal, which no ledger has, tells of none.
        Round {
            sqlite: "DELETE FROM commit_range WHERE (version, generation, `partition`) IN \
                     (SELECT version, generation, `partition` FROM commit_range WHERE version < \
                     COALESCE((SELECT min(version) FROM commit_journal), ?1) LIMIT ?2)",
            mysql: "DELETE FROM commit_range WHERE version < \
                    COALESCE((SELECT min(version) FROM commit_journal), ?) \
                    ORDER BY version, generation, `partition` LIMIT ?",
            before: 0,
        },
        Round {
            sqlite: "DELETE FROM dead_letter WHERE rowid IN \
                     (SELECT rowid FROM dead_letter WHERE stored_us < ?1 LIMIT ?2)",
            mysql: "DELETE FROM dead_letter WHERE stored_us < ? ORDER BY stored_us LIMIT ?",
            before: now_us - keep.letter_us,
        },
        Round {
            sqlite: "DELETE FROM raw_letter WHERE rowid IN \
                     (SELECT rowid FROM raw_letter WHERE stored_us < ?1 LIMIT ?2)",
            mysql: "DELETE FROM raw_letter WHERE stored_us < ? ORDER BY stored_us LIMIT ?",
            before: now_us - keep.letter_us,
        },
        Round {
            sqlite: "DELETE FROM baseline_total WHERE (day, series) IN \
                     (SELECT day, series FROM baseline_total WHERE day < ?1 LIMIT ?2)",
            mysql: "DELETE FROM baseline_total WHERE day < ? ORDER BY day, series LIMIT ?",
            before: (now_us - keep.journal_us).div_euclid(DAY_US),
        },
        Round {
            sqlite: "DELETE FROM baseline WHERE day < ?1 AND ?2 > 0 AND NOT EXISTS \
                     (SELECT 1 FROM baseline_total t WHERE t.day = baseline.day)",
            mysql: "DELETE FROM baseline WHERE day < ? AND NOT EXISTS \
                    (SELECT 1 FROM baseline_total t WHERE t.day = baseline.day) LIMIT ?",
            before: (now_us - keep.journal_us).div_euclid(DAY_US),
        },
        Round {
            sqlite: "DELETE FROM connections WHERE (gateway, namespace) IN \
                     (SELECT gateway, namespace FROM connections WHERE seen_us < ?1 LIMIT ?2)",
            mysql: "DELETE FROM connections WHERE seen_us < ? LIMIT ?",
            before: now_us - CONNECTIONS_US,
        },
    ]
}
