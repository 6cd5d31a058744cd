//! `gatemeter admin partitions|accept-loss|frames`: decisions that only an operator may take, sent
//! to a running aggregator.
//!
//! A loss is accepted in two steps: the first shows the offset at which counting would resume, the
//! second confirms that offset.

mod frames;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use aggregator::{AcceptLoss, Accepted, PartitionView};
use anyhow::bail;
use service::client::{Client, check_url};

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
    /// Show which frame version ingest writes, or raise it once every aggregator is upgraded
    Frames(frames::FramesArgs),
}

/// Which aggregator.
#[derive(Debug, clap::Args)]
struct Target {
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
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AcceptLossArgs {
    #[command(flatten)]
    target: Target,
    /// The halted partition
    partition: u32,
    /// The offset at which counting goes on, as it is shown without this option
    #[arg(long, value_name = "OFFSET")]
    next: Option<u64>,
}

/// Runs the subcommand. The exit code of `partitions` is 1 if one is halted, that of `accept-loss`
/// if nothing was accepted because `--next` was not given, and that of `frames` if it was refused.
///
/// # Errors
/// The aggregator does not answer, or refuses.
pub async fn run(args: AdminArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        AdminCommand::Partitions(args) => partitions(&args).await,
        AdminCommand::AcceptLoss(args) => accept_loss(&args).await,
        AdminCommand::Frames(args) => frames::run(&args).await,
    }
}

impl Target {
    fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::with_key_file(self.key_file.as_deref())?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.at.trim_end_matches('/'))
    }

    async fn partitions(&self) -> anyhow::Result<Vec<PartitionView>> {
        Ok(self.client()?.get_data(&self.url("/v1/partitions")).await?)
    }
}

async fn partitions(args: &PartitionsArgs) -> anyhow::Result<ExitCode> {
    let partitions = args.target.partitions().await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&partitions)?)?;
    } else {
        writeln!(out, "partition  next offset  lag (frames)  state")?;
        for PartitionView { partition, next, lag_frames, halted, .. } in &partitions {
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
    let AcceptLossArgs { target, partition: number, next } = args;
    let Some(next) = next else {
        let partitions = target.partitions().await?;
        let found = partitions.into_iter().find(|found| found.partition == *number);
        let Some(PartitionView { halted, resumes_at, .. }) = found else {
            bail!("there is no partition {number}");
        };
        let Some(reason) = halted else {
            bail!("partition {number} is not halted: there is nothing to accept");
        };
        let Some(next) = resumes_at else {
            bail!("partition {number} is halted, but nothing is lost: {reason}");
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
    let url = target.url(&format!("/v1/partitions/{number}/accept-loss"));
    let accepted = target.client()?.post_data(&url, &AcceptLoss { next: *next }).await?;
    let Accepted { partition, next, lost_frames, .. } = accepted;
    let mut out = std::io::stdout().lock();
    writeln!(out, "partition {partition} goes on at offset {next}; frames lost: {lost_frames}")?;
    Ok(ExitCode::SUCCESS)
}
