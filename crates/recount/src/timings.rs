//! What the API answers about how long attempts took, and the log against it.
//!
//! The quarter-hours that are recounted are asked for at once: the buckets of a histogram add up to
//! those of the rows, whichever rows the API read them from.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use service::client::Client;

use crate::answers::{AsOf, check_version};
use crate::differ::Differences;
use crate::labels::Row;
use crate::sums::Sums;
use crate::usage::range;

const LATENCY: &str = "API latency";
/// What is measured, as the API names it: final attempts alone have a duration there.
const METRICS: [(&str, bool, Buckets); 3] =
    [("duration", true, Sums::duration), ("ttft", false, Sums::ttft), ("tpot", false, Sums::tpot)];

/// The buckets of a histogram.
type Buckets = fn(&Sums) -> &[i128];

/// The API's answers, in the order of `METRICS`; empty if no quarter-hour is recounted.
pub type Timings = Vec<Latency>;

/// `latency`.
#[derive(Debug, Deserialize)]
pub struct Latency {
    /// By bucket of time, then by bucket of the histogram.
    pub counts: Vec<Vec<i64>>,
    pub totals: Totals,
    pub as_of: AsOf,
}

/// The whole range.
#[derive(Debug, Deserialize)]
pub struct Totals {
    pub count: i64,
    pub counts: Vec<i64>,
}

/// Asks the API about quarter-hours since the epoch, at this version.
///
/// # Errors
/// A query failed, or an answer has another version.
pub async fn ask(
    client: &Client,
    base: &str,
    quarters: &Range<i64>,
    version: i64,
) -> anyhow::Result<Timings> {
    let mut timings = Timings::new();
    if quarters.is_empty() {
        return Ok(timings);
    }
    for (metric, ..) in METRICS {
        let url = format!(
            "{}/api/metrics/latency?namespace=all&metric={metric}&{}",
            base.trim_end_matches('/'),
            range(quarters)
        );
        let answer: Latency = client.get_data(&url).await?;
        check_version(answer.as_of, version)?;
        timings.push(answer);
    }
    Ok(timings)
}

/// Compares the answers with quarter-hours.
pub fn compare(quarters: &BTreeMap<(i64, Row), Sums>, answers: &Timings) -> Differences {
    let mut differences = Differences::default();
    for ((metric, is_of_final, buckets), answer) in METRICS.into_iter().zip(answers) {
        let mut expected: Vec<i128> = Vec::new();
        for ((_, row), sums) in quarters {
            let more = buckets(sums);
            expected.resize(more.len(), 0);
            if row.is_final || !is_of_final {
                expected.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
        let n: i128 = expected.iter().sum();
        let mut compare = |what: &str, expected: &[i128], found: &[i64]| {
            let found: Vec<i128> = found.iter().map(|n| i128::from(*n)).collect();
            if expected != found {
                let what = format!("{metric} {what}");
                let [expected, found] = [expected, &found].map(|counts| format!("{counts:?}"));
                differences.add(LATENCY, &what, &expected, &found);
            }
        };
        compare("count", &[n], &[answer.totals.count]);
        compare("histogram", &expected, &answer.totals.counts);
        let mut summed = vec![0; answer.totals.counts.len()];
        for counts in &answer.counts {
            summed.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
        }
        compare("sum of the buckets of time", &expected, &summed);
    }
    differences
}
