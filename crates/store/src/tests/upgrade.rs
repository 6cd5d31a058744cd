//! A ledger of a format before: the steps to this format keep every row, and what nobody has told
//! yet is not taken for granted.

use std::path::Path;
use std::sync::Arc;

use ledger::commit::{Commit, Outcome};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use super::fixture::{commit, open_with, source};
use super::server::Database;
use crate::{
    LabelKind, LabelName, LabelRequest, Owners, Raised, RangeRow, Snapshot, Store, schema,
    server_schema,
};

/// Puts a row into most tables; the commit that comes next.
async fn fill(store: &Store) -> Arc<Commit> {
    store.generation(1, 2).await.expect("a generation");
    let claim = store.claim(1, 1, [1; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 3, &["a", "b"]));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let label = LabelName { kind: LabelKind::Model, scope: String::new(), name: "m".to_owned() };
    store.register_many(vec![LabelRequest { label, max: None }]).await.expect("registered");
    store.create_namespace("a", "A").await.expect("a namespace");
    store.put_key("ingest", "default", [3; 32]).await.expect("a key");
    Arc::new(commit(claim.owner, &first.parts[0].progress, 1, &["a"]))
}

/// What a ledger holds.
async fn content(store: &Store) -> (Snapshot, Vec<RangeRow>, Vec<LabelName>) {
    let snapshot = store.snapshot().await.expect("a snapshot");
    let mut reader = store.read().await.expect("a reader");
    let ranges = reader.ranges().await.expect("ranges");
    (snapshot, ranges, store.load_labels().await.expect("labels"))
}

/// The upgraded ledger has what the other one has, begins with version 1 and counts on.
async fn check(upgraded: &Store, other: &Store, next: Arc<Commit>) {
    assert_eq!(content(upgraded).await, content(other).await);
    assert_eq!(upgraded.keys("ingest").await.expect("keys").len(), 1);
    assert_eq!(upgraded.frame_version().await.expect("a version"), 1);
    let raised = upgraded.raise_frame_version(1, 2, Owners::Any).await.expect("an answer");
    assert_eq!(raised, Raised::NotYet { partitions: vec![0, 1] }, "its owner did not tell");
    assert_eq!(upgraded.commit(next).await.0, Outcome::Committed { version: 2 });
    for partition in 0..2 {
        upgraded.claim(1, partition, [2; 16], 2).await.expect("a claim");
    }
    let raised = upgraded.raise_frame_version(1, 2, Owners::Any).await.expect("an answer");
    assert_eq!(raised, Raised::Done);
}

/// Makes a file of an earlier format with the rows of another file.
async fn make_file_of_before(format: usize, folder: &Path, other: &Path) {
    let options = SqliteConnectOptions::new().filename(folder.join(schema::FILE));
    let options = options.create_if_missing(true).foreign_keys(false).disable_statement_logging();
    let mut conn = options.connect().await.expect("a file");
    for step in &schema::MIGRATIONS[..format] {
        conn.execute(*step).await.expect("a step of before");
    }
    let other = format!("ATTACH '{}' AS other", other.join(schema::FILE).display());
    conn.execute(AssertSqlSafe(other)).await.expect("attached");
    let sql = "SELECT name FROM main.sqlite_schema \
               WHERE type = 'table' AND name <> 'meta' AND name NOT LIKE 'sqlite%'";
    for table in texts(&mut conn, sql).await {
        let sql = format!("SELECT '\"' || name || '\"' FROM pragma_table_info('{table}', 'main')");
        let columns = texts(&mut conn, &sql).await.join(", ");
        let source = source("other", &table);
        let sql = format!("REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM {source}");
        conn.execute(AssertSqlSafe(sql)).await.expect("the rows are copied");
    }
}

async fn texts(conn: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let rows = conn.fetch_all(AssertSqlSafe(sql.to_owned())).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_file_of_format_6_keeps_its_rows_and_begins_with_frame_version_1() {
    let (old, new) = (tempfile::tempdir(), tempfile::tempdir());
    let (old, new) = (old.expect("a folder"), new.expect("a folder"));
    let other = Store::open(new.path()).await.expect("a store");
    let next = fill(&other).await;
    make_file_of_before(6, old.path(), new.path()).await;
    let refused = Store::open_read_only(old.path()).await.expect_err("it is not upgraded yet");
    assert!(refused.to_string().contains("it has format 6, this program knows 8"), "{refused}");
    let upgraded = Store::open(old.path()).await.expect("upgraded");
    check(&upgraded, &other, next).await;
}

#[tokio::test]
async fn a_database_of_format_6_keeps_its_rows_and_begins_with_frame_version_1() {
    let new = Database::shared().await;
    let other = open_with(&new.options()).await;
    let next = fill(&other).await;
    let old = Database::of_before(&server_schema::MIGRATIONS[..6], &new).await;
    let refused = Store::open_mysql_read_only(&old.options()).await;
    let refused = refused.expect_err("it is not upgraded yet");
    assert!(refused.to_string().contains("it has format 6, this program knows 8"), "{refused}");
    // A step that is cut off between its statements is taken again.
    let first = "ALTER TABLE meta ADD COLUMN frame_version BIGINT NOT NULL DEFAULT 1";
    old.admin().await.execute(first).await.expect("done");
    let upgraded = open_with(&old.options()).await;
    check(&upgraded, &other, next).await;
}
