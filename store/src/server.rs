//! Connections to a MySQL or MariaDB server: how they are made, lent and taken back.
//!
//! A `Server` lends a `Link` with a transaction begun. While a statement runs, its connection is
//! out of the link, so that whatever ends the wait early (a time limit, a caller who goes away, an
//! error of the network) closes it: a connection in doubt is never used again. Nothing here waits
//! without a bound, for a server behind a dead network never says that it is gone.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex as StdMutex;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::mysql::{
    MySql, MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlQueryResult, MySqlRow,
    MySqlSslMode,
};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection may rest before it is replaced: well below `WRITER_IDLE_S`, so that the
/// server does not close one that is about to be used.
const REST_MAX: Duration = Duration::from_secs(30);
/// Seconds after which the server ends a writer that says nothing, and frees the rows that it
/// holds: a writer behind a dead network must not keep a partition locked for hours.
const WRITER_IDLE_S: u32 = 60;
/// The same for readers, which hold no locks; a recount may think between two questions.
const READER_IDLE_S: u32 = 600;
/// Every one is needed for sums to be exact: strict, or an overflow would be clamped.
const SQL_MODE: &str = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";
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
    fn for_sqlx(&self) -> MySqlConnectOptions {
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

/// What connections are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Transactions at READ COMMITTED: each statement sees the newest rows and locks no gaps, so
    /// that commits of different partitions hardly ever wait for each other.
    Write,
    /// One snapshot for all questions of a transaction.
    Read,
}

impl Use {
    fn isolation(self) -> &'static str {
        match self {
            Use::Write => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            Use::Read => "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        }
    }

    fn begin(self) -> &'static str {
        match self {
            Use::Write => "START TRANSACTION",
            Use::Read => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        }
    }
}

/// The database of a server, for one use.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    sqlx: MySqlConnectOptions,
    options: MysqlOptions,
    purpose: Use,
    permits: Arc<Semaphore>,
    /// Connections at rest, without a transaction; the newest is used first.
    idle: StdMutex<Vec<(Instant, MySqlConnection)>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(options: &MysqlOptions, purpose: Use) -> Server {
        let n_max = match purpose {
            Use::Write => options.writers_max,
            Use::Read => options.readers_max,
        };
        Server(Arc::new(Inner {
            sqlx: options.for_sqlx(),
            options: options.clone(),
            purpose,
            permits: Arc::new(Semaphore::new(n_max.max(1) as usize)),
            idle: StdMutex::new(Vec::new()),
        }))
    }

    /// Name of the database, for messages.
    pub(crate) fn database(&self) -> &str {
        &self.0.options.database
    }

    /// Longest wait for a lock.
    pub(crate) fn lock_timeout(&self) -> Duration {
        self.0.options.lock_timeout
    }

    /// A connection with a transaction begun. One that the server has closed while it rested is
    /// replaced without an error.
    pub(crate) async fn begin(&self) -> sqlx::Result<Link> {
        let inner = &self.0;
        let permit =
            timeout(inner.options.connect_timeout, Arc::clone(&inner.permits).acquire_owned())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)?
                .map_err(|_| sqlx::Error::PoolClosed)?;
        let mut permit = Some(permit);
        while let Some(conn) = inner.rested() {
            let mut link = Link::new(inner, conn, permit.take());
            match link.begin().await {
                Ok(()) => return Ok(link),
                Err(error) if is_timeout(&error) => {
                    inner.forget_idle();
                    return Err(error);
                }
                Err(_) => permit = link.permit.take(),
            }
        }
        let mut link = Link::new(inner, inner.connect().await?, permit);
        link.begin().await?;
        Ok(link)
    }

    /// A new connection beside the others, without a transaction; closed after its use.
    pub(crate) async fn connect(&self) -> sqlx::Result<Link> {
        Ok(Link::new(&self.0, self.0.connect().await?, None))
    }

    /// Closes what rests and lends nothing more.
    pub(crate) async fn close(&self) {
        self.0.permits.close();
        while let Some(conn) = self.0.rested() {
            let _ = timeout(self.0.options.connect_timeout, conn.close()).await;
        }
    }
}

