//! One committed version of the ledger, as seen by one query.
//!
//! Everything in an answer must come from one snapshot. Each range is read with one statement,
//! which selects only the columns shown. What is the same for the whole snapshot is read when it is
//! opened.

use std::time::Duration;

use clock::Wall;
use ledger::query::sums::Sums;
use ledger::query::{QueryError, Series};
use service::query::quoted;
use store::{NamespaceRow, Part, Reader, Rows, Stamp, StoreError};

use crate::context::Parts;
use crate::error::Error;
use crate::range::{Ask, Retained, Window};
use crate::view::AsOfView;

/// Longest wait for the ledger to open a snapshot: after it, a stale answer is better.
const LEDGER_MAX: Duration = Duration::from_secs(2);
/// The name of all namespaces together.
const ALL: &str = "all";
/// Label of the bucket for whatever is older than the retained rows.
pub(crate) const EARLIER: &str = "earlier";

/// The namespaces that a query is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    One(NamespaceRow),
}

impl Scope {
    /// Resolves `all`, the id of a namespace or its code, given all namespaces.
    pub fn among(namespaces: &[NamespaceRow], text: &str) -> Result<Scope, Error> {
        if text == ALL {
            return Ok(Scope::All);
        }
        let id: Option<i64> = text.parse().ok();
        let is_meant = |row: &&NamespaceRow| id.map_or(row.code == text, |id| row.id == id);
        let found = namespaces.iter().find(is_meant).cloned();
        found.map(Scope::One).ok_or_else(|| Error::NoNamespace(quoted(text)))
    }

    /// The code of the namespace. Returns `None` if these are all.
    pub fn code(&self) -> Option<&str> {
        match self {
            Scope::All => None,
            Scope::One(namespace) => Some(&namespace.code),
        }
    }

    /// The name in an answer.
    pub fn label(&self) -> &str {
        self.code().unwrap_or(ALL)
    }
}

/// The ledger as seen by one query.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Reads this version.
    pub reader: Reader,
    /// Decides whether a cached answer still holds.
    pub stamp: Stamp,
    /// When it was opened, microseconds since the epoch; ranges are relative to this.
    pub now_us: i64,
}

impl Snapshot {
    /// Opens a snapshot, within `LEDGER_MAX`.
    pub async fn open(parts: &Parts) -> Result<Snapshot, Error> {
        let now_us = Wall::now().as_us();
        match tokio::time::timeout(LEDGER_MAX, parts.store.read_with_stamp()).await {
            Ok(Ok((reader, stamp))) => Ok(Snapshot { reader, stamp, now_us }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Error::LedgerDown),
        }
    }

    /// The version, as answers show it.
    pub fn as_of(&self) -> AsOfView {
        AsOfView::of(self.reader.as_of())
    }

    /// Resolves a range against the rows that the ledger retains.
    pub fn window(&self, ask: &Ask) -> Result<Window, Error> {
        let Stamp { oldest_minute, oldest_quarter, .. } = self.stamp;
        ask.window(self.now_us, Retained { oldest_minute, oldest_quarter })
    }

    /// Resolves `all`, the id of a namespace or its code, without reading all namespaces.
    pub async fn scope(&mut self, text: &str) -> Result<Scope, Error> {
        if text == ALL {
            return Ok(Scope::All);
        }
        let found = match text.parse() {
            Ok(id) => self.reader.namespace_by_id(id).await?,
            Err(_) => self.reader.namespace_by_code(text).await?,
        };
        found.map(Scope::One).ok_or_else(|| Error::NoNamespace(quoted(text)))
    }

    /// All sums over the whole of a window.
    pub async fn whole(&mut self, window: &Window, scope: &Scope) -> Result<Sums, StoreError> {
        let range = window.buckets().whole();
        self.reader.sums(window.rows, range, scope.code(), &Part::EACH).await
    }

    /// The buckets of a window, with the given parts of the sums.
    pub async fn buckets(
        &mut self,
        window: &Window,
        scope: &Scope,
        parts: &[Part],
    ) -> Result<Buckets, Error> {
        let (rows, buckets) = (window.rows, window.buckets());
        let (series, total) = self.reader.series(rows, buckets, scope.code(), parts).await?;
        let earlier = match rows {
            Rows::Totals => Some(series.earlier(&total)?),
            Rows::Minutes | Rows::Quarters => None,
        };
        Ok(Buckets { labels: window.labels(), series, earlier, total })
    }
}

/// Sums per bucket.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// Starts of the buckets.
    labels: Vec<String>,
    series: Series,
    /// Counter totals minus the buckets: what was in rows that retention deleted.
    earlier: Option<Sums>,
    /// Sums over all buckets; for the range `all`, the counter totals.
    pub total: Sums,
}

impl Buckets {
    /// The labels, and the value of `of` for each bucket. If it has any value, `earlier` is
    /// prepended as a bucket of its own.
    pub fn each<T: Default + PartialEq>(
        &self,
        of: impl Fn(&Sums) -> Result<T, QueryError>,
    ) -> Result<(Vec<String>, Vec<T>), QueryError> {
        let mut labels = self.labels.clone();
        let mut found: Vec<T> = self.series.sums().iter().map(&of).collect::<Result<_, _>>()?;
        let earlier = self.earlier.as_ref().map(&of).transpose()?;
        if let Some(earlier) = earlier.filter(|earlier| *earlier != T::default()) {
            labels.insert(0, EARLIER.to_owned());
            found.insert(0, earlier);
        }
        Ok((labels, found))
    }
}
