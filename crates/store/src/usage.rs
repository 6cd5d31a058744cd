//! Token usage, summed by the groups of a query: of consumers, or of everything else that full rows
//! know.
//!
//! A question is one statement: for the groups of a page with the number and the sums of all, or
//! for groups that are handed over as they are read.

mod ask;

use std::ops::Range;

use ledger::consumer::{ConsumerLabels, ConsumerSums};
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;

pub use self::ask::{Run, UsageAsk, UsageBy, UsageRank, UsageRows, UsageValue};

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rows::{CONSUMER, N_CONSUMER, consumer_labels, get, used, used_sums};
use crate::server::Sink;
use crate::sql::Row;

/// What only full rows know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageDetail {
    /// Failed requests.
    pub errors: i64,
    /// Sum of the durations of requests, microseconds.
    pub duration_us: i64,
    /// Input tokens that were counted from text and not reported.
    pub estimated_input: i64,
    /// Output tokens that were counted from text and not reported.
    pub estimated_output: i64,
}

/// Sums of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSums {
    /// Requests, tokens and cost.
    pub used: ConsumerSums,
    /// `None` for rows of consumers.
    pub detail: Option<UsageDetail>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageGroup {
    /// Its values, in the order of the query.
    pub values: Vec<UsageValue>,
    /// Its sums.
    pub sums: UsageSums,
    /// Those of the period before, if it was asked for.
    pub before: Option<UsageSums>,
}

/// All groups together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageTotal {
    /// Number of groups.
    pub n_groups: i64,
    /// Their sums.
    pub sums: UsageSums,
    /// Those of the period before, if it was asked for.
    pub before: Option<UsageSums>,
}

impl UsageSums {
    /// Reads the sums that begin at column `first`.
    fn read(row: &Row, first: usize, rows: UsageRows) -> Result<UsageSums> {
        let used = used_sums(row, first)?;
        if rows == UsageRows::Consumers {
            return Ok(UsageSums { used, detail: None });
        }
        let at = |idx: usize| row.sum(first + ledger::consumer::N_CONSUMER_SUMS + idx);
        let detail = UsageDetail {
            errors: at(0)?,
            duration_us: at(1)?,
            estimated_input: at(2)?,
            estimated_output: at(3)?,
        };
        Ok(UsageSums { used, detail: Some(detail) })
    }

    /// Adds the sums of another group; `None` if one would overflow.
    #[must_use]
    pub fn add(&mut self, other: &UsageSums) -> Option<()> {
        self.used.add(&other.used)?;
        if let Some(more) = other.detail {
            let detail = self.detail.get_or_insert_default();
            for (sum, more) in [
                (&mut detail.errors, more.errors),
                (&mut detail.duration_us, more.duration_us),
                (&mut detail.estimated_input, more.estimated_input),
                (&mut detail.estimated_output, more.estimated_output),
            ] {
                *sum = sum.checked_add(more)?;
            }
        }
        Some(())
    }
}

impl UsageTotal {
    /// No groups yet, of such a question.
    #[must_use]
    pub fn none(ask: &UsageAsk<'_>) -> UsageTotal {
        let detail = (ask.rows == UsageRows::Full).then(UsageDetail::default);
        let sums = UsageSums { detail, ..UsageSums::default() };
        UsageTotal { n_groups: 0, sums, before: ask.since.map(|_| sums) }
    }

    /// Adds a group; `None` if a sum would overflow.
    #[must_use]
    pub fn add(&mut self, group: &UsageGroup) -> Option<()> {
        self.n_groups += 1;
        if let (Some(sum), Some(more)) = (&mut self.before, &group.before) {
            sum.add(more)?;
        }
        self.sums.add(&group.sums)
    }
}

/// Sums, and those of the period before, that begin at column `first`.
fn periods(ask: &UsageAsk<'_>, row: &Row, first: usize) -> Result<(UsageSums, Option<UsageSums>)> {
    let sums = UsageSums::read(row, first, ask.rows)?;
    let second = first + ask.rows.n_sums();
    let before = ask.since.map(|_| UsageSums::read(row, second, ask.rows)).transpose()?;
    Ok((sums, before))
}

