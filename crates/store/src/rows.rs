//! Between SQL rows and the types of the ledger: texts of statements, binding and reading.
//!
//! The columns of a measure are named once, in `ledger::measures`; statements are built from that
//! list when the program starts to use them.

use std::sync::LazyLock;

use event::{Method, Outcome, ServiceTier, UsageSource};
use ledger::account::Account;
use ledger::commit::Progress;
use ledger::consumer::{ConsumerLabels, ConsumerSums, N_CONSUMER_SUMS};
use ledger::measures::{Measures, N_MEASURES, is_in_minutes};
use ledger::series::{FullLabels, ShortLabels};
use sqlx::mysql::MySql;
use sqlx::sqlite::Sqlite;
use sqlx::{Decode, Type};

use crate::error::{Result, StoreError};
use crate::many::{marks, pieces, rows_max};
use crate::sql::{Backend, Bound, Row};

/// Names of the measures' columns, all or those stored for minutes.
pub(crate) fn columns(width: Width) -> Vec<String> {
    let all = Measures::columns().into_iter().enumerate();
    all.filter(|(idx, _)| width == Width::Full || is_in_minutes(*idx))
        .map(|(_, name)| name)
        .collect()
}

/// Which columns of a measure a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// All columns.
    Full,
    /// Those that rows of minutes have.
    Short,
}

/// A statement that adds rows to those that are there.
pub(crate) struct Upsert {
    rows_max: usize,
    /// What ends each text: how rows that are there are added to.
    known: String,
    /// For 1, 2, 4, .. rows.
    texts: Vec<String>,
}

impl Upsert {
    /// Of rows that end with the id of the commit that changed them last.
    fn new(backend: Backend, table: &str, key: &[&str], measures: &[String]) -> Upsert {
        Upsert::with(backend, table, key, measures, Some("commit_id"))
    }

    /// Of rows without the id of a commit.
    pub(crate) fn untagged(
        backend: Backend,
        table: &str,
        key: &[&str],
        measures: &[String],
    ) -> Upsert {
        Upsert::with(backend, table, key, measures, None)
    }

    fn with(
        backend: Backend,
        table: &str,
        key: &[&str],
        measures: &[String],
        tag: Option<&str>,
    ) -> Upsert {
        let measures = measures.iter().map(String::as_str);
        let names: Vec<&str> = key.iter().copied().chain(measures.clone()).chain(tag).collect();
        let added = |name: &str| match backend {
            Backend::Sqlite => format!("excluded.{name}"),
            Backend::Mysql => format!("VALUES({name})"),
        };
        let sums = measures.map(|name| format!("{name} = {name} + {}", added(name)));
        let last = tag.map(|name| format!("{name} = {}", added(name)));
        let changes: Vec<String> = sums.chain(last).collect();
        let known = match backend {
            Backend::Sqlite => format!("ON CONFLICT ({}) DO UPDATE SET", key.join(", ")),
            Backend::Mysql => "ON DUPLICATE KEY UPDATE".to_owned(),
        };
        let known = format!("{known} {}", changes.join(", "));
        let text = |n: usize| {
            let (names, marks) = (names.join(", "), marks(n, names.len()));
            format!("INSERT INTO {table} ({names}) VALUES {marks} {known}")
        };
        let rows_max = rows_max(backend, names.len());
        let texts = (0..=rows_max.ilog2()).map(|power| text(1 << power)).collect();
        Upsert { rows_max, known, texts }
    }

    /// How rows that are there are added to, for another source of rows than parameters.
    pub(crate) fn known(&self) -> &str {
        &self.known
    }

    /// Cuts rows into pieces, each with its statement.
    pub(crate) fn pieces<'a, T>(
        &'static self,
        rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        let text = |piece: &[T]| self.texts[piece.len().ilog2() as usize].as_str();
        pieces(rows, self.rows_max).map(move |piece| (text(piece), piece))
    }
}

/// The statements that add to sums.
pub(crate) struct Upserts {
    pub total: Upsert,
    pub quarter: Upsert,
    pub minute: Upsert,
    pub consumer: Upsert,
}

impl Upserts {
    fn new(backend: Backend) -> Upserts {
        let (full, short) = (columns(Width::Full), columns(Width::Short));
        let (used, key) = (ConsumerSums::columns(), ["at", "series"]);
        Upserts {
            total: Upsert::new(backend, "total", &["series"], &full),
            quarter: Upsert::new(backend, "quarter", &key, &full),
            minute: Upsert::new(backend, "minute", &key, &short),
            consumer: Upsert::new(backend, "consumer_quarter", &key, &used),
        }
    }

