//! Sums over many rows, computed by the database.
//!
//! A query scans every row of its range, in the columns that it needs, and the database adds them
//! up: one statement for a whole range, and one for all of its buckets. Rows are scanned once, in
//! key order, so that only the few sums are sorted. Where rows are rolled up by namespace, the
//! roll-ups are read in their place, and where a day is rolled up, the day.

use std::ops::Range;

use event::Outcome;
use event::usage::TOKEN_CLASSES;
use ledger::histogram::N_DURATION;
use ledger::query::sums::{Classes, Sums};
use ledger::query::{Buckets, Series};
use ledger::window::{MINUTE_US, QUARTER_MINUTES, QUARTER_US};
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rolled::{ALL, Split};
use crate::rows::get;
use crate::sql::{Bound, Row};
use crate::term::{self, Term};

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

    /// Table of their roll-ups by namespace; totals have none.
    fn by_namespace(self) -> Option<&'static str> {
        match self {
            Rows::Minutes => Some("namespace_minute"),
            Rows::Quarters => Some("namespace_quarter"),
            Rows::Totals => None,
        }
    }

    /// The rows with their series, for a SELECT.
    pub(crate) fn joined(self) -> String {
        let (table, series) = self.tables();
        format!("FROM {table} q JOIN {series} s ON s.id = q.series")
    }
}

impl Part {
    /// What is summed, in the order in which `add` reads it.
    pub(crate) fn terms(self) -> Vec<Term> {
        match self {
            Part::Requests => term::requests(),
            Part::Durations => term::durations(),
            Part::Tokens => term::tokens(),
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

/// What some parts sum.
fn terms(parts: &[Part]) -> Vec<Term> {
    parts.iter().flat_map(|part| part.terms()).collect()
}

/// The sums over rows `q` with series `s`.
fn raw(terms: &[Term]) -> String {
    terms.iter().map(Term::raw).collect::<Vec<_>>().join(", ")
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

/// Sums of each moment of a range: `at`, and `c0`, `c1`, .. for the terms.
struct Source<'a> {
    rows: Rows,
    split: Split,
    mine: Mine<'a>,
    terms: &'a [Term],
}

impl<'a> Source<'a> {
    /// Rows themselves on both sides, and the roll-ups in between. The text does not depend on
    /// what is rolled up, so that it stays prepared.
    fn sql(&self) -> String {
        let named = |column: fn(&Term) -> String| -> String {
            let columns = self.terms.iter().enumerate();
            let columns = columns.map(|(idx, term)| format!("{} AS c{idx}", column(term)));
            columns.collect::<Vec<_>>().join(", ")
        };
        let (tables, condition) = (self.rows.joined(), self.mine.condition());
        let raw = format!(
            "SELECT q.at AS at, {} {tables} WHERE {DURING} AND {condition} GROUP BY q.at",
            named(Term::raw),
        );
        match self.rolled() {
            None => raw,
            Some(table) => format!(
                "{raw} UNION ALL {raw} UNION ALL SELECT q.at AS at, {} FROM {table} q \
                 WHERE q.namespace = ? AND {DURING}",
                named(|term| format!("q.{}", term.rolled())),
            ),
        }
    }

    /// The roll-ups that may be read.
    fn rolled(&self) -> Option<&'static str> {
        self.rows.by_namespace().filter(|_| self.mine.more().next().is_none())
    }

    /// Binds the parameters.
    fn bind<'q>(&self, mut query: Bound<'q>) -> Bound<'q>
    where
        'a: 'q,
    {
        let Split { raw: [before, after], rolled } = &self.split;
        query = self.mine.bind(query.bind(before.start).bind(before.end));
        if self.rolled().is_none() {
            return query;
        }
        query = self.mine.bind(query.bind(after.start).bind(after.end));
        query.bind(self.mine.namespace.unwrap_or(ALL)).bind(rolled.start).bind(rolled.end)
    }
}

/// Rows that requests are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Minutes,
    Quarters,
    Days,
    Totals,
}

