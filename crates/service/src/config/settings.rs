//! The settings as types, one struct per section of `config/default.toml`.
//!
//! They are only made by [`super::load`], which has checked every range; units and reasons stand in
//! the file. No field has a default here, and none may be missing from the file.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, de};

use super::raw_topic::RawTopics;
use crate::error::Error;
use crate::secret_file::read_password;

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where data lives.
    pub data: DataSettings,
    /// Taking events in.
    pub ingest: IngestSettings,
    /// Counting them.
    pub aggregator: AggregatorSettings,
    /// Keeping the log.
    pub queue: QueueSettings,
    /// Keeping it on Kafka.
    pub kafka: KafkaSettings,
    /// The database server of roles that run apart.
    pub mysql: MysqlSettings,
    /// What several processes share of answers and words.
    pub redis: RedisSettings,
    /// Answering questions.
    pub api: ApiSettings,
    /// Log lines.
    pub log: LogSettings,
    /// Limits of every listener.
    pub server: ServerSettings,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Folder of the log, the ledger and the key files.
    pub dir: PathBuf,
}

/// `[ingest]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Where events are taken in.
    pub listen: SocketAddr,
    /// Whether unknown namespaces are registered, within the budget.
    pub auto_register: bool,
    /// How long events are gathered for one write, in milliseconds.
    pub gather_ms: u64,
    /// Events that may wait for the write.
    pub queue_events_max: usize,
    /// By when an event must be durable, in milliseconds.
    pub durable_timeout_ms: u64,
    /// Budget of namespaces.
    pub namespaces_max: u32,
    /// Budget of models.
    pub models_max: u32,
    /// Budget of upstreams.
    pub upstreams_max: u32,
    /// Budget of endpoints.
    pub endpoints_max: u32,
    /// Budget of consumers of one namespace.
    pub consumers_per_namespace_max: u32,
    /// Budget of policies.
    pub policies_max: u32,
}

/// `[aggregator]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorSettings {
    /// Where the metrics are shown.
    pub listen: SocketAddr,
    /// From one commit to the next, in milliseconds.
    pub commit_interval_ms: u64,
    /// Memory for the ids of events, in bytes.
    pub dedup_bytes_max: u64,
    /// Dead letters kept whole, per hour.
    pub dead_letter_rows_per_hour: u64,
    /// How long dead letters are kept, in days.
    pub dead_letter_days: u32,
    /// How long the journal of commits is kept, in days.
    pub journal_days: u32,
    /// How long minute rows are kept, in hours.
    pub minute_hours: u32,
    /// How long rows of 15 minutes are kept, in days.
    pub quarter_days: u32,
    /// How long rows of consumers are kept, in days.
    pub consumer_days: u32,
}

/// `[queue]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSettings {
    /// How long the log is kept after it was counted, in days.
    pub retention_days: u32,
    /// Size of the log, in bytes.
    pub bytes_max: u64,
}

/// `[kafka]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Brokers to ask first.
    pub brokers: String,
    /// Generation of the log.
    pub generation: u32,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// Topics that gateways publish to, for ingest to read.
    pub raw_topics: RawTopics,
    /// Under which name it is kept how far they are read.
    pub raw_group: String,
    /// Encryption and login.
    pub security_protocol: KafkaProtocol,
    /// Certificates that sign the brokers' own; the system's without it.
    #[serde(deserialize_with = "path")]
    pub ssl_ca_file: Option<PathBuf>,
    /// Our certificate.
    #[serde(deserialize_with = "path")]
    pub ssl_certificate_file: Option<PathBuf>,
    /// Private key of our certificate.
    #[serde(deserialize_with = "path")]
    pub ssl_key_file: Option<PathBuf>,
    /// How the password is shown to brokers.
    pub sasl_mechanism: String,
    /// The name that goes with it.
    pub sasl_username: String,
    /// The password as the environment gave it.
    sasl_password: Password,
    /// File with the password.
    #[serde(deserialize_with = "path")]
    sasl_password_file: Option<PathBuf>,
}