    /// The statements of a backend.
    pub(crate) fn of(backend: Backend) -> &'static Upserts {
        static SQLITE: LazyLock<Upserts> = LazyLock::new(|| Upserts::new(Backend::Sqlite));
        static MYSQL: LazyLock<Upserts> = LazyLock::new(|| Upserts::new(Backend::Mysql));
        match backend {
            Backend::Sqlite => &SQLITE,
            Backend::Mysql => &MYSQL,
        }
    }
}

/// `n`, `duration_us`, .. with a prefix, for a SELECT.
pub(crate) fn selected(prefix: &str, width: Width) -> String {
    let names: Vec<String> = columns(width).iter().map(|name| format!("{prefix}{name}")).collect();
    names.join(", ")
}

/// Binds all columns of a measure.
pub(crate) fn bind_full<'q>(query: Bound<'q>, measures: &Measures) -> Bound<'q> {
    measures.to_array().into_iter().fold(query, Bound::bind_number)
}

/// Binds the columns of a measure that are stored for minutes.
pub(crate) fn bind_short<'q>(query: Bound<'q>, measures: &Measures) -> Bound<'q> {
    short_numbers(measures).fold(query, Bound::bind_number)
}

/// The numbers of a measure that are stored for minutes.
pub(crate) fn short_numbers(measures: &Measures) -> impl Iterator<Item = i64> {
    let all = measures.to_array().into_iter().enumerate();
    all.filter(|(idx, _)| is_in_minutes(*idx)).map(|(_, number)| number)
}

/// Binds the columns of a consumer row.
pub(crate) fn bind_used<'q>(query: Bound<'q>, sums: &ConsumerSums) -> Bound<'q> {
    sums.to_array().into_iter().fold(query, Bound::bind_number)
}

/// Reads the columns of a consumer row that begin at `first`.
pub(crate) fn used(row: &Row, first: usize) -> Result<ConsumerSums> {
    used_with(first, |at| get(row, at))
}

/// Reads the summed columns of a consumer row that begin at `first`.
pub(crate) fn used_sums(row: &Row, first: usize) -> Result<ConsumerSums> {
    used_with(first, |at| row.sum(at))
}

fn used_with(first: usize, read: impl Fn(usize) -> Result<i64>) -> Result<ConsumerSums> {
    let mut sums = [0; N_CONSUMER_SUMS];
    for (idx, sum) in sums.iter_mut().enumerate() {
        *sum = read(first + idx)?;
    }
    Ok(ConsumerSums::from_array(&sums))
}

/// Reads the columns of a measure that begin at `first`.
pub(crate) fn measures(row: &Row, first: usize, width: Width) -> Result<Measures> {
    let mut sums = [0; N_MEASURES];
    let mut at = first;
    for (idx, sum) in sums.iter_mut().enumerate() {
        if width == Width::Full || is_in_minutes(idx) {
            *sum = get(row, at)?;
            at += 1;
        }
    }
    Ok(Measures::from_array(&sums))
}

/// Columns of the labels of a full row, without its id.
pub(crate) const FULL: &str = "namespace, upstream, model, method, endpoint, status, outcome, \
                               service_tier, source, is_final, limited_by";
/// Number of these columns.
pub(crate) const N_FULL: usize = 11;
/// Columns of the labels of a minute row, without its id.
pub(crate) const SHORT: &str = "namespace, upstream, outcome, source, is_final";
/// Number of these columns.
pub(crate) const N_SHORT: usize = 5;

/// Columns of the labels of a consumer row, without its id.
pub(crate) const CONSUMER: &str = "namespace, consumer, model";
/// Number of these columns.
pub(crate) const N_CONSUMER: usize = 3;

/// Reads labels that begin at column `first`.
pub(crate) fn full_labels(row: &Row, first: usize) -> Result<FullLabels> {
    let at = |offset: usize| first + offset;
    Ok(FullLabels {
        namespace: text(row, at(0))?,
        upstream: text(row, at(1))?,
        model: text(row, at(2))?,
        method: code(row, at(3), "method", Method::from_code)?,
        endpoint: text(row, at(4))?,
        status: number(row, at(5), "status")?,
        outcome: code(row, at(6), "outcome", Outcome::from_code)?,
        service_tier: code(row, at(7), "service tier", ServiceTier::from_code)?,
        source: code(row, at(8), "source", UsageSource::from_code)?,
        is_final: get::<i64>(row, at(9))? != 0,
        limited_by: get::<Option<String>>(row, at(10))?.map(String::into_boxed_str),
    })
}

/// Reads labels that begin at column `first`.
pub(crate) fn short_labels(row: &Row, first: usize) -> Result<ShortLabels> {
    Ok(ShortLabels {
        namespace: text(row, first)?,
        upstream: text(row, first + 1)?,
        outcome: code(row, first + 2, "outcome", Outcome::from_code)?,
        source: code(row, first + 3, "source", UsageSource::from_code)?,
        is_final: get::<i64>(row, first + 4)? != 0,
    })
}

