//! Sums over many rows, computed by the database.
//!
//! A query scans every row of its range, in the columns that it needs, and the database adds them
//! up: one statement for a whole range, and one for all of its buckets. Rows are scanned once, in
//! key order, so that only the few sums are sorted.

use std::ops::Range;

use event::usage::TOKEN_CLASSES;
use event::{Outcome, UsageSource};
use ledger::histogram::N_DURATION;
use ledger::query::sums::{Classes, Sums};
use ledger::query::{Buckets, Series};
use ledger::window::{MINUTE_US, QUARTER_US};
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rows::get;
use crate::sql::{Bound, Row};

/// Rows that sums are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Minutes.
    Minutes,
    /// Quarter-hours.
    Quarters,
    /// Counter totals, whose buckets are summed from quarter-hours.
    Totals,
}

/// Which numbers are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Final attempts, and those of them that failed.
    Requests,
    /// How long final attempts took.
    Durations,
    /// Tokens and cost of all attempts.
    Tokens,
}

impl Part {
    /// All parts.
    pub const EACH: [Part; 3] = [Part::Requests, Part::Durations, Part::Tokens];
}

/// Open connections, and the requests of one recent minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Open connections, by the newest report of each gateway.
    pub connections: i64,
    /// Requests of one minute.
    pub requests: i64,
}

/// Stored number of the outcome `success`.
const SUCCESS: u8 = Outcome::Success.code();
/// Stored number of estimated usage.
const ESTIMATED: u8 = UsageSource::Estimated as u8;

impl Rows {
    /// Length of a row, or of the rows that buckets are summed from, microseconds.
    #[must_use]
    pub fn unit_us(self) -> i64 {
        match self {
            Rows::Minutes => MINUTE_US,
            Rows::Quarters | Rows::Totals => QUARTER_US,
        }
    }

    /// Start of the row of a moment, microseconds.
    #[must_use]
    pub fn floor(self, us: i64) -> i64 {
        us - us.rem_euclid(self.unit_us())
    }

    /// Table of the rows, and of their series.
    fn tables(self) -> (&'static str, &'static str) {
        match self {
            Rows::Minutes => ("minute", "series_short"),
            Rows::Quarters => ("quarter", "series"),
            Rows::Totals => ("total", "series"),
        }
    }

    /// The rows with their series, for a SELECT.
    pub(crate) fn joined(self) -> String {
        let (table, series) = self.tables();
        format!("FROM {table} q JOIN {series} s ON s.id = q.series")
    }
}

impl Part {
    /// Sums of rows `q` with series `s`, in the order in which `add` reads them. The condition is
    /// inside the sum instead of a GROUP BY: rows arrive in the order of time, and sorting them by
    /// anything else would take far longer than adding them up.
    pub(crate) fn columns(self) -> Vec<String> {
        let each = |name: &str| format!("sum(q.{name})");
        let only = |condition: &str, name: &str| {
            format!("sum(CASE WHEN {condition} THEN q.{name} ELSE 0 END)")
        };
        let finals = |name: &str| only("s.is_final", name);
        match self {
            Part::Requests => {
                let failed = format!("s.is_final AND s.outcome <> {SUCCESS}");
                vec![finals("n"), only(&failed, "n")]
            }
            Part::Durations => {
                let buckets = (0..N_DURATION).map(|idx| finals(&format!("duration_{idx}")));
                std::iter::once(finals("duration_us")).chain(buckets).collect()
            }
            Part::Tokens => {
                let estimated = format!("s.source = {ESTIMATED}");
                let all = TOKEN_CLASSES.iter().map(|name| each(name));
                let of_text = TOKEN_CLASSES.iter().map(|name| only(&estimated, name));
                all.chain(of_text).chain([each("cost_nano")]).collect()
            }
        }
    }

    /// Adds the columns of a row, from `first` on; returns the column after them.
    fn add(self, row: &Row, first: usize, sums: &mut Sums) -> Result<usize> {
        match self {
            Part::Requests => {
                sums.add_requests(row.sum(first)?, row.sum(first + 1)?);
                Ok(first + 2)
            }
            Part::Durations => {
                let buckets: [i64; N_DURATION] = summed(row, first + 1)?;
                sums.add_durations(row.sum(first)?, &buckets);
                Ok(first + 1 + N_DURATION)
            }
            Part::Tokens => {
                let (all, estimated): (Classes, Classes) =
                    (summed(row, first)?, summed(row, first + TOKEN_CLASSES.len())?);
                let cost = first + 2 * TOKEN_CLASSES.len();
                sums.add_tokens(&all, &estimated, row.sum(cost)?);
                Ok(cost + 1)
            }
        }
    }
}

