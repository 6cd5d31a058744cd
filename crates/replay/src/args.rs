//! The command line of `gatemeter replay` and the small languages in it: shares, spans of time,
//! sources.
//!
//! Text goes in, checked values come out; all messages about wrong arguments are here. Nothing here
//! opens a file but the one that holds the key.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use event::limits::BATCH_EVENTS_MAX;
use serde::{Deserialize, Serialize};
use service::secret_file::read_key;

use crate::compress::Compress;

/// More namespaces than this would overrun the receiver's default budget of labels.
pub const NAMESPACES_MAX: usize = 1_000;
/// More connections than this test the receiver's limits, not its counting.
pub const CONNECTIONS_MAX: usize = 64;
/// The run id is part of every event id, which has 128 bytes.
pub const RUN_ID_BYTES_MAX: usize = 40;
/// A run that waits longer than a day for an answer is forgotten, not patient.
const SPAN_SECONDS_MAX: u64 = 86_400;
/// An event in ten copies is as far as a test goes.
const SHARE_PPM_MAX: f64 = 10_000_000.0;

const AFTER_HELP: &str = "Exit codes: 0 the run came to its end and every total is certain; \
    1 it did not or is not, the report says why; 2 the command line is wrong.\n\
    docs/replay.md has the JSON report and the tape.";

/// Sends events to ingest and says what exactly must be counted afterwards.
///
/// --count, or the trace, is the number of distinct good events; duplicates, late, future and
/// malformed events come on top, so that the totals of a trace stay exact. Shares are of the good
/// events.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = AFTER_HELP)]
pub struct ReplayArgs {
    /// azure:FILE.csv[.gz][,FILE..] (Azure LLM traces), servegen:DIR (Alibaba ServeGen: one
    /// namespace for each client), ndjson:FILE[.gz] (native events; - is stdin) or synthetic;
    /// several files of one kind are played as one
    #[arg(value_name = "SOURCE", required_unless_present = "resume", conflicts_with = "resume")]
    pub sources: Vec<String>,
    /// Where ingest listens; /v1/events is added unless the URL has a path. Or a raw topic of
    /// Kafka, as in kafka://127.0.0.1:9092/gatemeter.raw [default: http://127.0.0.1:8003, or with
    /// --resume where the run on the tape went]
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// A second way in: every other copy of --duplicates goes there
    #[arg(long, value_name = "URL")]
    pub also: Option<String>,
    /// How events stand in the messages of a topic
    #[arg(long, value_name = "FORM", default_value = "array", value_enum)]
    pub message: MessageForm,
    /// Settings file, for login and encryption at Kafka [default: gatemeter.toml in the working
    /// directory, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ingest key
    #[arg(long, env = "GATEMETER_INGEST_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// File with the ingest key; wins over --key and its variable
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Events per second; batches shrink so that at least four go out each second [default: as
    /// fast as they are taken]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Part of a ServeGen trace, from its start, as in 1h-3h or 0-90m; windows of ten minutes
    /// that begin in it are played whole [default: all that the folder holds]
    #[arg(long, value_name = "FROM-TO", conflicts_with = "resume")]
    pub window: Option<Window>,
    /// Distinct good events; of a trace, the first in time [default: all of a file or trace, 10000
    /// synthetic ones]
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub count: Option<u64>,
    /// Events per request, at most 2000
    #[arg(long, value_name = "N", default_value = "500", conflicts_with = "resume")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=BATCH_EVENTS_MAX as i64))]
    pub batch: u16,
    /// Requests in flight at once, at most 64
    #[arg(long, value_name = "N", default_value = "2")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=CONNECTIONS_MAX as i64))]
    pub connections: u8,
    /// Send bodies of requests compressed
    #[arg(long, value_name = "HOW", default_value = "none", value_enum)]
    pub compress: Compress,
    /// Copies of earlier events, same id and time, as in 5%
    #[arg(long, value_name = "SHARE", default_value = "0%", conflicts_with = "resume")]
    pub duplicates: Share,
    /// Events 62 to 120 minutes old
    #[arg(long, value_name = "SHARE", default_value = "0%", conflicts_with = "resume")]
    pub late: Share,
    /// Events up to a year ahead, at least 6 minutes and --give-up-after
    #[arg(long, value_name = "SHARE", default_value = "0%", conflicts_with = "resume")]
    pub future: Share,
    /// Events with one fault each, which ingest must reject one by one
    #[arg(long, value_name = "SHARE", default_value = "0%", conflicts_with = "resume")]
    pub malformed: Share,
    /// Number of namespaces drawn from (Zipf), at most 1000; those of servegen are its clients,
    /// those of ndjson are recorded
    #[arg(long, value_name = "N", default_value = "12", conflicts_with = "resume")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=NAMESPACES_MAX as i64))]
    pub namespaces: u16,
    /// Everything that is drawn hangs on it: same seed and options, same events
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "resume")]
    pub seed: u64,
    /// Goes in front of every event id; letters, digits, `-_.`, at most 40; never twice the same
    /// for one receiver, or all is duplicate [default: random]
    #[arg(long, value_name = "ID", value_parser = parse_run_id, conflicts_with = "resume")]
    pub run_id: Option<String>,
    /// Event times: now; fit[:45m], the trace scaled into the minutes before the start; keep or
    /// as-is, as recorded, where events near an hour old make the totals a range [default: fit for
    /// traces, keep for ndjson, now for synthetic]
    #[arg(long, value_name = "TIMES", conflicts_with = "resume")]
    pub times: Option<Times>,
    /// Record each send here before it goes out; a directory gets replay-RUNID.tape.ndjson
    /// [default: no tape]
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub tape: Option<PathBuf>,
    /// Go on with the run on this tape: batches without an answer are sent again
    #[arg(long, value_name = "TAPE")]
    pub resume: Option<PathBuf>,
    /// Give up when a batch found no answer for this long
    #[arg(long, value_name = "SPAN", default_value = "2m", value_parser = parse_span)]
    pub give_up_after: Duration,
    /// Print the totals as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress and no remarks
    #[arg(long)]
    pub quiet: bool,
}

