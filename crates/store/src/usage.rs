//! Token usage by consumer: consumer rows, summed by the groups of a query.

use std::ops::Range;

use event::usage::TOKEN_CLASSES;
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::read::Reader;
use crate::rows::{CONSUMER, N_CONSUMER, consumer_labels, get, used, used_sums};
use crate::sql::Bound;

/// What rows of usage can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// Tenant.
    Namespace,
    /// Alias of a key or user; an empty text for none.
    Consumer,
    /// Model that answered.
    Model,
}

/// A usage query.
#[derive(Clone, Debug)]
pub struct UsageAsk<'a> {
    /// Quarter-hours since the epoch.
    pub quarters: Range<i64>,
    /// One namespace, or all.
    pub namespace: Option<&'a str>,
    /// What the rows are grouped by, at least one.
    pub by: &'a [UsageBy],
}

/// A group: its keys, in the order of the query, and its sums.
pub type UsageGroup = (Vec<String>, ConsumerSums);

const RANGE: &str = "FROM consumer_quarter q JOIN consumer_series s ON s.id = q.series \
                     WHERE q.at >= ? AND q.at < ? AND (? IS NULL OR s.namespace = ?)";

/// Column names, each formatted by `write`, joined by `between`.
fn listed(names: &[String], between: &str, write: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| write(name)).collect::<Vec<_>>().join(between)
}

/// Sums of the columns of a consumer row, in their order.
fn sums() -> String {
    listed(&ConsumerSums::columns(), ", ", |name| format!("sum(q.{name})"))
}

/// Tokens of a group.
fn tokens() -> String {
    let names = TOKEN_CLASSES.map(str::to_owned);
    format!("sum({})", listed(&names, " + ", |name| format!("q.{name}")))
}

impl UsageBy {
    fn column(self) -> &'static str {
        match self {
            UsageBy::Namespace => "s.namespace",
            UsageBy::Consumer => "s.consumer",
            UsageBy::Model => "s.model",
        }
    }
}

impl UsageAsk<'_> {
    fn columns(&self) -> String {
        let columns: Vec<&str> = self.by.iter().map(|by| by.column()).collect();
        columns.join(", ")
    }

    fn bind<'q>(&'q self, query: Bound<'q>) -> Bound<'q> {
        let query = query.bind(self.quarters.start).bind(self.quarters.end);
        query.bind(self.namespace).bind(self.namespace)
    }
}

impl Reader {
    /// A page of the groups, those with the most tokens first: `n` of them after `skip`.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn usage(
        &mut self,
        ask: &UsageAsk<'_>,
        n: i64,
        skip: i64,
    ) -> Result<Vec<UsageGroup>> {
        let columns = ask.columns();
        let sql = format!(
            "SELECT {columns}, {} {RANGE} GROUP BY {columns} \
             ORDER BY {} DESC, {columns} LIMIT ? OFFSET ?",
            sums(),
            tokens()
        );
        let query = ask.bind(self.conn.query(AssertSqlSafe(sql))).bind(n).bind(skip);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let texts = (0..ask.by.len()).map(|at| get(row, at)).collect::<Result<_>>()?;
                Ok((texts, used_sums(row, ask.by.len())?))
            })
            .collect()
    }

    /// Number of groups, and the sums of all of them.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn usage_total(&mut self, ask: &UsageAsk<'_>) -> Result<(i64, ConsumerSums)> {
        let columns = ask.columns();
        let sql = format!("SELECT count(*) FROM (SELECT 1 AS one {RANGE} GROUP BY {columns}) g");
        let query = ask.bind(self.conn.query(AssertSqlSafe(sql)));
        let rows = self.rows(query).await?;
        let n_groups = rows.first().map_or(Ok(0), |row| get(row, 0))?;
        let sql = format!("SELECT {} {RANGE}", sums());
        let query = ask.bind(self.conn.query(AssertSqlSafe(sql)));
        let rows = self.rows(query).await?;
        let sums = rows.first().map_or(Ok(ConsumerSums::default()), |row| used_sums(row, 0))?;
        Ok((n_groups, sums))
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
        let sql = format!(
            "SELECT q.at, {CONSUMER}, {} \
             FROM consumer_quarter q JOIN consumer_series s ON s.id = q.series \
             WHERE q.at >= ? AND q.at < ? ORDER BY q.at",
            listed(&ConsumerSums::columns(), ", ", |name| format!("q.{name}"))
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(quarters.start).bind(quarters.end);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| Ok((get(row, 0)?, consumer_labels(row, 1)?, used(row, 1 + N_CONSUMER)?)))
            .collect()
    }
}
