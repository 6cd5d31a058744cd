//! Where the ledger is, for subcommands that open it beside whatever runs.

use std::path::PathBuf;

use service::config::{Settings, Sources, load};

/// Where the ledger is.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Directory with the ledger
    #[arg(long, value_name = "DIR", default_value = "./gatemeter-data")]
    pub data: PathBuf,
    /// The ledger on MySQL, as the settings say, in place of a directory
    #[arg(long, conflicts_with = "data")]
    pub cluster: bool,
    /// Settings file for --cluster [default: gatemeter.toml in the working directory, if any]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    config: Option<PathBuf>,
}

impl Place {
    /// The settings that name the services of `--cluster`.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        Ok(load(&Sources::of_process(self.config.clone(), Vec::new()))?)
    }
}