impl ReplayArgs {
    /// The ingest key, if one is named.
    ///
    /// # Errors
    /// The key file cannot be read or holds no key.
    pub fn ingest_key(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.key_file else {
            let key = self.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
            return Ok(key.map(str::to_owned));
        };
        Ok(Some(read_key(path)?))
    }
}

/// How events stand in the messages of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MessageForm {
    /// A batch is a message: an array of its events.
    Array,
    /// A batch is a message: a line for each event.
    Ndjson,
    /// Each event is a message.
    Event,
}

/// A share of the good events, in parts per million; 1,000,000 is one for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(pub u32);

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let (number, ppm_per_unit) = match text.strip_suffix('%') {
            Some(number) => (number, 10_000.0),
            None => (text, 1_000_000.0),
        };
        let ppm = number.trim().parse::<f64>().map(|number| number * ppm_per_unit);
        match ppm {
            Ok(ppm) if (0.0..=SHARE_PPM_MAX).contains(&ppm) => Ok(Share(ppm.round() as u32)),
            _ => Err(format!("`{text}` is no share: give 5% or 0.05, at most 1000%")),
        }
    }
}

/// Where event times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// The clock when the batch is made.
    Now,
    /// Recorded times scaled into a window that ends at the start of the run.
    Fit {
        /// Length of the window, microseconds.
        window_us: i64,
    },
    /// As recorded; only sources that carry ids and times know this.
    Keep,
}

/// Default address of ingest.
pub const TO_DEFAULT: &str = "http://127.0.0.1:8003";
/// The window of `fit` when none is named: it leaves 14 minutes to send the trace.
pub const FIT_DEFAULT: Times = Times::Fit { window_us: 45 * 60 * 1_000_000 };
const FIT_WINDOW_MAX: Duration = Duration::from_secs(58 * 60);

impl std::str::FromStr for Times {
    type Err = String;

