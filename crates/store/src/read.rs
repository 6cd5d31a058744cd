//! Queries of the ledger, all answered from one committed version.
//!
//! A `Reader` holds one read transaction: every query sees the ledger as of the moment when the
//! reader was created. It never waits for the writer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::commit::Progress;
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId, ShortLabels};
use sqlx::AssertSqlSafe;

use crate::Store;
use crate::error::Result;
use crate::rolled::Rolled;
use crate::rows::{
    FULL, N_FULL, N_SHORT, PROGRESS, SHORT, Width, bytes, full_labels, get, measures, number,
    progress, selected, short_labels,
};
use crate::server::Sink;
use crate::sql::{Bound, Conn, Row};

/// The version that an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// Ledger version; grows by one with each commit.
    pub version: i64,
    /// When it was committed, microseconds since the epoch; 0 before the first commit.
    pub committed_us: i64,
}

/// What the validity of an answer depends on: at equal stamps, answers about one range are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Ledger version.
    pub version: i64,
    /// Number of namespaces.
    pub namespaces: i64,
    /// When one of them was last changed, microseconds since the epoch; 0 for none.
    pub changed_us: i64,
    /// The oldest minute that has a row: retention deletes rows without a new version.
    pub oldest_minute: Option<i64>,
    /// The oldest quarter-hour that has a row.
    pub oldest_quarter: Option<i64>,
}

/// State of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// Generation of the log.
    pub generation: u32,
    /// Partition.
    pub partition: u32,
    /// Number of claims so far.
    pub epoch: i64,
    /// What is counted.
    pub progress: Progress,
    /// Offset from which frames are counted with their time per output token.
    pub tpot_from: u64,
}

/// Totals and partitions as they stood before the first commit of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Day, in days since the epoch (UTC).
    pub day: i64,
    /// Ledger version.
    pub version: i64,
    /// Generation, partition and progress.
    pub partitions: Vec<(u32, u32, Progress)>,
    /// Counter totals by series.
    pub totals: Vec<(SeriesId, Measures)>,
}

/// Dead letters of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterCount {
    /// Class, as `gatemeter_events_total` names it; `duplicate` for conflicts.
    pub class: String,
    /// Events.
    pub events: i64,
    /// Rows that have the content.
    pub with_content: i64,
}

/// One read transaction.
///
/// Every query fails with [`StoreError::Sql`], or with [`StoreError::Fatal`] for a row that the
/// schema does not allow.
#[derive(Debug)]
pub struct Reader {
    pub(crate) conn: Conn,
    as_of: AsOf,
    /// How far rows are rolled up at this version.
    pub(crate) rolled: Rolled,
    /// Statements of all readers of the store.
    n_statements: Arc<AtomicU64>,
}

/// The first statement of a reader: the version, how far rows are rolled up and where they begin,
/// and more columns.
macro_rules! first {
    ($more:literal) => {
        concat!(
            "SELECT v, committed_us, (SELECT quarter FROM rolled), (SELECT min(at) FROM minute), ",
            "(SELECT min(at) FROM quarter), (SELECT min(at) FROM consumer_quarter)",
            $more,
            " FROM ledger_version"
        )
    };
}
/// Number of its columns before these.
const N_FIRST: usize = 6;

impl Store {
    /// Begins a read transaction: everything the reader returns is of one committed version.
    ///
    /// # Errors
    /// The error of the database, or that all connections stayed busy for 5 s.
    pub async fn read(&self) -> Result<Reader> {
        let (reader, _) = self.read_first(first!("")).await?;
        Ok(reader)
    }

