//! Connection options and timeouts of a database on a MySQL or MariaDB server.
//!
//! Settings go in, options of the driver come out. A password is never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// Prepared statements that a connection keeps: at most 150 of many rows, in all their pieces, and
/// the others.
const STATEMENTS_MAX: usize = 200;

/// Whether connections are encrypted, and what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MysqlTls {
    /// Unencrypted.
    Disabled,
    /// If the server supports it; the certificate is not verified.
    Preferred,
    /// Always; the certificate is not verified.
    Required,
    /// Always; the certificate must be issued by a trusted authority.
    VerifyCa,
    /// Always; the certificate must also match the host name.
    VerifyIdentity,
}

/// Connection options and timeouts of a server database.
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlOptions {
    /// Name or address of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Unix socket; takes precedence over host and port.
    pub socket: Option<PathBuf>,
    /// User name.
    pub user: String,
    /// Password; never shown.
    pub password: Option<String>,
    /// Database; it must exist.
    pub database: String,
    /// Transport encryption.
    pub tls: MysqlTls,
    /// Certificates of the authorities to trust, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Maximum number of connections for writing: concurrent commits of partitions.
    pub writers_max: u32,
    /// Maximum number of connections for reading.
    pub readers_max: u32,
    /// Longest wait for a connection, idle or new.
    pub connect_timeout: Duration,
    /// Statement timeout; the connection is then closed.
    pub statement_timeout: Duration,
    /// Row lock timeout of the server; whole seconds.
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
    /// Options of the driver.
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