/// Neighbouring columns, each a sum.
fn summed<const N: usize>(row: &Row, first: usize) -> Result<[i64; N]> {
    let mut sums = [0; N];
    for (idx, sum) in sums.iter_mut().enumerate() {
        *sum = row.sum(first + idx)?;
    }
    Ok(sums)
}

/// The columns of some parts.
fn columns(parts: &[Part]) -> Vec<String> {
    parts.iter().flat_map(|part| part.columns()).collect()
}

/// Reads the columns of some parts that begin at `first`.
fn read(parts: &[Part], row: &Row, first: usize) -> Result<Sums> {
    let mut sums = Sums::default();
    parts.iter().try_fold(first, |at, part| part.add(row, at, &mut sums))?;
    Ok(sums)
}

/// Which series are summed: those that have every label that is given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mine<'a> {
    pub namespace: Option<&'a str>,
    pub upstream: Option<&'a str>,
    /// Minute rows have none.
    pub model: Option<&'a str>,
}

impl<'a> Mine<'a> {
    fn of(namespace: Option<&'a str>) -> Mine<'a> {
        Mine { namespace, ..Mine::default() }
    }

    /// The labels beside the namespace that are given, with their columns.
    fn more(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let both = [("s.upstream", self.upstream), ("s.model", self.model)];
        both.into_iter().filter_map(|(column, label)| Some((column, label?)))
    }

    /// The condition, of series `s`.
    fn condition(self) -> String {
        let more = self.more().map(|(column, _)| format!(" AND {column} = ?"));
        std::iter::once("(? IS NULL OR s.namespace = ?)".to_owned()).chain(more).collect()
    }

    /// Binds the parameters of the condition.
    fn bind<'q>(self, query: Bound<'q>) -> Bound<'q>
    where
        'a: 'q,
    {
        let query = query.bind(self.namespace).bind(self.namespace);
        self.more().fold(query, |query, (_, label)| query.bind(label))
    }
}

/// Condition for rows of a range.
const DURING: &str = "q.at >= ? AND q.at < ?";

