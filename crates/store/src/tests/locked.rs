//! A lock that somebody else holds on the ledger's file: writes wait, then say so; nothing of them
//! happened, and nothing ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::commit::{Outcome, Resolution};
use queue::LOCK_WAIT_MAX;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};

use super::fixture::{absent, commit, commit_at_last, total, until};
use crate::{LabelKind, LabelName, LabelRequest, Store, StoreError};

async fn stranger(dir: &std::path::Path) -> SqliteConnection {
    let options =
        SqliteConnectOptions::new().filename(dir.join("ledger.db")).create_if_missing(true);
    options.connect().await.expect("a connection")
}

async fn sql(conn: &mut SqliteConnection, statement: &'static str) {
    conn.execute(statement).await.expect("it is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_wait_for_a_lock_and_are_refused_while_it_lasts_and_leave_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(folder.path()).await.expect("a store"));
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 2, &["a"]));
    let mut held = stranger(folder.path()).await;

    sql(&mut held, "BEGIN IMMEDIATE").await;
    let waits = tokio::spawn({
        let (store, first) = (Arc::clone(&store), Arc::clone(&first));
        async move { commit_at_last(&store, &first).await }
    });
    until("the lock is told", async || store.refusing().is_some()).await;
    assert!(!waits.is_finished());
    sql(&mut held, "ROLLBACK").await;
    assert_eq!(waits.await.expect("no panic"), 0, "its outcome was always known");
    until("it is gone", async || store.refusing().is_none()).await;

    sql(&mut held, "BEGIN EXCLUSIVE").await;
    let second = Arc::new(commit(claim.owner, &first.parts[0].progress, 3, &["b"]));
    let (outcome, error) = store.commit(Arc::clone(&second)).await;
    assert_eq!(outcome, Outcome::Aborted);
    assert!(error.is_some_and(|error| error.is_locked()));
    // Many at once do not wait for one another.
    let began = Instant::now();
    let label = |name: String| LabelName { kind: LabelKind::Model, scope: String::new(), name };
    let asked: Vec<_> = (0..20)
        .map(|n| {
            let request = LabelRequest { label: label(format!("m{n}")), max: None };
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.register_many(vec![request]).await.map(|_| ()) })
        })
        .collect();
    for each in asked {
        let error = each.await.expect("no panic").expect_err("it is locked");
        assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
        assert!(error.reason().contains("locked"));
    }
    assert!(began.elapsed() < LOCK_WAIT_MAX + Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(store.create_namespace("x", "").await.is_err_and(|error| error.is_locked()));
    let claimed = store.claim(1, 0, [2; 16], 2).await;
    assert!(claimed.is_err_and(|error| error.is_locked()));
    assert!(store.put_key("admin", "admin", [3; 32]).await.is_err_and(|error| error.is_locked()));
    assert_eq!(total(&store).await, 2, "reads go on");
    assert!(!*store.fatal().borrow());
    sql(&mut held, "ROLLBACK").await;
    assert_eq!(commit_at_last(&store, &second).await, 0);
    assert_eq!(total(&store).await, 5);
}

#[tokio::test]
async fn what_became_of_a_commit_is_told_under_a_lock_and_counts_once_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 2, &["a"]));
    let second = Arc::new(commit(claim.owner, &first.parts[0].progress, 3, &["b"]));
    commit_at_last(&store, &first).await;
    let mut held = stranger(folder.path()).await;
    sql(&mut held, "BEGIN IMMEDIATE").await;
    until("the lock is told", async || store.refusing().is_some()).await;
    // Both outcomes are known from what can be read, and neither waits for the lock.
    let began = Instant::now();
    let resolution = store.resolve(&first).await.expect("an answer");
    assert_eq!(resolution, Resolution::Committed { version: 1 });
    let resolution = store.resolve(&second).await.expect("an answer");
    assert_eq!(resolution, absent(&second));
    assert!(began.elapsed() < LOCK_WAIT_MAX, "{:?}", began.elapsed());
    let (outcome, error) = store.commit(Arc::clone(&second)).await;
    assert_eq!(outcome, Outcome::Aborted, "{error:?}");
    sql(&mut held, "ROLLBACK").await;
    assert_eq!(commit_at_last(&store, &second).await, 0);
    assert_eq!(total(&store).await, 5);
}

#[tokio::test]
async fn a_ledger_is_not_made_under_a_lock_and_is_made_whole_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut held = stranger(folder.path()).await;
    sql(&mut held, "PRAGMA journal_mode = WAL").await;
    sql(&mut held, "BEGIN IMMEDIATE").await;
    let error = Store::open(folder.path()).await.expect_err("it is locked");
    assert!(error.is_locked(), "{error:?}");
    sql(&mut held, "ROLLBACK").await;
    let store = Store::open(folder.path()).await.expect("a store");
    assert!(store.generation(1, 1).await.is_ok());
}

#[tokio::test]
async fn a_long_reader_holds_nothing_up_and_the_write_ahead_log_is_cut_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut reader = stranger(folder.path()).await;
    sql(&mut reader, "BEGIN").await;
    sql(&mut reader, "SELECT count(*) FROM total").await;
    let before = store.wal_bytes();
    let first = Arc::new(commit(claim.owner, &claim.progress, 1, &["a", "b", "c"]));
    commit_at_last(&store, &first).await;
    assert!(store.wal_bytes() > before, "the reader keeps what it sees");
    assert_eq!(total(&store).await, 3, "and holds nothing up");
    sql(&mut reader, "ROLLBACK").await;
    store.close().await;
    assert_eq!(store.wal_bytes(), 0);
}
