//! Creates the tables on a server and migrates them to the newest format.
//!
//! Formats are migrations in `migrations/mysql`. A server commits after each statement of a
//! migration, so every statement is repeatable and the last one records the format. Several
//! processes may start at once: migrations run under a named lock. A database of a newer version is
//! refused, and so is a server too old to enforce CHECK constraints.

use crate::error::{Result, StoreError};
use crate::server::{Era, Link, Server, Use};
use crate::server_options::MysqlOptions;
use crate::sql::{Backend, Conn};

/// The migrations; the newest number is the format of this version.
pub(crate) const MIGRATIONS: [&str; 12] = [
    include_str!("../migrations/mysql/0001_ledger.sql"),
    include_str!("../migrations/mysql/0002_raw_letters.sql"),
    include_str!("../migrations/mysql/0003_consumers.sql"),
    include_str!("../migrations/mysql/0004_accepted_losses.sql"),
    include_str!("../migrations/mysql/0005_bytes.sql"),
    include_str!("../migrations/mysql/0006_topic_ids.sql"),
    include_str!("../migrations/mysql/0007_frames.sql"),
    include_str!("../migrations/mysql/0008_commit_ranges.sql"),
    include_str!("../migrations/mysql/0009_time_per_token.sql"),
    include_str!("../migrations/mysql/0010_roll_ups.sql"),
    include_str!("../migrations/mysql/0011_several_aggregators.sql"),
    include_str!("../migrations/mysql/0012_late_events.sql"),
];
/// Added to the format while a backup is being restored: no program opens such a database, and none
/// that has it open writes a claim or a commit.
pub(crate) const RESTORING: i64 = 1_000_000;
/// Oldest servers that enforce CHECK constraints.
const MYSQL_OLDEST: (u32, u32, u32) = (8, 0, 16);
const MARIADB_OLDEST: (u32, u32, u32) = (10, 5, 0);
/// The named lock for migrations. Its name is server-wide and at most 64 characters long. MySQL has
/// dropped SHA1 in 9.6.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('gatemeter-', LEFT(SHA2(DATABASE(), 256), 40)), ?)";
const UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('gatemeter-', LEFT(SHA2(DATABASE(), 256), 40)))";

/// Migrates the database to the newest format and returns a pool for writing.
pub(crate) async fn open_writers(options: &MysqlOptions, era: &Era) -> Result<Server> {
    let server = Server::new(options, Use::Write, era);
    let mut conn = connect(&server).await?;
    check_server(&mut conn, &server).await?;
    migrate(&mut conn, &server).await?;
    Ok(server)
}

/// A pool for reading a database of this version's format.
pub(crate) async fn open_readers(options: &MysqlOptions, era: &Era) -> Result<Server> {
    let server = Server::new(options, Use::Read, era);
    let mut conn = connect(&server).await?;
    check_server(&mut conn, &server).await?;
    check_format(&mut conn, &server).await?;
    Ok(server)
}

/// A connection for a restore, with tables of this version's format or a restore that was cut off;
/// the format that was found. Migrations of others wait until the connection is closed.
pub(crate) async fn open_to_restore(options: &MysqlOptions) -> Result<(Conn, i64)> {
    let server = Server::new(options, Use::Write, &Era::default());
    let mut conn = connect(&server).await?;
    check_server(&mut conn, &server).await?;
    lock(&mut conn, &server).await?;
    let newest = MIGRATIONS.len() as i64;
    let mut found = format(&mut conn).await?;
    if (0..newest).contains(&found) && !is_used(&mut conn, found).await? {
        take_steps(&mut conn).await?;
        found = format(&mut conn).await?;
    }
    if found != RESTORING + newest {
        check_format(&mut conn, &server).await?;
    }
    Ok((conn, found))
}

/// Whether a ledger of an earlier format was ever in use.
async fn is_used(conn: &mut Conn, format: i64) -> Result<bool> {
    if format == 0 {
        return Ok(false);
    }
    let query = Backend::Mysql.query("SELECT 1 FROM generation LIMIT 1");
    Ok(conn.fetch_optional(query, "read its generations").await?.is_some())
}

async fn connect(server: &Server) -> Result<Conn> {
    let link: Link = server.connect().await.map_err(StoreError::server("connect"))?;
    Ok(Conn::Mysql(link))
}

/// Applies the missing migrations, exclusively among all processes of the server.
async fn migrate(conn: &mut Conn, server: &Server) -> Result<()> {
    if format(conn).await? == MIGRATIONS.len() as i64 {
        return Ok(());
    }
    lock(conn, server).await?;
    let done = take_steps(conn).await;
    let _ = conn.fetch_all(Backend::Mysql.query(UNLOCK), "unlock the tables").await;
    done?;
    check_format(conn, server).await
}

/// Takes the named lock, which ends with the connection at the latest.
async fn lock(conn: &mut Conn, server: &Server) -> Result<()> {
    let seconds = i64::try_from(server.lock_timeout().as_secs().max(1)).unwrap_or(1);
    let query = Backend::Mysql.query(LOCK).bind(seconds);
    let row = conn.fetch_one(query, "lock the tables").await?;
    if row.get::<Option<i64>>(0)? == Some(1) {
        return Ok(());
    }
    // Its holder creates the tables, or restores them: a later attempt finds them.
    Err(StoreError::Sql { action: "lock the tables", source: sqlx::Error::PoolTimedOut })
}

async fn take_steps(conn: &mut Conn) -> Result<()> {
    let found = format(conn).await?;
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    let Conn::Mysql(link) = conn else { return Ok(()) };
    for step in missing.unwrap_or_default() {
        link.script(step).await.map_err(StoreError::server("apply a migration"))?;
    }
    Ok(())
}

/// Format of the database, 0 for an empty one.
async fn format(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM information_schema.tables \
               WHERE table_schema = DATABASE() AND table_name = 'meta'";
    let row = conn.fetch_one(Backend::Mysql.query(sql), "read its schema").await?;
    if row.get::<i64>(0)? == 0 {
        return Ok(0);
    }
    let query = Backend::Mysql.query("SELECT format FROM meta");
    let row = conn.fetch_optional(query, "read its format").await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// Refuses a database of another format than this version's.
async fn check_format(conn: &mut Conn, server: &Server) -> Result<()> {
    let found = format(conn).await?;
    if found == MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let reason = match found {
        0 => "it has no tables of a ledger".to_owned(),
        RESTORING.. => {
            "a restore of it is under way or was cut off: run `gatemeter restore` again".to_owned()
        }
        _ => format!("it has format {found}, this program knows {}", MIGRATIONS.len()),
    };
    Err(StoreError::Database { database: server.database().to_owned(), reason })
}

/// Refuses a server that parses CHECK constraints without enforcing them.
async fn check_server(conn: &mut Conn, server: &Server) -> Result<()> {
    let query = Backend::Mysql.query("SELECT VERSION()");
    let row = conn.fetch_one(query, "ask for the version of the server").await?;
    let version: String = row.get(0)?;
    if is_new_enough(&version) {
        return Ok(());
    }
    let reason =
        format!("its server is {version}; MySQL 8.0.16 or MariaDB 10.5 or newer is needed");
    Err(StoreError::Database { database: server.database().to_owned(), reason })
}

fn is_new_enough(version: &str) -> bool {
    let oldest = if version.contains("MariaDB") { MARIADB_OLDEST } else { MYSQL_OLDEST };
    let mut parts =
        version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), Some(patch)) => (major, minor, patch) >= oldest,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
