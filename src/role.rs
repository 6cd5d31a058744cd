//! The three roles as processes of their own, on Kafka and MySQL.
//!
//! A role binds, opens what it stands on, serves until a signal or a failure, and drains. While it
//! waits for a service its port says so; what becomes of a role when one of them is lost later is
//! the role's own business. Roles never talk to each other but through log and ledger.

mod watch;
mod lags;
mod aggregator;
mod api;
mod ingest;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use service::auth::{DevMode, check_listen};
use service::config::{Settings, Sources, load};
use service::server::Drain;
use service::shutdown::{Phase, Shutdown, Trigger, channel, on_signals};
use tracing::info;

/// Options of a single role.
#[derive(Debug, clap::Args)]
pub struct RoleArgs {
    /// Settings file [default: gatemeter.toml in the working directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask for no key; listens on loopback only
    #[arg(long)]
    dev: bool,
    /// Let --dev listen on any address: for containers whose ports are published on loopback
    #[arg(long, requires = "dev")]
    dev_any_address: bool,
    /// Address to listen on [default: of the role's settings]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Which role.
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
    fn name(self) -> &'static str {
        match self {
            Role::Ingest => "ingest",
            Role::Aggregator => "aggregator",
            Role::Api => "api",
        }
    }
}

/// What every role starts from.
struct Start {
    settings: Settings,
    dev: DevMode,
    trigger: Trigger,
    shutdown: Shutdown,
}

/// Runs a role until a signal or a failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop, named with its place.
pub async fn run(role: Role, args: RoleArgs) -> anyhow::Result<ExitCode> {
    let flag = |address: SocketAddr| (format!("{}.listen", role.name()), address.to_string());
    let flags = args.listen.map(flag).into_iter().collect();
    let settings = load(&Sources::of_process(args.config, flags))?;
    service::telemetry::init(&settings.log)?;
    // Before anything else, so that a signal during the start ends it cleanly as well.
    let (trigger, shutdown) = channel();
    let signals = on_signals(trigger.clone())?;
    let dev = match (args.dev, args.dev_any_address) {
        (false, _) => DevMode::Off,
        (true, false) => DevMode::Loopback,
        (true, true) => DevMode::AnyAddress,
    };
    let listen = match role {
        Role::Ingest => settings.ingest.listen,
        Role::Aggregator => settings.aggregator.listen,
        Role::Api => settings.api.listen,
    };
    check_listen(role.name(), listen, dev)?;
    if dev != DevMode::Off {
        info!("development mode: no key is asked for");
    }
    let start = Start { settings, dev, trigger, shutdown };
    let ended = match role {
        Role::Ingest => ingest::run(start).await,
        Role::Aggregator => aggregator::run(start).await,
        Role::Api => api::run(start).await,
    };
    signals.abort();
    ended?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Makes a role while its port is served already. `None` if a shutdown was requested before.
async fn make<T>(
    making: impl Future<Output = anyhow::Result<T>>,
    mut serving: Pin<&mut impl Future<Output = Drain>>,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<T>> {
    let made = tokio::select! {
        made = making => made,
        _ = &mut serving => return Ok(None),
    };
    match made {
        // What is given up half made fails, and nobody wants it any more.
        Err(_) if shutdown.phase() != Phase::Running => {
            serving.await;
            Ok(None)
        }
        made => made.map(Some),
    }
}
