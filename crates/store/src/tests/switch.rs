//! The primary moves to another server while connections to the old one live on: whoever writes or
//! reads reaches the new one within seconds, and nothing is counted twice or lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::commit::Progress;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::sync::watch;

use super::faults::{assert_counts_once, begun, through};
use super::fixture::{commit, commit_at_last, open_with, total, until};
use super::mariadb::Server;
use super::proxy::Proxy;
use super::server::{Database, admin};
use crate::{MysqlOptions, Store, StoreError};

/// How soon commits go on after a switch.
const SWITCH_MAX: Duration = Duration::from_secs(10);

/// Connections of the program to a server.
async fn connections(admin: &mut MySqlConnection, user: &str) -> Vec<u64> {
    let sql = "SELECT CAST(id AS UNSIGNED) FROM information_schema.processlist \
               WHERE user = ? ORDER BY id";
    let rows = sqlx::query(sql).bind(user).fetch_all(admin).await.expect("connections");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn no_connection_of_before_is_used_once_one_was_told_that_its_server_takes_no_writes() {
    let database = Database::alone(Vec::new()).await;
    let mut admin = database.admin().await;
    let (store, next) = begun(&database.options()).await;
    // Readers and writers that rest.
    let readers = (store.read().await.expect("a reader"), store.read().await.expect("a reader"));
    let (one, two) = tokio::join!(store.claim(1, 7, [7; 16], 2), store.claim(1, 8, [8; 16], 2));
    assert!(one.is_ok() && two.is_ok());
    drop(readers);
    let before = connections(&mut admin, &database.name).await;
    assert!(before.len() >= 3, "{before:?}");
    // As behind an address that has moved: connections of before may not write, new ones may.
    let name = &database.name;
    let right = AssertSqlSafe(format!("GRANT READ_ONLY ADMIN ON *.* TO {name}"));
    admin.execute("SET GLOBAL read_only = 1").await.expect("done");
    admin.execute(right).await.expect("done");
    assert_counts_once(&store, &next).await;
    store.read().await.expect("a reader");
    until("those of before are closed", async || {
        let now = connections(&mut admin, &database.name).await;
        !now.iter().any(|id| before.contains(id))
    })
    .await;
}

#[tokio::test]
async fn reader_leaves_a_server_that_turned_read_only_though_nobody_writes() {
    let database = Database::alone(Vec::new()).await;
    let mut admin = database.admin().await;
    let (store, _) = begun(&database.options()).await;
    let reading = Store::open_mysql_read_only(&database.options()).await.expect("a store");
    drop(reading.read().await.expect("a reader"));
    store.close().await;
    let mut before = Vec::new();
    until("the one that reads is left", async || {
        before = connections(&mut admin, &database.name).await;
        before.len() == 1
    })
    .await;
    admin.execute("SET GLOBAL read_only = 1").await.expect("done");
    // A replica is a server that may be read: the new connection stays, for a while.
    for _ in 0..3 {
        assert_eq!(reading.snapshot().await.expect("a snapshot").version, 1);
    }
    let after = connections(&mut admin, &database.name).await;
    assert!(!after.contains(&before[0]), "{before:?} {after:?}");
    let mut now = after.clone();
    until("a connection to a server that takes no writes is not kept", async || {
        drop(reading.read().await.expect("a reader"));
        now = connections(&mut admin, &database.name).await;
        !now.iter().any(|id| after.contains(id))
    })
    .await;
}

/// Copies a database and its user to another server, as an operator does who has no replica.
async fn copy(database: &Database, new: &Server) {
    let name = &database.name;
    let mut to = admin(new).await;
    let made = format!(
        "CREATE DATABASE {name}; CREATE USER {name} IDENTIFIED BY 'secret of {name}'; \
         GRANT ALL ON {name}.* TO {name}; USE {name}; SET foreign_key_checks = 0"
    );
    to.execute(AssertSqlSafe(made)).await.expect("a database and its user");
    let options = MysqlOptions { socket: Some(new.socket()), ..database.options() };
    open_with(&options).await.close().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut from = database.admin().await;
    let tables = from.fetch_all("SHOW TABLES").await.expect("tables");
    for table in tables {
        let table: String = table.try_get_unchecked(0).expect("a name");
        let file = folder.path().join(&table);
        let file = format!("'{}' CHARACTER SET binary", file.display());
        let out = format!("SELECT * FROM {table} INTO OUTFILE {file}");
        from.execute(AssertSqlSafe(out)).await.expect("the rows are written");
        let file = file.replace(" CHARACTER", &format!(" REPLACE INTO TABLE {table} CHARACTER"));
        to.execute(AssertSqlSafe(format!("LOAD DATA INFILE {file}"))).await.expect("and read");
    }
}

/// Versions that `n` readers see, which all read at once.
async fn versions(store: &Store, n_readers: usize) -> Vec<i64> {
    let mut readers = Vec::new();
    for _ in 0..n_readers {
        readers.push(store.read().await.expect("a reader"));
    }
    readers.iter().map(|reader| reader.as_of().version).collect()
}

#[tokio::test]
async fn nobody_reads_from_the_old_primary_once_one_has_reached_a_server_that_takes_writes() {
    let database = Database::alone(Vec::new()).await;
    let new = tokio::task::spawn_blocking(|| Server::start(Vec::new())).await.expect("a server");
    let proxy = Proxy::new(database.server.socket()).await;
    let (store, next) = begun(&through(&proxy, &database)).await;
    database.admin().await.execute("SET GLOBAL read_only = 1").await.expect("done");
    copy(&database, &new).await;
    let mut to = admin(&new).await;
    to.execute("SET GLOBAL read_only = 1").await.expect("done");
    // They rest, and reach the old server or the new one, none of which takes writes.
    let before = store.read().await.expect("a reader");
    proxy.lead_to(new.socket());
    let after = store.read().await.expect("a reader");
    drop(before);
    drop(after);
    assert_eq!(versions(&store, 2).await, [1; 2]);
    to.execute("SET GLOBAL read_only = 0").await.expect("done");
    assert_counts_once(&open_with(&through(&proxy, &database)).await, &next).await;
    // Which of the two is asked first is open; one of them finds out.
    versions(&store, 2).await;
    assert_eq!(versions(&store, 4).await, [2; 4], "one reader was there when it began to");

    to.execute("SET GLOBAL read_only = 1").await.expect("done");
    assert_eq!(versions(&store, 4).await, [2; 4]);
    database.admin().await.execute("SET GLOBAL read_only = 0").await.expect("done");
    proxy.lead_to(database.server.socket());
    assert!(store.put_key("role", "name", [7; 32]).await.is_ok(), "a writer gets there at once");
    assert_eq!(versions(&store, 4).await, [1; 4], "and so do readers");
}

#[tokio::test]
async fn server_that_takes_no_writes_is_not_believed_that_a_version_is_gone() {
    let database = Database::alone(Vec::new()).await;
    let mut admin = database.admin().await;
    let (store, _) = begun(&database.options()).await;
    let first = store.commit_of(1).await.expect("read");
    assert!(first.is_some());
    assert_eq!(store.commit_of(2).await.expect("read"), None);
    admin.execute("SET GLOBAL read_only = 1").await.expect("done");
    assert_eq!(store.commit_of(1).await.expect("read"), first);
    assert!(store.takes_no_writes().is_some_and(|reason| reason.contains("is read-only")));
    let error = store.commit_of(2).await.expect_err("it may be the one before a switch");
    assert!(matches!(error, StoreError::Behind { version: 2 }), "{error:?}");
    assert!(!error.is_fatal());
    admin.execute("SET GLOBAL read_only = 0").await.expect("done");
    assert_eq!(store.commit_of(2).await.expect("read"), None);
    assert_eq!(store.takes_no_writes(), None);
}

/// Commits until told to stop, as the core does; where it stood and when the last one ended.
async fn count(
    options: MysqlOptions,
    sent: watch::Sender<(i64, Instant)>,
    stop: watch::Receiver<bool>,
) -> (Store, i64) {
    let store = open_with(&options).await;
    let claim = store.claim(1, 0, [7; 16], 2).await.expect("a claim");
    let mut progress: Progress = claim.progress;
    let mut n = 0;
    while !*stop.borrow() {
        let next = Arc::new(commit(claim.owner, &progress, 1, &["a", "b"]));
        commit_at_last(&store, &next).await;
        progress = next.parts[0].progress;
        n += 1;
        sent.send_replace((n, Instant::now()));
    }
    (store, n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_on_within_seconds_after_the_primary_moved_by_hand_and_count_once() {
    let database = Database::alone(Vec::new()).await;
    let new = tokio::task::spawn_blocking(|| Server::start(Vec::new())).await.expect("a server");
    let proxy = Proxy::new(database.server.socket()).await;
    let (sender, mut done) = watch::channel((0, Instant::now()));
    let (stop, stopped) = watch::channel(false);
    let counting = tokio::spawn(count(through(&proxy, &database), sender, stopped));
    done.wait_for(|(n, _)| *n >= 20).await.expect("commits");
    let reading = Store::open_mysql_read_only(&through(&proxy, &database)).await;
    let reading = reading.expect("a store");
    assert!(total(&reading).await >= 40);

    let mut old = database.admin().await;
    old.execute("SET GLOBAL read_only = 1").await.expect("done");
    // Commits that were let in before it.
    old.execute("FLUSH TABLES WITH READ LOCK").await.expect("done");
    copy(&database, &new).await;
    old.execute("UNLOCK TABLES").await.expect("done");
    let n_before = done.borrow().0;
    let switched = Instant::now();
    proxy.lead_to(new.socket());
    let wait = done.wait_for(|(n, _)| *n > n_before + 20);
    let went_on =
        tokio::time::timeout(SWITCH_MAX, wait).await.expect("in time").expect("commits").1;
    println!("20 commits {} ms after the switch", (went_on - switched).as_millis());
    until("who only reads has moved too", async || total(&reading).await > 2 * n_before).await;
    assert!(switched.elapsed() < SWITCH_MAX, "{:?}", switched.elapsed());
    stop.send_replace(true);
    let (store, n) = counting.await.expect("no panic");
    assert_eq!(total(&store).await, 2 * n);
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.as_of().version, n);
    assert_eq!(reader.ranges().await.expect("ranges").len() as i64, n);
    until("nobody is left at the old server", async || {
        connections(&mut old, &database.name).await.is_empty()
    })
    .await;
}
