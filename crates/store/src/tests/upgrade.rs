//! A ledger of a format before: the steps to this format keep every row, and what nobody has told
//! yet is not taken for granted.

use std::path::Path;
use std::sync::Arc;

use ledger::commit::{AcceptedLoss, Commit, CommitId, Outcome, Part};
use ledger::measures::Measures;
use sqlx::mysql::MySqlConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use super::fixture::{altered, commit, open_with, source, without_tpot};
use super::server::Database;
use crate::{
    AcceptedRow, LabelKind, LabelName, LabelRequest, Owners, Raised, RangeRow, Snapshot, Store,
    StoreError, schema, server_schema,
};

/// The step to format 8, and what a program of before writes with every commit.
const STEP: &str = server_schema::MIGRATIONS[7];
const LINE_OF_BEFORE: &str = "INSERT INTO commit_journal (version, commit_id, generation, \
    `partition`, base, next, events, counted, input_tokens, output_tokens, digest, \
    first_clock_us, last_clock_us, committed_us) \
    VALUES (40, REPEAT('x', 16), 1, 0, 5, 6, 7, 7, 0, 0, 0, NULL, NULL, 9)";
/// The step to format 9.
const TPOT_STEP: &str = server_schema::MIGRATIONS[8];

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
    let mut progress = first.parts[0].progress;
    progress.account.lost_frames = 3;
    let loss = AcceptedLoss { reason: "the log was replaced".to_owned(), frames: 3 };
    let without_rows = Part::without_rows(claim.owner, progress.next, progress);
    let accepted = Arc::new(Part { accepted: Some(loss), ..without_rows });
    let second = Commit::of(CommitId([9; 16]), vec![accepted]);
    assert_eq!(store.commit(Arc::new(second)).await.0, Outcome::Committed { version: 2 });
    Arc::new(commit(claim.owner, &progress, 1, &["a"]))
}

/// What a ledger holds.
#[derive(Debug, PartialEq)]
struct Content {
    snapshot: Snapshot,
    commits: Vec<Option<CommitId>>,
    ranges: Vec<RangeRow>,
    losses: Vec<AcceptedRow>,
    labels: Vec<LabelName>,
}

impl Content {
    async fn of(store: &Store) -> Content {
        let snapshot = store.snapshot().await.expect("a snapshot");
        let mut reader = store.read().await.expect("a reader");
        let mut commits = Vec::new();
        for version in 0..=snapshot.version {
            commits.push(reader.commit_of(version).await.expect("an answer"));
        }
        let ranges = reader.ranges().await.expect("ranges");
        let losses = reader.accepted_losses().await.expect("losses");
        let labels = store.load_labels().await.expect("labels");
        Content { snapshot, commits, ranges, losses, labels }
    }
}

/// The upgraded ledger has what the other one has, begins with version 1 and counts on.
async fn check(upgraded: &Store, other: &Store, next: Arc<Commit>, unready: &[u32]) {
    let found = Content::of(upgraded).await;
    assert_eq!((found.ranges.len(), found.losses.len()), (2, 1));
    let mut other = Content::of(other).await;
    // Nobody counted late events apart before format 12.
    other.ranges.iter_mut().for_each(|range| range.sums.late = -1);
    assert_eq!(found, Content { snapshot: without_tpot(other.snapshot), ..other });
    assert_eq!(upgraded.keys("ingest").await.expect("keys").len(), 1);
    assert_eq!(upgraded.frame_version().await.expect("a version"), 1);
    let raised = upgraded.raise_frame_version(1, 2, Owners::Any).await.expect("an answer");
    assert_eq!(raised, Raised::NotYet { partitions: unready.to_vec() }, "who did not tell");
    let next = Arc::new(altered(&next, |part| {
        (part.late.base, part.progress.late_next) = (part.base, part.progress.next);
    }));
    assert_eq!(upgraded.commit(Arc::clone(&next)).await.0, Outcome::Committed { version: 3 });
    check_tpot(upgraded, &next).await;
    for partition in 0..2 {
        upgraded.claim(1, partition, [2; 16], 2).await.expect("a claim");
    }
    let raised = upgraded.raise_frame_version(1, 2, Owners::Any).await.expect("an answer");
    assert_eq!(raised, Raised::Done);
}

