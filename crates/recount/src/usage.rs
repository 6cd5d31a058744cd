//! What the API answers about usage, over the quarter-hours that are recounted: by consumer, and by
//! the labels that its other rows have.
//!
//! Page after page goes in, a list of groups comes out; the shape is that of the contract.

use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use service::client::Client;

use crate::answers::{AsOf, check_version};

/// Groups of one page of the API's answer, the most that it gives.
const PAGE: i64 = 1_000;
/// Maximum number of pages: each makes the API add up every row of the range.
const PAGES_MAX: i64 = 20;
/// Width of a quarter-hour, seconds.
const QUARTER_S: i64 = 900;

/// A group of the API's answer.
pub trait Item: DeserializeOwned {
    /// What the API is asked to group by.
    const GROUP_BY: &str;

    /// The numbers that every group has: requests, input, output, cache read, cache written and
    /// reasoning.
    fn numbers(&self) -> [i64; 6];

    /// The cost in dollars, as it was written.
    fn cost_usd(&self) -> &str;
}

/// The API's answer about some quarter-hours.
#[derive(Debug)]
pub struct Usage<T> {
    /// Groups, those with the most tokens first.
    pub items: Vec<T>,
    /// Number of groups, according to the API.
    pub total: i64,
}

/// What a consumer used.
#[derive(Debug, Deserialize)]
pub struct Used {
    pub namespace: String,
    pub consumer: Option<String>,
    pub requests: i64,
    pub input: i64,
    pub output: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub reasoning: i64,
    /// As it was written, so that no digit is lost.
    pub cost_usd: Box<RawValue>,
}

/// What was used under labels that rows of consumers do not have.
#[derive(Debug, Deserialize)]
pub struct Labelled {
    pub namespace: String,
    pub upstream: String,
    pub model: String,
    pub endpoint: String,
    pub status: u16,
    pub requests: i64,
    pub input: i64,
    pub output: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub reasoning: i64,
    /// As it was written, so that no digit is lost.
    pub cost_usd: Box<RawValue>,
    pub errors: i64,
    pub reported: i64,
    pub estimated: i64,
    pub estimated_input: i64,
    pub estimated_output: i64,
    /// As it was written.
    pub duration_sum_ms: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    total: i64,
    as_of: AsOf,
}

impl Item for Used {
    const GROUP_BY: &str = "consumer";

    fn numbers(&self) -> [i64; 6] {
        let Self { requests, input, output, cache_read, cache_write, reasoning, .. } = self;
        [*requests, *input, *output, *cache_read, *cache_write, *reasoning]
    }

    fn cost_usd(&self) -> &str {
        self.cost_usd.get()
    }
}

impl Item for Labelled {
    const GROUP_BY: &str = "namespace,upstream,model,endpoint,status";

    fn numbers(&self) -> [i64; 6] {
        let Self { requests, input, output, cache_read, cache_write, reasoning, .. } = self;
        [*requests, *input, *output, *cache_read, *cache_write, *reasoning]
    }

    fn cost_usd(&self) -> &str {
        self.cost_usd.get()
    }
}

impl<T: Item> Usage<T> {
    /// Asks the API about quarter-hours since the epoch, at this version; about none, nothing.
    ///
    /// # Errors
    /// The query failed, or its answer has another version.
    pub async fn ask(
        client: &Client,
        base: &str,
        quarters: &Range<i64>,
        version: i64,
    ) -> anyhow::Result<Usage<T>> {
        let mut usage = Usage { items: Vec::new(), total: 0 };
        if quarters.is_empty() {
            return Ok(usage);
        }
        for page in 1..=PAGES_MAX {
            let url = format!(
                "{}/api/usage?group_by={}&namespace=all&{}&page={page}&size={PAGE}",
                base.trim_end_matches('/'),
                T::GROUP_BY,
                range(quarters),
            );
            let answer: Page<T> = client.get_data(&url).await?;
            check_version(answer.as_of, version)?;
            usage.total = answer.total;
            usage.items.extend(answer.items);
            if usage.total <= page * PAGE {
                break;
            }
        }
        Ok(usage)
    }

    /// Whether these are all groups.
    pub fn is_whole(&self) -> bool {
        self.items.len() as i128 == i128::from(self.total)
    }
}

/// The parameters of a query for quarter-hours since the epoch.
pub fn range(quarters: &Range<i64>) -> String {
    format!("from={}&to={}", quarters.start * QUARTER_S, quarters.end * QUARTER_S)
}
