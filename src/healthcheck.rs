//! `gatemeter healthcheck`: asks a process whether it is well, for images that have no curl.
//!
//! One question with a bound on its time; the exit code is the answer, and what was wrong is said
//! in one line. It never asks twice: how often, and how many failures count, is the caller's.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use service::client::{Client, probe_url};

/// Options of `gatemeter healthcheck`.
#[derive(Debug, clap::Args)]
pub struct HealthcheckArgs {
    /// What is asked, http://HOST:PORT/PATH; /readyz is added to a bare address
    #[arg(value_name = "URL", value_parser = probe_url)]
    url: String,
    /// Longest wait for the answer, in seconds, 1 to 20
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u64).range(1..=20))]
    timeout_s: u64,
}

/// Asks once: exit code 0 for an answer of 200 to 299.
///
/// # Errors
/// No answer in time, or another status; what was answered is in the text.
pub async fn run(args: HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let limit = Duration::from_secs(args.timeout_s);
    let (status, text) = Client::new(None)?.probe(&args.url, limit).await?;
    if !status.is_success() {
        bail!("{} answered {status}: {}", args.url, text.trim().escape_debug());
    }
    Ok(ExitCode::SUCCESS)
}
