//! `gatemeter dlq list|show|replay`: what was read and not counted, for people.
//!
//! Two kinds of letters: events of the log that were late, of the future, poison, misrouted or
//! contradict a copy; and messages of raw topics that ingest could not take. Listing and showing
//! only read. A replay goes through the door that every event goes through, and is counted once.

mod address;
mod view;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use queue::RawTopic;
use serde_json::{Value, json};
use service::client::{Client, check_url};
use service::config::{Settings, Sources, load};
use service::secret_file::read_key;
use store::{LetterFilter, Store};

use crate::dlq::address::Address;
use crate::dlq::view::Row;
use crate::services;

/// Letters of one request to ingest.
const REPLAY_LETTERS_MAX: usize = 2_000;
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
struct Place {
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
    place: Place,
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
    place: Place,
    /// As `list` prints it: 1/3/17/0 or raw:gatemeter.raw@ID/3/17
    address: Address,
    /// Show the message of a raw topic too, while the topic has it; it may hold prompts
    #[arg(long)]
    content: bool,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    place: Place,
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
        DlqCommand::Replay(args) => replay(args).await,
    }
}

impl Place {
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

    async fn topic(&self, name: &str) -> anyhow::Result<RawTopic> {
        let options = services::kafka_options(&self.settings()?)?;
        RawTopic::find(&options, name).await.with_context(|| format!("raw topic {name}"))
    }
}

impl Which {
    fn filter(&self, limit: i64) -> LetterFilter {
        let since_us = self.since.map_or(0, |span| {
            let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            jiff::Timestamp::now().as_microsecond().saturating_sub(span_us)
        });
        LetterFilter { word: self.class.clone(), since_us, limit }
    }
}

/// The letters that a filter lets pass, the newest first.
async fn rows(store: &Store, filter: &LetterFilter) -> anyhow::Result<Vec<Row>> {
    let mut reader = store.read().await?;
    let of_log = reader.log_letters(filter).await?.into_iter().map(Row::of_log);
    let of_raw = reader.raw_letters(filter).await?.into_iter().map(Row::of_raw);
    let mut rows: Vec<Row> = of_log.chain(of_raw).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.stored_us));
    rows.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(rows)
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let store = args.place.store().await?;
    let rows = rows(&store, &args.which.filter(args.limit)).await?;
    store.close().await;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else if rows.is_empty() {
        writeln!(out, "no dead letters")?;
    } else {
        for row in rows {
            out.write_all(row.line().as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let store = args.place.store().await?;
    let mut reader = store.read().await?;
    let none = || format!("there is no dead letter {}", args.address);
    let mut text = String::new();
    match &args.address {
        Address::Log { generation, partition, offset, index } => {
            let letter = reader.log_letter(*generation, *partition, *offset, *index).await?;
            text.push_str(&view::log_letter(&letter.with_context(none)?));
        }
        Address::Raw { topic, topic_id, partition, offset } => {
            let id = topic_id.as_deref();
            let letters = reader.raw_letters_at(topic, id, *partition, *offset).await?;
            if letters.is_empty() {
                bail!(none());
            }
            letters.into_iter().for_each(|letter| text.push_str(&Row::of_raw(letter).line()));
            if args.content {
                match message(&args.place, &args.address).await? {
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

/// The message that a letter of a raw topic is about, or why there is none.
async fn message(
    place: &Place,
    address: &Address,
) -> anyhow::Result<Result<bytes::Bytes, &'static str>> {
    let Address::Raw { topic, topic_id, partition, offset } = address else {
        return Ok(Err("it is no letter of a raw topic"));
    };
    let topic = place.topic(topic).await?;
    let id = topic.id().to_string();
    let found = match topic_id {
        // Another message has the address now.
        Some(wanted) if *wanted != id && !id.is_empty() => {
            Err("the topic was made anew since, and the message went with the old one")
        }
        _ => topic
            .message(*partition, *offset)
            .await?
            .ok_or("the topic does not hold the message any more"),
    };
    topic.close().await;
    Ok(found)
}

async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let addresses = match args.which.class {
        None => args.addresses,
        Some(_) => {
            let store = args.place.store().await?;
            let rows = rows(&store, &args.which.filter(REPLAY_MAX)).await?;
            store.close().await;
            let parsed = rows.iter().map(|row| row.address.parse());
            let mut found: Vec<Address> =
                parsed.collect::<Result<_, String>>().map_err(anyhow::Error::msg)?;
            // A message with several letters is sent once.
            found.dedup();
            found
        }
    };
    let is_log = |address: &Address| matches!(address, Address::Log { .. });
    let (log, raw): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_log);
    let mut tally = Tally::default();
    for part in log.chunks(REPLAY_LETTERS_MAX) {
        through_ingest(&args.to, args.key_file.as_deref(), part, &mut tally).await?;
    }
    for address in &raw {
        let Address::Raw { topic, .. } = address else { continue };
        let bytes = match message(&args.place, address).await? {
            Ok(bytes) => bytes,
            Err(reason) => {
                tally.refuse(address, reason);
                continue;
            }
        };
        let topic = args.place.topic(topic).await?;
        topic.publish(vec![bytes]).await.with_context(|| address.to_string())?;
        topic.close().await;
        tally.sent += 1;
    }
    println!("{} sent again, {} refused", tally.sent, tally.refused);
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of the letters so far.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    refused: usize,
}

impl Tally {
    fn refuse(&mut self, address: &Address, reason: &str) {
        self.refused += 1;
        println!("{address} refused: {}", reason.escape_debug());
    }
}

/// Has ingest append letters of the log again.
async fn through_ingest(
    to: &str,
    key_file: Option<&std::path::Path>,
    addresses: &[Address],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let key = key_file.map(read_key).transpose()?;
    let client = Client::new(key.as_deref())?;
    let letters: Vec<Value> = addresses
        .iter()
        .filter_map(|address| match address {
            Address::Log { generation, partition, offset, index } => Some(json!({
                "generation": generation, "partition": partition, "offset": offset, "index": index,
            })),
            Address::Raw { .. } => None,
        })
        .collect();
    let url = format!("{}/v1/dead-letters/replay", to.trim_end_matches('/'));
    let (status, text) = client.post(&url, json!({ "letters": letters }).to_string()).await?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let data = &answer["data"];
    let (Some(accepted), Some(rejected)) = (data["accepted"].as_u64(), data["rejected"].as_array())
    else {
        bail!("{url} answered {status}: {}", answer["message"].as_str().unwrap_or(&text));
    };
    tally.sent += usize::try_from(accepted)?;
    for refused in rejected {
        let index = refused["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        let Some(address) = index.and_then(|index| addresses.get(index)) else { continue };
        tally.refuse(address, refused["reason"].as_str().unwrap_or_default());
    }
    Ok(())
}

fn span(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no span: give 90m or 24h"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` must not be negative"))
}