impl Counted {
    /// Table of the rows, and of their series.
    fn tables(self) -> (&'static str, &'static str) {
        match self {
            Counted::Minutes => Rows::Minutes.tables(),
            Counted::Quarters => Rows::Quarters.tables(),
            Counted::Days => ("day", "series"),
            Counted::Totals => Rows::Totals.tables(),
        }
    }
}

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
        let (terms, mine) = (terms(parts), Mine::of(namespace));
        if rows == Rows::Totals {
            let (sums, tables) = (raw(&terms), rows.joined());
            let sql = format!("SELECT {sums} {tables} WHERE {}", mine.condition());
            let found = self.rows(mine.bind(self.conn.query(AssertSqlSafe(sql)))).await?;
            return found.first().map_or(Ok(Sums::default()), |row| read(parts, row, 0));
        }
        let source = self.source(rows, &range, mine, &terms);
        let sums: Vec<String> = (0..terms.len()).map(|idx| format!("sum(g.c{idx})")).collect();
        let sql = format!("SELECT {} FROM ({}) g", sums.join(", "), source.sql());
        let found = self.rows(source.bind(self.conn.query(AssertSqlSafe(sql)))).await?;
        found.first().map_or(Ok(Sums::default()), |row| read(parts, row, 0))
    }

    /// Sums of the counter totals of each namespace that has any, by its code.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn totals_by_namespace(&mut self, parts: &[Part]) -> Result<Vec<(String, Sums)>> {
        let (columns, tables) = (raw(&terms(parts)), Rows::Totals.joined());
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
        let found = self.pieces(rows, &buckets, Mine::of(namespace), &terms(parts)).await?;
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
        terms: &[Term],
    ) -> Result<Vec<(Option<i64>, Row)>> {
        let kept = if rows == Rows::Totals { Rows::Quarters } else { rows };
        let (whole, pieces) = (buckets.whole(), buckets.pieces());
        let source = self.source(kept, &whole, mine, terms);
        let sums: Vec<String> = (0..terms.len()).map(|idx| format!("sum(g.c{idx})")).collect();
        // Without the cast a server may take the number of a parameter for a decimal one.
        let mut sql = format!(
            "SELECT CAST(g.at - (g.at - ?) % ? AS SIGNED) AS piece, {} FROM ({}) g GROUP BY piece",
            sums.join(", "),
            source.sql(),
        );
        if rows == Rows::Totals {
            let (totals, tables) = (raw(terms), rows.joined());
            let condition = mine.condition();
            sql = format!("{sql} UNION ALL SELECT NULL, {totals} {tables} WHERE {condition}");
        }
        let query = self.conn.query(AssertSqlSafe(sql)).bind(pieces.from).bind(pieces.length);
        let mut query = source.bind(query);
        if rows == Rows::Totals {
            query = mine.bind(query);
        }
        let found = self.rows(query).await?;
        // The first piece may begin before the first bucket.
        let start = |row: &Row| Ok(get::<Option<i64>>(row, 0)?.map(|at| at.max(whole.start)));
        found.into_iter().map(|row| Ok((start(&row)?, row))).collect()
    }

    /// What the sums of a range are added up from.
    fn source<'a>(
        &self,
        rows: Rows,
        range: &Range<i64>,
        mine: Mine<'a>,
        terms: &'a [Term],
    ) -> Source<'a> {
        let split = match (rows, mine.more().next()) {
            (Rows::Minutes, None) => self.rolled.minutes(range),
            (Rows::Quarters, None) => self.rolled.quarters(range),
            // Roll-ups have no other label.
            _ => Split::raw(range),
        };
        Source { rows, split, mine, terms }
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
        let branches = self.outcome_branches(rows, range);
        let each: Vec<String> = branches
            .iter()
            .map(|(from, _)| {
                let (table, series) = from.tables();
                let during = if *from == Counted::Totals { "" } else { "WHERE at >= ? AND at < ?" };
                format!(
                    "SELECT s.namespace AS namespace, s.outcome AS outcome, sum(g.n) AS n \
                 FROM (SELECT series, sum(n) AS n FROM {table} {during} GROUP BY series) g \
                 JOIN {series} s ON s.id = g.series WHERE s.is_final \
                 GROUP BY s.namespace, s.outcome"
                )
            })
            .collect();
        let sql = format!(
            "SELECT b.namespace, b.outcome, sum(b.n) FROM ({}) b GROUP BY b.namespace, b.outcome",
            each.join(" UNION ALL ")
        );
        let mut query = self.conn.query(AssertSqlSafe(sql));
        for (from, range) in &branches {
            if *from != Counted::Totals {
                query = query.bind(range.start).bind(range.end);
            }
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

    /// The rows that requests of a range are counted from, each with its own range. Quarter-hours
    /// that lie in a range of minutes are counted as such, and days as days.
    fn outcome_branches(&self, rows: Rows, range: Range<i64>) -> Vec<(Counted, Range<i64>)> {
        let days = |range: &Range<i64>| {
            let Split { raw: [before, after], rolled } = self.rolled.days(range);
            [(Counted::Quarters, before), (Counted::Quarters, after), (Counted::Days, rolled)]
        };
        match rows {
            Rows::Totals => vec![(Counted::Totals, range)],
            Rows::Quarters => days(&range).to_vec(),
            Rows::Minutes => {
                let from = -(-range.start).div_euclid(QUARTER_MINUTES);
                let to = range.end.div_euclid(QUARTER_MINUTES).max(from);
                let edges = [
                    range.start..range.end.min(from * QUARTER_MINUTES),
                    range.end.min(from * QUARTER_MINUTES).max(to * QUARTER_MINUTES)..range.end,
                ];
                let edges = edges.map(|edge| (Counted::Minutes, edge));
                edges.into_iter().chain(days(&(from..to))).collect()
            }
        }
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