/// Reads labels that begin at column `first`; no consumer is stored as an empty text.
pub(crate) fn consumer_labels(row: &Row, first: usize) -> Result<ConsumerLabels> {
    let consumer = text(row, first + 1)?;
    Ok(ConsumerLabels {
        namespace: text(row, first)?,
        consumer: (!consumer.is_empty()).then_some(consumer),
        model: text(row, first + 2)?,
    })
}

/// Columns of a partition's progress.
pub(crate) const PROGRESS: &str = "next, floor, floor_clock_us, clock_us, last_print, events, \
     counted, duplicate, late, future, poison, misrouted, conflicts, lost_frames, letter_hour, \
     letter_rows, late_next, merged, late_duplicate, expired";

/// Values of the same columns before anything was counted.
pub(crate) const NO_PROGRESS: &str =
    "0, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0";

/// Binds the columns of a partition's progress.
pub(crate) fn bind_progress<'q>(query: Bound<'q>, progress: &Progress) -> Result<Bound<'q>> {
    let account = &progress.account;
    Ok(query
        .bind(signed(progress.next)?)
        .bind(signed(progress.floor)?)
        .bind(progress.floor_clock_us)
        .bind(progress.clock_us)
        .bind(progress.last_print.map(u64::cast_signed))
        .bind(account.events)
        .bind(account.counted)
        .bind(account.duplicate)
        .bind(account.late)
        .bind(account.future)
        .bind(account.poison)
        .bind(account.misrouted)
        .bind(account.conflicts)
        .bind(account.lost_frames)
        .bind(progress.letter_hour)
        .bind(progress.letter_rows)
        .bind(signed(progress.late_next)?)
        .bind(account.merged)
        .bind(account.late_duplicate)
        .bind(account.expired))
}

/// Reads a partition's progress that begins at column `first`.
pub(crate) fn progress(row: &Row, first: usize) -> Result<Progress> {
    let at = |offset: usize| first + offset;
    Ok(Progress {
        next: number(row, at(0), "next offset")?,
        floor: number(row, at(1), "floor")?,
        floor_clock_us: get(row, at(2))?,
        clock_us: get(row, at(3))?,
        last_print: get::<Option<i64>>(row, at(4))?.map(i64::cast_unsigned),
        account: Account {
            events: get(row, at(5))?,
            counted: get(row, at(6))?,
            duplicate: get(row, at(7))?,
            late: get(row, at(8))?,
            future: get(row, at(9))?,
            poison: get(row, at(10))?,
            misrouted: get(row, at(11))?,
            conflicts: get(row, at(12))?,
            lost_frames: get(row, at(13))?,
            merged: get(row, at(17))?,
            late_duplicate: get(row, at(18))?,
            expired: get(row, at(19))?,
        },
        letter_hour: get(row, at(14))?,
        letter_rows: get(row, at(15))?,
        late_next: number(row, at(16), "offset")?,
    })
}

/// Reads a column.
pub(crate) fn get<'r, T>(row: &'r Row, at: usize) -> Result<T>
where
    T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, MySql> + Type<MySql>,
{
    row.get(at)
}

/// Reads a whole number of another type than i64.
pub(crate) fn number<T: TryFrom<i64>>(row: &Row, at: usize, what: &'static str) -> Result<T> {
    T::try_from(get::<i64>(row, at)?)
        .map_err(|_| StoreError::Fatal { reason: format!("a row has a {what} out of range") })
}

/// An offset as SQL holds it.
pub(crate) fn signed(offset: u64) -> Result<i64> {
    i64::try_from(offset)
        .map_err(|_| StoreError::Fatal { reason: format!("offset {offset} does not fit") })
}

/// Reads 16 or 32 bytes.
pub(crate) fn bytes<const N: usize>(row: &Row, at: usize) -> Result<[u8; N]> {
    let found: Vec<u8> = get(row, at)?;
    found.try_into().map_err(|_| StoreError::Fatal { reason: "a row has a short id".to_owned() })
}

/// Reads the id of a process, which may be NULL.
pub(crate) fn nonce(row: &Row, at: usize) -> Result<Option<[u8; 16]>> {
    match get::<Option<Vec<u8>>>(row, at)? {
        None => Ok(None),
        Some(_) => bytes(row, at).map(Some),
    }
}

fn text(row: &Row, at: usize) -> Result<Box<str>> {
    Ok(get::<String>(row, at)?.into_boxed_str())
}

fn code<T>(row: &Row, at: usize, what: &'static str, from: impl Fn(u8) -> Option<T>) -> Result<T> {
    from(number::<u8>(row, at, what)?)
        .ok_or_else(|| StoreError::Fatal { reason: format!("a row has an unknown {what}") })
}
