//! Backups: every table comes back byte for byte, from either database to either, and what is
//! damaged, newer or in the way is refused before anything is written.

mod in_use;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use clock::Wall;
use ledger::commit::{AcceptedLoss, Commit, CommitId, LatePart, Merged, Outcome, Part};
use ledger::lease::LeaseRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor, Row as _};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::fixture::{Dice, commit, open_with, roll_up};
use super::server::Database;
use super::upgrade::make_file_of_before;
use crate::backup::{self, Progress, check, restore_to_directory, restore_to_server};
use crate::*;

/// Names that a collation, an escape or a wrong length would change.
const ODD: [&str; 6] = ["zo\u{eb} ", "zo\u{eb}", "\u{1f363}\u{200d}", "a';-- ", "\\", "NULL"];

fn silent(_: Progress<'_>) {}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A ledger with rows in every table, NULL and the ends of what numbers may be.
async fn fill(store: &Store) {
    store.generation(1, 2).await.expect("a generation");
    let claim = store.claim(1, 1, [0xff; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 3, &ODD));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let mut progress = first.parts[0].progress;
    progress.account.lost_frames = 3;
    let loss = AcceptedLoss { reason: "the log was \u{1f363}".to_owned(), frames: 3 };
    let without_rows = Part::without_rows(claim.owner, progress.next, progress);
    let merged = Merged { key: event::Key([0; 16]), time_us: -7, offset: 0 };
    let accepted = Arc::new(Part {
        accepted: Some(loss),
        is_shortened: true,
        late: LatePart { merged: vec![merged], ..without_rows.late },
        ..without_rows
    });
    let second = Commit::of(CommitId([0; 16]), vec![accepted]);
    assert_eq!(store.commit(Arc::new(second)).await.0, Outcome::Committed { version: 2 });
    let names = ODD.iter().flat_map(|name| {
        [(LabelKind::Model, ""), (LabelKind::Consumer, "zo\u{eb} ")].map(|(kind, scope)| {
            let label = LabelName { kind, scope: scope.to_owned(), name: (*name).to_owned() };
            LabelRequest { label, max: Some(100) }
        })
    });
    store.register_many(names.collect()).await.expect("registered");
    for name in ODD {
        store.create_namespace(name, name).await.expect("a namespace");
    }
    store.put_key("ingest", "default", [0; 32]).await.expect("a key");
    store.put_pressure(Wall::from_us(-5)).await.expect("stored");
    assert!(store.acquire_lease(LeaseRow::default(), [7; 16]).await.expect("stored"));
    let owner = OwnerRow { generation: 1, partition: 1, epoch: 1, ..OwnerRow::default() };
    store.put_process(ProcessRow::default(), vec![owner]).await.expect("stored");
    let gateway = "gateway ".to_owned();
    let row = ConnectionsRow { gateway, namespace: "zo\u{eb} ".to_owned(), active: 7, seen_us: 1 };
    store.put_connections(vec![row]).await.expect("stored");
    let letter = RawLetter {
        topic: "raw".to_owned(),
        topic_id: String::new(),
        partition: 3,
        offset: 9,
        idx: 0,
        until: 9,
        n: 1,
        kind: "unreadable".to_owned(),
        field: String::new(),
        reason: "\u{fffd}".to_owned(),
        event_id: None,
        stored_us: 0,
    };
    store.put_raw_letters(vec![letter], 100).await.expect("stored");
    let (topic, topic_id) = ("raw".to_owned(), "id ".to_owned());
    let place = RawPlace { topic, topic_id, partition: 3, next: 4, high: 5 };
    store.put_raw_places("gatemeter.ingest", vec![place], Vec::new()).await.expect("stored");
    roll_up(store, 1_000).await;
    // What nothing stores by itself.
    for sql in [
        "UPDATE total SET cost_nano = -9223372036854775807, duration_us = 9223372036854775807",
        "UPDATE dead_letter SET content = NULL, time_us = -1, namespace = NULL",
        "UPDATE partition_state SET clock_us = NULL, last_print = -9223372036854775808",
        "UPDATE meta SET frame_version = 2",
    ] {
        write(store, sql).await;
    }
}

async fn write(store: &Store, sql: &'static str) {
    let mut held = store.writers().expect("writers").hold().await.expect("a writer");
    held.steps.begin().await.expect("begun");
    let query = held.steps.backend().query(sql);
    held.steps.conn.execute(query, "change rows").await.expect(sql);
    held.steps.commit().await.expect("committed");
}

async fn on_file() -> (TempDir, Store) {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("a store");
    (folder, store)
}

async fn on_server() -> (Database, Store) {
    let database = Database::shared().await;
    let store = open_with(&database.options()).await;
    (database, store)
}

async fn connect(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).disable_statement_logging();
    options.connect().await.expect("a file")
}

