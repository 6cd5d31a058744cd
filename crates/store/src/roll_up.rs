//! Roll-ups: sums of many rows, kept so that a query of a long range reads few.
//!
//! `namespace_minute` and `namespace_quarter` hold the sums of a namespace, and of all of them
//! under an empty name; `day` and `consumer_day` hold those of a series over a UTC day. All of them
//! are derived: they have exactly what the rows of quarter-hours before `rolled.quarter` have, and
//! of the minutes in them. Rows at or past that mark are read themselves.
//!
//! A quarter-hour is rolled up once it ended a while ago, by whoever deletes old rows. A commit
//! that adds to one that is rolled up already adds to the roll-ups in the same transaction. On a
//! server both lock the mark first, a commit to share it and the roll-up alone, so that no commit
//! can miss that the mark has moved.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use clock::Wall;
use event::{Outcome, UsageSource};
use ledger::commit::CommitRows;
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId};
use ledger::window::{QUARTER_MINUTES, QUARTER_US};
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rolled::{ALL, DAY_QUARTERS};
use crate::rows::{
    CONSUMER, FULL, N_CONSUMER, N_FULL, Upsert, Width, bind_full, bind_used, columns,
    consumer_labels, full_labels, measures, selected, used,
};
use crate::sql::{Backend, Bound};
use crate::steps::Steps;
use crate::term::{Term, of_namespaces};

/// Most quarter-hours that one transaction rolls up, so that no commit waits for long.
const STEP_QUARTERS: i64 = 4;
/// Quarter-hours that are left alone after they ended: most events that are late arrive within one.
const REST_QUARTERS: i64 = 1;
const ACTION: &str = "roll up rows";

/// A roll-up by namespace.
struct ByNamespace {
    terms: Vec<Term>,
    /// Where each term stands in `Measures::to_array`.
    places: Vec<usize>,
    /// Adds to it.
    upsert: Upsert,
    /// Rolls up a range of rows: by namespace, and all.
    roll: [String; 2],
}

/// A roll-up by day.
struct ByDay {
    upsert: Upsert,
    /// Rolls up a range of rows.
    roll: String,
}

/// The statements.
struct Statements {
    minute: ByNamespace,
    quarter: ByNamespace,
    day: ByDay,
    consumer_day: ByDay,
}

impl ByNamespace {
    fn new(backend: Backend, table: &str, from: (&str, &str), width: Width) -> ByNamespace {
        let terms = of_namespaces(width);
        let all = Measures::columns();
        let place = |term: &Term| all.iter().position(|name| *name == term.column);
        let places = terms.iter().map(|term| place(term).expect("a column of measures")).collect();
        let names: Vec<String> = terms.iter().map(Term::rolled).collect();
        let sums: Vec<String> = terms.iter().map(Term::raw).collect();
        let (rows, series) = from;
        let roll = |namespace: &str, by: &str| {
            format!(
                "INSERT INTO {table} (namespace, at, {}) SELECT {namespace}, q.at, {} \
                 FROM {rows} q JOIN {series} s ON s.id = q.series \
                 WHERE q.at >= ? AND q.at < ? GROUP BY q.at{by}",
                names.join(", "),
                sums.join(", "),
            )
        };
        let roll = [roll("s.namespace", ", s.namespace"), roll("''", "")];
        let upsert = Upsert::untagged(backend, table, &["namespace", "at"], &names);
        ByNamespace { terms, places, upsert, roll }
    }

    /// Adds a row's sums to those of its namespace and of all.
    fn add<'a>(
        &self,
        sums: &mut BTreeMap<(&'a str, i64), Vec<i64>>,
        (namespace, at): (&'a str, i64),
        holds: impl Fn(&Term) -> bool,
        measures: &Measures,
    ) -> Result<()> {
        let numbers = measures.to_array();
        for namespace in [namespace, ALL] {
            let row = sums.entry((namespace, at)).or_insert_with(|| vec![0; self.terms.len()]);
            for ((sum, term), place) in row.iter_mut().zip(&self.terms).zip(&self.places) {
                if holds(term) {
                    *sum = sum.checked_add(numbers[*place]).ok_or_else(overflow)?;
                }
            }
        }
        Ok(())
    }
}

impl ByDay {
    fn new(backend: Backend, table: &str, from: &str, names: &[String]) -> ByDay {
        let upsert = Upsert::untagged(backend, table, &["at", "series"], names);
        let day = match backend {
            Backend::Sqlite => format!("at / {DAY_QUARTERS}"),
            Backend::Mysql => format!("at DIV {DAY_QUARTERS}"),
        };
        let sums: Vec<String> = names.iter().map(|name| format!("sum(g.{name})")).collect();
        let columns = names.join(", ");
        // Named `day` inside, or a server would group by the column `at` that is read. Without the
        // WHERE, SQLite would take ON CONFLICT for the condition of a join.
        let roll = format!(
            "INSERT INTO {table} (at, series, {columns}) SELECT g.day, g.series, {} FROM (\
             SELECT {day} AS day, series, {columns} FROM {from} WHERE at >= ? AND at < ?) g \
             WHERE 1 = 1 GROUP BY g.day, g.series {}",
            sums.join(", "),
            upsert.known(),
        );
        ByDay { upsert, roll }
    }
}

impl Statements {
    fn of(backend: Backend) -> &'static Statements {
        static SQLITE: LazyLock<Statements> = LazyLock::new(|| Statements::new(Backend::Sqlite));
        static MYSQL: LazyLock<Statements> = LazyLock::new(|| Statements::new(Backend::Mysql));
        match backend {
            Backend::Sqlite => &SQLITE,
            Backend::Mysql => &MYSQL,
        }
    }

