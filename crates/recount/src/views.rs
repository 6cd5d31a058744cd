//! Page, answers and ledger of one version, fetched beside a running process.
//!
//! The version advances while events arrive, so all views are fetched again until they show the
//! same one; after half a minute the reason is reported. Series that a page holds at zero are no
//! reason to wait, which could take many minutes: the comparison allows for them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::bail;
use queue::{QueueReader, Watermarks};
use service::client::Client;
use store::plain::{Generation, PlainStore};
use tokio::time::Instant;

use crate::answers::{Answers, Hopeless, is_hopeless};
use crate::found::Ledger;
use crate::log::{Beginning, beginning};
use crate::tally::Rows;
use crate::text::{MILLION, Page, Series};
use crate::timings::{self, Timings};
use crate::usage::{Labelled, Usage, Used};

/// Gauge of the series that a page holds at zero although they have a value.
pub const HELD: &str = "gatemeter_series_held";
/// How long views may take to agree on a version: a commit comes once a second at most.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// Where events never stop, a thousand answers take longer than a version lasts: after this time
/// without a common version, the API is queried one by one for this many namespaces only.
const EXTENTS: [(Duration, usize); 3] =
    [(Duration::from_secs(20), 1), (Duration::from_secs(10), 16), (Duration::ZERO, usize::MAX)];
/// Time between two attempts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Addresses of the views.
#[derive(Debug)]
pub struct Sources<'a> {
    pub log: &'a QueueReader,
    pub store: &'a PlainStore,
    pub generation: &'a Generation,
    pub client: &'a Client,
    /// Address of `/metrics`.
    pub metrics: Option<&'a str>,
    /// Address of the API, without a path.
    pub api: Option<&'a str>,
    /// Ends of the log that the ledger must have counted up to, by partition.
    pub goals: BTreeMap<u32, Watermarks>,
}

/// All views of one version.
#[derive(Debug)]
pub struct Views {
    pub ledger: Ledger,
    /// Where the recount begins, or why it cannot.
    pub beginning: anyhow::Result<Beginning>,
    pub page: Option<Page>,
    pub answers: Option<Answers>,
    /// The API's answers about the rows that are recounted, if requested.
    pub ranged: Option<Ranged>,
}

/// The API's answers about the quarter-hours that are recounted.
#[derive(Debug)]
pub struct Ranged {
    pub consumers: Usage<Used>,
    pub labels: Usage<Labelled>,
    pub timings: Timings,
}

/// The ends of every partition.
///
/// # Errors
/// The error of the log.
pub async fn log_ends(log: &QueueReader) -> anyhow::Result<BTreeMap<u32, Watermarks>> {
    let mut ends = BTreeMap::new();
    for partition in 0..log.partitions() {
        ends.insert(partition, log.watermarks(partition).await?);
    }
    Ok(ends)
}

impl Views {
    /// Whether a configured namespace is still missing: a page or an answer may be slightly older
    /// than the namespace.
    fn lacks_namespace(&self) -> bool {
        let is_shown = |namespace: &String| {
            let labels = [("namespace", namespace.as_str()), ("status", "success")];
            let series = Series::new("namespace_requests_total", &labels);
            let on_page = self.page.as_ref().is_none_or(|page| page.samples.contains_key(&series));
            on_page && self.answers.as_ref().is_none_or(|answers| answers.know(namespace))
        };
        !self.ledger.namespaces.iter().all(is_shown)
    }
}

