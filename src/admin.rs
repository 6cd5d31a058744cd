//! `gatemeter admin partitions|accept-loss`: what only an operator may decide, asked of a running
//! aggregator.
//!
//! A loss is accepted in two steps: what would be accepted is shown, and said again by its offset.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use service::client::{Client, check_url};
use service::secret_file::read_key;

/// Default address of the aggregator.
const AT_DEFAULT: &str = "http://127.0.0.1:8002";

/// Options of `gatemeter admin`.
#[derive(Debug, clap::Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AdminCommand {
    /// Show where each partition stands, and why one is halted
    Partitions(PartitionsArgs),
    /// Let a halted partition go on without the frames that are lost; docs/operations.md says when
    AcceptLoss(AcceptLossArgs),
}

/// Which aggregator.
#[derive(Debug, clap::Args)]
struct Place {
    /// Where the aggregator listens
    #[arg(long, value_name = "URL", default_value = AT_DEFAULT, value_parser = check_url)]
    at: String,
    /// File with the admin key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct PartitionsArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AcceptLossArgs {
    #[command(flatten)]
    place: Place,
    /// The halted partition
    partition: u32,
    /// The offset at which counting goes on, as it is shown without this option
    #[arg(long, value_name = "OFFSET")]
    next: Option<u64>,
}

/// An answer of the aggregator.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    message: String,
    data: Option<T>,
}

/// Where a partition stands.
#[derive(Debug, Deserialize, serde::Serialize)]
struct Partition {
    partition: u32,
    next: u64,
    lag_frames: u64,
    halted: Option<String>,
    resumes_at: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Accepted {
    partition: u32,
    next: u64,
    lost_frames: u64,
}

/// Runs the subcommand. The exit code of `partitions` is 1 if one is halted, and that of
/// `accept-loss` if nothing was accepted because `--next` was not given.
///
/// # Errors
/// The aggregator does not answer, or refuses.
pub async fn run(args: AdminArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        AdminCommand::Partitions(args) => partitions(&args).await,
        AdminCommand::AcceptLoss(args) => accept_loss(&args).await,
    }
}

impl Place {
    fn client(&self) -> anyhow::Result<Client> {
        let key = self.key_file.as_deref().map(read_key).transpose()?;
        Ok(Client::new(key.as_deref())?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.at.trim_end_matches('/'))
    }

    async fn partitions(&self) -> anyhow::Result<Vec<Partition>> {
        let url = self.url("/v1/partitions");
        data(&self.client()?.get(&url).await?).with_context(|| url)
    }
}

/// The data of an answer.
fn data<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    let envelope: Envelope<T> = serde_json::from_str(text).context("no answer of an aggregator")?;
    envelope.data.with_context(|| envelope.message)
}

async fn partitions(args: &PartitionsArgs) -> anyhow::Result<ExitCode> {
    let partitions = args.place.partitions().await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&partitions)?)?;
    } else {
        writeln!(out, "partition  next offset  lag (frames)  state")?;
        for Partition { partition, next, lag_frames, halted, .. } in &partitions {
            let state = match halted {
                None => "counted".to_owned(),
                Some(reason) => format!("halted: {reason}"),
            };
            writeln!(out, "{partition:>9}  {next:>11}  {lag_frames:>12}  {state}")?;
        }
    }
    let has_halted = partitions.iter().any(|partition| partition.halted.is_some());
    Ok(if has_halted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn accept_loss(args: &AcceptLossArgs) -> anyhow::Result<ExitCode> {
    let AcceptLossArgs { place, partition: number, next } = args;
    let Some(next) = next else {
        let partitions = place.partitions().await?;
        let found = partitions.into_iter().find(|found| found.partition == *number);
        let Some(Partition { halted, resumes_at, .. }) = found else {
            bail!("there is no partition {number}");
        };
        let (Some(reason), Some(next)) = (halted, resumes_at) else {
            bail!("partition {number} is not halted: there is nothing to accept");
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "partition {number} is halted: {reason}")?;
        writeln!(
            out,
            "If you accept that, counting goes on at offset {next}. Frames before it which were \
             not counted\nare lost. Events up to 5 minutes newer than the last counted frame are \
             late from then on,\nfor nobody can tell whether they were counted. Nothing that was \
             counted changes.\nTo accept it, say the same again with --next {next}"
        )?;
        return Ok(ExitCode::FAILURE);
    };
    let url = place.url(&format!("/v1/partitions/{number}/accept-loss"));
    let (status, text) = place.client()?.post(&url, json!({"next": next}).to_string()).await?;
    if !status.is_success() {
        let told = serde_json::from_str::<Envelope<serde_json::Value>>(&text);
        bail!("{status}: {}", told.map_or(text, |envelope| envelope.message));
    }
    let Accepted { partition, next, lost_frames } = data(&text)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "partition {partition} goes on at offset {next}; frames lost: {lost_frames}")?;
    Ok(ExitCode::SUCCESS)
}
