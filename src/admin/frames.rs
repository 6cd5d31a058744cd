//! `gatemeter admin frames`: the frame version that ingest writes, shown or raised.
//!
//! It asks a running aggregator; the ledger decides whether the version may be raised.

use std::io::Write as _;
use std::process::ExitCode;

use aggregator::{FramesRaised, FramesView, RaiseFrames};

use super::Target;

/// Options of `gatemeter admin frames`.
#[derive(Debug, clap::Args)]
pub struct FramesArgs {
    #[command(flatten)]
    target: Target,
    /// The version that ingest is to write from now on; there is no way back
    version: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows the frame version, or raises it.
///
/// # Errors
/// The aggregator does not answer, or refuses.
pub async fn run(args: &FramesArgs) -> anyhow::Result<ExitCode> {
    let (client, url) = (args.target.client()?, args.target.url("/v1/frames"));
    let said = match args.version {
        None => {
            let view: FramesView = client.get_data(&url).await?;
            if args.json { serde_json::to_string_pretty(&view)? } else { shown(&view) }
        }
        Some(version) => {
            let raised: FramesRaised = client.post_data(&url, &RaiseFrames { version }).await?;
            if args.json { serde_json::to_string_pretty(&raised)? } else { done(raised) }
        }
    };
    writeln!(std::io::stdout().lock(), "{said}")?;
    Ok(ExitCode::SUCCESS)
}

/// What is, and what an operator can do.
fn shown(view: &FramesView) -> String {
    let FramesView { version, known, not_ready } = view;
    let is = format!("ingest writes frames of version {version}; this aggregator knows {known}\n");
    let partitions: Vec<String> = not_ready.iter().map(u32::to_string).collect();
    let partitions = partitions.join(", ");
    let next = match (version < known, not_ready.is_empty()) {
        (true, true) => format!(
            "Every partition is counted by a program that knows version {known}. Upgrade every \
             `gatemeter recount` too, then\nsay `gatemeter admin frames {known}`. Programs from \
             before version {known} cannot read such frames, and there is\nno way back."
        ),
        (true, false) => format!(
            "These partitions have no aggregator that knows version {known} yet, start a newer \
             one first: {partitions}"
        ),
        (false, true) => "Nothing is left to do.".to_owned(),
        (false, false) => format!(
            "These partitions have no aggregator that knows version {known}, and halt at such \
             frames: {partitions}"
        ),
    };
    is + &next
}

fn done(FramesRaised { version, is_new }: FramesRaised) -> String {
    if !is_new {
        return format!("ingest wrote frames of version {version} before: nothing was changed");
    }
    format!(
        "Ingest writes frames of version {version} within seconds. Programs from before that \
         version cannot read them,\nand there is no way back: do not start an older aggregator or \
         recount on this log."
    )
}

#[cfg(test)]
mod tests;