    /// Like [`Store::read`], with the stamp of the version.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn read_with_stamp(&self) -> Result<(Reader, Stamp)> {
        let sql = first!(
            ", (SELECT count(*) FROM namespace), \
             (SELECT COALESCE(max(updated_us), 0) FROM namespace)"
        );
        let (reader, row) = self.read_first(sql).await?;
        let stamp = Stamp {
            version: reader.as_of.version,
            namespaces: get(&row, N_FIRST)?,
            changed_us: get(&row, N_FIRST + 1)?,
            oldest_minute: reader.rolled.oldest_minute,
            oldest_quarter: reader.rolled.oldest_quarter,
        };
        Ok((reader, stamp))
    }

    /// A reader, and the row of its first statement, which fixes the snapshot of a file and begins
    /// with the version.
    async fn read_first(&self, sql: &'static str) -> Result<(Reader, Row)> {
        let mut conn = self.readers.begin().await?;
        self.n_read_statements.fetch_add(1, Ordering::Relaxed);
        let query = conn.query(sql);
        let row = conn.fetch_one(query, "read the version").await?;
        let as_of = AsOf { version: get(&row, 0)?, committed_us: get(&row, 1)? };
        let rolled = Rolled::read(&row, 2)?;
        let n_statements = Arc::clone(&self.n_read_statements);
        Ok((Reader { conn, as_of, rolled, n_statements }, row))
    }

    /// Statements that the readers of this store have executed: tests bound how many a query takes.
    #[must_use]
    pub fn n_read_statements(&self) -> u64 {
        self.n_read_statements.load(Ordering::Relaxed)
    }
}

impl Reader {
    /// The version that all answers of this reader show.
    #[must_use]
    pub fn as_of(&self) -> AsOf {
        self.as_of
    }

    pub(crate) async fn rows(&mut self, query: Bound<'_>) -> Result<Vec<Row>> {
        self.n_statements.fetch_add(1, Ordering::Relaxed);
        self.conn.fetch_all(query, "read rows").await
    }

    /// Hands over rows as they are read.
    pub(crate) async fn rows_to(
        &mut self,
        query: Bound<'_>,
        sink: &mut impl Sink<Row>,
    ) -> Result<()> {
        self.n_statements.fetch_add(1, Ordering::Relaxed);
        self.conn.each(query, "read rows", sink).await
    }

