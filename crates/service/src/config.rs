//! Settings: `config/default.toml`, one file, the environment and flags, in rising order.
//!
//! Each source becomes a list of (path, value, origin); every entry is checked against the rule of
//! its setting before it may replace the one below, so that an error names the path and where it
//! was set. The result is a typed [`Settings`]. Defaults are never written in code, and secrets
//! never in files of settings: a password comes from the environment or from a file of its own.

mod layer;
mod raw_topic;
mod rule;
mod settings;
mod variable;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

pub use self::raw_topic::{RawTopic, RawTopics};
pub use self::settings::{
    AggregatorSettings, ApiSettings, DataSettings, IngestSettings, KafkaProtocol, KafkaSettings,
    LogFormat, LogLevel, LogSettings, MysqlSettings, MysqlTlsMode, QueueSettings, RedisSettings,
    ServerSettings, Settings,
};

use self::layer::{Entry, Origin, Raw};
use crate::error::Error;

/// Every setting with unit, default and reason, as `gatemeter config default` prints it.
pub const DEFAULT_TOML: &str = include_str!("../config/default.toml");

/// The file that is read from the working directory if no other is named.
pub const FILE_NAME: &str = "gatemeter.toml";

/// What every variable that sets something begins with; `__` parts section and key.
pub const ENV_PREFIX: &str = "GATEMETER_";

/// Where settings come from, beside the defaults; in rising order of precedence.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named with `--config`; it must exist. Without it, [`FILE_NAME`] if it exists.
    pub file: Option<PathBuf>,
    /// Where [`FILE_NAME`] is looked for.
    pub working_dir: PathBuf,
    /// The environment. Names without the prefix, or without `__`, are ignored, unless they look
    /// like a misspelt setting.
    pub env: Vec<(String, String)>,
    /// Dotted path and value of each flag that was given, such as `("ingest.listen", "..")`.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The sources of this process: its environment and its working directory.
    ///
    /// A value that is not UTF-8 is read with replacement characters; the rule of its setting then
    /// refuses it where that matters.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Sources {
        let env = std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .filter(|(name, _)| variable::is_ours(name))
            .collect();
        Sources { file, working_dir: PathBuf::from("."), env, flags }
    }
}

/// Merges the sources over the defaults and checks every value.
///
/// # Errors
/// A file that cannot be read or parsed; an unknown setting, a misspelt variable, a wrong type or a
/// value out of range, each with its path and origin. The first fault found is returned.
pub fn load(sources: &Sources) -> Result<Settings, Error> {
    let mut merged = defaults()?;
    merge(&mut merged, layer::from_file(sources)?)?;
    merge(&mut merged, variable::entries(&sources.env)?)?;
    merge(&mut merged, layer::from_flags(&sources.flags))?;
    shape(merged)
}

impl Default for Settings {
    fn default() -> Settings {
        defaults()
            .and_then(shape)
            .expect("the defaults are valid, which a test of this crate checks")
    }
}

fn defaults() -> Result<BTreeMap<String, toml::Value>, Error> {
    let mut merged = BTreeMap::new();
    merge(&mut merged, layer::from_toml(DEFAULT_TOML, &Origin::Default)?)?;
    Ok(merged)
}

fn merge(merged: &mut BTreeMap<String, toml::Value>, entries: Vec<Entry>) -> Result<(), Error> {
    for entry in entries {
        // A section may have all its settings commented out.
        if matches!(entry.raw, Raw::Empty) && rule::is_section(&entry.path) {
            continue;
        }
        let value = rule::check(&entry)?;
        merged.insert(entry.path, value);
    }
    Ok(())
}

fn shape(merged: BTreeMap<String, toml::Value>) -> Result<Settings, Error> {
    let mut sections = toml::Table::new();
    for (path, value) in merged {
        let (section, key) = path.split_once('.').expect("every rule has a section and a key");
        let table = sections
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .expect("only tables are inserted at this level");
        table.insert(key.to_owned(), value);
    }
    Settings::deserialize(sections).map_err(|source| Error::ConfigShape(Box::new(source)))
}
