//! `gatemeter admin status|partitions|accept-loss|frames`: how everything is, and decisions that
//! only an operator may take, sent to a running aggregator.
//!
//! Any aggregator knows from the ledger who counts which partition. A loss is accepted by the one
//! that counts the partition, in two steps: the first shows the offset at which counting would
//! resume, the second confirms that offset.

mod table;
mod status;
mod frames;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use aggregator::{AcceptLoss, Accepted, OwnerView, PartitionView};
use anyhow::{Context as _, bail};
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
    /// Show who counts each partition, who shows what is counted and what runs, from the ledger
    Status(status::StatusArgs),
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
    /// Where an aggregator listens; any of several knows of all partitions
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
/// if nothing was accepted because `--next` was not given, that of `frames` if it was refused, and
/// that of `status` as its help says.
///
/// # Errors
/// The aggregator does not answer, or refuses; of `status`, the ledger cannot be read.
pub async fn run(args: AdminArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        AdminCommand::Status(args) => status::run(&args).await,
        AdminCommand::Partitions(args) => partitions(&args).await,
        AdminCommand::AcceptLoss(args) => accept_loss(&args).await,
        AdminCommand::Frames(args) => frames::run(&args).await,
    }
}

impl Target {
    fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::with_key_file(self.key_file.as_deref())?)
    }

    fn base(&self) -> &str {
        self.at.trim_end_matches('/')
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    /// Where the aggregator listens that counts a partition; the one that was asked if that is not
    /// known, which then says what it thinks of it.
    fn owner(&self, partition: u32, owner: Option<OwnerView>) -> anyhow::Result<String> {
        let Some(owner) = owner.filter(|owner| !owner.is_here) else {
            return Ok(self.base().to_owned());
        };
        match owner.address {
            Some(address) => Ok(format!("http://{address}")),
            None => bail!(
                "partition {partition} is counted by no aggregator: the last one that did has ended"
            ),
        }
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
        let rows = partitions.iter().map(cells);
        let heads = ["partition", "owner", "next offset", "lag (frames)", "state"];
        write!(out, "{}", table::aligned(heads, [true, false, true, true, false], rows))?;
    }
    let has_halted = partitions.iter().any(|partition| partition.halted.is_some());
    Ok(if has_halted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A partition for people.
fn cells(view: &PartitionView) -> [String; 5] {
    let PartitionView { partition, next, lag_frames, halted, owner, .. } = view;
    let address = owner.as_ref().and_then(|owner| owner.address.clone());
    let state = match (halted, owner) {
        (Some(reason), _) => format!("halted: {reason}"),
        (None, Some(OwnerView { is_alive: true, .. })) => "counted".to_owned(),
        (None, Some(OwnerView { address: Some(_), .. })) => {
            "no owner: this one is silent".to_owned()
        }
        (None, _) => "no owner".to_owned(),
    };
    let owner = address.unwrap_or_else(|| "-".to_owned());
    [partition.to_string(), owner, next.to_string(), lag_frames.to_string(), state]
}

async fn accept_loss(args: &AcceptLossArgs) -> anyhow::Result<ExitCode> {
    let AcceptLossArgs { target, partition: number, next } = args;
    let partitions = target.partitions().await?;
    let found = partitions.into_iter().find(|found| found.partition == *number);
    let Some(PartitionView { halted, resumes_at, owner, .. }) = found else {
        bail!("there is no partition {number}");
    };
    let Some(next) = next else {
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
    let at = target.owner(*number, owner)?;
    let url = format!("{at}/v1/partitions/{number}/accept-loss");
    let posted = target.client()?.post_data(&url, &AcceptLoss { next: *next }).await;
    let Accepted { partition, next, lost_frames, .. } = match posted {
        Err(error @ service::Error::NoAnswer { .. }) if at != target.base() => {
            return Err(error).with_context(|| {
                format!(
                    "partition {number} is counted by the aggregator at {at}, which did not answer \
                     from here: look at the partitions again, then run this where that address can \
                     be reached, or name a way to it with --at"
                )
            });
        }
        posted => posted?,
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "partition {partition} goes on at offset {next}; frames lost: {lost_frames}")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
