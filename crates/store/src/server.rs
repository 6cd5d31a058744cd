//! Connections to a MySQL or MariaDB server: how they are made, lent and taken back.
//!
//! A `Server` lends a `Link` with a transaction begun. While a statement runs, its connection is
//! out of the link, so that whatever ends the wait early (a time limit, a caller who goes away, an
//! error of the network) closes it: a connection in doubt is never used again. Nothing here waits
//! without a bound, for a server behind a dead network never says that it is gone.
//!
//! Another server may take over the address of one that goes, while connections to the old one
//! live on. So a server that takes no writes any more, or that lost a connection, ends the `Era`:
//! whatever was connected before, to write or to read, is closed, and what comes next connects
//! anew. So does one that takes writes, where others of its era took none.

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

use crate::server_error::Meaning;
use crate::server_options::MysqlOptions;

/// How long a connection may rest before it is replaced: well below `WRITER_IDLE_S`, so that the
/// server does not close one that is about to be used.
const REST_MAX: Duration = Duration::from_secs(30);
/// How old a connection may become: a name that points to another server is followed within this
/// time, even if the old one never says a word.
const AGE_MAX: Duration = Duration::from_secs(300);
/// The same for a connection to a server that took no writes from the beginning: it may be the one
/// before a switch, and whoever only reads would not notice. A replica costs little more by it.
const AGE_READ_ONLY_MAX: Duration = Duration::from_secs(5);
/// Seconds after which the server ends a writer that says nothing, and frees the rows that it
/// holds: a writer behind a dead network must not keep a partition locked for hours.
const WRITER_IDLE_S: u32 = 60;
/// The same for readers, which hold no locks; a recount may think between two questions.
const READER_IDLE_S: u32 = 600;
/// Longest wait for one step of the schema: it copies tables, and a large ledger takes minutes.
const STEP_MAX: Duration = Duration::from_secs(3_600);
/// What a session must not take over from its server. Each mode is needed for sums to be exact:
/// strict, or an overflow would be clamped. An answer must not be cut (`sql_select_limit`), names
/// not be compared by their beginning (`max_sort_length`), an UPDATE of the only row not be
/// refused (`sql_safe_updates`), and COMMIT neither begin anew nor hang up (`completion_type`).
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
    /// One snapshot for all questions of a transaction.
    Read,
}

impl Use {
    fn isolation(self) -> &'static str {
        match self {
            Use::Write => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
            Use::Read => "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        }
    }

    /// Begins a transaction. The question comes in the same packet, so that it costs no way there
    /// and back.
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

/// Asks whether the server takes no writes, as `Use::begin` does.
const READ_ONLY: &str = "SELECT CONCAT(@@GLOBAL.read_only)";
/// How servers write that it does take some: as a number, newer ones of MariaDB as a word.
const WRITABLE: [&str; 2] = ["0", "OFF"];

/// The time during which connections are taken to reach the same server; shared by all uses of one
/// database. Connections of an earlier one are never lent again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Era(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    era: AtomicU64,
    /// The number behind the last era in which somebody reached a server that took no writes.
    read_only: AtomicU64,
    /// Whether the server that was reached last took no writes.
    is_read_only: AtomicBool,
    /// Where connections rest.
    homes: StdMutex<Vec<Weak<Inner>>>,
}

impl Era {
    fn now(&self) -> u64 {
        self.0.era.load(Ordering::Relaxed)
    }

    /// A connection of this era showed that its server is gone, or going. Many find that out at
    /// once: the first one ends it, and closes all that rest.
    fn end(&self, era: u64) {
        let ended = self.0.era.compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
        if ended.is_ok() {
            let homes = self.0.homes.lock().unwrap_or_else(PoisonError::into_inner);
            homes.iter().filter_map(Weak::upgrade).for_each(|home| home.forget_idle());
        }
    }

    /// A connection of this era found its server so; the era that it belongs to from now on. Once
    /// one server takes writes, those that took none may be of before a switch, and behind it.
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

    fn join(&self, home: &Arc<Inner>) {
        let mut homes = self.0.homes.lock().unwrap_or_else(PoisonError::into_inner);
        homes.push(Arc::downgrade(home));
    }
}

/// A connection, and what was so when it was made.
struct Wire {
    conn: MySqlConnection,
    made: Instant,
    era: u64,
    /// Whether the server took no writes then.
    is_read_only: bool,
}

impl Wire {
    fn is_young(&self) -> bool {
        self.made.elapsed() < if self.is_read_only { AGE_READ_ONLY_MAX } else { AGE_MAX }
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
    era: Era,
    /// Connections at rest, without a transaction; the newest is used first.
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
        let inner = Arc::new(Inner {
            sqlx: options.for_sqlx(),
            options: options.clone(),
            purpose,
            permits: Arc::new(Semaphore::new(n_max.max(1) as usize)),
            era: era.clone(),
            idle: StdMutex::new(Vec::new()),
        });
        era.join(&inner);
        Server(inner)
    }

    /// Name of the database, for messages.
    pub(crate) fn database(&self) -> &str {
        &self.0.options.database
    }