    /// Minute rows of a range of minutes since the epoch, of one namespace or all, by time. Their
    /// measures have no buckets of the time to first token, and nothing of that per output token.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn short_rows(
        &mut self,
        minutes: Range<i64>,
        namespace: Option<&str>,
    ) -> Result<Vec<(i64, ShortLabels, Measures)>> {
        let sql = format!(
            "SELECT m.at, {SHORT}, {} FROM minute m JOIN series_short s ON s.id = m.series \
             WHERE m.at >= ? AND m.at < ? AND (? IS NULL OR s.namespace = ?) ORDER BY m.at",
            selected("m.", Width::Short)
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(minutes.start).bind(minutes.end);
        let rows = self.rows(query.bind(namespace).bind(namespace)).await?;
        rows.iter()
            .map(|row| {
                let sums = measures(row, 1 + N_SHORT, Width::Short)?;
                Ok((get(row, 0)?, short_labels(row, 1)?, sums))
            })
            .collect()
    }

    /// Every quarter-hour row with its full labels, by time, for a recount.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn full_quarters(
        &mut self,
        quarters: Range<i64>,
    ) -> Result<Vec<(i64, FullLabels, Measures)>> {
        let sql = format!(
            "SELECT q.at, {FULL}, {} FROM quarter q JOIN series s ON s.id = q.series \
             WHERE q.at >= ? AND q.at < ? ORDER BY q.at",
            selected("q.", Width::Full)
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(quarters.start).bind(quarters.end);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let sums = measures(row, 1 + N_FULL, Width::Full)?;
                Ok((get(row, 0)?, full_labels(row, 1)?, sums))
            })
            .collect()
    }

    /// Counter totals of one namespace or all.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn total_rows(
        &mut self,
        namespace: Option<&str>,
    ) -> Result<Vec<(FullLabels, Measures)>> {
        let sql = format!(
            "SELECT {FULL}, {} FROM total t JOIN series s ON s.id = t.series \
             WHERE ? IS NULL OR s.namespace = ? ORDER BY {FULL}",
            selected("t.", Width::Full)
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(namespace).bind(namespace);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| Ok((full_labels(row, 0)?, measures(row, N_FULL, Width::Full)?)))
            .collect()
    }

    /// The oldest quarter-hour that is kept, if there is any.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn oldest_quarter(&mut self) -> Result<Option<i64>> {
        let rows = self.rows(self.conn.query("SELECT min(at) FROM quarter")).await?;
        rows.first().map_or(Ok(None), |row| get(row, 0))
    }

    /// The oldest minute that is kept, if there is any.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn oldest_minute(&mut self) -> Result<Option<i64>> {
        let rows = self.rows(self.conn.query("SELECT min(at) FROM minute")).await?;
        rows.first().map_or(Ok(None), |row| get(row, 0))
    }

    /// When an aggregator last reported a full dedup set.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn pressure_seen_us(&mut self) -> Result<Option<i64>> {
        let rows = self.rows(self.conn.query("SELECT seen_us FROM pressure")).await?;
        rows.first().map_or(Ok(None), |row| get(row, 0))
    }

    /// State of every partition.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn partitions(&mut self) -> Result<Vec<PartitionRow>> {
        let sql = format!(
            "SELECT generation, `partition`, epoch, tpot_from, {PROGRESS} FROM partition_state \
             ORDER BY generation, `partition`"
        );
        let rows = self.rows(self.conn.query(AssertSqlSafe(sql))).await?;
        rows.iter()
            .map(|row| {
                Ok(PartitionRow {
                    generation: number(row, 0, "generation")?,
                    partition: number(row, 1, "partition")?,
                    epoch: get(row, 2)?,
                    progress: progress(row, 4)?,
                    tpot_from: number(row, 3, "offset")?,
                })
            })
            .collect()
    }

    /// The baselines, oldest first.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn baselines(&mut self) -> Result<Vec<Baseline>> {
        let sql = format!(
            "SELECT day, version, generation, `partition`, {PROGRESS} FROM baseline ORDER BY day"
        );
        let mut baselines: Vec<Baseline> = Vec::new();
        for row in self.rows(self.conn.query(AssertSqlSafe(sql))).await? {
            let day: i64 = get(&row, 0)?;
            if baselines.last().is_none_or(|last| last.day != day) {
                let version = get(&row, 1)?;
                baselines.push(Baseline { day, version, ..Baseline::default() });
            }
            let baseline = baselines.last_mut().expect("one was just pushed");
            let generation = number(&row, 2, "generation")?;
            let partition = number(&row, 3, "partition")?;
            baseline.partitions.push((generation, partition, progress(&row, 4)?));
        }
        let sql = format!(
            "SELECT series, {} FROM baseline_total WHERE day = ?",
            selected("", Width::Full)
        );
        for baseline in &mut baselines {
            let query = self.conn.query(AssertSqlSafe(sql.clone())).bind(baseline.day);
            for row in self.rows(query).await? {
                let sums = measures(&row, 1, Width::Full)?;
                baseline.totals.push((SeriesId(bytes(&row, 0)?), sums));
            }
        }
        Ok(baselines)
    }

    /// How many dead letters are kept, by class.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn letters(&mut self) -> Result<Vec<LetterCount>> {
        let sql = "SELECT class, sum(n), count(content) FROM dead_letter GROUP BY class";
        let rows = self.rows(self.conn.query(sql)).await?;
        rows.iter()
            .map(|row| {
                Ok(LetterCount {
                    class: get(row, 0)?,
                    events: row.sum(1)?,
                    with_content: get(row, 2)?,
                })
            })
            .collect()
    }

    /// Open connections per namespace: the sum of the newest reports of all gateways that are
    /// newer than this.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn connections(&mut self, newer_than_us: i64) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT namespace, sum(active) FROM connections WHERE seen_us > ? \
                   GROUP BY namespace ORDER BY namespace";
        let rows = self.rows(self.conn.query(sql).bind(newer_than_us)).await?;
        rows.iter().map(|row| Ok((get(row, 0)?, row.sum(1)?))).collect()
    }
}
