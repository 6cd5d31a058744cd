//! What each setting takes: type and range, one line per setting.
//!
//! An entry goes in, a checked TOML value or an error with path and origin comes out. The reasons
//! for the ranges are in `config/default.toml`, and a test holds the two together.

use std::net::SocketAddr;

use jiff::tz::TimeZone;
use toml::Value;

use super::layer::{Entry, Origin, Raw};
use super::raw_topic::RawTopics;
use crate::client::check_url;
use crate::error::Error;

/// Characters of a refused value that an error shows.
const SHOWN_CHARS_MAX: usize = 80;
/// Longest name of a host, a user or a database: what DNS allows, and more than a server takes.
const NAME_BYTES_MAX: usize = 253;
/// Longest password.
const SECRET_BYTES_MAX: usize = 1024;

/// What one setting takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A whole number from the first to the second, both included.
    Integer(i64, i64),
    /// `true` or `false`.
    Switch,
    /// An IP address with a port.
    Address,
    /// A path that is not empty.
    Folder,
    /// Hosts with ports, with commas between.
    Brokers,
    /// Topics with their sources, with commas between, or none.
    RawTopics,
    /// A URL of Redis without a password, or none.
    RedisUrl,
    /// A URL of plain HTTP, or none.
    HttpUrl,
    /// Any text, or none.
    Text,
    /// A path, or nothing.
    File,
    /// A name that is not empty.
    Name,
    /// A secret, from the environment only, or nothing.
    Secret,
    /// A name of the IANA time zone database.
    Zone,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Words of `mysql.tls`.
const MYSQL_TLS: &[&str] = &["disabled", "preferred", "required", "verify_ca", "verify_identity"];

/// All settings with their rules.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("data.dir", Rule::Folder),
    ("ingest.listen", Rule::Address),
    ("ingest.auto_register", Rule::Switch),
    ("ingest.gather_ms", Rule::Integer(0, 1_000)),
    ("ingest.queue_events_max", Rule::Integer(2_000, 10_000_000)),
    ("ingest.durable_timeout_ms", Rule::Integer(100, 60_000)),
    ("ingest.namespaces_max", Rule::Integer(1, 1_000_000)),
    ("ingest.models_max", Rule::Integer(1, 100_000)),
    ("ingest.upstreams_max", Rule::Integer(1, 100_000)),
    ("ingest.endpoints_max", Rule::Integer(1, 100_000)),
    ("ingest.consumers_per_namespace_max", Rule::Integer(1, 10_000_000)),
    ("ingest.policies_max", Rule::Integer(1, 100_000)),
    ("aggregator.listen", Rule::Address),
    ("aggregator.commit_interval_ms", Rule::Integer(10, 60_000)),
    ("aggregator.dedup_bytes_max", Rule::Integer(1 << 20, 1 << 40)),
    ("aggregator.dead_letter_rows_per_hour", Rule::Integer(0, 10_000_000)),
    ("aggregator.dead_letter_days", Rule::Integer(1, 3_650)),
    ("aggregator.late_seconds", Rule::Integer(1, 3_600)),
    ("aggregator.journal_days", Rule::Integer(1, 3_650)),
    ("aggregator.minute_hours", Rule::Integer(7, 8_760)),
    ("aggregator.quarter_days", Rule::Integer(32, 36_500)),
    ("aggregator.consumer_days", Rule::Integer(32, 36_500)),
    ("queue.retention_days", Rule::Integer(1, 3_650)),
    ("queue.bytes_max", Rule::Integer(1 << 20, 100 << 40)),
    ("kafka.brokers", Rule::Brokers),
    ("kafka.generation", Rule::Integer(1, 1_000_000)),
    ("kafka.partitions", Rule::Integer(1, 1_024)),
    ("kafka.replication_factor", Rule::Integer(1, 9)),
    ("kafka.raw_topics", Rule::RawTopics),
    ("kafka.raw_group", Rule::Name),
    ("kafka.security_protocol", Rule::Choice(&["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])),
    ("kafka.ssl_ca_file", Rule::File),
    ("kafka.ssl_certificate_file", Rule::File),
    ("kafka.ssl_key_file", Rule::File),
    ("kafka.sasl_mechanism", Rule::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])),
    ("kafka.sasl_username", Rule::Text),
    ("kafka.sasl_password", Rule::Secret),
    ("kafka.sasl_password_file", Rule::File),
    ("mysql.host", Rule::Name),
    ("mysql.port", Rule::Integer(1, 65_535)),
    ("mysql.socket", Rule::File),
    ("mysql.user", Rule::Name),
    ("mysql.password", Rule::Secret),
    ("mysql.password_file", Rule::File),
    ("mysql.database", Rule::Name),
    ("mysql.tls", Rule::Choice(MYSQL_TLS)),
    ("mysql.ca_file", Rule::File),
    ("mysql.writers_max", Rule::Integer(1, 1_000)),
    ("mysql.readers_max", Rule::Integer(1, 1_000)),
    ("mysql.connect_timeout_ms", Rule::Integer(100, 60_000)),
    ("mysql.statement_timeout_ms", Rule::Integer(1_000, 600_000)),
    ("mysql.lock_timeout_s", Rule::Integer(1, 600)),
    ("redis.url", Rule::RedisUrl),
    ("redis.password", Rule::Secret),
    ("redis.password_file", Rule::File),
    ("redis.own_bytes_max", Rule::Integer(1 << 20, 1 << 40)),
    ("api.listen", Rule::Address),
    ("api.timezone", Rule::Zone),
    ("api.ingest_url", Rule::HttpUrl),
    ("api.ingest_key_file", Rule::File),
    ("log.level", Rule::Choice(&["error", "warn", "info", "debug", "trace"])),
    ("log.format", Rule::Choice(&["text", "json"])),
    ("server.connections_max", Rule::Integer(1, 100_000)),
    ("server.header_timeout_ms", Rule::Integer(10, 60_000)),
    ("server.body_timeout_ms", Rule::Integer(10, 600_000)),
    ("server.body_bytes_per_second_min", Rule::Integer(0, 1 << 20)),
    ("server.idle_timeout_ms", Rule::Integer(10, 3_600_000)),
    ("server.drain_timeout_ms", Rule::Integer(0, 9_000)),
];