    fn new(backend: Backend) -> Statements {
        let minute = ("minute", "series_short");
        let quarter = ("quarter", "series");
        let full = columns(Width::Full);
        let used = ConsumerSums::columns();
        Statements {
            minute: ByNamespace::new(backend, "namespace_minute", minute, Width::Short),
            quarter: ByNamespace::new(backend, "namespace_quarter", quarter, Width::Full),
            day: ByDay::new(backend, "day", "quarter", &full),
            consumer_day: ByDay::new(backend, "consumer_day", "consumer_quarter", &used),
        }
    }
}

fn overflow() -> StoreError {
    StoreError::Fatal { reason: "a sum of a roll-up does not fit".to_owned() }
}

/// The mark, in a transaction that has written nothing yet. It stays where it is until the
/// transaction ends.
pub(crate) async fn mark(steps: &mut Steps) -> Result<i64> {
    let backend = steps.backend();
    let sql =
        backend.text("SELECT quarter FROM rolled", "SELECT quarter FROM rolled LOCK IN SHARE MODE");
    steps.one(backend.query(sql), "read how far rows are rolled up").await?.get(0)
}

/// Rolls up the next quarter-hours that ended a while ago; returns whether there are more.
pub(crate) async fn roll_up(steps: &mut Steps, now: Wall) -> Result<bool> {
    let backend = steps.backend();
    let sql = backend.text("SELECT quarter FROM rolled", "SELECT quarter FROM rolled FOR UPDATE");
    let mark: i64 = steps.one(backend.query(sql), ACTION).await?.get(0)?;
    let until = now.as_us().div_euclid(QUARTER_US) - REST_QUARTERS;
    if mark >= until {
        return Ok(false);
    }
    let sql = "SELECT (SELECT min(at) FROM quarter), (SELECT min(at) FROM minute), \
               (SELECT min(at) FROM consumer_quarter)";
    let row = steps.one(backend.query(sql), ACTION).await?;
    let minute: Option<i64> = row.get(1)?;
    let minute = minute.map(|minute| minute.div_euclid(QUARTER_MINUTES));
    let oldest = [row.get(0)?, minute, row.get(2)?].into_iter().flatten().min();
    // What is before the oldest row has nothing to be rolled up.
    let from = oldest.map_or(until, |oldest| mark.max(oldest.min(until)));
    let to = until.min(from + STEP_QUARTERS);
    let statements = Statements::of(backend);
    let quarters = |roll: &'static str| (roll, from..to);
    let minutes = |roll: &'static str| (roll, from * QUARTER_MINUTES..to * QUARTER_MINUTES);
    let [minute, all_minute] = &statements.minute.roll;
    let [quarter, all_quarter] = &statements.quarter.roll;
    for (roll, range) in [
        minutes(minute),
        minutes(all_minute),
        quarters(quarter),
        quarters(all_quarter),
        quarters(&statements.day.roll),
        quarters(&statements.consumer_day.roll),
    ] {
        let query = backend.query(roll).bind(range.start).bind(range.end);
        steps.run(query, ACTION).await?;
    }
    steps.run(backend.query("UPDATE rolled SET quarter = ?").bind(to), ACTION).await?;
    Ok(to < until)
}

