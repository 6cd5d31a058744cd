//! Log lines: one line per message on standard error, as text or as JSON.
//!
//! A tracing event becomes one line in `line`, which escapes and caps every value, so that nothing
//! a client sends can begin a line of its own or fill the disk. Bodies and keys are never logged;
//! that is up to the callers. Spans are not shown: identifiers are fields of the message itself.

mod line;

use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::{LogLevel, LogSettings};
use crate::error::Error;

/// Our crates. Their messages follow the setting; those of other crates are shown from `warn` on at
/// most, for at `debug` the SQL and HTTP crates write several lines per request.
const OUR_CRATES: [&str; 15] = [
    "clock",
    "event",
    "kafka_id",
    "queue",
    "tokens",
    "ledger",
    "store",
    "service",
    "cache",
    "replay",
    "recount",
    "ingest",
    "aggregator",
    "api",
    "gatemeter",
];

/// Sets up the logs of this process, once.
///
/// # Errors
/// The logs are set up already.
pub fn init(settings: &LogSettings) -> Result<(), Error> {
    tracing::subscriber::set_global_default(subscriber(settings, std::io::stderr))
        .map_err(Error::TelemetryTwice)
}

fn subscriber<W>(settings: &LogSettings, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    let shown = filter_fn(move |metadata| {
        *metadata.level() <= if is_ours(metadata) { level } else { others }
    });
    let lines = tracing_subscriber::fmt::layer()
        .event_format(line::Line { format: settings.format })
        .with_ansi(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(shown.with_max_level_hint(level)).with(lines)
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    OUR_CRATES.contains(&target.split_once("::").map_or(target, |(name, _)| name))
}

#[cfg(test)]
mod tests;
