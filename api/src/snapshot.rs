//! One committed version of the ledger, as one question sees it.
//!
//! Everything that one answer shows comes from one snapshot, each range from one statement, in the
//! columns that are shown. What is the same for the whole snapshot is asked when it is opened.

use std::time::Duration;

use ledger::query::sums::Sums;
use ledger::query::{QueryError, Series};
use service::query::quoted;
use store::{NamespaceRow, Part, Reader, Rows, Stamp, StoreError};

use crate::context::{Parts, now_us};
use crate::error::Error;
use crate::range::{Ask, Kept, Window};
use crate::view::AsOfView;

/// Longest wait for the ledger to begin an answer: then an older one is better.
const LEDGER_MAX: Duration = Duration::from_secs(2);
/// The word for all namespaces.
const ALL: &str = "all";
/// Label of the bucket for what is older than the rows that are kept.
const EARLIER: &str = "earlier";

/// The namespaces that a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them.
    All,
    /// One.
    One(NamespaceRow),
}

impl Scope {
    /// Finds `all`, the number of a namespace or its code among all namespaces.
    pub fn among(namespaces: &[NamespaceRow], text: &str) -> Result<Scope, Error> {
        if text == ALL {
            return Ok(Scope::All);
        }
        let id: Option<i64> = text.parse().ok();
        let is_meant = |row: &&NamespaceRow| id.map_or(row.code == text, |id| row.id == id);
        let found = namespaces.iter().find(is_meant).cloned();
        found.map(Scope::One).ok_or_else(|| Error::NoNamespace(quoted(text)))
    }

    /// The code of the one namespace.
    pub fn code(&self) -> Option<&str> {
        match self {
            Scope::All => None,
            Scope::One(namespace) => Some(&namespace.code),
        }
    }

    /// The word that an answer names it by.
    pub fn label(&self) -> &str {
        self.code().unwrap_or(ALL)
    }
}

/// The ledger as one question sees it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Answers questions of this version.
    pub reader: Reader,
    /// What answers stand on.
    pub stamp: Stamp,
    /// The clock that ranges are laid over.
    pub now_us: i64,
}

impl Snapshot {
    /// Begins to read.
    pub async fn open(parts: &Parts) -> Result<Snapshot, Error> {
        let now_us = now_us();
        match tokio::time::timeout(LEDGER_MAX, parts.store.read_with_stamp()).await {
            Ok(Ok((reader, stamp))) => Ok(Snapshot { reader, stamp, now_us }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Error::LedgerDown),
        }
    }

    /// The version that answers show.
    pub fn as_of(&self) -> AsOfView {
        AsOfView::of(self.reader.as_of())
    }

    /// Lays a range over what the ledger still has.
    pub fn window(&self, ask: &Ask) -> Result<Window, Error> {
        let Stamp { oldest_minute, oldest_quarter, .. } = self.stamp;
        ask.window(self.now_us, Kept { oldest_minute, oldest_quarter })
    }

    /// Reads `all`, the number of a namespace or its code, without the others.
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

    /// All that is summed, over the whole of a window.
    pub async fn whole(&mut self, window: &Window, scope: &Scope) -> Result<Sums, StoreError> {
        let range = window.buckets().whole();
        self.reader.sums(window.rows, range, scope.code(), &Part::EACH).await
    }

    /// The buckets of a window, in the parts that are shown.
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
    /// What counter totals have beyond the buckets: rows that retention deleted.
    earlier: Option<Sums>,
    /// The sums of all buckets; for the range `all` they are the counter totals.
    pub total: Sums,
}

impl Buckets {
    /// Something of each bucket, beside the labels. What was earlier comes first, as a bucket of
    /// its own, if there is any of it.
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
