//! `gatemeter config default|check`: every setting with its reason, and whether a file is right.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use service::config::{DEFAULT_TOML, Sources, load};

/// Options of `gatemeter config`.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Print every setting with unit, default and reason
    Default,
    /// Check the settings that a process would start with here
    Check {
        /// Settings file [default: gatemeter.toml in the working directory, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// The first setting that is wrong, with its path and where it was given.
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &args.command {
        ConfigCommand::Default => out.write_all(DEFAULT_TOML.as_bytes())?,
        ConfigCommand::Check { config } => {
            load(&Sources::of_process(config.clone(), Vec::new()))?;
            writeln!(out, "the settings are right")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