/// Whether there are settings in a section of this name.
pub(super) fn is_section(name: &str) -> bool {
    RULES.iter().any(|(path, _)| path.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The value of an entry, once its setting exists and takes it.
pub(super) fn check(entry: &Entry) -> Result<Value, Error> {
    let Some((_, rule)) = RULES.iter().find(|(path, _)| *path == entry.path) else {
        if is_section(&entry.path) {
            return Err(Error::ConfigType {
                path: entry.path.clone(),
                origin: entry.origin.to_string(),
                expected: format!("a table: [{}]", entry.path),
                found: shown(&entry.raw),
            });
        }
        return Err(Error::ConfigUnknown {
            path: entry.path.clone(),
            origin: entry.origin.to_string(),
            known: known(&entry.path),
        });
    };
    let (path, origin) = (entry.path.clone(), entry.origin.to_string());
    let is_secret = matches!(rule, Rule::Secret);
    let found = if is_secret { "a value that is not shown".to_owned() } else { shown(&entry.raw) };
    let expected = rule.expected();
    let Some(value) = rule.typed(&entry.raw) else {
        return Err(Error::ConfigType { path, origin, expected, found });
    };
    let may_be_secret = matches!(entry.origin, Origin::Default | Origin::Environment { .. });
    // An empty value reveals nothing, and is what `config default` prints.
    if is_secret && !may_be_secret && value.as_str() != Some("") {
        return Err(Error::ConfigType { path, origin, expected, found });
    }
    if !rule.takes(&value) {
        let found = value.as_integer().map_or(found, |number| number.to_string());
        return Err(Error::ConfigRange { path, origin, expected, found });
    }
    Ok(value)
}

impl Rule {
    /// What the setting takes, in words.
    pub(super) fn expected(self) -> String {
        match self {
            Rule::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Rule::Switch => "true or false".to_owned(),
            Rule::Address => "an IP address with a port, such as 127.0.0.1:8000".to_owned(),
            Rule::Folder => "the path of a folder".to_owned(),
            Rule::Brokers => "hosts with ports, such as kafka-1:9092,kafka-2:9092".to_owned(),
            Rule::RawTopics => {
                "topics and their sources, such as gatemeter.raw=default, each once, \
                                or nothing"
                    .to_owned()
            }
            Rule::RedisUrl => "a URL such as redis://127.0.0.1:6379/0, without a password, or \
                               nothing"
                .to_owned(),
            Rule::HttpUrl => "a URL such as http://127.0.0.1:8003, or nothing".to_owned(),
            Rule::Text => "a text".to_owned(),
            Rule::File => "the path of a file, or empty".to_owned(),
            Rule::Name => format!("a name of 1 to {NAME_BYTES_MAX} bytes"),
            Rule::Secret => format!(
                "set in the environment, or in the file that the setting beside it names, and have \
                 at most {SECRET_BYTES_MAX} bytes"
            ),
            Rule::Zone => "an IANA time zone, such as Europe/Berlin".to_owned(),
            Rule::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    fn typed(self, raw: &Raw) -> Option<Value> {
        match (self, raw) {
            (Rule::Integer(..), Raw::Integer(number)) => Some(Value::Integer(*number)),
            (Rule::Integer(..), Raw::Untyped(text)) => text.parse().ok().map(Value::Integer),
            (Rule::Switch, Raw::Boolean(switch)) => Some(Value::Boolean(*switch)),
            (Rule::Switch, Raw::Untyped(text)) => text.parse().ok().map(Value::Boolean),
            (Rule::Integer(..) | Rule::Switch, _) => None,
            (_, Raw::String(text) | Raw::Untyped(text)) => Some(Value::String(text.clone())),
            (_, Raw::Integer(_) | Raw::Boolean(_) | Raw::Empty | Raw::Other(_)) => None,
        }
    }

    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Rule::Integer(min, max), Value::Integer(number)) => (min..=max).contains(number),
            (Rule::Switch, Value::Boolean(_)) => true,
            (Rule::Address, Value::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Rule::Folder, Value::String(text)) => !text.is_empty() && !text.contains('\0'),
            (Rule::Brokers, Value::String(text)) => text.split(',').all(is_host_with_port),
            (Rule::RawTopics, Value::String(text)) => RawTopics::read(text).is_some(),
            (Rule::RedisUrl, Value::String(text)) => {
                text.is_empty() || (text.starts_with("redis://") && !text.contains('@'))
            }
            (Rule::HttpUrl, Value::String(text)) => text.is_empty() || check_url(text).is_ok(),
            (Rule::Text, Value::String(text)) => !text.contains('\0'),
            (Rule::File, Value::String(text)) => !text.contains('\0'),
            (Rule::Name, Value::String(text)) => {
                (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
            }
            (Rule::Secret, Value::String(text)) => {
                text.len() <= SECRET_BYTES_MAX && !text.contains('\0')
            }
            (Rule::Zone, Value::String(text)) => TimeZone::get(text).is_ok(),
            (Rule::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
            _ => false,
        }
    }
}

/// Whether a text names a host and a port. The host is not resolved.
fn is_host_with_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    !host.is_empty() && host.chars().all(is_name) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn known(path: &str) -> String {
    let section = path.split('.').next().unwrap_or(path);
    let keys: Vec<&str> = RULES
        .iter()
        .filter_map(|(known, _)| known.split_once('.'))
        .filter(|(known, _)| *known == section)
        .map(|(_, key)| key)
        .collect();
    if !keys.is_empty() {
        return format!("[{section}] has {}", keys.join(", "));
    }
    let mut sections: Vec<&str> =
        RULES.iter().filter_map(|(known, _)| known.split_once('.')).map(|pair| pair.0).collect();
    sections.dedup();
    format!("the sections are {}", sections.join(", "))
}

fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Integer(number) => number.to_string(),
        Raw::Boolean(switch) => switch.to_string(),
        Raw::Empty => "an empty table".to_owned(),
        Raw::Other(kind) => (*kind).to_owned(),
        Raw::String(text) | Raw::Untyped(text) => {
            let head: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            let tail = if head.len() < text.len() { ".." } else { "" };
            format!("{head:?}{tail}")
        }
    }
}
