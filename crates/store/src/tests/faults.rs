//! What a server and the way to it can do to a commit: locks, kills, lost answers, no right to
//! write, no room.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger::commit::{Commit, Outcome, Owner, Progress, Resolution};
use sqlx::{AssertSqlSafe, Executor};

use super::cases::claimed;
use super::fixture::{
    absent, altered, commit_at_last, joint, open_with, part, refused, resolve_at_last, sums, total,
};
use super::proxy::{Fate, Proxy};
use super::server::Database;
use crate::{MysqlOptions, MysqlTls, Part, Rows, Store, StoreError};

/// A store with one committed event of two namespaces, and the commit that comes next.
pub(super) async fn begun(options: &MysqlOptions) -> (Arc<Store>, Arc<Commit>) {
    begun_in(1, options).await
}

/// The same in each of several partitions, which commit together.
async fn begun_in(n_partitions: u8, options: &MysqlOptions) -> (Arc<Store>, Arc<Commit>) {
    let store = open_with(options).await;
    let (owners, progress) = owned(&store, n_partitions).await;
    let first = Arc::new(next_of(&owners, &progress));
    let (outcome, error) = store.commit(Arc::clone(&first)).await;
    assert_eq!(outcome, Outcome::Committed { version: 1 }, "{error:?}");
    let second = Arc::new(next_of(&owners, &progress_of(&first)));
    (Arc::new(store), second)
}

/// Claims partitions from 0 on.
async fn owned(store: &Store, n_partitions: u8) -> (Vec<Owner>, Vec<Progress>) {
    let claims = claimed(store, n_partitions, 1).await;
    claims.iter().map(|claim| (claim.owner, claim.progress)).unzip()
}

/// One event of two namespaces in each partition.
fn next_of(owners: &[Owner], progress: &[Progress]) -> Commit {
    let each = owners.iter().zip(progress);
    joint(each.map(|(owner, progress)| part(*owner, progress, 1, &["a", "b"])))
}

fn progress_of(commit: &Commit) -> Vec<Progress> {
    commit.parts.iter().map(|part| part.progress).collect()
}

fn spawn_commit(
    store: &Arc<Store>,
    commit: &Arc<Commit>,
) -> tokio::task::JoinHandle<(Outcome, Option<StoreError>)> {
    let (store, commit) = (Arc::clone(store), Arc::clone(commit));
    tokio::spawn(async move { store.commit(commit).await })
}

fn assert_may_be_tried_again(error: Option<StoreError>) {
    assert!(matches!(error, Some(StoreError::Sql { .. })), "{error:?}");
}

fn n_parts(commit: &Commit) -> i64 {
    i64::try_from(commit.parts.len()).expect("few")
}

fn all_refused(commit: &Commit) -> Outcome {
    let partitions: Vec<u32> = commit.parts.iter().map(|part| part.owner.partition).collect();
    refused(&partitions)
}

/// Tries again what was aborted and looks at the sums.
pub(super) async fn assert_counts_once(store: &Store, next: &Arc<Commit>) {
    commit_at_last(store, next).await;
    assert_eq!(store.commit(Arc::clone(next)).await.0, all_refused(next));
    assert_eq!(total(store).await, 4 * n_parts(next));
    assert_eq!(store.read().await.expect("a reader").as_of().version, 2);
    assert!(!*store.fatal().borrow());
}

