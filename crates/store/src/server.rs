//! Connection pools for a MySQL or MariaDB server.
//!
//! A `Server` hands out a `Link` with an open transaction. While a statement runs, its connection
//! is moved out of the link, so that whatever ends the wait early (a timeout, a cancelled caller, a
//! network error) closes it: a connection in doubt is never reused. Every wait is bounded, because
//! a server behind a dead network never reports that it is gone.
//!
//! After a failover another server may have the address while connections to the old one stay open.
//! So a server that turns read-only, or that loses a connection, ends the `Era`: every earlier
//! connection, for writing or reading, is closed, and the next caller reconnects. A writable server
//! ends an era in which others were read-only.

mod each;

use std::fmt;
use std::io;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::mysql::{
    MySql, MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlQueryResult, MySqlRow,
};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub(crate) use each::Sink;

use crate::server_error::Meaning;
use crate::server_options::MysqlOptions;

/// Maximum idle time of a connection in the pool, for writing and for reading: well below
/// `WRITER_IDLE_S` and `READER_IDLE_S`, so that the server does not close one that is about to be
/// used.
const WRITER_IDLE_MAX: Duration = Duration::from_secs(4);
const READER_IDLE_MAX: Duration = Duration::from_secs(30);
/// Maximum age of a connection: a DNS name that moves to another server is followed within this
/// time, even if the old one never closes its connections.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Maximum age of a connection to a server that was read-only from the start: it may be the old
/// primary after a failover, which a pure reader would not notice. For a replica the extra
/// reconnects cost little.
const AGE_READ_ONLY_MAX: Duration = Duration::from_secs(5);
/// Seconds after which the server drops an idle writer and releases its row locks. A process that
/// stands still within a commit, or is behind a dead network, holds the rows of all its partitions
/// and the ledger's version: whoever takes over waits for this, and for the process's session in
/// the consumer group, which takes as long.
const WRITER_IDLE_S: u32 = 10;
/// The same for readers, which hold no locks; a recount may compute between two queries.
const READER_IDLE_S: u32 = 600;
/// Longest wait for one migration: it copies tables, and a large ledger takes minutes.
const STEP_MAX: Duration = Duration::from_secs(3_600);
/// What a session must not inherit from its server. Each mode is needed for sums to be exact:
/// strict, or an overflow would be clamped. A result must not be truncated (`sql_select_limit`),
/// names must not be compared by a prefix (`max_sort_length`), an UPDATE of the only row must not
/// be refused (`sql_safe_updates`), and COMMIT must neither start a transaction nor disconnect
/// (`completion_type`).
const SESSION: &str = "SET SESSION sql_mode = \
    'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
    SESSION autocommit = 1, SESSION foreign_key_checks = 1, SESSION unique_checks = 1, \
    SESSION sql_select_limit = 18446744073709551615, SESSION max_sort_length = 8192, \
    SESSION sql_safe_updates = 0, SESSION sql_big_selects = 1, SESSION completion_type = 0";
/// What connections are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Transactions at READ COMMITTED: each statement sees the newest rows and locks no gaps, so
    /// that commits of different partitions hardly ever wait for each other.
    Write,
    /// One snapshot for all queries of a transaction.
    Read,
}

impl Use {
    fn idle_max(self) -> Duration {
        match self {
            Use::Write => WRITER_IDLE_MAX,
            Use::Read => READER_IDLE_MAX,
        }
    }

    fn isolation(self) -> &'static str {
        match self {
            Use::Write => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
            Use::Read => "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        }
    }

    /// Begins a transaction and reads `read_only` in the same packet, which saves a round trip.
    fn begin(self) -> &'static str {
        match self {
            Use::Write => "SELECT CONCAT(@@GLOBAL.read_only); START TRANSACTION",
            Use::Read => {
                "SELECT CONCAT(@@GLOBAL.read_only); \
                 START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
            }
        }
    }
}