/// Adds the rows of a commit that are before the mark to what they are rolled up into.
/// Of its minutes only those that are kept.
pub(crate) async fn add_late(
    steps: &mut Steps,
    mark: i64,
    rows: &CommitRows,
    kept: &[(i64, SeriesId, Measures)],
) -> Result<()> {
    let is_late = |at: i64| at < mark;
    let statements = Statements::of(steps.backend());
    let days = rows.quarters.iter().filter(|row| is_late(row.0));
    let days: Vec<_> = days.map(|(at, id, sums)| (at.div_euclid(DAY_QUARTERS), id, sums)).collect();
    let used = rows.used.iter().filter(|row| is_late(row.0));
    let used: Vec<_> = used.map(|(at, id, sums)| (at.div_euclid(DAY_QUARTERS), id, sums)).collect();
    let mut quarters = BTreeMap::new();
    if !days.is_empty() {
        let labels: HashMap<_, _> = rows.totals.iter().map(|row| (row.0, &row.1)).collect();
        for (at, id, sums) in rows.quarters.iter().filter(|row| is_late(row.0)) {
            let labels = labels.get(id).ok_or_else(nameless)?;
            let holds = holds(labels.is_final, labels.outcome, labels.source);
            statements.quarter.add(&mut quarters, (&labels.namespace, *at), holds, sums)?;
        }
    }
    let mut minutes = BTreeMap::new();
    let is_late_minute = |at: i64| at.div_euclid(QUARTER_MINUTES) < mark;
    if kept.iter().any(|row| is_late_minute(row.0)) {
        let labels: HashMap<_, _> = rows.shorts.iter().map(|row| (row.0, &row.1)).collect();
        for (at, id, sums) in kept.iter().filter(|row| is_late_minute(row.0)) {
            let labels = labels.get(id).ok_or_else(nameless)?;
            let holds = holds(labels.is_final, labels.outcome, labels.source);
            statements.minute.add(&mut minutes, (&labels.namespace, *at), holds, sums)?;
        }
    }
    add(steps, &statements.day.upsert, &days, |query, (at, id, sums)| {
        bind_full(query.bind_number(*at).bind(&id.0[..]), sums)
    })
    .await?;
    add(steps, &statements.consumer_day.upsert, &used, |query, (at, id, sums)| {
        bind_used(query.bind_number(*at).bind(&id.0[..]), sums)
    })
    .await?;
    for (by, sums) in [(&statements.minute, minutes), (&statements.quarter, quarters)] {
        let rows: Vec<_> = sums.into_iter().collect();
        add(steps, &by.upsert, &rows, |query, ((namespace, at), sums)| {
            let query = query.bind(*namespace).bind_number(*at);
            sums.iter().fold(query, |query, sum| query.bind_number(*sum))
        })
        .await?;
    }
    Ok(())
}

/// Sums of a namespace, by the names of `namespace_columns`.
pub(crate) type NamespaceRow = (String, i64, Vec<i64>);

/// Names of the numbers of a roll-up by namespace, of minutes or quarter-hours.
pub(crate) fn namespace_columns(width: Width) -> Vec<String> {
    of_namespaces(width).iter().map(Term::rolled).collect()
}

impl Reader {
    /// Quarter-hours before this one are rolled up.
    pub(crate) fn rolled_up_to(&self) -> i64 {
        self.rolled.quarter
    }

    /// Roll-ups by namespace of a range of minutes or quarter-hours; the name of all is empty.
    pub(crate) async fn namespace_rows(
        &mut self,
        width: Width,
        range: Range<i64>,
    ) -> Result<Vec<NamespaceRow>> {
        let table = match width {
            Width::Short => "namespace_minute",
            Width::Full => "namespace_quarter",
        };
        let names = namespace_columns(width);
        let sql = format!(
            "SELECT namespace, at, {} FROM {table} WHERE at >= ? AND at < ?",
            names.join(", ")
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(range.start).bind(range.end);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let sums = (2..2 + names.len()).map(|at| row.get(at)).collect::<Result<_>>()?;
                Ok((row.get(0)?, row.get(1)?, sums))
            })
            .collect()
    }

    /// Roll-ups by day of a range of days since the epoch.
    pub(crate) async fn day_rows(
        &mut self,
        days: Range<i64>,
    ) -> Result<Vec<(i64, FullLabels, Measures)>> {
        let sql = format!(
            "SELECT q.at, {FULL}, {} FROM day q JOIN series s ON s.id = q.series \
             WHERE q.at >= ? AND q.at < ?",
            selected("q.", Width::Full)
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(days.start).bind(days.end);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let sums = measures(row, 1 + N_FULL, Width::Full)?;
                Ok((row.get(0)?, full_labels(row, 1)?, sums))
            })
            .collect()
    }

    /// Roll-ups of consumers by day, of a range of days since the epoch.
    pub(crate) async fn consumer_day_rows(
        &mut self,
        days: Range<i64>,
    ) -> Result<Vec<(i64, ConsumerLabels, ConsumerSums)>> {
        let columns = ConsumerSums::columns().into_iter().map(|name| format!("q.{name}"));
        let sql = format!(
            "SELECT q.at, {CONSUMER}, {} \
             FROM consumer_day q JOIN consumer_series s ON s.id = q.series \
             WHERE q.at >= ? AND q.at < ?",
            columns.collect::<Vec<_>>().join(", ")
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(days.start).bind(days.end);
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| Ok((row.get(0)?, consumer_labels(row, 1)?, used(row, 1 + N_CONSUMER)?)))
            .collect()
    }
}

/// Whether a term adds up rows with such labels.
fn holds(is_final: bool, outcome: Outcome, source: UsageSource) -> impl Fn(&Term) -> bool {
    move |term| term.only.holds(is_final, outcome, source)
}

fn nameless() -> StoreError {
    StoreError::Fatal { reason: "a row of a commit has no labels".to_owned() }
}

/// Adds rows in pieces.
async fn add<'a, T>(
    steps: &mut Steps,
    upsert: &'static Upsert,
    rows: &'a [T],
    bind: impl Fn(Bound<'a>, &'a T) -> Bound<'a>,
) -> Result<()> {
    for (text, piece) in upsert.pieces(rows) {
        let query = piece.iter().fold(steps.backend().query(text), &bind);
        steps.run(query, "add to the roll-ups").await?;
    }
    Ok(())
}
