//! How the log is kept on Kafka, and how its brokers are reached and trusted.
//!
//! Options go in, settings of the client library come out. A password is never shown, not even
//! by `Debug`, and never part of an error.

use std::fmt;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;

use crate::limits::{KAFKA_SOCKET_MS_MAX, RETENTION_US};

/// Where the log is and how it is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Brokers to ask first, as `host:port` with commas between.
    pub brokers: String,
    /// Generation of the log; part of the topic's name.
    pub generation: u32,
    /// Number of partitions, frozen per generation.
    pub partitions: u32,
    /// Copies of each partition. With one, an acknowledged record is in the page cache of one
    /// broker, and nowhere else.
    pub replication_factor: u32,
    /// Age in microseconds up to which every record is kept.
    pub retention_us: i64,
    /// How brokers are trusted.
    pub security: KafkaSecurity,
}

impl Default for KafkaOptions {
    fn default() -> KafkaOptions {
        KafkaOptions {
            brokers: "127.0.0.1:9092".to_owned(),
            generation: 1,
            partitions: 12,
            replication_factor: 3,
            retention_us: RETENTION_US,
            security: KafkaSecurity::default(),
        }
    }
}

/// A topic, as a client that reads or writes it needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    /// Its name.
    pub name: String,
    /// Generation of the log, of which positions and groups speak.
    pub generation: u32,
    /// Number of its partitions.
    pub partitions: u32,
}

/// How brokers are trusted, and how they trust us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// Encryption and authentication.
    pub protocol: KafkaProtocol,
    /// Certificates that a broker's own must be signed by; the system's without it.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, if brokers ask for one.
    pub certificate_file: Option<PathBuf>,
    /// The private key of our certificate.
    pub key_file: Option<PathBuf>,
    /// Who we are, for the two SASL protocols.
    pub sasl: Option<KafkaSasl>,
}

/// Encryption and authentication of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KafkaProtocol {
    /// Neither.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A name and a password, readable on the way.
    SaslPlaintext,
    /// A name and a password within TLS.
    SaslSsl,
}

impl KafkaProtocol {
    /// Its name in Kafka's settings.
    fn name(self) -> &'static str {
        match self {
            KafkaProtocol::Plaintext => "plaintext",
            KafkaProtocol::Ssl => "ssl",
            KafkaProtocol::SaslPlaintext => "sasl_plaintext",
            KafkaProtocol::SaslSsl => "sasl_ssl",
        }
    }
}

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The name.
    pub username: String,
    /// The password.
    pub password: KafkaPassword,
}

/// A password that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaPassword(String);

impl KafkaPassword {
    /// Keeps a password.
    #[must_use]
    pub fn new(password: String) -> KafkaPassword {
        KafkaPassword(password)
    }
}

impl fmt::Debug for KafkaPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl KafkaOptions {
    /// Name of the topic: one per generation, so that a new layout never meets old records.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("gatemeter.events.g{}", self.generation)
    }

    /// The topic of the log.
    pub(super) fn log(&self) -> Topic {
        Topic { name: self.topic(), generation: self.generation, partitions: self.partitions }
    }

    /// Settings of every client.
    pub(super) fn client(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        let security = &self.security;
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("gatemeter-{role}"))
            .set("security.protocol", security.protocol.name())
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", KAFKA_SOCKET_MS_MAX.to_string())
            // Brokers close idle connections; the next request opens them again.
            .set("log.connection.close", "false")
            // A broker that is back must be found well within the time for a delivery.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        let mut file = |key: &str, path: &Option<PathBuf>| {
            if let Some(path) = path {
                config.set(key, text(path));
            }
        };
        file("ssl.ca.location", &security.ca_file);
        file("ssl.certificate.location", &security.certificate_file);
        file("ssl.key.location", &security.key_file);
        if let Some(sasl) = &security.sasl {
            config
                .set("sasl.mechanism", &sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password.0);
        }
        config
    }
}

/// A path as the client takes it; one that is not UTF-8 then names no file.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
