//! The settings as types, one struct per section of `config/default.toml`.
//!
//! They are only made by [`super::load`], which has checked every range; units and reasons are in
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
    /// Data directory.
    pub data: DataSettings,
    /// Ingest role.
    pub ingest: IngestSettings,
    /// Aggregator role.
    pub aggregator: AggregatorSettings,
    /// Embedded log.
    pub queue: QueueSettings,
    /// Log on Kafka.
    pub kafka: KafkaSettings,
    /// Database server, for roles in separate processes.
    pub mysql: MysqlSettings,
    /// Shared cache: answers, and messages between processes.
    pub redis: RedisSettings,
    /// API.
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
    /// Listen address of ingest.
    pub listen: SocketAddr,
    /// Whether unknown namespaces are registered, within the budget.
    pub auto_register: bool,
    /// How long events are batched for one write, in milliseconds.
    pub gather_ms: u64,
    /// Maximum number of events that wait for the write.
    pub queue_events_max: usize,
    /// Longest wait until an event is durable, in milliseconds.
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
    /// Listen address of `/metrics`.
    pub listen: SocketAddr,
    /// Commit interval, in milliseconds.
    pub commit_interval_ms: u64,
    /// Memory of the dedup set, in bytes.
    pub dedup_bytes_max: u64,
    /// Dead letters kept whole, per hour.
    pub dead_letter_rows_per_hour: u64,
    /// How long dead letters are kept, in days.
    pub dead_letter_days: u32,
    /// Seconds between two looks at late events of a partition.
    pub late_seconds: u32,
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
    /// Bootstrap brokers.
    pub brokers: String,
    /// Generation of the log.
    pub generation: u32,
    /// Number of partitions.
    pub partitions: u32,
    /// Replication factor.
    pub replication_factor: u32,
    /// Topics that gateways publish to, for ingest to read.
    pub raw_topics: RawTopics,
    /// Consumer group for the raw topics.
    pub raw_group: String,
    /// Encryption and login.
    pub security_protocol: KafkaProtocol,
    /// Certificates that sign the brokers' own; the system's without it.
    #[serde(deserialize_with = "path")]
    pub ssl_ca_file: Option<PathBuf>,
    /// Client certificate.
    #[serde(deserialize_with = "path")]
    pub ssl_certificate_file: Option<PathBuf>,
    /// Private key of the client certificate.
    #[serde(deserialize_with = "path")]
    pub ssl_key_file: Option<PathBuf>,
    /// SASL mechanism.
    pub sasl_mechanism: String,
    /// SASL user name.
    pub sasl_username: String,
    /// Password from the environment.
    sasl_password: Password,
    /// File with the password.
    #[serde(deserialize_with = "path")]
    sasl_password_file: Option<PathBuf>,
}

impl KafkaSettings {
    /// The password: from the environment, else from its file, else none.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a valid password.
    pub fn sasl_password(&self) -> Result<Option<String>, Error> {
        self.sasl_password.or_in(self.sasl_password_file.as_deref())
    }
}

/// Security protocol of the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaProtocol {
    /// Neither.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

/// `[mysql]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MysqlSettings {
    /// Name or address of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Unix socket of the server, if used.
    #[serde(deserialize_with = "path")]
    pub socket: Option<PathBuf>,
    /// User name.
    pub user: String,
    /// Password from the environment.
    password: Password,
    /// File with the password.
    #[serde(deserialize_with = "path")]
    password_file: Option<PathBuf>,
    /// Name of the database.
    pub database: String,
    /// Encryption, and verification of the certificate.
    pub tls: MysqlTlsMode,
    /// Trusted certificate authorities, instead of the public ones.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// Maximum number of writing connections.
    pub writers_max: u32,
    /// Maximum number of reading connections.
    pub readers_max: u32,
    /// Connect timeout, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Statement timeout, in milliseconds.
    pub statement_timeout_ms: u64,
    /// Row lock timeout, in seconds.
    pub lock_timeout_s: u64,
}

impl MysqlSettings {
    /// The password: from the environment, else from its file, else none.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a valid password.
    pub fn password(&self) -> Result<Option<String>, Error> {
        self.password.or_in(self.password_file.as_deref())
    }

    /// Connect timeout.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// Statement timeout.
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    /// Row lock timeout.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout_s)
    }
}

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// URL of Redis; empty for none.
    pub url: String,
    /// Password from the environment.
    password: Password,
    /// File with the password.
    #[serde(deserialize_with = "path")]
    password_file: Option<PathBuf>,
    /// Size of the cache within the process, in bytes.
    pub own_bytes_max: u64,
}

impl RedisSettings {
    /// The password: from the environment, else from its file, else none.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a valid password.
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
        // Tools that fill variables from files keep the trailing line break.
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

/// Encryption of connections to the server, and verification of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MysqlTlsMode {
    /// Unencrypted.
    Disabled,
    /// Encrypted if the server supports it.
    Preferred,
    /// Always encrypted.
    Required,
    /// Encrypted; the certificate must be issued by a trusted authority.
    VerifyCa,
    /// Encrypted; the certificate must also match the host name.
    VerifyIdentity,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// Listen address of the API.
    pub listen: SocketAddr,
    /// Default time zone of a query.
    #[serde(deserialize_with = "time_zone")]
    pub timezone: TimeZone,
    /// URL of ingest, through which dead letters are sent again; none without it.
    #[serde(deserialize_with = "url")]
    pub ingest_url: Option<String>,
    /// File with the ingest key.
    #[serde(deserialize_with = "path")]
    pub ingest_key_file: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Minimum level of log lines.
    pub level: LogLevel,
    /// Format of a line.
    pub format: LogFormat,
}

/// Minimum level of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Needs an operator's action.
    Error,
    /// Handled, but noteworthy.
    Warn,
    /// Normal operation.
    Info,
    /// Details for developers.
    Debug,
    /// Every detail.
    Trace,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human-readable text.
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
    /// Timeout for the header of a request, in milliseconds.
    pub header_timeout_ms: u64,
    /// Timeout for the body of a request, in milliseconds.
    pub body_timeout_ms: u64,
    /// Slowest body, in bytes per second; 0 switches the check off.
    pub body_bytes_per_second_min: u64,
    /// Idle timeout of a keep-alive connection, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Drain timeout for requests in flight at shutdown, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl ServerSettings {
    /// Timeout for the header of a request.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// Timeout for the body of a request.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    /// Idle timeout of a keep-alive connection.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Drain timeout for requests in flight at shutdown.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// A path; an empty one means no path.
fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
}

/// A URL without a slash at its end; an empty one means none.
fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty()))
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    TimeZone::get(&name).map_err(de::Error::custom)
}
