//! `gatemeter recount`: recounts the log with independent code, and compares.
//!
//! Log and ledger are read beside a running process, without their lock. Every frame that one
//! ledger version holds is decoded and judged again; rows, ranges, page and API must then agree
//! to the token. A frame that only a newer program can count ends the recount: nothing behind it
//! could be judged. Nothing is ever repaired here, and nothing of the counting code is used.

mod labels;
mod frame;
mod sums;
mod verdict;
mod differ;
mod late;
mod tally;
mod groups;
mod stored;
mod rolled;
mod found;
mod log;
mod text;
mod figures;
mod answers;
mod usage;
mod timings;
mod views;
mod against_ledger;
mod against_page;
mod against_api;
mod against_usage;
mod report;
mod sent;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use queue::{Queue, QueueReader};
use serde::de::DeserializeOwned;
use service::client::{Client, check_url, page_url};
use store::plain::PlainStore;

use crate::answers::Answers;
use crate::differ::Differences;
use crate::log::Expected;
use crate::report::{Column, Report};
use crate::sent::Sent;
use crate::views::{Ranged, Sources, Views};

/// Exit code if everything agrees.
const AGREE: u8 = 0;
/// There is a difference.
const DIFFER: u8 = 1;
/// Exit code if nothing could be compared.
const CANNOT_COMPARE: u8 = 2;

const AFTER_HELP: &str = "Exit codes: 0 all agree; 1 there is a difference; 2 nothing could be \
    compared.\ndocs/replay.md has the JSON report.";

/// Arguments of `gatemeter recount`
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RecountArgs {
    /// Directory with the log and the ledger
    #[arg(long, value_name = "DIR", default_value = "./gatemeter-data")]
    data: PathBuf,
    /// Use the log on Kafka and the ledger on MySQL of the settings instead of a directory
    #[arg(long, conflicts_with = "data")]
    cluster: bool,
    /// Settings file for --cluster [default: gatemeter.toml in the working directory, if any]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    config: Option<PathBuf>,
    /// Compare with this page too, such as http://127.0.0.1:8002; /metrics is added unless the
    /// URL has a path
    #[arg(long, value_name = "URL", value_parser = page_url)]
    metrics: Option<String>,
    /// Compare with this API too, such as http://127.0.0.1:8001
    #[arg(long, value_name = "URL", value_parser = check_url)]
    api: Option<String>,
    /// File with the admin key that the API asks for
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Compare what a replay reports as sent (its --json) with the growth of the log; waits until
    /// everything in the log is counted
    #[arg(long, value_name = "FILE")]
    sent: Option<PathBuf>,
    /// Growth since this earlier recount (its --json), instead of since the beginning
    #[arg(long, value_name = "FILE", requires = "sent")]
    before: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Log and ledger, open for reading.
pub type Opened = (QueueReader, PlainStore);

/// Runs `gatemeter recount`. The exit code is 0 if all agrees, 1 for any difference, and 2 if
/// nothing could be compared. `cluster` opens what the settings name: those of a file, or of the
/// process without one.
///
/// # Errors
/// Only that the report cannot be printed.
pub async fn run(
    args: RecountArgs,
    cluster: impl AsyncFnOnce(Option<PathBuf>) -> anyhow::Result<Opened>,
) -> anyhow::Result<ExitCode> {
    let recount = match Recount::make(&args, cluster).await {
        Ok(recount) => recount,
        Err(error) => {
            eprintln!("error: cannot compare: {error:#}");
            return Ok(ExitCode::from(CANNOT_COMPARE));
        }
    };
    if let Some(remark) = &recount.remark {
        eprintln!("{remark}");
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&recount.report)?)?;
    } else {
        write!(out, "{}", recount.text())?;
    }
    Ok(ExitCode::from(if recount.report.agree { AGREE } else { DIFFER }))
}