    /// Whether the server that was reached last, to write or to read, took no writes.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.era.0.is_read_only.load(Ordering::Relaxed)
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
        while let Some(wire) = inner.rested() {
            let mut link = Link::new(inner, wire, permit.take());
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
        while let Some(wire) = self.0.rested() {
            let _ = timeout(self.0.options.connect_timeout, wire.conn.close()).await;
        }
    }
}

impl Inner {
    /// A new connection, set up.
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

    /// The connection that came to rest last, if it may still be used.
    fn rested(&self) -> Option<Wire> {
        let now = self.era.now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, wire)| {
            since.elapsed() < REST_MAX && wire.is_young() && wire.era == now
        });
        idle.pop().map(|(_, wire)| wire)
    }

    fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn rest(&self, wire: Wire) {
        // Whoever ends the era empties the list after it: looked at in this order, none stays.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.permits.is_closed() && wire.era == self.era.now() {
            idle.push((Instant::now(), wire));
        }
    }
}

/// A connection that is in use, or the slot of one.
pub(crate) struct Link {
    /// Nothing once it is lost or in doubt.
    wire: Option<Wire>,
    home: Arc<Inner>,
    /// Nothing for a connection beside the others, which does not come to rest.
    permit: Option<OwnedSemaphorePermit>,
    is_open: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_lost", &self.wire.is_none()).finish_non_exhaustive()
    }
}

impl Link {
    fn new(home: &Arc<Inner>, wire: Wire, permit: Option<OwnedSemaphorePermit>) -> Link {
        Link { wire: Some(wire), home: Arc::clone(home), permit, is_open: false }
    }

    /// Begins a transaction, unless one is open. A server that took writes when the connection was
    /// made and takes none now is an error: what stands at its address may be another one.
    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        if self.is_open {
            return Ok(());
        }
        let mut wire = self.take()?;
        // All rows, or the answer to the second statement would be left behind.
        let asked = sqlx::raw_sql(self.home.purpose.begin()).fetch_all(&mut wire.conn);
        let done = timeout(self.home.options.connect_timeout, asked).await;
        let rows = self.put_back(wire, done)?;
        self.is_open = true;
        let is_read_only = rows.first().map_or(Ok(false), is_read_only)?;
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let was_read_only = std::mem::replace(&mut wire.is_read_only, is_read_only);
        wire.era = self.home.era.found(wire.era, is_read_only);
        if is_read_only && !was_read_only {
            self.leave();
            return Err(lost("the server takes no writes any more"));
        }
        Ok(())
    }

    /// Whether the server took no writes when the transaction began.
    pub(crate) fn is_read_only(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.is_read_only)
    }

    /// Closes the connection, and all that were made in its era.
    fn leave(&mut self) {
        if let Some(wire) = self.wire.take() {
            self.home.era.end(wire.era);
        }
    }

    /// Commits. After any error nobody knows whether it took effect, and the connection is closed.
    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        self.is_open = false;
        let done = self.plain("COMMIT", self.home.options.statement_timeout).await;
        if done.is_err() {
            self.wire = None;
        }
        done
    }

    /// Rolls back, or closes the connection, which makes the server do so.
    pub(crate) async fn rollback(&mut self) {
        self.is_open = false;
        if self.plain("ROLLBACK", self.home.options.connect_timeout).await.is_err() {
            self.wire = None;
        }
    }

    /// Carries out a step of the schema: several statements, which may copy whole tables.
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
        let limit = self.home.options.statement_timeout;
        let done = timeout(limit, query.execute(&mut wire.conn)).await;
        self.put_back(wire, done)
    }

    pub(crate) async fn fetch_all(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
    ) -> sqlx::Result<Vec<MySqlRow>> {
        let mut wire = self.take()?;
        let limit = self.home.options.statement_timeout;
        let done = timeout(limit, query.fetch_all(&mut wire.conn)).await;
        self.put_back(wire, done)
    }

    fn take(&mut self) -> sqlx::Result<Wire> {
        self.wire.take().ok_or_else(|| lost("the connection was lost before"))
    }

    /// Keeps the connection if its server has answered, and may be asked again. An answer that
    /// does not come in time says nothing of the others: the server may only be slow.
    fn put_back<T>(
        &mut self,
        wire: Wire,
        done: Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
    ) -> sqlx::Result<T> {
        let Ok(answer) = done else { return Err(late("answer")) };
        match &answer {
            Ok(_) => self.wire = Some(wire),
            Err(sqlx::Error::Io(_)) => self.home.era.end(wire.era),
            Err(error) => match Meaning::of(error) {
                Meaning::Elsewhere => self.home.era.end(wire.era),
                meaning if meaning.is_sound() => self.wire = Some(wire),
                _ => {}
            },
        }
        answer
    }
}

impl Drop for Link {
    /// Brings the connection to rest, without its transaction; closes it if that does not work.
    fn drop(&mut self) {
        let (Some(mut wire), Some(permit)) = (self.wire.take(), self.permit.take()) else { return };
        if !self.is_open {
            self.home.rest(wire);
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let home = Arc::clone(&self.home);
        runtime.spawn(async move {
            let limit = home.options.connect_timeout;
            if let Ok(Ok(_)) = timeout(limit, wire.conn.execute("ROLLBACK")).await {
                home.rest(wire);
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