impl Inner {
    /// A new connection, set up.
    async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        let idle_s = match self.purpose {
            Use::Write => WRITER_IDLE_S,
            Use::Read => READER_IDLE_S,
        };
        let lock_s = self.options.lock_timeout.as_secs().max(1);
        let set = format!(
            "SET SESSION sql_mode = '{SQL_MODE}', SESSION autocommit = 1, \
             SESSION foreign_key_checks = 1, SESSION unique_checks = 1, \
             SESSION innodb_lock_wait_timeout = {lock_s}, SESSION lock_wait_timeout = {lock_s}, \
             SESSION wait_timeout = {idle_s}"
        );
        let connected = async {
            let mut conn = self.sqlx.connect().await?;
            conn.execute(AssertSqlSafe(set)).await?;
            conn.execute(self.purpose.isolation()).await?;
            Ok(conn)
        };
        timeout(self.options.connect_timeout, connected).await.map_err(|_| late("connect"))?
    }

    /// The connection that came to rest last, if it has not rested for too long.
    fn rested(&self) -> Option<MySqlConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| since.elapsed() < REST_MAX);
        idle.pop().map(|(_, conn)| conn)
    }

    fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn rest(&self, conn: MySqlConnection) {
        if !self.permits.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((Instant::now(), conn));
        }
    }
}

/// A connection that is lent, or the place where one was.
pub(crate) struct Link {
    /// Nothing once it is lost or in doubt.
    conn: Option<MySqlConnection>,
    home: Arc<Inner>,
    /// Nothing for a connection beside the others, which does not come to rest.
    permit: Option<OwnedSemaphorePermit>,
    is_open: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_lost", &self.conn.is_none()).finish_non_exhaustive()
    }
}

impl Link {
    fn new(home: &Arc<Inner>, conn: MySqlConnection, permit: Option<OwnedSemaphorePermit>) -> Link {
        Link { conn: Some(conn), home: Arc::clone(home), permit, is_open: false }
    }

    /// Begins a transaction, unless one is open.
    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        if !self.is_open {
            self.plain(self.home.purpose.begin(), self.home.options.connect_timeout).await?;
            self.is_open = true;
        }
        Ok(())
    }

    /// Commits. After any error nobody knows whether it took effect, and the connection is closed.
    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        self.is_open = false;
        let done = self.plain("COMMIT", self.home.options.statement_timeout).await;
        if done.is_err() {
            self.conn = None;
        }
        done
    }

    /// Rolls back, or closes the connection, which makes the server do so.
    pub(crate) async fn rollback(&mut self) {
        self.is_open = false;
        if self.plain("ROLLBACK", self.home.options.connect_timeout).await.is_err() {
            self.conn = None;
        }
    }

    /// Carries out a statement without parameters, or several.
    pub(crate) async fn script(&mut self, sql: &'static str) -> sqlx::Result<()> {
        self.plain(sql, self.home.options.statement_timeout).await
    }

    async fn plain(&mut self, sql: &'static str, limit: Duration) -> sqlx::Result<()> {
        let mut conn = self.take()?;
        let done = timeout(limit, sqlx::raw_sql(sql).execute(&mut conn)).await;
        self.put_back(conn, done).map(|_| ())
    }

    pub(crate) async fn execute(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
    ) -> sqlx::Result<MySqlQueryResult> {
        let mut conn = self.take()?;
        let limit = self.home.options.statement_timeout;
        let done = timeout(limit, query.execute(&mut conn)).await;
        self.put_back(conn, done)
    }

    pub(crate) async fn fetch_all(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
    ) -> sqlx::Result<Vec<MySqlRow>> {
        let mut conn = self.take()?;
        let limit = self.home.options.statement_timeout;
        let done = timeout(limit, query.fetch_all(&mut conn)).await;
        self.put_back(conn, done)
    }

    fn take(&mut self) -> sqlx::Result<MySqlConnection> {
        let lost = || io::Error::new(io::ErrorKind::NotConnected, "the connection was lost before");
        self.conn.take().ok_or_else(|| sqlx::Error::Io(lost()))
    }

    /// Keeps the connection if its server has answered.
    fn put_back<T>(
        &mut self,
        conn: MySqlConnection,
        done: Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
    ) -> sqlx::Result<T> {
        match done {
            Ok(answer) => {
                if matches!(&answer, Ok(_) | Err(sqlx::Error::Database(_))) {
                    self.conn = Some(conn);
                }
                answer
            }
            Err(_) => Err(late("answer")),
        }
    }
}

impl Drop for Link {
    /// Brings the connection to rest, without its transaction; closes it if that does not work.
    fn drop(&mut self) {
        let (Some(mut conn), Some(permit)) = (self.conn.take(), self.permit.take()) else { return };
        if !self.is_open {
            self.home.rest(conn);
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let home = Arc::clone(&self.home);
        runtime.spawn(async move {
            let limit = home.options.connect_timeout;
            if let Ok(Ok(_)) = timeout(limit, conn.execute("ROLLBACK")).await {
                home.rest(conn);
            }
            drop(permit);
        });
    }
}

fn late(what: &str) -> sqlx::Error {
    let message = format!("the server did not {what} in time");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}