/// Queries whether the server is read-only, as `Use::begin` does.
const READ_ONLY: &str = "SELECT CONCAT(@@GLOBAL.read_only)";
/// Values of a writable server: a number, or a word in newer versions of MariaDB.
const WRITABLE: [&str; 2] = ["0", "OFF"];

/// Period in which all connections are assumed to reach the same server; shared by all pools of one
/// database. Connections of an earlier era are never reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Era(Arc<EraState>);

#[derive(Debug, Default)]
struct EraState {
    era: AtomicU64,
    /// Number after the last era in which a read-only server was reached.
    read_only: AtomicU64,
    /// Whether the server reached last was read-only.
    is_read_only: AtomicBool,
    /// Pools whose idle connections are closed when the era ends.
    pools: StdMutex<Vec<Weak<Pool>>>,
}

impl Era {
    fn now(&self) -> u64 {
        self.0.era.load(Ordering::Relaxed)
    }

    /// Ends the era: one of its connections showed that the server is gone or shutting down. Of
    /// many that notice at once, the first ends it and closes all idle connections.
    fn end(&self, era: u64) {
        let ended = self.0.era.compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
        if ended.is_ok() {
            let pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).for_each(|pool| pool.close_idle());
        }
    }

    /// Records whether a connection found its server read-only; returns the era that it belongs to.
    /// Once a server is writable, read-only ones may be stale, from before a failover.
    fn found(&self, era: u64, is_read_only: bool) -> u64 {
        let read_only = &self.0.read_only;
        self.0.is_read_only.store(is_read_only, Ordering::Relaxed);
        if is_read_only {
            read_only.fetch_max(era + 1, Ordering::Relaxed);
        } else if read_only.load(Ordering::Relaxed) == era + 1 {
            self.end(era);
            return era + 1;
        }
        era
    }

    fn join(&self, pool: &Arc<Pool>) {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(Arc::downgrade(pool));
    }
}

/// A connection, and the state at its creation.
struct Wire {
    conn: MySqlConnection,
    made: Instant,
    era: u64,
    /// Whether the server was read-only then.
    is_read_only: bool,
}

impl Wire {
    fn is_young(&self) -> bool {
        self.made.elapsed() < if self.is_read_only { AGE_READ_ONLY_MAX } else { AGE_MAX }
    }
}

/// Connection pool for one use of a server database.
#[derive(Clone)]
pub(crate) struct Server(Arc<Pool>);

struct Pool {
    sqlx: MySqlConnectOptions,
    options: MysqlOptions,
    purpose: Use,
    permits: Arc<Semaphore>,
    era: Era,
    /// Idle connections, without a transaction; the most recently used goes first.
    idle: StdMutex<Vec<(Instant, Wire)>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(options: &MysqlOptions, purpose: Use, era: &Era) -> Server {
        let n_max = match purpose {
            Use::Write => options.writers_max,
            Use::Read => options.readers_max,
        };
        let pool = Arc::new(Pool {
            sqlx: options.for_sqlx(),
            options: options.clone(),
            purpose,
            permits: Arc::new(Semaphore::new(n_max.max(1) as usize)),
            era: era.clone(),
            idle: StdMutex::new(Vec::new()),
        });
        era.join(&pool);
        Server(pool)
    }

    /// Name of the database, for messages.
    pub(crate) fn database(&self) -> &str {
        &self.0.options.database
    }

