//! Sums of a few columns over many rows, for answers that need no more of them.
//!
//! A question about requests or tokens goes over every row of its range. One number per range
//! comes back, added up where the rows lie: no row is moved, and no labels are sorted. Namespaces
//! and attempts are chosen through the ids of their series.

use std::ops::Range;

use event::Outcome;
use ledger::measures::Measures;
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rows::get;

/// Rows that sums are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Minutes.
    Minutes,
    /// Quarter-hours.
    Quarters,
}

/// Columns of the token classes, in their order.
const TOKENS: &str = "sum(input_uncached), sum(input_cache_read), sum(input_cache_write), \
                      sum(output_text), sum(output_reasoning), sum(cost_nano)";
/// Stored number of a usage that was counted from text.
const ESTIMATED: i64 = event::UsageSource::Estimated as i64;

/// Which series are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// All.
    Each,
    /// Those of final attempts.
    Final,
    /// Those whose tokens were counted from text.
    Estimated,
}

/// Tokens and cost of a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenSums {
    /// Of usage that was reported or is absent.
    pub reported: Measures,
    /// Of usage that was counted from text.
    pub estimated: Measures,
}

impl Rows {
    /// Table of the rows, and of their series.
    fn tables(self) -> (&'static str, &'static str) {
        match self {
            Rows::Minutes => ("minute", "series_short"),
            Rows::Quarters => ("quarter", "series"),
        }
    }
}

impl Of {
    fn condition(self) -> &'static str {
        match self {
            Of::Each => "TRUE",
            Of::Final => "is_final",
            Of::Estimated => "source = ?",
        }
    }
}

impl Reader {
    /// Requests of a range of rows since the epoch, of one namespace or all: only `n` is set.
    ///
    /// # Errors
    /// As every read.
    pub async fn requests(
        &mut self,
        rows: Rows,
        range: Range<i64>,
        namespace: Option<&str>,
    ) -> Result<Measures> {
        let [n] = self.part(rows, range, namespace, "sum(n)", Of::Final).await?;
        Ok(Measures { n, ..Measures::default() })
    }

    /// Tokens and cost of a range of rows since the epoch, of one namespace or all.
    ///
    /// # Errors
    /// As every read.
    pub async fn tokens(
        &mut self,
        rows: Rows,
        range: Range<i64>,
        namespace: Option<&str>,
    ) -> Result<TokenSums> {
        let all: [i64; 6] = self.part(rows, range.clone(), namespace, TOKENS, Of::Each).await?;
        let estimated = match self.has_estimated(rows).await? {
            true => self.part(rows, range, namespace, TOKENS, Of::Estimated).await?,
            false => [0; 6],
        };
        let measures = |sums: [i64; 6]| {
            let [tokens @ .., cost_nano] = sums;
            Measures { tokens, cost_nano, ..Measures::default() }
        };
        let reported = std::array::from_fn(|idx| all[idx] - estimated[idx]);
        Ok(TokenSums { reported: measures(reported), estimated: measures(estimated) })
    }

    /// Requests of a range of rows by namespace and outcome: only `n` is set.
    ///
    /// # Errors
    /// As every read.
    pub async fn outcomes(
        &mut self,
        rows: Rows,
        range: Range<i64>,
    ) -> Result<Vec<(Box<str>, Outcome, Measures)>> {
        let (table, series) = rows.tables();
        let sql = format!(
            "SELECT s.namespace, s.outcome, sum(g.n) FROM (SELECT series, sum(n) AS n FROM {table} \
             WHERE at >= ? AND at < ? GROUP BY series) g JOIN {series} s ON s.id = g.series \
             WHERE s.is_final GROUP BY s.namespace, s.outcome"
        );
        let query = self.conn.query(AssertSqlSafe(sql)).bind(range.start).bind(range.end);
        let found = self.rows(query).await?;
        found
            .iter()
            .map(|row| {
                let outcome = u8::try_from(get::<i64>(row, 1)?).ok().and_then(Outcome::from_code);
                let outcome = outcome.ok_or_else(|| StoreError::Fatal {
                    reason: "a row has an unknown outcome".to_owned(),
                })?;
                let n = row.sum(2)?;
                let namespace = get::<String>(row, 0)?.into_boxed_str();
                Ok((namespace, outcome, Measures { n, ..Measures::default() }))
            })
            .collect()
    }

    /// `sums` of the rows of a range whose series are meant.
    async fn part<const N: usize>(
        &mut self,
        rows: Rows,
        range: Range<i64>,
        namespace: Option<&str>,
        sums: &str,
        of: Of,
    ) -> Result<[i64; N]> {
        let (table, series) = rows.tables();
        let chosen = match (of, namespace) {
            (Of::Each, None) => String::new(),
            _ => format!(
                " AND series IN (SELECT id FROM {series} WHERE {} \
                 AND (? IS NULL OR namespace = ?))",
                of.condition()
            ),
        };
        let sql = format!("SELECT {sums} FROM {table} WHERE at >= ? AND at < ?{chosen}");
        let mut query = self.conn.query(AssertSqlSafe(sql)).bind(range.start).bind(range.end);
        if of == Of::Estimated {
            query = query.bind(ESTIMATED);
        }
        if !chosen.is_empty() {
            query = query.bind(namespace).bind(namespace);
        }
        let found = self.rows(query).await?;
        let mut sums = [0; N];
        if let Some(row) = found.first() {
            for (idx, sum) in sums.iter_mut().enumerate() {
                *sum = row.sum(idx)?;
            }
        }
        Ok(sums)
    }

    async fn has_estimated(&mut self, rows: Rows) -> Result<bool> {
        let (_, series) = rows.tables();
        let sql = format!("SELECT 1 FROM {series} WHERE source = ? LIMIT 1");
        let query = self.conn.query(AssertSqlSafe(sql)).bind(ESTIMATED);
        Ok(!self.rows(query).await?.is_empty())
    }
}