    fn from_str(text: &str) -> Result<Times, String> {
        match text {
            "now" => return Ok(Times::Now),
            "keep" | "as-is" => return Ok(Times::Keep),
            "fit" => return Ok(FIT_DEFAULT),
            _ => {}
        }
        let Some(span) = text.strip_prefix("fit:") else {
            return Err(format!("`{text}` is none of now, fit:45m, keep (or as-is)"));
        };
        let window = parse_span(span)?;
        if window > FIT_WINDOW_MAX {
            return Err("a window beyond 58m leaves no time to send: events become late after 60m"
                .to_string());
        }
        let window_us = i64::try_from(window.as_micros()).expect("58 minutes fit");
        Ok(Times::Fit { window_us })
    }
}

/// A part of a trace, seconds from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first second that is in it.
    pub from_s: u64,
    /// The first second that is no longer in it.
    pub until_s: u64,
}

impl Window {
    /// Whether a second is in it.
    pub fn holds(self, second: u64) -> bool {
        (self.from_s..self.until_s).contains(&second)
    }
}

impl std::str::FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let ends = text.split_once('-').and_then(|(from, until)| {
            let from_s = if from == "0" { Some(0) } else { parse_seconds(from) };
            Some(Window { from_s: from_s?, until_s: parse_seconds(until)? })
        });
        match ends {
            Some(window) if window.from_s < window.until_s => Ok(window),
            _ => Err(format!("`{text}` is no window: give FROM-TO, as in 1h-3h or 0-90m")),
        }
    }
}

/// What is played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceSpec {
    /// Azure LLM traces, merged by time.
    Azure(Vec<PathBuf>),
    /// A folder of ServeGen's client statistics.
    ServeGen(PathBuf),
    /// Native events, file after file; `-` is stdin.
    Ndjson(Vec<PathBuf>),
    /// Drawn by seed.
    Synthetic,
}

/// Reads the sources of a command line: `azure:A,B`, `azure:A azure:B` and `azure:A B` are one.
///
/// # Errors
/// An unknown kind, kinds that are mixed, an empty name, a second folder.
pub fn parse_sources(texts: &[String]) -> anyhow::Result<SourceSpec> {
    const KINDS: &str = "azure:FILE, servegen:DIR, ndjson:FILE or synthetic";
    let mut kind: Option<&str> = None;
    let mut files = Vec::new();
    for text in texts {
        let (own_kind, names) = match text.split_once(':') {
            Some((word @ ("azure" | "servegen" | "ndjson"), names)) => (word, names),
            _ if text == "synthetic" => ("synthetic", ""),
            _ => match kind {
                Some(word @ ("azure" | "ndjson")) => (word, text.as_str()),
                _ => bail!("`{text}` is not a source: {KINDS}"),
            },
        };
        let is_single = matches!(own_kind, "synthetic" | "servegen");
        if kind.is_some_and(|word| word != own_kind || is_single) {
            bail!("one kind of source per run: `{text}` does not match the one before it");
        }
        kind = Some(own_kind);
        for name in names.split(',') {
            if name.is_empty() && own_kind != "synthetic" {
                bail!("`{text}` names no file");
            }
            files.push(PathBuf::from(name));
        }
    }
    match (kind, &files[..]) {
        (Some("azure"), _) => Ok(SourceSpec::Azure(files)),
        (Some("ndjson"), _) => Ok(SourceSpec::Ndjson(files)),
        (Some("servegen"), [folder]) => Ok(SourceSpec::ServeGen(folder.clone())),
        (Some("servegen"), _) => bail!("one folder per run: its name is the model's name"),
        (Some(_), _) => Ok(SourceSpec::Synthetic),
        (None, _) => bail!("no source: {KINDS}"),
    }
}

fn parse_run_id(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > RUN_ID_BYTES_MAX || !text.chars().all(known) {
        return Err(format!("1 to {RUN_ID_BYTES_MAX} letters, digits, `-`, `_` or `.`"));
    }
    Ok(text.to_string())
}

fn parse_span(text: &str) -> Result<Duration, String> {
    match parse_seconds(text) {
        Some(seconds @ 1..=SPAN_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{text}` is not a duration: give 90s, 45m or 2h, at most 24h")),
    }
}

/// `90s`, `45m`, `2h` in seconds.
fn parse_seconds(text: &str) -> Option<u64> {
    let unit_start = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_start);
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| u64::from(number) * seconds_per_unit)
}

#[cfg(test)]
mod tests;