/// Times per output token are those of the one commit since the upgrade, and begin where it began.
async fn check_tpot(upgraded: &Store, next: &Commit) {
    let mut reader = upgraded.read().await.expect("a reader");
    let added = |sums: &mut i64, more: &Measures| *sums += more.n_tpot();
    let [mut in_totals, mut in_quarters, mut expected] = [0; 3];
    let totals = reader.total_rows(None).await.expect("totals");
    totals.iter().for_each(|(_, sums)| added(&mut in_totals, sums));
    let quarters = reader.full_quarters(0..i64::MAX).await.expect("quarters");
    quarters.iter().for_each(|(.., sums)| added(&mut in_quarters, sums));
    next.rows.totals.iter().for_each(|(.., sums)| added(&mut expected, sums));
    assert_eq!([in_totals, in_quarters], [expected; 2]);
    let partitions = reader.partitions().await.expect("partitions");
    let part = &next.parts[0];
    let own = partitions.iter().find(|row| row.partition == part.owner.partition);
    assert_eq!(own.map(|row| row.tpot_from), Some(part.base));
    for baseline in reader.baselines().await.expect("baselines") {
        assert!(baseline.totals.iter().all(|(_, sums)| sums.n_tpot() == 0), "{}", baseline.day);
    }
}

/// Whether a ledger was refused because it has this earlier format.
fn is_of(refused: &StoreError, format: i64) -> bool {
    let newest = schema::MIGRATIONS.len();
    refused.to_string().contains(&format!("it has format {format}, this program knows {newest}"))
}

/// Makes a file of an earlier format with the rows of another file.
pub(super) async fn make_file_of_before(format: usize, folder: &Path, other: &Path) {
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
    assert!(is_of(&refused, 6), "{refused}");
    let upgraded = Store::open(old.path()).await.expect("upgraded");
    check(&upgraded, &other, next, &[0, 1]).await;
}

#[tokio::test]
async fn a_database_of_format_6_keeps_its_rows_and_begins_with_frame_version_1() {
    let new = Database::shared().await;
    let other = open_with(&new.options()).await;
    let next = fill(&other).await;
    let old = Database::of_before(&server_schema::MIGRATIONS[..6], &new).await;
    let refused = Store::open_mysql_read_only(&old.options()).await;
    let refused = refused.expect_err("it is not upgraded yet");
    assert!(is_of(&refused, 6), "{refused}");
    // A step that is cut off between its statements is taken again.
    let first = "ALTER TABLE meta ADD COLUMN frame_version BIGINT NOT NULL DEFAULT 1";
    old.admin().await.execute(first).await.expect("done");
    let upgraded = open_with(&old.options()).await;
    check(&upgraded, &other, next, &[0, 1]).await;
}

#[tokio::test]
async fn a_file_of_format_7_keeps_its_commits_as_ranges() {
    let (old, new) = (tempfile::tempdir(), tempfile::tempdir());
    let (old, new) = (old.expect("a folder"), new.expect("a folder"));
    let other = Store::open(new.path()).await.expect("a store");
    let next = fill(&other).await;
    make_file_of_before(7, old.path(), new.path()).await;
    let refused = Store::open_read_only(old.path()).await.expect_err("it is not upgraded yet");
    assert!(is_of(&refused, 7), "{refused}");
    let upgraded = Store::open(old.path()).await.expect("upgraded");
    check(&upgraded, &other, next, &[0]).await;
}