/// Every row of each table as literals, in the order of its key.
type Content = BTreeMap<String, Vec<String>>;

/// Backs a ledger up; the file and what it holds.
async fn back_up(store: &Store, folder: &Path, name: &str) -> (PathBuf, Content) {
    let file = folder.join(name);
    let made = store.backup(&file, &silent).await.expect("a backup");
    assert_eq!(check(&file, &silent).await.expect("it is sound"), made);
    let mut conn = connect(&file).await;
    let mut content = Content::new();
    for (table, columns) in backup::tables_of_this_format().await.expect("a layout") {
        let literals = columns.iter().map(|column| format!("quote(`{column}`)"));
        let literals = literals.collect::<Vec<_>>().join(" || ',' || ");
        let sql = AssertSqlSafe(format!("SELECT {literals} FROM `{table}`"));
        let rows = conn.fetch_all(sql).await.expect("rows");
        content.insert(table, rows.iter().map(|row| row.get(0)).collect());
    }
    conn.close().await.expect("closed");
    (file, content)
}

/// What a ledger has beside the record that it was restored.
fn without_restore(mut content: Content) -> Content {
    const RESTORED: &str = "X'726573746F726564";
    for table in ["ledger_version", "publisher"] {
        content.remove(table).expect("the table");
    }
    let journal = content.get_mut("commit_journal").expect("the table");
    journal.retain(|row| !row.contains(RESTORED));
    content
}

/// A backup of `store` becomes a file and a database; backups of both are equal to it.
async fn every_table_comes_back(store: Store) {
    fill(&store).await;
    let folder = folder();
    let (file, content) = back_up(&store, folder.path(), "first").await;
    let empty: Vec<_> = content.iter().filter(|(_, rows)| rows.is_empty()).collect();
    assert!(empty.is_empty(), "the test has no rows of {empty:?}");
    let rows = connect(&file).await.fetch_all("SELECT code FROM namespace ORDER BY id").await;
    let rows = rows.expect("rows");
    assert!(rows.iter().map(|row| row.get::<String, _>(0)).eq(ODD), "names are what they were");

    let dir = folder.path().join("data");
    std::fs::create_dir(&dir).expect("a folder");
    let restored = restore_to_directory(&file, &dir, &silent).await.expect("restored");
    assert_eq!((restored.version, restored.partitions.len()), (2, 1));
    let on_file = Store::open(&dir).await.expect("a ledger");
    let (_, again) = back_up(&on_file, folder.path(), "of the file").await;
    let content = without_restore(content);
    assert_eq!(without_restore(again), content, "a file");

    let database = Database::shared().await;
    let restored = restore_to_server(&file, &database.options(), &silent).await;
    assert_eq!(restored.expect("restored").version, 2);
    let on_server = open_with(&database.options()).await;
    let (_, again) = back_up(&on_server, folder.path(), "of the server").await;
    assert_eq!(without_restore(again), content, "a server");

    // Both count on from where the backup stands, and number what is new as before.
    let expected = store.snapshot().await.expect("a snapshot");
    for restored in [on_file, on_server] {
        let found = restored.snapshot().await.expect("a snapshot");
        assert_eq!((found.version, expected.version), (3, 2), "a restore is a version of its own");
        assert!(!expected.is_restored && found.is_restored);
        let lease = restored.read().await.expect("a reader").lease().await.expect("a lease");
        assert_eq!((lease.term, lease.holder), (1, None), "nobody is the publisher");
        assert_eq!(
            (found.totals, found.partitions, found.namespaces),
            (expected.totals.clone(), expected.partitions.clone(), expected.namespaces.clone())
        );
        let before = restored.read().await.expect("a reader").partitions().await.expect("rows");
        let claim = restored.claim(1, 1, [2; 16], 2).await.expect("a claim");
        assert_eq!(claim.owner.epoch, before[0].epoch + 1);
        assert_eq!(claim.progress, before[0].progress);
        let next = Arc::new(commit(claim.owner, &claim.progress, 1, &["new"]));
        assert_eq!(restored.commit(next).await.0, Outcome::Committed { version: 4 });
        let row = restored.create_namespace("newer", "newer").await.expect("a namespace");
        let newest = restored.namespaces_after(0).await.expect("namespaces");
        assert_eq!(newest.iter().map(|row| row.id).max(), Some(row.id));
    }
}