impl KafkaSettings {
    /// The password: from the environment, else from its file, else none.
    ///
    /// # Errors
    /// The file cannot be read, or holds what can be no password.
    pub fn sasl_password(&self) -> Result<Option<String>, Error> {
        self.sasl_password.or_in(self.sasl_password_file.as_deref())
    }
}

/// Encryption and login at the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaProtocol {
    /// Neither.
    Plaintext,
    /// TLS.
    Ssl,
    /// A password, readable on the way.
    SaslPlaintext,
    /// A password within TLS.
    SaslSsl,
}

/// `[mysql]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MysqlSettings {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its Unix socket, if it is reached by that.
    #[serde(deserialize_with = "path")]
    pub socket: Option<PathBuf>,
    /// User.
    pub user: String,
    /// Password as the environment gave it.
    password: Password,
    /// File with the password.
    #[serde(deserialize_with = "path")]
    password_file: Option<PathBuf>,
    /// Database.
    pub database: String,
    /// Encryption, and what is checked.
    pub tls: MysqlTlsMode,
    /// Authorities to trust, instead of the public ones.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// Most connections that write.
    pub writers_max: u32,
    /// Most connections that read.
    pub readers_max: u32,
    /// For a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// For the answer to a statement, in milliseconds.
    pub statement_timeout_ms: u64,
    /// For a row that another transaction holds, in seconds.
    pub lock_timeout_s: u64,
}

impl MysqlSettings {
    /// The password: from the environment, else from its file, else none.
    ///
    /// # Errors
    /// The file cannot be read, or holds what can be no password.
    pub fn password(&self) -> Result<Option<String>, Error> {
        self.password.or_in(self.password_file.as_deref())
    }

    /// For a connection.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// For the answer to a statement.
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    /// For a row that another transaction holds.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout_s)
    }
}

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// Where it is; empty for none.
    pub url: String,
    /// Password as the environment gave it.
    password: Password,
    /// File with the password.
    #[serde(deserialize_with = "path")]
    password_file: Option<PathBuf>,
    /// Bytes of answers that a process keeps itself.
    pub own_bytes_max: u64,
}

impl RedisSettings {
    /// The password: from the environment, else from its file, else none.
    ///
    /// # Errors
    /// The file cannot be read, or holds what can be no password.
    pub fn password(&self) -> Result<Option<String>, Error> {
        self.password.or_in(self.password_file.as_deref())
    }
}

/// A password, which is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Password(String);

impl Password {
    /// This password, else the one in a file, else none.
    fn or_in(&self, file: Option<&Path>) -> Result<Option<String>, Error> {
        // What fills variables from files leaves the line break of the file in them.
        let own = self.0.trim_end_matches(['\r', '\n']);
        if !own.is_empty() {
            return Ok(Some(own.to_owned()));
        }
        file.map(read_password).transpose()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "hidden" })
    }
}

/// Whether connections to the server are encrypted, and what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MysqlTlsMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server can.
    Preferred,
    /// Always encrypted.
    Required,
    /// The certificate must be of a known authority.
    VerifyCa,
    /// The certificate must also be for the host.
    VerifyIdentity,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// Where questions are answered.
    pub listen: SocketAddr,
    /// The zone of a question that names none.
    #[serde(deserialize_with = "time_zone")]
    pub timezone: TimeZone,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// From which level on lines are written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// From which level on lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// The process coped.
    Warn,
    /// What a person should know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Open connections of one listener.
    pub connections_max: usize,
    /// For the header of a request, in milliseconds.
    pub header_timeout_ms: u64,
    /// For the body of a request, in milliseconds.
    pub body_timeout_ms: u64,
    /// Slowest body, in bytes per second; 0 switches the check off.
    pub body_bytes_per_second_min: u64,
    /// For a connection between two requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// For requests in flight when the process ends, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl ServerSettings {
    /// For the header of a request.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// For the body of a request.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    /// For a connection between two requests.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// For requests in flight when the process ends.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// A path; an empty one is none.
fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    TimeZone::get(&name).map_err(de::Error::custom)
}
