//! The three roles as processes of their own, on Kafka and MySQL.
//!
//! A role binds, opens what it stands on, serves until a signal or a failure, and drains. While it
//! waits for a service its port says so; what a role does when it loses one later is its own
//! business. Roles exchange nothing except through log and ledger.

mod watch;
mod lags;
mod follow;
mod aggregator;
mod api;
mod ingest;

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;

use service::opening::Opening;
use service::server::{Drain, Server};
use service::shutdown::{Phase, Shutdown};

use crate::process::{self, ProcessArgs, Role};

/// Options of a single role.
#[derive(Debug, clap::Args)]
pub struct RoleArgs {
    #[command(flatten)]
    process: ProcessArgs,
    /// Address to listen on [default: of the role's settings]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs a role until a signal or a failure.
///
/// # Errors
/// Whatever keeps it from starting, or makes it stop, named with its place.
pub async fn run(role: Role, args: RoleArgs) -> anyhow::Result<ExitCode> {
    let flags = role.listen_flag(args.listen).into_iter().collect();
    process::run(args.process, flags, &[role], async |process| {
        let settings = &process.settings;
        let server = Server::bind(role.name(), role.listen(settings)).await?;
        let opening = Opening::default();
        let serving = server.serve(opening.router(), &settings.server, process.shutdown.clone());
        let serving = pin!(serving);
        match role {
            Role::Ingest => ingest::run(&process, opening, serving).await,
            Role::Aggregator => aggregator::run(&process, &opening, serving).await,
            Role::Api => api::run(&process, &opening, serving).await,
        }
    })
    .await
}

/// Opens what a role needs while its port is served already. `None` if the process was asked to end
/// before that was done.
async fn open<T>(
    opening: impl Future<Output = anyhow::Result<T>>,
    mut serving: Pin<&mut impl Future<Output = Drain>>,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<T>> {
    let opened = tokio::select! {
        opened = opening => opened,
        _ = &mut serving => return Ok(None),
    };
    match opened {
        // The shutdown broke it off, and nobody needs it any more.
        Err(_) if shutdown.phase() != Phase::Running => {
            serving.await;
            Ok(None)
        }
        opened => opened.map(Some),
    }
}