/// Reads a group whose values begin at column `first`.
fn group(ask: &UsageAsk<'_>, row: &Row, first: usize) -> Result<UsageGroup> {
    let is_text = |idx: usize| ask.by.get(idx).is_some_and(|by| !by.is_number());
    let value = |idx| match is_text(idx) {
        true => get(row, first + idx).map(UsageValue::Text),
        false => get(row, first + idx).map(UsageValue::Number),
    };
    let values = (0..ask.n_keys()).map(value).collect::<Result<_>>()?;
    let (sums, before) = periods(ask, row, first + ask.n_keys())?;
    Ok(UsageGroup { values, sums, before })
}

/// Hands over groups until nobody takes them.
struct Groups<'a> {
    ask: &'a UsageAsk<'a>,
    taker: mpsc::Sender<UsageGroup>,
    error: Option<StoreError>,
}

impl Sink<Row> for Groups<'_> {
    async fn take(&mut self, row: Row) -> bool {
        match group(self.ask, &row, 0) {
            Ok(group) => self.taker.send(group).await.is_ok(),
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }
}

impl Reader {
    /// A page of the groups in their order, `n` of them after `skip`, and all groups together.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn usage(
        &mut self,
        ask: &UsageAsk<'_>,
        n: i64,
        skip: i64,
    ) -> Result<(UsageTotal, Vec<UsageGroup>)> {
        let rolled = self.rolled;
        let sql = ask.page(self.conn.backend(), &rolled);
        let query = ask.bind(self.conn.query(AssertSqlSafe(sql)), &rolled).bind(n).bind(skip);
        let rows = self.rows(query).await?;
        let (mut total, mut groups) = (UsageTotal::none(ask), Vec::new());
        for row in &rows {
            match get::<Option<i64>>(row, 0)? {
                None => groups.push(group(ask, row, 2)?),
                Some(n_groups) => {
                    let (sums, before) = periods(ask, row, 2 + ask.n_keys())?;
                    total = UsageTotal { n_groups, sums, before };
                }
            }
        }
        Ok((total, groups))
    }

    /// Hands over every group in their order, as they are read. Ends early if the receiver is gone.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn each_usage(
        &mut self,
        ask: &UsageAsk<'_>,
        taker: mpsc::Sender<UsageGroup>,
    ) -> Result<()> {
        let rolled = self.rolled;
        let query = self.conn.query(AssertSqlSafe(ask.sorted(self.conn.backend(), &rolled)));
        let mut groups = Groups { ask, taker, error: None };
        self.rows_to(ask.bind(query, &rolled), &mut groups).await?;
        groups.error.map_or(Ok(()), Err)
    }

    /// The oldest quarter-hour that consumer rows are kept of, if there is any.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn oldest_usage(&mut self) -> Result<Option<i64>> {
        let rows = self.rows(self.conn.query("SELECT min(at) FROM consumer_quarter")).await?;
        rows.first().map_or(Ok(None), |row| get(row, 0))
    }

    /// When the last commit was made that had no consumer rows yet, microseconds since the epoch;
    /// 0 if every commit had.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn usage_start_us(&mut self) -> Result<i64> {
        let rows = self.rows(self.conn.query("SELECT committed_us FROM consumer_start")).await?;
        rows.first().map_or(Ok(0), |row| get(row, 0))
    }

    /// Every consumer row of a range of quarter-hours, by time, for a recount.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn consumer_rows(
        &mut self,
        quarters: Range<i64>,
    ) -> Result<Vec<(i64, ConsumerLabels, ConsumerSums)>> {
        let columns = ConsumerSums::columns().into_iter().map(|name| format!("q.{name}"));
        let sql = format!(
            "SELECT q.at, {CONSUMER}, {} \
             FROM consumer_quarter q JOIN consumer_series s ON s.id = q.series \
             WHERE q.at >= ? AND q.at < ? ORDER BY q.at",
            columns.collect::<Vec<_>>().join(", ")
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(quarters.start).bind(quarters.end);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| Ok((get(row, 0)?, consumer_labels(row, 1)?, used(row, 1 + N_CONSUMER)?)))
            .collect()
    }
}