    /// Whether the server reached last, for writing or reading, was read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.era.0.is_read_only.load(Ordering::Relaxed)
    }

    /// Longest wait for a lock.
    pub(crate) fn lock_timeout(&self) -> Duration {
        self.0.options.lock_timeout
    }

    /// Checks out a connection with an open transaction. One that the server closed while idle is
    /// replaced without an error.
    pub(crate) async fn begin(&self) -> sqlx::Result<Link> {
        let pool = &self.0;
        let permit =
            timeout(pool.options.connect_timeout, Arc::clone(&pool.permits).acquire_owned())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)?
                .map_err(|_| sqlx::Error::PoolClosed)?;
        let mut permit = Some(permit);
        while let Some(wire) = pool.take_idle() {
            let mut link = Link::new(pool, wire, permit.take());
            match link.begin().await {
                Ok(()) => return Ok(link),
                Err(error) if is_timeout(&error) => {
                    pool.close_idle();
                    return Err(error);
                }
                Err(_) => permit = link.permit.take(),
            }
        }
        let mut link = Link::new(pool, pool.connect().await?, permit);
        link.begin().await?;
        Ok(link)
    }

    /// Opens a connection outside the pool, without a transaction; it is closed after use.
    pub(crate) async fn connect(&self) -> sqlx::Result<Link> {
        Ok(Link::new(&self.0, self.0.connect().await?, None))
    }

    /// Closes idle connections and ends checkouts.
    pub(crate) async fn close(&self) {
        self.0.permits.close();
        while let Some(wire) = self.0.take_idle() {
            let _ = timeout(self.0.options.connect_timeout, wire.conn.close()).await;
        }
    }
}

impl Pool {
    /// Opens and sets up a connection.
    async fn connect(&self) -> sqlx::Result<Wire> {
        let idle_s = match self.purpose {
            Use::Write => WRITER_IDLE_S,
            Use::Read => READER_IDLE_S,
        };
        let lock_s = self.options.lock_timeout.as_secs().max(1);
        let set = format!(
            "{SESSION}, SESSION innodb_lock_wait_timeout = {lock_s}, \
             SESSION lock_wait_timeout = {lock_s}, SESSION wait_timeout = {idle_s}"
        );
        let (made, era) = (Instant::now(), self.era.now());
        let connected = async {
            let mut conn = self.sqlx.connect().await?;
            conn.execute(AssertSqlSafe(set)).await?;
            conn.execute(self.purpose.isolation()).await?;
            let row = sqlx::raw_sql(READ_ONLY).fetch_one(&mut conn).await?;
            let is_read_only = is_read_only(&row)?;
            let era = self.era.found(era, is_read_only);
            Ok(Wire { conn, made, era, is_read_only })
        };
        timeout(self.options.connect_timeout, connected).await.map_err(|_| late("connect"))?
    }

    /// The most recently returned connection that may still be used.
    fn take_idle(&self) -> Option<Wire> {
        let now = self.era.now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, wire)| {
            since.elapsed() < self.purpose.idle_max() && wire.is_young() && wire.era == now
        });
        idle.pop().map(|(_, wire)| wire)
    }

    fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn put_back(&self, wire: Wire) {
        // Ending an era clears the list afterwards: with the lock taken first, no stale connection
        // stays.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.permits.is_closed() && wire.era == self.era.now() {
            idle.push((Instant::now(), wire));
        }
    }
}

/// A checked-out connection, or its slot.
pub(crate) struct Link {
    /// `None` once it is lost or in doubt.
    wire: Option<Wire>,
    pool: Arc<Pool>,
    /// `None` for a connection outside the pool, which is never returned.
    permit: Option<OwnedSemaphorePermit>,
    is_open: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_lost", &self.wire.is_none()).finish_non_exhaustive()
    }
}

impl Link {
    fn new(pool: &Arc<Pool>, wire: Wire, permit: Option<OwnedSemaphorePermit>) -> Link {
        Link { wire: Some(wire), pool: Arc::clone(pool), permit, is_open: false }
    }

