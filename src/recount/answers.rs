//! What the API answers about all time, read and taken apart.
//!
//! Four questions, two of them also per namespace; the shapes are those of the contract. A field
//! that is missing is an error, one that is new is left alone.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::recount::client::Client;

/// Stands for all namespaces in questions.
pub const ALL: &str = "all";

/// The version that an answer shows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct AsOf {
    /// Ledger version.
    pub version: i64,
}

/// Named numbers of a chart.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Dataset {
    /// Name.
    pub label: String,
    /// One number per label of the answer.
    pub data: Vec<i64>,
}

/// `status-distribution`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Distribution {
    pub labels: Vec<String>,
    pub datasets: Vec<Dataset>,
    pub totals: BTreeMap<String, i64>,
    pub requests: i64,
    pub as_of: AsOf,
}

/// `request-trend`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Trend {
    pub labels: Vec<String>,
    pub datasets: Vec<Dataset>,
    pub as_of: AsOf,
}

/// `tokens`.
#[derive(Debug, Deserialize)]
pub struct Tokens {
    pub labels: Vec<String>,
    pub datasets: Vec<Dataset>,
    pub totals: TokenTotals,
    pub as_of: AsOf,
}

/// Totals of `tokens`.
#[derive(Debug, Deserialize)]
pub struct TokenTotals {
    pub input: i64,
    pub output: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub reasoning: i64,
    pub estimated: i64,
    /// As it was written, so that no digit is lost.
    pub cost_usd: Box<RawValue>,
}

/// `system`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct System {
    #[serde(rename = "totalRequests")]
    pub total_requests: i64,
    pub events: BTreeMap<String, i64>,
    pub as_of: AsOf,
}

/// All answers, of one version.
#[derive(Debug)]
pub struct Answers {
    pub version: i64,
    pub distribution: Distribution,
    pub system: System,
    /// By namespace, and `all`.
    pub trends: BTreeMap<String, Trend>,
    /// By namespace, and `all`.
    pub tokens: BTreeMap<String, Tokens>,
}

impl Answers {
    /// Asks everything about all time.
    ///
    /// # Errors
    /// An answer is missing or has another shape, or they do not show one version.
    pub async fn ask(
        client: &Client,
        base: &str,
        namespaces: &[String],
    ) -> anyhow::Result<Answers> {
        let base = format!("{}/api/metrics", base.trim_end_matches('/'));
        let distribution: Distribution =
            ask(client, &format!("{base}/namespaces/status-distribution?timeRange=all")).await?;
        let version = distribution.as_of.version;
        let check = |as_of: AsOf| {
            if as_of.version != version {
                bail!("the API moved from version {version} to {} meanwhile", as_of.version);
            }
            Ok(())
        };
        let mut trends = BTreeMap::new();
        let mut tokens = BTreeMap::new();
        for namespace in namespaces.iter().map(String::as_str).chain([ALL]) {
            let code = escaped(namespace);
            let trend: Trend = ask(
                client,
                &format!("{base}/namespaces/request-trend?namespace={code}&timeRange=all"),
            )
            .await?;
            check(trend.as_of)?;
            trends.insert(namespace.to_owned(), trend);
            let url = format!("{base}/namespaces/{code}/tokens?timeRange=all");
            let answer: Tokens = ask(client, &url).await?;
            check(answer.as_of)?;
            tokens.insert(namespace.to_owned(), answer);
        }
        let system: System = ask(client, &format!("{base}/system")).await?;
        check(system.as_of)?;
        Ok(Answers { version, distribution, system, trends, tokens })
    }
}

/// `data` of one answer.
async fn ask<T: DeserializeOwned>(client: &Client, url: &str) -> anyhow::Result<T> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: T,
    }
    let text = client.get(url).await?;
    let envelope: Envelope<T> =
        serde_json::from_str(&text).with_context(|| format!("{url} has an unknown shape"))?;
    Ok(envelope.data)
}

/// A code as part of an address.
fn escaped(code: &str) -> String {
    let mut text = String::new();
    for byte in code.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
