//! Statements of many rows: how many rows each one has.
//!
//! Rows are cut into pieces of powers of two, largest first, so that a table needs few texts, which
//! stay prepared, and a remainder few statements. Nothing here knows what a row is.

use crate::sql::Backend;

/// Most rows of a statement in SQLite, where each one wakes another thread and waits for it.
const SQLITE_ROWS_MAX: usize = 128;
/// Most rows of a statement on a server, where each one is a round trip.
const MYSQL_ROWS_MAX: usize = 512;
/// Most parameters of a statement in SQLite: 16 rows of the widest table.
const SQLITE_PARAMETERS_MAX: usize = 1_056;
/// Most parameters of a statement on a server: 128 rows of the widest table. The protocol allows
/// 65,535, but a server keeps about half a KiB for each while the statement is prepared: 4 MB for
/// so many in MariaDB 10.11, and twice that for all pieces of a table, on every connection.
const MYSQL_PARAMETERS_MAX: usize = 8_448;
/// Most values in a list of IN: MariaDB turns longer ones into a subquery, from
/// `in_predicate_conversion_threshold` on, which is 1,000.
const LIST_VALUES_MAX: usize = 999;

/// Most rows with this many columns in a statement; a power of two.
pub(crate) fn rows_max(backend: Backend, n_columns: usize) -> usize {
    let (rows_max, parameters_max) = match backend {
        Backend::Sqlite => (SQLITE_ROWS_MAX, SQLITE_PARAMETERS_MAX),
        Backend::Mysql => (MYSQL_ROWS_MAX, MYSQL_PARAMETERS_MAX),
    };
    largest(parameters_max / n_columns).min(rows_max)
}

/// Cuts rows into pieces for one statement each, in order.
pub(crate) fn pieces<T>(mut rows: &[T], rows_max: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let (piece, later) = rows.split_at(largest(rows.len()).min(rows_max));
        rows = later;
        Some(piece)
    })
}

/// Most rows with this many columns that one SELECT .. IN looks up; a power of two.
pub(crate) fn look_max(backend: Backend, n_columns: usize) -> usize {
    rows_max(backend, n_columns).min(largest(LIST_VALUES_MAX / n_columns))
}

/// Repeats the last of some rows until their number is a power of two: for a statement that may
/// name a row twice, so that it needs few texts.
pub(crate) fn padded<T>(rows: &[T]) -> impl ExactSizeIterator<Item = &T> {
    let n_padded = if rows.is_empty() { 0 } else { rows.len().next_power_of_two() };
    (0..n_padded).map(|idx| &rows[idx.min(rows.len() - 1)])
}

/// `(?, ?), (?, ?)`: the parameters of rows.
pub(crate) fn marks(n_rows: usize, n_columns: usize) -> String {
    let row = format!("({})", vec!["?"; n_columns].join(", "));
    vec![row.as_str(); n_rows].join(", ")
}

/// Largest power of two up to `n`; 1 for 0.
fn largest(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

#[cfg(test)]
mod tests;