    /// Begins a transaction, unless one is open. Fails if the server was writable when the
    /// connection was opened and is read-only now: another server may have taken its address.
    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        if self.is_open {
            return Ok(());
        }
        let mut wire = self.take()?;
        // Reads all rows: the result of the second statement would otherwise stay unread.
        let asked = sqlx::raw_sql(self.pool.purpose.begin()).fetch_all(&mut wire.conn);
        let done = timeout(self.pool.options.connect_timeout, asked).await;
        let rows = self.put_back(wire, done)?;
        self.is_open = true;
        let is_read_only = rows.first().map_or(Ok(false), is_read_only)?;
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let was_read_only = std::mem::replace(&mut wire.is_read_only, is_read_only);
        wire.era = self.pool.era.found(wire.era, is_read_only);
        if is_read_only && !was_read_only {
            self.leave();
            return Err(lost("the server takes no writes any more"));
        }
        Ok(())
    }

    /// Whether the server was read-only when the transaction began.
    pub(crate) fn is_read_only(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.is_read_only)
    }

    /// Closes the connection and all others of its era.
    fn leave(&mut self) {
        if let Some(wire) = self.wire.take() {
            self.pool.era.end(wire.era);
        }
    }

    /// Commits. After any error the outcome is unknown, and the connection is closed.
    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        self.is_open = false;
        let done = self.plain("COMMIT", self.pool.options.statement_timeout).await;
        if done.is_err() {
            self.wire = None;
        }
        done
    }

    /// Rolls back, or closes the connection, which makes the server do so.
    pub(crate) async fn rollback(&mut self) {
        self.is_open = false;
        if self.plain("ROLLBACK", self.pool.options.connect_timeout).await.is_err() {
            self.wire = None;
        }
    }

    /// Executes a migration: several statements, which may copy whole tables.
    pub(crate) async fn script(&mut self, sql: &'static str) -> sqlx::Result<()> {
        self.plain(sql, STEP_MAX).await
    }

    async fn plain(&mut self, sql: &'static str, limit: Duration) -> sqlx::Result<()> {
        let mut wire = self.take()?;
        let done = timeout(limit, sqlx::raw_sql(sql).execute(&mut wire.conn)).await;
        self.put_back(wire, done).map(|_| ())
    }

    pub(crate) async fn execute(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
    ) -> sqlx::Result<MySqlQueryResult> {
        let mut wire = self.take()?;
        let limit = self.pool.options.statement_timeout;
        let done = timeout(limit, query.execute(&mut wire.conn)).await;
        self.put_back(wire, done)
    }

    pub(crate) async fn fetch_all(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
    ) -> sqlx::Result<Vec<MySqlRow>> {
        let mut wire = self.take()?;
        let limit = self.pool.options.statement_timeout;
        let done = timeout(limit, query.fetch_all(&mut wire.conn)).await;
        self.put_back(wire, done)
    }

    fn take(&mut self) -> sqlx::Result<Wire> {
        self.wire.take().ok_or_else(|| lost("the connection was lost before"))
    }

    /// Keeps the connection if its server has answered and may be used again. A timeout says
    /// nothing about other connections: the server may only be slow.
    fn put_back<T>(
        &mut self,
        wire: Wire,
        done: Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
    ) -> sqlx::Result<T> {
        let Ok(answer) = done else { return Err(late("answer")) };
        match &answer {
            Ok(_) => self.wire = Some(wire),
            Err(sqlx::Error::Io(_)) => self.pool.era.end(wire.era),
            Err(error) => match Meaning::of(error) {
                Meaning::Elsewhere => self.pool.era.end(wire.era),
                meaning if meaning.is_sound() => self.wire = Some(wire),
                _ => {}
            },
        }
        answer
    }
}

impl Drop for Link {
    /// Returns the connection to the pool, without its transaction; closes it if that fails.
    fn drop(&mut self) {
        let (Some(mut wire), Some(permit)) = (self.wire.take(), self.permit.take()) else { return };
        if !self.is_open {
            self.pool.put_back(wire);
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let pool = Arc::clone(&self.pool);
        runtime.spawn(async move {
            let limit = pool.options.connect_timeout;
            if let Ok(Ok(_)) = timeout(limit, wire.conn.execute("ROLLBACK")).await {
                pool.put_back(wire);
            }
            drop(permit);
        });
    }
}

fn is_read_only(row: &MySqlRow) -> sqlx::Result<bool> {
    let word: String = row.try_get_unchecked(0)?;
    Ok(!WRITABLE.contains(&word.as_str()))
}

fn lost(why: &'static str) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, why))
}

fn late(what: &str) -> sqlx::Error {
    let message = format!("the server did not {what} in time");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}