#[tokio::test]
async fn every_table_of_a_file_comes_back_byte_for_byte_in_a_file_and_on_a_server() {
    let (_folder, store) = on_file().await;
    every_table_comes_back(store).await;
}

#[tokio::test]
async fn every_table_of_a_server_comes_back_byte_for_byte_in_a_file_and_on_a_server() {
    let (_database, store) = on_server().await;
    every_table_comes_back(store).await;
}

#[tokio::test]
async fn a_server_has_the_tables_and_columns_of_a_file_and_no_others() {
    let (database, _store) = on_server().await;
    let sql = "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns \
               WHERE table_schema = DATABASE()";
    let rows = database.admin().await.fetch_all(sql).await.expect("rows");
    let on_server: BTreeSet<String> =
        rows.iter().map(|row| row.try_get_unchecked(0).expect("a text")).collect();
    let in_file = backup::tables_of_this_format().await.expect("a layout").into_iter();
    let in_file: BTreeSet<String> = in_file
        .flat_map(|(table, columns)| columns.into_iter().map(move |name| format!("{table}.{name}")))
        .collect();
    let differ: Vec<_> = on_server.symmetric_difference(&in_file).collect();
    assert!(differ.is_empty() && in_file.len() > 300, "{differ:?}");
}

/// A backup is one version, whatever is committed meanwhile.
async fn a_backup_is_one_version(store: Store) {
    store.generation(1, 1).await.expect("a generation");
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let (store, folder) = (Arc::new(store), folder());
    let writer = Arc::clone(&store);
    let is_done = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&is_done);
    let writing = tokio::spawn(async move {
        let mut progress = claim.progress;
        while !stops.load(Ordering::Relaxed) {
            let next = Arc::new(commit(claim.owner, &progress, 2, &["a", "b"]));
            progress = next.parts[0].progress;
            let ended = writer.commit(next).await.0;
            assert!(matches!(ended, Outcome::Committed { .. }), "{ended:?}");
        }
        progress.next
    });
    let mut versions = Vec::new();
    for n in 0..8 {
        let file = folder.path().join(format!("backup {n}"));
        let made = store.backup(&file, &silent).await.expect("a backup");
        assert_eq!(made.partitions[0].next.cast_signed(), made.version, "a commit is one frame");
        let mut conn = connect(&file).await;
        let sums = "SELECT (SELECT counted FROM partition_state), (SELECT sum(n) FROM total), \
                    (SELECT sum(n) FROM quarter), (SELECT count(*) FROM commit_journal)";
        let row = conn.fetch_one(sums).await.expect("sums");
        let [counted, totals, quarters, commits] = [0, 1, 2, 3].map(|at| row.get::<i64, _>(at));
        assert_eq!([counted, totals, quarters], [4 * made.version; 3]);
        assert_eq!(commits, made.version);
        versions.push(made.version);
    }
    is_done.store(true, Ordering::Relaxed);
    let n_committed = writing.await.expect("no panic");
    assert!(versions.is_sorted() && n_committed > 0, "{versions:?}");
}

#[tokio::test]
async fn a_backup_of_a_file_is_one_version_whatever_is_committed_meanwhile() {
    let (_folder, store) = on_file().await;
    a_backup_is_one_version(store).await;
}

