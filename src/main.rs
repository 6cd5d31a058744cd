//! The program `gatemeter`: parses the command line and runs one subcommand.
//!
//! An error is one line on standard error with all its causes, and an exit code other than 0. What
//! a subcommand reports goes to standard output.

mod settings;
mod process;
mod keys;
mod services;
mod place;
mod live;
mod compose;
mod resend;
mod ports;
mod rights;
mod all;
mod role;
mod dlq;
mod admin;
mod backup;
mod healthcheck;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::Role;

/// Exactly-once metrics for AI gateways: requests and tokens per namespace, upstream and model.
#[derive(Debug, Parser)]
#[command(name = "gatemeter", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run ingest, aggregator and api in one process on embedded storage
    All(all::AllArgs),
    /// Take events in over HTTP and append them to the log on Kafka
    Ingest(role::RoleArgs),
    /// Count the log on Kafka into the ledger on MySQL and expose the metrics
    Aggregator(role::RoleArgs),
    /// Answer questions from the ledger on MySQL, keep the configuration, serve the page
    Api(role::RoleArgs),
    /// Send traces, recorded events or synthetic streams, and say what must be counted
    Replay(replay::ReplayArgs),
    /// Count the log again and compare it with the ledger, /metrics and the API
    Recount(recount::RecountArgs),
    /// List, show and send again what was not counted
    Dlq(dlq::DlqArgs),
    /// Show how everything is, let a halted partition go on, raise the frame version
    Admin(admin::AdminArgs),
    /// Write a backup of the ledger to a file, while everything runs
    Backup(backup::BackupArgs),
    /// Make a ledger out of a backup, in a directory or database that has none
    Restore(backup::RestoreArgs),
    /// Ask a process whether it is well: exit code 0 if URL answers 2xx
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Show or check settings
    Config(settings::ConfigArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::All(args) => all::run(args).await,
        Command::Ingest(args) => role::run(Role::Ingest, args).await,
        Command::Aggregator(args) => role::run(Role::Aggregator, args).await,
        Command::Api(args) => role::run(Role::Api, args).await,
        Command::Replay(args) => replay::run(args, services::kafka_from_settings).await,
        Command::Recount(args) => recount::run(args, services::cluster_to_read).await,
        Command::Dlq(args) => dlq::run(args).await,
        Command::Admin(args) => admin::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Restore(args) => backup::restore(args).await,
        Command::Healthcheck(args) => healthcheck::run(args).await,
        Command::Config(args) => settings::run(&args),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
