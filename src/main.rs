//! The program `gatemeter`: reads the command line and hands over to the part that was asked for.

mod replay;

use std::process::ExitCode;

use clap::Parser;

/// Exactly-once metrics for AI gateways.
#[derive(Parser)]
#[command(name = "gatemeter", version)]
enum Command {
    Replay(replay::ReplayArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Replay(args) => replay::run(args).await,
    }
}