#[tokio::test]
async fn a_file_of_format_8_counts_times_per_output_token_from_where_it_stands() {
    let (old, new) = (tempfile::tempdir(), tempfile::tempdir());
    let (old, new) = (old.expect("a folder"), new.expect("a folder"));
    let other = Store::open(new.path()).await.expect("a store");
    let next = fill(&other).await;
    make_file_of_before(8, old.path(), new.path()).await;
    let refused = Store::open_read_only(old.path()).await.expect_err("it is not upgraded yet");
    assert!(is_of(&refused, 8), "{refused}");
    let upgraded = Store::open(old.path()).await.expect("upgraded");
    check(&upgraded, &other, next, &[0]).await;
    let claim = upgraded.claim(2, 1, [3; 16], 2).await.expect("a claim of another generation");
    assert_eq!(claim.progress.next, 0);
    let partitions = upgraded.snapshot().await.expect("a snapshot").partitions;
    let from = partitions.iter().find(|row| row.generation == 2).map(|row| row.tpot_from);
    assert_eq!(from, Some(0), "it is counted from its beginning");
}

/// Columns and indexes of every table.
async fn layout(database: &Database) -> Vec<String> {
    let sql = "SELECT CONCAT_WS(' ', table_name, column_name, column_type, is_nullable, \
               ordinal_position) FROM information_schema.columns WHERE table_schema = DATABASE() \
               UNION ALL SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, \
               non_unique) FROM information_schema.statistics WHERE table_schema = DATABASE() \
               ORDER BY 1";
    let rows = database.admin().await.fetch_all(sql).await.expect("rows");
    rows.iter().map(|row| row.try_get_unchecked(0).expect("a text")).collect()
}

#[tokio::test]
async fn the_step_to_format_8_may_be_cut_off_anywhere_and_no_line_of_before_is_lost() {
    let new = Database::shared().await;
    let other = open_with(&new.options()).await;
    let next = fill(&other).await;
    let statements: Vec<&str> = STEP.split_inclusive(";\n").collect();
    let renamed = statements.iter().position(|sql| sql.contains("EXECUTE")).expect("a rename");
    for n_done in 0..=statements.len() {
        let old = Database::of_before(&server_schema::MIGRATIONS[..7], &new).await;
        let mut admin = old.admin().await;
        for sql in &statements[..n_done] {
            sqlx::raw_sql(*sql).execute(&mut admin).await.expect("a statement of the step");
        }
        // A program of before that still runs.
        let is_written = admin.execute(LINE_OF_BEFORE).await.is_ok();
        assert_eq!(is_written, n_done <= renamed, "after {n_done} statements");
        let upgraded = open_with(&old.options()).await;
        let mut reader = upgraded.read().await.expect("a reader");
        let commit = reader.commit_of(40).await.expect("an answer");
        let line = reader.ranges().await.expect("ranges").into_iter().find(|row| row.version == 40);
        let place = line.map(|row| (row.partition, row.base, row.next, row.sums.events));
        let wanted = is_written.then_some((CommitId([b'x'; 16]), (0, 5, 6, 7)));
        assert_eq!(commit.zip(place), wanted, "after {n_done} statements");
        drop(reader);
        for sql in ["DELETE FROM commit_journal", "DELETE FROM commit_range"] {
            let sql = format!("{sql} WHERE version = 40");
            admin.execute(AssertSqlSafe(sql)).await.expect("deleted");
        }
        check(&upgraded, &other, Arc::clone(&next), &[0]).await;
        assert_eq!(layout(&old).await, layout(&new).await, "after {n_done} statements");
    }
}

#[tokio::test]
async fn the_step_to_format_8_waits_for_a_commit_of_before_that_has_written_its_line() {
    for (end, is_kept) in [("COMMIT", true), ("ROLLBACK", false)] {
        let new = Database::shared().await;
        fill(&open_with(&new.options()).await).await;
        let old = Database::of_before(&server_schema::MIGRATIONS[..7], &new).await;
        let mut admin = old.admin().await;
        admin.execute("START TRANSACTION").await.expect("begun");
        admin.execute(LINE_OF_BEFORE).await.expect("written");
        let options = old.options();
        let opening = tokio::spawn(async move { open_with(&options).await });
        old.blocked().await;
        admin.execute(end).await.expect("ended");
        let upgraded = opening.await.expect("no panic");
        assert_eq!(upgraded.commit_of(40).await.expect("an answer").is_some(), is_kept);
        let ranges = upgraded.read().await.expect("a reader").ranges().await.expect("ranges");
        assert_eq!(ranges.iter().any(|row| row.version == 40), is_kept, "{end}");
    }
}