#[tokio::test]
async fn a_backup_of_a_server_is_one_version_whatever_is_committed_meanwhile() {
    let (_database, store) = on_server().await;
    a_backup_is_one_version(store).await;
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

/// A backup of a filled file.
async fn a_backup(folder: &Path) -> PathBuf {
    let (_folder, store) = on_file().await;
    fill(&store).await;
    back_up(&store, folder, "backup").await.0
}

#[tokio::test]
async fn nothing_is_replaced_and_a_failure_leaves_no_file() {
    let (folder, (data, store)) = (folder(), on_file().await);
    fill(&store).await;
    let (file, _) = back_up(&store, folder.path(), "backup").await;
    let before = std::fs::read(&file).expect("a file");
    let refused = store.backup(&file, &silent).await.expect_err("it exists");
    assert!(matches!(refused, StoreError::FileExists(_)), "{refused}");
    let refused = restore_to_directory(&file, data.path(), &silent).await.expect_err("a ledger");
    assert!(refused.to_string().contains("ledger.db: move it away first"), "{refused}");
    assert_eq!(std::fs::read(&file).expect("a file"), before);
    let none = folder.path().join("none/backup");
    for refused in [store.backup(&none, &silent).await, check(&none, &silent).await] {
        assert!(matches!(refused, Err(StoreError::File { .. })), "{refused:?}");
    }
    // The log of a ledger that is gone would be replayed into the new one.
    let dir = folder.path().join("data");
    std::fs::create_dir(&dir).expect("a folder");
    std::fs::write(dir.join("ledger.db-wal"), "old").expect("written");
    let refused = restore_to_directory(&file, &dir, &silent).await.expect_err("a rest");
    assert!(refused.to_string().contains("ledger.db-wal: move it away first"), "{refused}");
    assert_eq!(files(&dir), ["ledger.db-wal"]);
    assert_eq!(files(folder.path()), ["backup", "data"]);
}

#[tokio::test]
async fn a_backup_belongs_to_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let file = a_backup(folder.path()).await;
    let mode = std::fs::metadata(file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Why a file is refused, by a check and by each restore; nothing is written.
async fn refusal(file: &Path, database: &Database) -> String {
    let dir = folder();
    let refused = check(file, &silent).await.expect_err("it is refused").to_string();
    let by_file = restore_to_directory(file, dir.path(), &silent).await;
    assert_eq!(by_file.expect_err("it is refused").to_string(), refused);
    assert_eq!(files(dir.path()), Vec::<String>::new());
    let by_server = restore_to_server(file, &database.options(), &silent).await;
    assert_eq!(by_server.expect_err("it is refused").to_string(), refused);
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    let row = database.admin().await.fetch_one(sql).await.expect("a row");
    assert_eq!(row.try_get_unchecked::<i64, _>(0).expect("a number"), 0);
    refused
}

#[tokio::test]
async fn what_is_cut_off_changed_or_no_backup_is_refused_before_anything_is_written() {
    let (folder, database, mut dice) = (folder(), Database::shared().await, Dice(7));
    let sound = a_backup(folder.path()).await;
    let bytes = std::fs::read(&sound).expect("a file");
    let file = folder.path().join("damaged");
    for n_kept in [0, 1, 50, 4_096, bytes.len() / 2, bytes.len() - 4_096, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..n_kept]).expect("written");
        let refused = refusal(&file, &database).await;
        assert!(refused.contains("no file of `gatemeter backup`"), "{n_kept} bytes: {refused}");
    }
    std::fs::write(&file, "no database at all").expect("written");
    refusal(&file, &database).await;
    // Whoever writes to it with SQLite breaks the seal, as every bit that flips does.
    for sql in ["UPDATE total SET n = n + 1", "DROP TABLE connections", "VACUUM"] {
        std::fs::write(&file, &bytes).expect("written");
        let mut conn = connect(&file).await;
        conn.execute(sql).await.expect(sql);
        conn.close().await.expect("closed");
        refusal(&file, &database).await;
    }
    for _ in 0..20 {
        let mut flipped = bytes.clone();
        flipped[dice.below(bytes.len())] ^= 1 << dice.below(8);
        std::fs::write(&file, flipped).expect("written");
        let refused = check(&file, &silent).await.expect_err("a bit has flipped");
        assert!(matches!(refused, StoreError::Backup { .. }), "{refused}");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&bytes[bytes.len() - 64..]);
    std::fs::write(&file, longer).expect("written");
    assert!(refusal(&file, &database).await.contains("it is not as long as its seal says"));
    let mut later = bytes.clone();
    later[bytes.len() - 64] = 2;
    std::fs::write(&file, later).expect("written");
    assert!(refusal(&file, &database).await.contains("its seal has version 2"));
    // What was sealed is whole, and may still be nothing that can be restored.
    for (sql, reason) in [
        ("UPDATE meta SET format = 999", "it has format 999, this program knows"),
        ("UPDATE meta SET format = 0", "it has format 0, this program knows"),
        ("DROP TABLE meta", "no such table: meta"),
    ] {
        std::fs::write(&file, &bytes[..bytes.len() - 64]).expect("written");
        let mut conn = connect(&file).await;
        conn.execute(sql).await.expect(sql);
        conn.close().await.expect("closed");
        backup::seal_for_tests(&file).await;
        let refused = refusal(&file, &database).await;
        assert!(refused.contains(reason), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_backup_of_an_earlier_format_takes_the_steps_to_this_one() {
    let (folder, (data, store)) = (folder(), on_file().await);
    fill(&store).await;
    let old = folder.path().join("old");
    std::fs::create_dir(&old).expect("a folder");
    make_file_of_before(8, &old, data.path()).await;
    let file = old.join(schema::FILE);
    backup::seal_for_tests(&file).await;
    assert_eq!(check(&file, &silent).await.expect("it is sound").format, 8);
    let before = std::fs::read(&file).expect("a file");

    let dir = folder.path().join("data");
    std::fs::create_dir(&dir).expect("a folder");
    restore_to_directory(&file, &dir, &silent).await.expect("restored");
    let on_file = Store::open_read_only(&dir).await.expect("of this format");
    let database = Database::shared().await;
    restore_to_server(&file, &database.options(), &silent).await.expect("restored");
    let on_server = Store::open_mysql_read_only(&database.options()).await.expect("so is this");
    let expected = on_file.snapshot().await.expect("a snapshot");
    assert_eq!((expected.version, expected.partitions[0].tpot_from), (3, 1), "the steps are taken");
    let found = on_server.snapshot().await.expect("a snapshot");
    assert_eq!((found.totals, found.partitions), (expected.totals, expected.partitions));
    assert_eq!(std::fs::read(&file).expect("a file"), before, "the backup stays as it is");
    assert_eq!(files(&old), [schema::FILE]);
}

#[tokio::test]
async fn a_restore_that_is_cut_off_is_opened_by_nobody_and_begun_again() {
    let folder = folder();
    let (database, store) = on_server().await;
    fill(&store).await;
    let (file, content) = back_up(&store, folder.path(), "backup").await;
    let target = Database::shared().await;
    let early = open_with(&target.options()).await;
    for n_tables in [1, 12, 20] {
        let reached = Notify::new();
        let seen = Mutex::new(BTreeSet::new());
        let report = |progress: Progress<'_>| {
            if let Progress::Rows { table, .. } = progress {
                let mut seen = seen.lock().expect("a lock");
                seen.insert(table.to_owned());
                if seen.len() == n_tables {
                    reached.notify_one();
                }
            }
        };
        let options = target.options();
        tokio::select! {
            biased;
            () = reached.notified() => {}
            done = restore_to_server(&file, &options, &report) => panic!("it ended: {done:?}"),
        }
        for refused in [
            Store::open_mysql(&target.options()).await,
            Store::open_mysql_read_only(&target.options()).await,
        ] {
            let refused = refused.expect_err("it is half a ledger").to_string();
            assert!(refused.contains("run `gatemeter restore` again"), "{refused}");
        }
        let refused = early.claim(1, 0, [1; 16], 2).await.expect_err("it is half a ledger");
        assert!(matches!(refused, StoreError::Newer { .. }), "{refused}");
        let refused = early.backup(&folder.path().join("half"), &silent).await;
        assert!(matches!(refused, Err(StoreError::Newer { .. })), "{refused:?}");
    }
    restore_to_server(&file, &target.options(), &silent).await.expect("restored");
    let (_, again) = back_up(&open_with(&target.options()).await, folder.path(), "again").await;
    assert_eq!(without_restore(again), without_restore(content));
    let refused = restore_to_server(&file, &target.options(), &silent).await;
    let refused = refused.expect_err("there is a ledger now").to_string();
    assert!(refused.contains("it holds a ledger, table"), "{refused}");
    drop(database);
}