impl Reader {
    /// Sums of a range of minutes or quarter-hours since the epoch, or of the counter totals, which
    /// have no range; of one namespace or all.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn sums(
        &mut self,
        rows: Rows,
        range: Range<i64>,
        namespace: Option<&str>,
        parts: &[Part],
    ) -> Result<Sums> {
        let (columns, tables) = (columns(parts).join(", "), rows.joined());
        let mine = Mine::of(namespace);
        let sql = match rows {
            Rows::Totals => format!("SELECT {columns} {tables} WHERE {}", mine.condition()),
            _ => format!("SELECT {columns} {tables} WHERE {DURING} AND {}", mine.condition()),
        };
        let mut query = self.conn.query(AssertSqlSafe(sql));
        if rows != Rows::Totals {
            query = query.bind(range.start).bind(range.end);
        }
        let found = self.rows(mine.bind(query)).await?;
        found.first().map_or(Ok(Sums::default()), |row| read(parts, row, 0))
    }

    /// Sums of the counter totals of each namespace that has any, by its code.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn totals_by_namespace(&mut self, parts: &[Part]) -> Result<Vec<(String, Sums)>> {
        let (columns, tables) = (columns(parts).join(", "), Rows::Totals.joined());
        let sql = format!("SELECT s.namespace, {columns} {tables} GROUP BY s.namespace");
        let found = self.rows(self.conn.query(AssertSqlSafe(sql))).await?;
        found.iter().map(|row| Ok((get(row, 0)?, read(parts, row, 1)?))).collect()
    }

    /// Sums of each bucket of a range, and of all of it: for counter totals, whose buckets are of
    /// quarter-hours, these are more than the buckets once old rows were deleted.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn series(
        &mut self,
        rows: Rows,
        buckets: Buckets,
        namespace: Option<&str>,
        parts: &[Part],
    ) -> Result<(Series, Sums)> {
        let found = self.pieces(rows, &buckets, Mine::of(namespace), &columns(parts)).await?;
        let (mut series, mut total) = (Series::new(buckets), Sums::default());
        for (piece, row) in found {
            let sums = read(parts, &row, 1)?;
            match piece {
                Some(piece) => series.add(piece, &sums),
                None => total = sums,
            }
        }
        if rows != Rows::Totals {
            total = series.total();
        }
        Ok((series, total))
    }

    /// Sums of columns by the pieces of buckets, from column 1 on, each with the start of its
    /// piece; and without one the counter totals, if `rows` are these.
    ///
    /// The rows of each moment are summed first, which is the order that they lie in, and then the
    /// moments of each piece of a bucket.
    pub(crate) async fn pieces(
        &mut self,
        rows: Rows,
        buckets: &Buckets,
        mine: Mine<'_>,
        columns: &[String],
    ) -> Result<Vec<(Option<i64>, Row)>> {
        let kept = if rows == Rows::Totals { Rows::Quarters } else { rows };
        let numbered = columns.iter().enumerate();
        let (named, summed): (Vec<String>, Vec<String>) = numbered
            .map(|(idx, column)| (format!("{column} AS c{idx}"), format!("sum(c{idx})")))
            .unzip();
        let condition = mine.condition();
        // Without the cast a server may take the number of a parameter for a decimal one.
        let mut sql = format!(
            "SELECT CAST(at - (at - ?) % ? AS SIGNED) AS piece, {} \
             FROM (SELECT q.at AS at, {} {} WHERE {DURING} AND {condition} GROUP BY q.at) g \
             GROUP BY piece",
            summed.join(", "),
            named.join(", "),
            kept.joined(),
        );
        if rows == Rows::Totals {
            let totals = columns.join(", ");
            let tables = rows.joined();
            sql = format!("{sql} UNION ALL SELECT NULL, {totals} {tables} WHERE {condition}");
        }
        let whole = buckets.whole();
        let query = self.conn.query(AssertSqlSafe(sql)).bind(whole.start).bind(buckets.piece());
        let mut query = mine.bind(query.bind(whole.start).bind(whole.end));
        if rows == Rows::Totals {
            query = mine.bind(query);
        }
        let found = self.rows(query).await?;
        found.into_iter().map(|row| Ok((get(&row, 0)?, row))).collect()
    }

    /// Requests by namespace and outcome, of a range of rows or of the counter totals.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn outcomes(
        &mut self,
        rows: Rows,
        range: Range<i64>,
    ) -> Result<Vec<(Box<str>, Outcome, i64)>> {
        let (table, series) = rows.tables();
        let during = if rows == Rows::Totals { "" } else { "WHERE at >= ? AND at < ?" };
        let sql = format!(
            "SELECT s.namespace, s.outcome, sum(g.n) FROM (SELECT series, sum(n) AS n FROM {table} \
             {during} GROUP BY series) g JOIN {series} s ON s.id = g.series \
             WHERE s.is_final GROUP BY s.namespace, s.outcome"
        );
        let mut query = self.conn.query(AssertSqlSafe(sql));
        if rows != Rows::Totals {
            query = query.bind(range.start).bind(range.end);
        }
        let found = self.rows(query).await?;
        found
            .iter()
            .map(|row| {
                let outcome = u8::try_from(get::<i64>(row, 1)?).ok().and_then(Outcome::from_code);
                let outcome = outcome.ok_or_else(|| StoreError::Fatal {
                    reason: "a row has an unknown outcome".to_owned(),
                })?;
                Ok((get::<String>(row, 0)?.into_boxed_str(), outcome, row.sum(2)?))
            })
            .collect()
    }

    /// Requests of a minute since the epoch, and the open connections of all reports that are newer
    /// than a moment.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn pulse(&mut self, minute: i64, newer_than_us: i64) -> Result<Pulse> {
        let sql = "SELECT (SELECT sum(active) FROM connections WHERE seen_us > ?), \
                   (SELECT sum(q.n) FROM minute q JOIN series_short s ON s.id = q.series \
                   WHERE q.at = ? AND s.is_final)";
        let found = self.rows(self.conn.query(sql).bind(newer_than_us).bind(minute)).await?;
        found.first().map_or(Ok(Pulse::default()), |row| {
            Ok(Pulse { connections: row.sum(0)?, requests: row.sum(1)? })
        })
    }
}