/// What a program of before does in a commit that counts an event, on a connection of its own.
async fn count_as_before(admin: &mut MySqlConnection) -> sqlx::Result<()> {
    let sql = "SELECT CONCAT('`', column_name, '`') FROM information_schema.columns \
               WHERE table_schema = DATABASE() AND table_name = 'total' \
               AND column_name NOT LIKE 'tpot%'";
    let rows = admin.fetch_all(sql).await?;
    let names = rows.iter().map(|row| row.try_get_unchecked(0));
    let names = names.collect::<sqlx::Result<Vec<String>>>()?.join(", ");
    admin.execute("START TRANSACTION").await?;
    admin.execute("UPDATE partition_state SET next = next + 1 WHERE `partition` = 1").await?;
    let sql = format!(
        "INSERT INTO total ({names}) SELECT {names} FROM (SELECT * FROM total LIMIT 1) one \
         ON DUPLICATE KEY UPDATE total.n = total.n + 1"
    );
    admin.execute(AssertSqlSafe(sql)).await.map(drop)
}

/// Commits as a program of before does; whether it took effect.
async fn commit_as_before(admin: &mut MySqlConnection) -> bool {
    let is_counted = count_as_before(admin).await.is_ok();
    let end = if is_counted { "COMMIT" } else { "ROLLBACK" };
    admin.execute(end).await.expect("ended");
    is_counted
}

/// Where the upgraded partition stands, and from where it has times per output token.
async fn offsets(upgraded: &Store) -> (u64, u64) {
    let partitions = upgraded.snapshot().await.expect("a snapshot").partitions;
    let row = partitions.iter().find(|row| row.partition == 1).expect("the partition");
    (row.progress.next, row.tpot_from)
}

#[tokio::test]
async fn the_step_to_format_9_may_be_cut_off_anywhere_and_notes_where_programs_of_before_ended() {
    let new = Database::shared().await;
    let other = open_with(&new.options()).await;
    let next = fill(&other).await;
    let statements: Vec<&str> = TPOT_STEP.split_inclusive(";\n").collect();
    let closed = statements.iter().position(|sql| sql.contains("EXECUTE")).expect("a change");
    for n_done in 0..=statements.len() {
        let old = Database::of_before(&server_schema::MIGRATIONS[..8], &new).await;
        let mut admin = old.admin().await;
        for sql in &statements[..n_done] {
            sqlx::raw_sql(*sql).execute(&mut admin).await.expect("a statement of the step");
        }
        // A program of before that still runs counts an event.
        let is_counted = commit_as_before(&mut admin).await;
        assert_eq!(is_counted, n_done <= closed, "after {n_done} statements");
        let upgraded = open_with(&old.options()).await;
        let stands = next.parts[0].base + u64::from(is_counted);
        assert_eq!(offsets(&upgraded).await, (stands, stands), "after {n_done} statements");
        assert_eq!(layout(&old).await, layout(&new).await, "after {n_done} statements");
        if !is_counted {
            check(&upgraded, &other, Arc::clone(&next), &[0]).await;
        }
        assert!(!commit_as_before(&mut admin).await, "it is upgraded");
    }
}

#[tokio::test]
async fn the_step_to_format_9_waits_for_a_commit_of_before_that_has_counted() {
    for (end, n_moved) in [("COMMIT", 1), ("ROLLBACK", 0)] {
        let new = Database::shared().await;
        let next = fill(&open_with(&new.options()).await).await;
        let old = Database::of_before(&server_schema::MIGRATIONS[..8], &new).await;
        let mut admin = old.admin().await;
        count_as_before(&mut admin).await.expect("counted");
        let options = old.options();
        let opening = tokio::spawn(async move { open_with(&options).await });
        old.blocked().await;
        admin.execute(end).await.expect("ended");
        let upgraded = opening.await.expect("no panic");
        let stands = next.parts[0].base + n_moved;
        assert_eq!(offsets(&upgraded).await, (stands, stands), "{end}");
    }
}