#[tokio::test]
async fn a_commit_that_loses_a_deadlock_is_aborted_and_counts_once_when_tried_again() {
    let database = Database::shared().await;
    let (store, next) = begun(&database.options()).await;
    let mut helper = database.admin().await;
    // The server gives up whoever has changed fewer rows.
    for sql in [
        "CREATE TABLE weight (n BIGINT) ENGINE = InnoDB",
        "START TRANSACTION",
        "INSERT INTO weight SELECT seq FROM seq_1_to_5000",
        "SELECT * FROM ledger_version FOR UPDATE",
    ] {
        helper.execute(sql).await.expect("done");
    }
    let committing = spawn_commit(&store, &next);
    database.blocked().await;
    helper.execute("SELECT * FROM partition_state FOR UPDATE").await.expect("the helper wins");
    let (outcome, error) = committing.await.expect("no panic");
    assert_eq!(outcome, Outcome::Aborted);
    assert!(format!("{error:?}").contains("1213"), "{error:?}");
    assert_may_be_tried_again(error);
    helper.execute("ROLLBACK").await.expect("done");
    assert_counts_once(&store, &next).await;
}

#[tokio::test]
async fn a_commit_that_waits_too_long_for_a_lock_is_aborted_and_counts_once_when_tried_again() {
    let database = Database::shared().await;
    let options = MysqlOptions { lock_timeout: Duration::from_secs(1), ..database.options() };
    let (store, next) = begun(&options).await;
    let mut helper = database.admin().await;
    helper.execute("START TRANSACTION").await.expect("done");
    helper.execute("SELECT * FROM total FOR UPDATE").await.expect("done");
    let (outcome, error) = store.commit(Arc::clone(&next)).await;
    assert_eq!(outcome, Outcome::Aborted);
    assert!(format!("{error:?}").contains("1205"), "{error:?}");
    assert_may_be_tried_again(error);
    helper.execute("ROLLBACK").await.expect("done");
    assert_counts_once(&store, &next).await;
}

#[tokio::test]
async fn a_statement_that_gets_no_answer_in_time_aborts_the_commit() {
    let database = Database::shared().await;
    let limit = Duration::from_secs(1);
    let options = MysqlOptions { statement_timeout: limit, ..database.options() };
    let (store, next) = begun(&options).await;
    let mut helper = database.admin().await;
    helper.execute("START TRANSACTION").await.expect("done");
    helper.execute("SELECT * FROM ledger_version FOR UPDATE").await.expect("done");
    let (outcome, error) = store.commit(Arc::clone(&next)).await;
    assert_eq!(outcome, Outcome::Aborted);
    assert!(format!("{error:?}").contains("did not answer in time"), "{error:?}");
    assert_may_be_tried_again(error);
    helper.execute("ROLLBACK").await.expect("done");
    assert_counts_once(&store, &next).await;
}

#[tokio::test]
async fn a_claim_that_waited_for_a_commit_sees_what_it_committed() {
    let database = Database::shared().await;
    let (store, _) = begun(&database.options()).await;
    let mut helper = database.admin().await;
    helper.execute("START TRANSACTION").await.expect("done");
    helper.execute("UPDATE partition_state SET next = next + 5").await.expect("done");
    let claiming = Arc::clone(&store);
    let claiming = tokio::spawn(async move { claiming.claim(1, 0, [2; 16], 2).await });
    database.blocked().await;
    helper.execute("COMMIT").await.expect("done");
    let claim = claiming.await.expect("no panic").expect("a claim");
    assert_eq!((claim.owner.epoch, claim.progress.next), (2, 6));
}

#[tokio::test]
async fn a_connection_killed_between_two_statements_aborts_the_commit() {
    let database = Database::shared().await;
    let (store, next) = begun(&database.options()).await;
    let mut helper = database.admin().await;
    helper.execute("START TRANSACTION").await.expect("done");
    helper.execute("SELECT * FROM ledger_version FOR UPDATE").await.expect("done");
    let committing = spawn_commit(&store, &next);
    let connection = database.blocked().await;
    helper.execute(AssertSqlSafe(format!("KILL {connection}"))).await.expect("done");
    let (outcome, error) = committing.await.expect("no panic");
    assert_eq!(outcome, Outcome::Aborted);
    assert_may_be_tried_again(error);
    helper.execute("ROLLBACK").await.expect("done");
    assert_counts_once(&store, &next).await;
}

