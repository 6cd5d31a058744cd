//! What a serving process does around its work, the same for `gatemeter all` and for single roles:
//! flags, settings, logs and signals before it, the last message after it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use service::auth::{DevMode, check_listen};
use service::config::{Settings, Sources, load};
use service::shutdown::{Shutdown, Trigger, channel, on_signals};
use tracing::info;

/// Flags that `gatemeter all` and every role have.
#[derive(Debug, clap::Args)]
pub struct ProcessArgs {
    /// Settings file [default: gatemeter.toml in the working directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask for no key; listens on loopback only
    #[arg(long)]
    dev: bool,
    /// Let --dev listen on any address: for containers whose ports are published on loopback
    #[arg(long, requires = "dev")]
    dev_any_address: bool,
}

impl ProcessArgs {
    fn dev_mode(&self) -> DevMode {
        match (self.dev, self.dev_any_address) {
            (false, _) => DevMode::Off,
            (true, false) => DevMode::Loopback,
            (true, true) => DevMode::AnyAddress,
        }
    }
}

/// A role of Gatemeter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes events in.
    Ingest,
    /// Counts them.
    Aggregator,
    /// Answers questions.
    Api,
}

impl Role {
    /// Every role, in the order in which `gatemeter all` checks their addresses.
    pub const ALL: [Role; 3] = [Role::Api, Role::Aggregator, Role::Ingest];

    /// Its name in settings, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Role::Ingest => "ingest",
            Role::Aggregator => "aggregator",
            Role::Api => "api",
        }
    }

    /// The address that it listens on.
    pub fn listen(self, settings: &Settings) -> SocketAddr {
        match self {
            Role::Ingest => settings.ingest.listen,
            Role::Aggregator => settings.aggregator.listen,
            Role::Api => settings.api.listen,
        }
    }

    /// The flag `--listen` of the role as a setting.
    pub fn listen_flag(self, address: Option<SocketAddr>) -> Option<(String, String)> {
        Some((format!("{}.listen", self.name()), address?.to_string()))
    }
}

/// What the work of a process starts from.
#[derive(Debug)]
pub struct Process {
    /// Settings of file, environment and flags.
    pub settings: Settings,
    /// Whether keys are required.
    pub dev: DevMode,
    /// Ends the process; tied to SIGTERM and SIGINT.
    pub trigger: Trigger,
    /// Learns of the end.
    pub shutdown: Shutdown,
}

/// The process was asked to end before it served: an error for the start, a success for the
/// process.
#[derive(Debug)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the process was asked to end while it started")
    }
}

impl std::error::Error for Stopped {}

/// Runs the roles until a signal or a failure. `flags` are settings by path, of the command line.
///
/// # Errors
/// Whatever keeps the process from starting, or makes it stop, named with its place.
pub async fn run(
    args: ProcessArgs,
    flags: Vec<(String, String)>,
    roles: &[Role],
    work: impl AsyncFnOnce(Process) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let dev = args.dev_mode();
    let settings = load(&Sources::of_process(args.config, flags))?;
    service::telemetry::init(&settings.log)?;
    // Before anything else, so that a signal during the start ends it cleanly as well.
    let (trigger, shutdown) = channel();
    let signals = on_signals(trigger.clone())?;
    for role in roles {
        check_listen(role.name(), role.listen(&settings), dev)?;
    }
    if dev != DevMode::Off {
        info!("development mode: no key is asked for");
    }
    let ended = work(Process { settings, dev, trigger, shutdown }).await;
    signals.abort();
    match ended {
        Ok(()) => info!("stopped"),
        Err(error) if error.is::<Stopped>() => info!("stopped before the start was complete"),
        Err(error) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}