impl Sources<'_> {
    /// Waits until all views show one version, and every namespace that is configured. One that is
    /// still missing at the timeout is left for the comparison to find.
    ///
    /// # Errors
    /// The last obstacle at the timeout, or a permanent one at once.
    pub async fn settle(&self) -> anyhow::Result<Views> {
        self.settle_within(SETTLE_MAX).await
    }

    /// `settle` with another timeout.
    pub(super) async fn settle_within(&self, patience: Duration) -> anyhow::Result<Views> {
        let end = Instant::now() + patience;
        // Advancing versions are a reason to query fewer namespaces.
        let mut moving_since: Option<Instant> = None;
        loop {
            let elapsed = moving_since.map_or(Duration::ZERO, |since| since.elapsed());
            let extent = EXTENTS.iter().find(|(after, _)| elapsed >= *after);
            let n_namespaces_max = extent.map_or(usize::MAX, |(_, n)| *n);
            match self.look(n_namespaces_max).await {
                Ok(views) if Instant::now() < end && views.lacks_namespace() => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Ok(views) => return Ok(views),
                Err(error) if is_hopeless(&error) => return Err(error),
                Err(error) if Instant::now() >= end => {
                    return Err(error.context(format!(
                        "page, API and ledger did not converge on one version within {} s",
                        patience.as_secs()
                    )));
                }
                Err(_) => {
                    moving_since.get_or_insert_with(Instant::now);
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Reads page and API once.
    async fn look(&self, n_namespaces_max: usize) -> anyhow::Result<Views> {
        let version = self.caught_up().await?;
        let page = match self.metrics {
            Some(url) => Some(self.page(url, version).await?),
            None => None,
        };
        let answers = match self.api {
            Some(url) => {
                let codes = self.store.read().await?.namespaces().await?;
                Some(Answers::ask(self.client, url, &codes, version, n_namespaces_max).await?)
            }
            None => None,
        };
        let mut reader = self.store.read().await?;
        check_version("the ledger", reader.version(), version)?;
        let mut ledger = Ledger::read(&mut reader, self.generation.generation).await?;
        let beginning = beginning(&ledger, &log_ends(self.log).await?);
        if let Ok(beginning) = &beginning {
            let merged = ledger.merged.iter().map(|event| event.time_us).min();
            let oldest_us = beginning.oldest_us(&self.generation.window);
            let oldest_us = oldest_us.min(merged.unwrap_or(i64::MAX));
            ledger.read_rows(&mut reader, oldest_us).await?;
        }
        let ranged = match self.api {
            Some(url) => Some(self.ranged(url, &ledger.rows, version).await?),
            None => None,
        };
        Ok(Views { ledger, beginning, page, answers, ranged })
    }

    async fn ranged(&self, url: &str, rows: &Rows, version: i64) -> anyhow::Result<Ranged> {
        let quarters = span(rows.quarters.keys().map(|(at, _)| *at));
        let used = span(rows.used.keys().map(|(at, _)| *at));
        Ok(Ranged {
            consumers: Usage::ask(self.client, url, &used, version).await?,
            labels: Usage::ask(self.client, url, &quarters, version).await?,
            timings: timings::ask(self.client, url, &quarters, version).await?,
        })
    }

    /// The version of a ledger that has counted far enough.
    async fn caught_up(&self) -> anyhow::Result<i64> {
        let mut reader = self.store.read().await?;
        let rows = reader.partitions().await?;
        for (partition, goal) in &self.goals {
            let row = rows.iter().find(|row| {
                (row.generation, row.partition) == (self.generation.generation, *partition)
            });
            let progress = row.map(|row| row.progress).unwrap_or_default();
            let (next, late_next) = (progress.next, progress.late_next);
            if next < goal.high {
                bail!("partition {partition} is counted up to offset {next} of {}", goal.high);
            }
            if late_next < goal.high {
                let high = goal.high;
                bail!(
                    "late events of partition {partition} are decided up to {late_next} of {high}"
                );
            }
        }
        Ok(reader.version())
    }

    /// The page of a version, which reports how many series it holds at zero.
    async fn page(&self, url: &str, version: i64) -> anyhow::Result<Page> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let text = self.client.get(&format!("{url}{separator}section=business")).await?;
        let page = Page::parse(&text).map_err(|error| anyhow::anyhow!("/metrics: {error}"))?;
        if text.is_empty() {
            return Err(self.standby(url).await?.into());
        }
        let gauge = |name: &str| {
            let value = page.samples.get(&Series::new(name, &[]));
            value.copied().ok_or_else(|| {
                let hint = "is it the page of the aggregator?";
                Hopeless(format!("{url} has no {name}: {hint}"))
            })
        };
        gauge(HELD)?;
        let shown = i64::try_from(gauge("gatemeter_ledger_version")? / MILLION)?;
        check_version("/metrics", shown, version)?;
        Ok(page)
    }

    /// Why the section of a process is empty: only one of several aggregators shows it.
    async fn standby(&self, url: &str) -> anyhow::Result<Hopeless> {
        let publisher = self.store.read().await?.publisher().await?;
        let publisher = match publisher {
            Some(address) => format!("the publisher is the one at {address}"),
            None => "none is known to be the publisher now".to_owned(),
        };
        Ok(Hopeless(format!(
            "{url} shows no counts: that aggregator is a standby, and {publisher}"
        )))
    }
}

/// From the first to the last quarter-hour of rows that are in order of time.
fn span(mut at: impl DoubleEndedIterator<Item = i64>) -> Range<i64> {
    let first = at.next();
    let last = at.next_back().or(first);
    first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
}

fn check_version(who: &str, found: i64, version: i64) -> anyhow::Result<()> {
    if found == version {
        return Ok(());
    }
    bail!("{who} shows version {found} while the ledger stood at {version}")
}