/// Options that go through the proxy and give up on an answer soon.
pub(super) fn through(proxy: &Proxy, database: &Database) -> MysqlOptions {
    MysqlOptions {
        host: "127.0.0.1".to_owned(),
        port: proxy.port,
        socket: None,
        tls: MysqlTls::Disabled,
        statement_timeout: Duration::from_secs(2),
        lock_timeout: Duration::from_secs(1),
        ..database.options()
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_resolved_in_each_way() {
    let fates = [(Fate::Lost, false), (Fate::AnswerLost, true), (Fate::AnswerHeld, true)];
    for (n_partitions, (fate, took_effect)) in
        [1, 3].into_iter().flat_map(|n| fates.map(|f| (n, f)))
    {
        let database = Database::shared().await;
        let proxy = Proxy::new(database.server.socket()).await;
        let (store, next) = begun_in(n_partitions, &through(&proxy, &database)).await;
        proxy.set(fate);
        let (outcome, error) = store.commit(Arc::clone(&next)).await;
        assert_eq!(outcome, Outcome::Unknown, "{fate:?}");
        assert_may_be_tried_again(error);
        proxy.set(Fate::Passes);
        let expected = match took_effect {
            true => Resolution::Committed { version: 2 },
            false => absent(&next),
        };
        assert_eq!(resolve_at_last(&store, &next).await, expected, "{fate:?}");
        if !took_effect {
            assert_eq!(total(&store).await, 2 * n_parts(&next));
            commit_at_last(&store, &next).await;
        }
        assert_eq!(store.commit(Arc::clone(&next)).await.0, all_refused(&next));
        assert_eq!(total(&store).await, 4 * n_parts(&next), "{fate:?}");
    }
}

#[tokio::test]
async fn a_commit_still_under_way_stays_unknown_until_it_has_ended() {
    for n_partitions in [1, 3] {
        let database = Database::shared().await;
        let proxy = Proxy::new(database.server.socket()).await;
        let (store, next) = begun_in(n_partitions, &through(&proxy, &database)).await;
        proxy.set(Fate::Held);
        assert_eq!(store.commit(Arc::clone(&next)).await.0, Outcome::Unknown);
        // The rows are still locked by the transaction that waits for its COMMIT.
        let error = store.resolve(&next).await.expect_err("nobody can know yet");
        assert_may_be_tried_again(Some(error));
        proxy.set(Fate::Passes);
        assert_eq!(resolve_at_last(&store, &next).await, Resolution::Committed { version: 2 });
        assert_eq!(total(&store).await, 4 * n_parts(&next));
    }
}

#[tokio::test]
async fn a_connection_killed_while_its_commit_is_under_way_leaves_no_trace() {
    for n_partitions in [1, 3] {
        let database = Database::shared().await;
        let proxy = Proxy::new(database.server.socket()).await;
        let (store, next) = begun_in(n_partitions, &through(&proxy, &database)).await;
        proxy.set(Fate::Held);
        let committing = spawn_commit(&store, &next);
        proxy.held(1).await;
        database.kill_connections().await;
        assert_eq!(committing.await.expect("no panic").0, Outcome::Unknown);
        proxy.set(Fate::Passes);
        assert_eq!(resolve_at_last(&store, &next).await, absent(&next));
        assert_counts_once(&store, &next).await;
    }
}

#[tokio::test]
async fn a_server_killed_during_commits_leaves_each_of_them_counted_once() {
    kill_during_commits(1).await;
}

#[tokio::test]
async fn a_server_killed_during_joint_commits_leaves_each_of_them_counted_once() {
    kill_during_commits(3).await;
}

async fn kill_during_commits(n_partitions: u8) {
    const BETWEEN: i64 = 25;
    // Somewhere in a commit; with a COMMIT on its way; with its answer on its way back.
    const KILLS: [Fate; 3] = [Fate::Passes, Fate::Held, Fate::AnswerHeld];
    let database = Database::alone(Vec::new()).await;
    let proxy = Proxy::new(database.server.socket()).await;
    let options = through(&proxy, &database);
    let store = Arc::new(open_with(&options).await);
    let wanted = 6 * BETWEEN;
    let (sender, mut done) = tokio::sync::watch::channel(0);
    let counting = Arc::clone(&store);
    let counting = tokio::spawn(async move {
        let (owners, mut progress) = owned(&counting, n_partitions).await;
        let mut n_unknown = 0;
        for n in 1..=wanted {
            let next = Arc::new(next_of(&owners, &progress));
            n_unknown += commit_at_last(&counting, &next).await;
            progress = progress_of(&next);
            sender.send_replace(n);
        }
        n_unknown
    });
    let mut n_held = 0;
    for (kill, fate) in (1..).zip(KILLS) {
        done.wait_for(|n| *n >= kill * BETWEEN).await.expect("the commits go on");
        if fate != Fate::Passes {
            proxy.set(fate);
            n_held += 1;
            proxy.held(n_held).await;
        }
        database.server.kill_and_restart();
        proxy.set(Fate::Passes);
    }
    let n_unknown = counting.await.expect("no panic");
    assert!(n_unknown >= n_held, "{n_unknown} outcomes were unknown");
    let n_each = wanted * i64::from(n_partitions);
    assert_eq!(total(&store).await, 2 * n_each);
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.as_of().version, wanted);
    assert_eq!(reader.ranges().await.expect("ranges").len() as i64, n_each);
    let minutes = reader.sums(Rows::Minutes, 0..100, Some("a"), &Part::EACH).await;
    let minutes = minutes.expect("minutes").latency().expect("small");
    assert_eq!(minutes.n, n_each);
    assert_eq!(minutes.duration_us, i128::from(sums(n_each).duration_us));
    println!("{wanted} commits, {n_unknown} unknown outcomes resolved");
}

#[tokio::test]
async fn a_server_that_is_read_only_or_gone_pauses_the_store_and_loses_nothing() {
    let database = Database::alone(Vec::new()).await;
    let options = MysqlOptions { connect_timeout: Duration::from_secs(1), ..database.options() };
    let (store, next) = begun(&options).await;
    let mut admin = database.admin().await;
    admin.execute("SET GLOBAL read_only = 1").await.expect("done");
    let (outcome, error) = store.commit(Arc::clone(&next)).await;
    assert_eq!(outcome, Outcome::Aborted);
    assert!(format!("{error:?}").contains("1290"), "{error:?}");
    assert_may_be_tried_again(error);
    assert_eq!(total(&store).await, 2);
    admin.execute("SET GLOBAL read_only = 0").await.expect("done");
    drop(admin);
    assert_counts_once(&store, &next).await;

    let gone = MysqlOptions { socket: Some(Path::new("/nowhere/sql.sock").into()), ..options };
    let error = Store::open_mysql(&gone).await.expect_err("nobody is there");
    assert!(!error.is_fatal(), "{error:?}");
    assert!(!format!("{gone:?} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_full_disk_of_the_server_is_told_and_not_fatal() {
    let room = ["--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:24M"];
    let room = room.map(str::to_owned).to_vec();
    let database = Database::alone(room).await;
    let (store, next) = begun(&database.options()).await;
    let letter = next.parts[0].letters[0].clone();
    let letter = |idx| {
        let content = vec![7; ledger::commit::LETTER_BYTES_MAX].into_boxed_slice();
        ledger::commit::DeadLetter { idx, content: Some(content), ..letter.clone() }
    };
    let large = altered(&next, |part| part.letters = (0..400).map(letter).collect());
    let (outcome, error) = store.commit(Arc::new(large)).await;
    assert_eq!(outcome, Outcome::Aborted);
    assert!(matches!(error, Some(StoreError::DiskFull)), "{error:?}");
    assert_counts_once(&store, &next).await;
}
