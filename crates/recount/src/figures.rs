//! The key figures: requests, errors, tokens and events, in total and by tenant.
//!
//! They are made from totals of any origin, so that log, ledger, page, API and a replay's report
//! can be shown side by side. They are shown and compared with what was sent; the proof is the
//! comparison of every row and series.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::labels::Row;
use crate::sums::Sums;

/// Requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Final attempts.
    pub requests: i128,
    /// Those that succeeded: a status below 400 without an `error_type`.
    pub success: i128,
    /// Final attempts that failed.
    pub error: i128,
    /// Tokens of all attempts, with those of the cache.
    #[serde(rename = "input_tokens")]
    pub input: i128,
    /// Tokens of all attempts, with those of reasoning.
    #[serde(rename = "output_tokens")]
    pub output: i128,
    /// Part of the input.
    #[serde(rename = "cache_read_tokens")]
    pub cache_read: i128,
    /// Part of the input.
    #[serde(rename = "cache_write_tokens")]
    pub cache_write: i128,
    /// Part of the output.
    #[serde(rename = "reasoning_tokens")]
    pub reasoning: i128,
    /// Part of input and output that was not reported but counted from text.
    #[serde(rename = "estimated_tokens")]
    pub estimated: i128,
    /// Cost of all attempts, nano-dollars.
    pub cost_nano: i128,
}

impl Figures {
    /// Adds a row of totals.
    pub fn add(&mut self, row: &Row, sums: &Sums) {
        if row.is_final {
            self.requests += sums.n();
            match row.status_word() {
                "success" => self.success += sums.n(),
                _ => self.error += sums.n(),
            }
        }
        self.input += sums.input();
        self.output += sums.output();
        self.cache_read += sums.tokens()[1];
        self.cache_write += sums.tokens()[2];
        self.reasoning += sums.tokens()[4];
        if row.source == "estimated" {
            self.estimated += sums.input() + sums.output();
        }
        self.cost_nano += sums.cost_nano();
    }

    /// Of all rows together.
    pub fn of(totals: &BTreeMap<Row, Sums>) -> Figures {
        let mut figures = Figures::default();
        totals.iter().for_each(|(row, sums)| figures.add(row, sums));
        figures
    }

    /// Of each namespace.
    pub fn by_namespace(totals: &BTreeMap<Row, Sums>) -> BTreeMap<String, Figures> {
        let mut namespaces: BTreeMap<String, Figures> = BTreeMap::new();
        for (row, sums) in totals {
            namespaces.entry(row.namespace.clone()).or_default().add(row, sums);
        }
        namespaces
    }

    /// Requests by HTTP status.
    pub fn by_status(totals: &BTreeMap<Row, Sums>) -> BTreeMap<u16, i128> {
        let mut statuses = BTreeMap::new();
        for (row, sums) in totals.iter().filter(|(row, _)| row.is_final) {
            *statuses.entry(row.status).or_default() += sums.n();
        }
        statuses
    }
}