/// A completed recount.
struct Recount {
    report: Report,
    before: Option<Report>,
    columns: Vec<(&'static str, Column)>,
    beginning: String,
    /// What was not compared.
    remark: Option<String>,
}

impl Recount {
    async fn make(
        args: &RecountArgs,
        cluster: impl AsyncFnOnce(Option<PathBuf>) -> anyhow::Result<Opened>,
    ) -> anyhow::Result<Recount> {
        let client = Client::with_key_file(args.key_file.as_deref())?;
        let sent: Option<Sent> = args.sent.as_deref().map(read_json).transpose()?;
        let before: Option<Report> = args.before.as_deref().map(read_json).transpose()?;
        sent.as_ref().map_or(Ok(()), Sent::check)?;
        let (log, store) = open(args, cluster).await?;
        let generation = store.generation(log.generation(), log.partitions()).await?;
        let goals = match sent {
            Some(_) => views::log_ends(&log).await?,
            None => BTreeMap::new(),
        };
        let sources = Sources {
            log: &log,
            store: &store,
            generation: &generation,
            client: &client,
            metrics: args.metrics.as_deref(),
            api: args.api.as_deref(),
            goals,
        };
        let views = sources.settle().await?;
        store.close().await;
        let beginning = match &views.beginning {
            Ok(beginning) => beginning,
            Err(error) => bail!("{error:#}"),
        };
        let begins = beginning.words();
        let expected = log::walk(&log, &views.ledger, &generation.window, beginning).await?;
        log.close().await;
        Ok(Recount::conclude(&expected, &views, sent.as_ref(), before, begins))
    }

    /// Compares everything with the recounted log.
    fn conclude(
        expected: &Expected,
        views: &Views,
        sent: Option<&Sent>,
        before: Option<Report>,
        beginning: String,
    ) -> Recount {
        let (totals, account) = (&expected.rows.totals, expected.account());
        let namespaces = &views.ledger.namespaces;
        let mut report = Report::of(totals, &account, expected.frames);
        let mut differences: Differences = against_ledger::compare(expected, &views.ledger);
        report.versions.insert("ledger".to_owned(), views.ledger.version);
        let ledger = &views.ledger;
        let mut columns = vec![
            ("log", report::account_column(totals, &account)),
            ("ledger", report::account_column(&ledger.rows.totals, &ledger.account())),
        ];
        if let Some(page) = &views.page {
            differences.append(against_page::compare(totals, &account, namespaces, page));
            report.versions.insert("metrics".to_owned(), ledger.version);
            columns.push(("/metrics", report::page_column(page)));
        }
        if let Some(answers) = &views.answers {
            differences.append(against_api::compare(totals, &account, namespaces, answers));
            report.versions.insert("api".to_owned(), answers.version);
            columns.push(("API", report::api_column(answers)));
        }
        if let Some(Ranged { consumers, labels, timings }) = &views.ranged {
            let rows = &ledger.rows;
            let groups = groups::of_rows(&rows.used);
            differences.append(against_usage::compare_consumers(&groups, consumers));
            differences.append(against_usage::compare_labels(&rows.quarters, labels));
            differences.append(timings::compare(&rows.quarters, timings));
        }
        if let Some(sent) = sent {
            let nothing = Report::default();
            let before = before.as_ref().unwrap_or(&nothing);
            differences.append(sent.compare(before, &report));
            columns.iter_mut().for_each(|(_, column)| report::subtract(column, before));
            columns.insert(0, ("sent", sent.column()));
        }
        report.conclude(differences);
        let held = views.page.as_ref().map_or(0, against_page::held);
        let of_page = (held > 0).then(|| {
            format!("{held} new series are still at zero on /metrics; they were compared as such")
        });
        let of_answers = views.answers.as_ref().and_then(Answers::remark);
        let taken = expected.taken;
        let of_late = (taken > 0).then(|| {
            format!(
                "{taken} late events could not be decided again, since the log of their time is \
                 gone: the ledger's verdicts were taken"
            )
        });
        let remarks: Vec<String> = of_answers.into_iter().chain(of_page).chain(of_late).collect();
        let remark = (!remarks.is_empty()).then(|| remarks.join("\n"));
        Recount { report, before, columns, beginning, remark }
    }

    /// The report for people.
    fn text(&self) -> String {
        let report = &self.report;
        let since = match self.before {
            Some(_) => ", growth since the earlier recount",
            None => "",
        };
        let mut text = format!(
            "ledger version {}, {} frames recounted from {}{since}\n\n{}\n",
            report.versions.get("ledger").copied().unwrap_or(0),
            report.frames,
            self.beginning,
            report::table(&self.columns),
        );
        if report.agree {
            text.push_str("all agree\n");
        } else {
            text.push_str(&report.lines());
            text.push_str(&format!("{} differences\n", report.n_differences));
        }
        text
    }
}

/// Opens log and ledger for reading, alongside their writers.
async fn open(
    args: &RecountArgs,
    cluster: impl AsyncFnOnce(Option<PathBuf>) -> anyhow::Result<Opened>,
) -> anyhow::Result<Opened> {
    if args.cluster {
        return cluster(args.config.clone()).await;
    }
    let log = Queue::open_embedded_read_only(&args.data).await?;
    Ok((log, PlainStore::open_read_only(&args.data).await?))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not a recount report", path.display()))
}
