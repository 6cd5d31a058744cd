//! How a database of a MySQL or MariaDB server is reached, and how long is waited for it.
//!
//! What a user sets comes in, options of the driver go out. A password is never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// Prepared statements that a connection keeps.
const STATEMENTS_MAX: usize = 200;

/// Whether connections are encrypted, and what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MysqlTls {
    /// Never.
    Disabled,
    /// If the server can; nothing is checked.
    Preferred,
    /// Always; nothing is checked.
    Required,
    /// Always; the server's certificate must be of a known authority.
    VerifyCa,
    /// Always; the certificate must also be for the name of the host.
    VerifyIdentity,
}

/// How to reach the database of a server, and how long to wait for it.
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlOptions {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Unix socket; goes before host and port.
    pub socket: Option<PathBuf>,
    /// User.
    pub user: String,
    /// Password; never shown.
    pub password: Option<String>,
    /// Database; it must exist.
    pub database: String,
    /// Encryption.
    pub tls: MysqlTls,
    /// Certificates of the authorities to trust, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Most connections for writing: commits of partitions side by side.
    pub writers_max: u32,
    /// Most connections for reading.
    pub readers_max: u32,
    /// Longest wait for a connection, a free one or a new one.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to a statement; then the connection is closed.
    pub statement_timeout: Duration,
    /// Longest wait of the server for a row that another transaction holds; whole seconds.
    pub lock_timeout: Duration,
}

impl fmt::Debug for MysqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("socket", &self.socket)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl MysqlOptions {
    /// As the driver wants them.
    pub(crate) fn for_sqlx(&self) -> MySqlConnectOptions {
        let mode = match self.tls {
            MysqlTls::Disabled => MySqlSslMode::Disabled,
            MysqlTls::Preferred => MySqlSslMode::Preferred,
            MysqlTls::Required => MySqlSslMode::Required,
            MysqlTls::VerifyCa => MySqlSslMode::VerifyCa,
            MysqlTls::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        };
        let mut options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(mode)
            .charset("utf8mb4")
            .collation("utf8mb4_bin")
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .statement_cache_capacity(STATEMENTS_MAX)
            .disable_statement_logging();
        if let Some(socket) = &self.socket {
            options = options.socket(socket);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(file) = &self.ca_file {
            options = options.ssl_ca(file);
        }
        options
    }
}
