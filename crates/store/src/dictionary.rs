//! Labels by the hash of their content: every id that a commit adds to is stored with the labels
//! that the commit means, or the ledger cannot be trusted.
//!
//! SQLite inserts and reads back in one statement. On a server several processes meet the same new
//! labels, and a row that is only read must not be locked: it reads first, inserts what is missing,
//! in the order of the ids, so that no two wait for each other, and reads again.

use std::collections::HashMap;

use ledger::consumer::ConsumerLabels;
use ledger::series::{FullLabels, SeriesId, ShortLabels};
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::many::{look_max, marks, padded, pieces, rows_max};
use crate::rows::{
    CONSUMER, FULL, N_CONSUMER, N_FULL, N_SHORT, SHORT, bytes, consumer_labels, full_labels,
    short_labels,
};
use crate::sql::{Backend, Bound, Row};
use crate::steps::Steps;

const ACTION: &str = "store a series";

/// A table of labels.
pub(crate) struct Dictionary<L: 'static> {
    table: &'static str,
    columns: &'static str,
    n_columns: usize,
    bind: for<'q> fn(Bound<'q>, &'q L) -> Bound<'q>,
    read: fn(&Row, usize) -> Result<L>,
}

/// Labels of full rows.
pub(crate) const FULL_SERIES: Dictionary<FullLabels> = Dictionary {
    table: "series",
    columns: FULL,
    n_columns: N_FULL,
    bind: bind_full,
    read: full_labels,
};

/// Labels of minute rows.
pub(crate) const SHORT_SERIES: Dictionary<ShortLabels> = Dictionary {
    table: "series_short",
    columns: SHORT,
    n_columns: N_SHORT,
    bind: bind_short,
    read: short_labels,
};

/// Labels of consumer rows.
pub(crate) const CONSUMER_SERIES: Dictionary<ConsumerLabels> = Dictionary {
    table: "consumer_series",
    columns: CONSUMER,
    n_columns: N_CONSUMER,
    bind: bind_consumer,
    read: consumer_labels,
};

impl<L: PartialEq> Dictionary<L> {
    /// Makes sure that these labels are stored under these ids, which come in order.
    pub(crate) async fn store(&self, steps: &mut Steps, wanted: &[(&SeriesId, &L)]) -> Result<()> {
        match steps.backend() {
            Backend::Sqlite => {
                for piece in pieces(wanted, self.rows_max(Backend::Sqlite)) {
                    let rows = steps.all(self.insert(Backend::Sqlite, piece), ACTION).await?;
                    check_none(&self.missing(&rows, piece)?)?;
                }
            }
            Backend::Mysql => {
                for chunk in wanted.chunks(look_max(Backend::Mysql, 1)) {
                    self.store_on_server(steps, chunk).await?;
                }
            }
        }
        Ok(())
    }

    async fn store_on_server(&self, steps: &mut Steps, wanted: &[(&SeriesId, &L)]) -> Result<()> {
        let missing = self.look(steps, wanted).await?;
        if missing.is_empty() {
            return Ok(());
        }
        for piece in pieces(&missing, self.rows_max(Backend::Mysql)) {
            steps.run(self.insert(Backend::Mysql, piece), ACTION).await?;
        }
        check_none(&self.look(steps, &missing).await?)
    }

    /// What of this is not stored yet. Fails if a row has other labels.
    async fn look<'a>(
        &self,
        steps: &mut Steps,
        wanted: &[(&'a SeriesId, &'a L)],
    ) -> Result<Vec<(&'a SeriesId, &'a L)>> {
        let ids = padded(wanted);
        let marks = vec!["?"; ids.len()].join(", ");
        let sql = format!("SELECT id, {} FROM {} WHERE id IN ({marks})", self.columns, self.table);
        let query = Backend::Mysql.query(AssertSqlSafe(sql));
        let query = ids.fold(query, |query, (id, _)| query.bind(id.0.to_vec()));
        self.missing(&steps.all(query, ACTION).await?, wanted)
    }

    /// What of this is in none of these rows, which come in any order. Fails if a row has other
    /// labels.
    fn missing<'a>(
        &self,
        rows: &[Row],
        wanted: &[(&'a SeriesId, &'a L)],
    ) -> Result<Vec<(&'a SeriesId, &'a L)>> {
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            found.insert(SeriesId(bytes(row, 0)?), (self.read)(row, 1)?);
        }
        let mut missing = Vec::new();
        for (id, labels) in wanted {
            match found.get(*id) {
                Some(stored) => check_same(stored == *labels)?,
                None => missing.push((*id, *labels)),
            }
        }
        Ok(missing)
    }

    /// Inserts rows that are not there; in SQLite it answers with all of them.
    fn insert<'q>(&self, backend: Backend, rows: &[(&SeriesId, &'q L)]) -> Bound<'q> {
        let (table, columns) = (self.table, self.columns);
        let marks = marks(rows.len(), self.n_columns + 1);
        let known = match backend {
            Backend::Sqlite => {
                format!("ON CONFLICT (id) DO UPDATE SET id = id RETURNING id, {columns}")
            }
            Backend::Mysql => "ON DUPLICATE KEY UPDATE id = id".to_owned(),
        };
        let sql = format!("INSERT INTO {table} (id, {columns}) VALUES {marks} {known}");
        let query = backend.query(AssertSqlSafe(sql));
        rows.iter()
            .fold(query, |query, (id, labels)| (self.bind)(query.bind(id.0.to_vec()), labels))
    }

    fn rows_max(&self, backend: Backend) -> usize {
        rows_max(backend, self.n_columns + 1)
    }
}

fn bind_full<'q>(query: Bound<'q>, labels: &'q FullLabels) -> Bound<'q> {
    query
        .bind(labels.namespace.as_ref())
        .bind(labels.upstream.as_ref())
        .bind(labels.model.as_ref())
        .bind(labels.method.code())
        .bind(labels.endpoint.as_ref())
        .bind(labels.status)
        .bind(labels.outcome.code())
        .bind(labels.service_tier.code())
        .bind(labels.source.code())
        .bind(labels.is_final)
        .bind(labels.limited_by.as_deref())
}

fn bind_short<'q>(query: Bound<'q>, labels: &'q ShortLabels) -> Bound<'q> {
    query
        .bind(labels.namespace.as_ref())
        .bind(labels.upstream.as_ref())
        .bind(labels.outcome.code())
        .bind(labels.source.code())
        .bind(labels.is_final)
}

fn bind_consumer<'q>(query: Bound<'q>, labels: &'q ConsumerLabels) -> Bound<'q> {
    query
        .bind(labels.namespace.as_ref())
        .bind(labels.consumer.as_deref().unwrap_or(""))
        .bind(labels.model.as_ref())
}

/// Two rows under one id would add up what does not belong together.
fn check_same(is_same: bool) -> Result<()> {
    if is_same {
        return Ok(());
    }
    Err(StoreError::Fatal { reason: "a series id stands for other labels".to_owned() })
}

fn check_none<T>(missing: &[T]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(StoreError::Fatal { reason: "a new series has no row".to_owned() })
}
