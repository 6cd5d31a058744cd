//! `gatemeter dlq list|show|replay`: what was read and not counted, for people.
//!
//! Two kinds of letters: events of the log that were late, of the future, poison, misrouted or
//! contradict a copy; and messages of raw topics that ingest could not take. Listing and showing
//! only read. A replay goes through the door that every event goes through, and is counted once.

mod address;
mod topics;
mod replay;
mod view;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clock::Wall;
use service::client::check_url;
use service::config::{Settings, Sources, load};
use service::letters::LetterAddress;
use store::{LetterFilter, Store};

use crate::dlq::address::{Address, RawAddress};
use crate::dlq::topics::Topics;
use crate::dlq::view::Listed;
use crate::services;

/// Letters that one replay by class takes.
const REPLAY_MAX: i64 = 100_000;
/// Default address of ingest.
const TO_DEFAULT: &str = "http://127.0.0.1:8003";

/// Options of `gatemeter dlq`.
#[derive(Debug, clap::Args)]
pub struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DlqCommand {
    /// List letters, the newest first
    List(ListArgs),
    /// Show what is known of one letter
    Show(ShowArgs),
    /// Send letters again: what was misrouted or of the future through ingest, a message of a raw
    /// topic through its topic
    Replay(ReplayArgs),
}

/// Where letters are kept.
#[derive(Debug, clap::Args)]
struct Storage {
    /// Directory with the ledger
    #[arg(long, value_name = "DIR", default_value = "./gatemeter-data")]
    data: PathBuf,
    /// The ledger on MySQL, and raw topics on Kafka, as the settings say, in place of a directory
    #[arg(long, conflicts_with = "data")]
    cluster: bool,
    /// Settings file for --cluster [default: gatemeter.toml in the working directory, if any]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    config: Option<PathBuf>,
}

/// Which letters.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only those of this class (late, future, poison, misrouted, duplicate), or of this kind of
    /// fault in a raw topic (such as unreadable, missing, syntax)
    #[arg(long, value_name = "WORD")]
    class: Option<String>,
    /// Only those of the last time span, as in 90m or 24h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    since: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    storage: Storage,
    #[command(flatten)]
    which: Which,
    /// Letters at most
    #[arg(long, value_name = "N", default_value = "100")]
    #[arg(value_parser = clap::value_parser!(i64).range(1..=REPLAY_MAX))]
    limit: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    storage: Storage,
    /// As `list` prints it: 1/3/17/0 or raw:gatemeter.raw@ID/3/17
    address: Address,
    /// Show the message of a raw topic too, while the topic has it; it may hold prompts
    #[arg(long)]
    content: bool,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    storage: Storage,
    /// As `list` prints them
    #[arg(value_name = "ADDRESS", required_unless_present = "class", conflicts_with = "class")]
    addresses: Vec<Address>,
    #[command(flatten)]
    which: Which,
    /// Where ingest listens
    #[arg(long, value_name = "URL", default_value = TO_DEFAULT, value_parser = check_url)]
    to: String,
    /// File with the ingest key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Runs the subcommand. The exit code of a replay is 1 if any letter was refused.
///
/// # Errors
/// The ledger, Kafka or ingest cannot be asked, or there is no such letter.
pub async fn run(args: DlqArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        DlqCommand::List(args) => list(args).await,
        DlqCommand::Show(args) => show(args).await,
        DlqCommand::Replay(args) => replay::run(args).await,
    }
}

impl Storage {
    fn settings(&self) -> anyhow::Result<Settings> {
        if !self.cluster {
            bail!("raw topics are on Kafka: give --cluster");
        }
        Ok(load(&Sources::of_process(self.config.clone(), Vec::new()))?)
    }

    async fn store(&self) -> anyhow::Result<Store> {
        if !self.cluster {
            return Ok(Store::open_read_only(&self.data).await?);
        }
        let options = services::mysql_options(&self.settings()?.mysql)?;
        Ok(Store::open_mysql_read_only(&options).await?)
    }
}

impl Which {
    fn filter(&self, limit: i64) -> LetterFilter {
        let since_us = self.since.map_or(0, |span| {
            let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            Wall::now().as_us().saturating_sub(span_us)
        });
        LetterFilter { word: self.class.clone(), since_us, limit }
    }
}

/// The letters that a filter lets pass, the newest first.
async fn listed(store: &Store, filter: &LetterFilter) -> anyhow::Result<Vec<Listed>> {
    let mut reader = store.read().await?;
    let of_log = reader.log_letters(filter).await?.into_iter().map(Listed::of_log);
    let of_raw = reader.raw_letters(filter).await?.into_iter().map(Listed::of_raw);
    let mut letters: Vec<Listed> = of_log.chain(of_raw).collect();
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.stored_us));
    letters.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(letters)
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let store = args.storage.store().await?;
    let letters = listed(&store, &args.which.filter(args.limit)).await?;
    store.close().await;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&letters)?)?;
    } else if letters.is_empty() {
        writeln!(out, "no dead letters")?;
    } else {
        for letter in letters {
            out.write_all(letter.line().as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let store = args.storage.store().await?;
    let mut reader = store.read().await?;
    let none = || format!("there is no dead letter {}", args.address);
    let mut text = String::new();
    match &args.address {
        Address::Log(LetterAddress { generation, partition, offset, index }) => {
            let letter = reader.log_letter(*generation, *partition, *offset, *index).await?;
            text.push_str(&view::log_letter(&letter.with_context(none)?));
        }
        Address::Raw(address) => {
            let RawAddress { topic, topic_id, partition, offset } = address;
            let id = topic_id.as_deref();
            let letters = reader.raw_letters_at(topic, id, *partition, *offset).await?;
            if letters.is_empty() {
                bail!(none());
            }
            letters.into_iter().for_each(|letter| text.push_str(&Listed::of_raw(letter).line()));
            if args.content {
                let mut topics = Topics::new(&args.storage)?;
                let found = topics.message(address).await;
                topics.close().await;
                match found? {
                    Ok(bytes) => text.push_str(&view::message(&bytes)),
                    Err(reason) => text.push_str(&format!("{reason}\n")),
                }
            }
        }
    }
    drop(reader);
    store.close().await;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn span(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no span: give 90m or 24h"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` must not be negative"))
}
