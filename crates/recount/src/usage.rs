//! What the API answers about consumers, over the quarter-hours that are recounted.
//!
//! Page after page goes in, a list of groups comes out; the shape is that of the contract.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use service::client::Client;

use crate::answers::{AsOf, check_version};
use crate::labels::Consumer;
use crate::sums::Sums;

/// Groups of one page of the API's answer, the most that it gives.
const PAGE: i64 = 1_000;
/// Maximum number of pages: each makes the API add up every row of the range.
const PAGES_MAX: i64 = 20;
/// Width of a quarter-hour, seconds.
const QUARTER_S: i64 = 900;

/// The API's answer about the same quarter-hours.
#[derive(Debug, Default)]
pub struct Usage {
    /// Groups, those with the most tokens first.
    pub items: Vec<Item>,
    /// Number of groups, according to the API.
    pub total: i64,
}

/// A group of the answer.
#[derive(Debug, Deserialize)]
pub struct Item {
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

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    total: i64,
    as_of: AsOf,
}

impl Usage {
    /// Asks the API about the quarter-hours of these rows, at this version; `None` if there are
    /// none.
    ///
    /// # Errors
    /// The query failed, or its answer has another version.
    pub async fn ask(
        client: &Client,
        base: &str,
        rows: &BTreeMap<(i64, Consumer), Sums>,
        version: i64,
    ) -> anyhow::Result<Usage> {
        let mut usage = Usage::default();
        let (Some(((first, _), _)), Some(((last, _), _))) =
            (rows.first_key_value(), rows.last_key_value())
        else {
            return Ok(usage);
        };
        let (from, to) = (first * QUARTER_S, (last + 1) * QUARTER_S);
        let base = base.trim_end_matches('/');
        for page in 1..=PAGES_MAX {
            let url = format!(
                "{base}/api/usage?group_by=consumer&namespace=all&from={from}&to={to}\
                 &page={page}&size={PAGE}"
            );
            let answer: Page = client.get_data(&url).await?;
            check_version(answer.as_of, version)?;
            usage.total = answer.total;
            usage.items.extend(answer.items);
            if usage.total <= page * PAGE {
                break;
            }
        }
        Ok(usage)
    }
}
