//! The API's answers for all time, fetched and parsed.
//!
//! Four queries, two of them also per namespace; the shapes are those of the contract. A missing
//! field is an error, a new one is ignored. Queries run concurrently, and the first answer of
//! another version ends the attempt, which has to be repeated anyway.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use service::client::Client;
use tokio::task::JoinSet;

/// Concurrent queries: a few more than the API processes, so that it never idles.
const AT_ONCE: usize = 4;

/// Selects all namespaces in a query.
pub const ALL: &str = "all";

/// A permanent fault.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl fmt::Display for Hopeless {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Whether a retry would change nothing.
pub fn is_hopeless(error: &anyhow::Error) -> bool {
    use service::Error::{NotOurs, Refused};
    let is_final = matches!(error.downcast_ref(), Some(Refused { .. } | NotOurs { .. }));
    is_final || error.is::<Hopeless>()
}

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
    /// Namespaces that were left out of `trends` and `tokens`.
    pub left_out: Vec<String>,
}

/// An answer that is one of many.
enum Part {
    Trend(String, Trend),
    Tokens(String, Tokens),
}

impl Part {
    fn as_of(&self) -> AsOf {
        match self {
            Part::Trend(_, trend) => trend.as_of,
            Part::Tokens(_, tokens) => tokens.as_of,
        }
    }
}

impl Answers {
    /// Queries everything for all time, at this version; one by one for at most this many
    /// namespaces; the others are covered by the answers for all namespaces.
    ///
    /// # Errors
    /// An answer is missing or has another shape, or is of another version.
    pub async fn ask(
        client: &Client,
        base: &str,
        namespaces: &[String],
        version: i64,
        n_namespaces_max: usize,
    ) -> anyhow::Result<Answers> {
        let base = format!("{}/api/metrics", base.trim_end_matches('/'));
        let url = format!("{base}/namespaces/status-distribution?timeRange=all");
        let distribution: Distribution = client.get_data(&url).await?;
        check_version(distribution.as_of, version)?;
        let system: System = client.get_data(&format!("{base}/system")).await?;
        check_version(system.as_of, version)?;
        let n_asked = namespaces.len().min(n_namespaces_max);
        // A different few at each version, so that no namespace is left out forever.
        let turn = usize::try_from(version).unwrap_or(0) % namespaces.len().max(1);
        let mut order = namespaces.to_vec();
        order.rotate_left(turn);
        let left_out = order.split_off(n_asked);
        let (mut trends, mut tokens) = (BTreeMap::new(), BTreeMap::new());
        let mut waiting: Vec<String> = order.into_iter().chain([ALL.to_owned()]).collect();
        let mut asked = JoinSet::new();
        loop {
            while asked.len() < AT_ONCE
                && let Some(namespace) = waiting.pop()
            {
                asked.spawn(trend(client.clone(), base.clone(), namespace.clone()));
                asked.spawn(tokens_of(client.clone(), base.clone(), namespace));
            }
            // Dropping the set, on any error, cancels the other queries.
            let Some(answer) = asked.join_next().await else { break };
            let part = answer.context("a request task panicked")??;
            check_version(part.as_of(), version)?;
            match part {
                Part::Trend(namespace, trend) => _ = trends.insert(namespace, trend),
                Part::Tokens(namespace, answer) => _ = tokens.insert(namespace, answer),
            }
        }
        Ok(Answers { version, distribution, system, trends, tokens, left_out })
    }

    /// Whether a namespace is in the answers that hold all of them.
    pub fn know(&self, namespace: &str) -> bool {
        let is_asked =
            self.trends.contains_key(namespace) || self.left_out.iter().any(|it| it == namespace);
        is_asked && self.distribution.datasets.iter().any(|dataset| dataset.label == namespace)
    }

    /// What was not queried, if anything.
    pub fn remark(&self) -> Option<String> {
        (!self.left_out.is_empty()).then(|| {
            format!(
                "events never stopped, so the API was asked for the trend and tokens of {} of {} \
                 namespaces; requests of each, and the sums of all, were compared",
                self.trends.len() - 1,
                self.trends.len() - 1 + self.left_out.len()
            )
        })
    }
}

async fn trend(client: Client, base: String, namespace: String) -> anyhow::Result<Part> {
    let code = escaped(&namespace);
    let url = format!("{base}/namespaces/request-trend?namespace={code}&timeRange=all");
    Ok(Part::Trend(namespace, client.get_data(&url).await?))
}

async fn tokens_of(client: Client, base: String, namespace: String) -> anyhow::Result<Part> {
    let url = format!("{base}/namespaces/{}/tokens?timeRange=all", escaped(&namespace));
    Ok(Part::Tokens(namespace, client.get_data(&url).await?))
}

pub fn check_version(as_of: AsOf, version: i64) -> anyhow::Result<()> {
    if as_of.version != version {
        bail!("the API shows version {} while the ledger stood at {version}", as_of.version);
    }
    Ok(())
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
