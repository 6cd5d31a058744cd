//! Names that one collation or another takes for the same: they stay apart, and every database
//! gives the same answers, in the same order, also for a ledger of before.

use std::sync::Arc;

use ledger::commit::{Commit, Outcome, Owner, Progress};
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use sqlx::{Executor, Row};

use super::fixture::{Bed, altered, commit, labels, open_with, without_tpot};
use super::server::Database;
use crate::server_schema::MIGRATIONS;
use crate::usage::{UsageAsk, UsageBy, UsageGroup, UsageSums, UsageValue};
use crate::*;

/// Every two of them are two names: blanks, case, composed and decomposed letters, letters that
/// fold to others or to several, digits and kana of two kinds, emoji, and signs of SQL.
const NAMES: [&str; 47] = [
    "zo\u{eb}",
    "zoe\u{308}",
    "Zo\u{eb}",
    "ZOE",
    "zo\u{eb} ",
    "zo\u{eb}  ",
    " zo\u{eb}",
    "zo \u{eb}",
    "zo\u{eb}\u{a0}",
    "zo\u{eb}\u{3000}",
    "zo\u{eb}\u{200b}",
    "zo\u{ad}\u{eb}",
    "\u{feff}zo\u{eb}",
    " ",
    "  ",
    "\u{a0}",
    "Gau\u{df}",
    "Gau\u{1e9e}",
    "Gauss",
    "GAUSS",
    "Gaus\u{17f}",
    "\u{131}zmir",
    "izmir",
    "\u{130}zmir",
    "i\u{307}zmir",
    "IZMIR",
    "\u{1f363}",
    "\u{1f37a}",
    "\u{1f37a} ",
    "\u{1f9d1}\u{200d}\u{1f4bb}",
    "\u{1f9d1}\u{1f3fd}\u{200d}\u{1f4bb}",
    "\u{fb01}n",
    "fin",
    "\u{212a}",
    "K",
    "\u{212b}",
    "\u{c5}",
    "\u{663}",
    "3",
    "\u{ff13}",
    "\u{304c}",
    "\u{304b}\u{3099}",
    "\u{30ab}",
    "a_c",
    "a%c",
    "a\\c",
    "a';-- ",
];
/// The longest name that a consumer may have.
fn long(end: &str) -> String {
    "\u{1f37a}".repeat(31) + end
}

fn all() -> Vec<String> {
    let ends = ["abcd", "abc ", "abc\u{7e}"].map(long);
    NAMES.iter().map(|name| (*name).to_owned()).chain(ends).collect()
}

/// What a consumer used; all used the same tokens, so that their names decide the order.
fn used(at: usize) -> ConsumerSums {
    let requests = i64::try_from(at).expect("few") + 1;
    ConsumerSums { requests, tokens: [7, 0, 0, 3, 0], cost_nano: 5 }
}

/// A commit in which each name is a consumer and used a model of the same name.
fn commit_of_names(owner: Owner, before: &Progress, names: &[String]) -> Commit {
    let teams = ["team", "Team", "TEAM", "team-", "team."];
    let full = labels("team");
    let mut rows: Vec<_> = (0..)
        .zip(names)
        .map(|(at, name)| {
            let labels = event::Labels { consumer: Some(name), model: name, ..full.labels() };
            let mut bytes = Vec::new();
            ConsumerLabels::encode(&labels, &mut bytes);
            (ConsumerLabels::id_of(&bytes), ConsumerLabels::of(&labels), used(at))
        })
        .collect();
    rows.sort_by_key(|(id, _, _)| *id);
    altered(&commit(owner, before, 1, &teams), |part| {
        let all = Arc::make_mut(&mut part.rows);
        let labels = rows.iter().map(|(id, labels, _)| (*id, Arc::new(labels.clone())));
        all.consumers = labels.collect();
        all.used = rows.iter().map(|(id, _, sums)| (4, *id, *sums)).collect();
    })
}

/// Puts the names wherever a name can stand.
async fn fill(store: &Store, names: &[String]) {
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let next = commit_of_names(claim.owner, &claim.progress, names);
    let (outcome, error) = store.commit(Arc::new(next)).await;
    assert_eq!(outcome, Outcome::Committed { version: 1 }, "{error:?}");
    let requests: Vec<LabelRequest> = names.iter().map(|name| consumer(name)).collect();
    for (verdict, max) in [(Registration::Added, names.len()), (Registration::Known, 0)] {
        let max = i64::try_from(max).ok();
        let asked = requests.iter().map(|request| LabelRequest { max, ..request.clone() });
        let verdicts = store.register_many(asked.collect()).await.expect("answers");
        assert_eq!(verdicts, vec![verdict; names.len()]);
    }
    let reports = (1..).zip(names).map(|(active, name)| ConnectionsRow {
        gateway: name.clone(),
        namespace: "team".to_owned(),
        active,
        seen_us: 9,
    });
    store.put_connections(reports.collect()).await.expect("kept");
    let letters = (0..).zip(names).map(|(offset, name)| RawLetter {
        topic: "raw".to_owned(),
        topic_id: String::new(),
        partition: 0,
        offset,
        idx: 0,
        until: offset,
        n: 1,
        kind: name.clone(),
        field: name.clone(),
        reason: name.clone(),
        event_id: Some(name.clone()),
        stored_us: 0,
    });
    store.put_raw_letters(letters.collect(), 1_000).await.expect("kept");
    for (n, name) in names.iter().enumerate() {
        store.create_namespace(&format!("n{n}"), name).await.expect("a namespace");
        store.put_key("role", name, [u8::try_from(n).expect("few"); 32]).await.expect("a key");
    }
}

fn consumer(name: &str) -> LabelRequest {
    let label =
        LabelName { kind: LabelKind::Consumer, scope: "team".to_owned(), name: name.to_owned() };
    LabelRequest { label, max: None }
}

/// Every answer that compares names.
async fn check(store: &Store, names: &[String]) {
    let mut reader = store.read().await.expect("a reader");
    let mut wanted: Vec<_> = names.iter().enumerate().map(|(at, name)| (name, used(at))).collect();
    wanted.sort_by_key(|(name, _)| *name);
    let n_names = i64::try_from(names.len()).expect("few");
    let only = [(UsageBy::Namespace, UsageValue::Text("team".to_owned()))];
    for by in
        [vec![UsageBy::Consumer], vec![UsageBy::Model], vec![UsageBy::Consumer, UsageBy::Model]]
    {
        let ask = UsageAsk { quarters: 0..10, only: &only, by: &by, ..UsageAsk::default() };
        let group = |(name, used): &(&String, ConsumerSums)| UsageGroup {
            values: vec![UsageValue::Text((*name).clone()); by.len()],
            sums: UsageSums { used: *used, detail: None },
            before: None,
        };
        let rows: Vec<UsageGroup> = wanted.iter().map(group).collect();
        assert_eq!(reader.usage(&ask, 1_000, 0).await.expect("groups").1, rows, "{by:?}");
        let mut paged = Vec::new();
        for page in 0..=rows.len() / 7 {
            let skip = i64::try_from(page * 7).expect("few");
            paged.extend(reader.usage(&ask, 7, skip).await.expect("a page").1);
        }
        assert_eq!(paged, rows, "{by:?} page by page");
        let (total, _) = reader.usage(&ask, 0, 0).await.expect("a total");
        assert_eq!(total.n_groups, n_names, "{by:?}");
    }
    for team in ["team", "Team", "TEAM", "team-", "team."] {
        for (rows, range) in
            [(Rows::Minutes, 0..100), (Rows::Quarters, 0..10), (Rows::Totals, 0..0)]
        {
            let sums = reader.sums(rows, range, Some(team), &[Part::Requests]).await;
            assert_eq!(sums.expect("sums").requests(), Ok(1), "{team} {rows:?}");
        }
        assert_eq!(reader.total_rows(Some(team)).await.expect("totals").len(), 1, "{team}");
    }
    assert_eq!(reader.outcomes(Rows::Quarters, 0..10).await.expect("outcomes").len(), 5);
    assert_eq!(reader.outcomes(Rows::Minutes, 0..100).await.expect("outcomes").len(), 5);
    for blank in ["team ", " team", "tEam"] {
        assert_eq!(reader.total_rows(Some(blank)).await.expect("totals"), [], "{blank:?}");
    }
    let open: i64 = (1..=n_names).sum();
    assert_eq!(reader.connections(0).await.expect("reports"), [("team".to_owned(), open)]);
    for (offset, name) in (0..).zip(names) {
        let filter =
            LetterFilter { word: Some(name.clone()), limit: 99, ..LetterFilter::default() };
        let found = reader.raw_letters(&filter).await.expect("letters");
        let places: Vec<_> = found.iter().map(|l| (l.offset, &l.field, &l.event_id)).collect();
        assert_eq!(places, [(offset, name, &Some(name.clone()))]);
    }
    let mut sources: Vec<String> =
        reader.keys("role").await.expect("keys").into_iter().map(|key| key.source).collect();
    sources.sort();
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(sources, sorted);
    assert_eq!(reader.keys("role ").await.expect("keys"), []);
    check_search(&mut reader, names).await;
}

/// What a keyword finds does not depend on the database: case does not matter in any script,
/// everything else does.
async fn check_search(reader: &mut Reader, names: &[String]) {
    for (keyword, n_found) in [
        ("ZO\u{cb}", 9),
        ("zo\u{eb} ", 2),
        ("gauss", 2),
        ("GAU\u{df}", 2),
        ("\u{1f37a}", 5),
        ("%", 1),
        ("_", 1),
        ("\\", 1),
        ("N1", 11),
    ] {
        let filter =
            NamespaceFilter { page: 1, size: 100, keyword: Some(keyword.to_owned()), status: None };
        let page = reader.namespaces(&filter).await.expect("a page");
        let found: Vec<_> = page.items.iter().map(|row| &row.name).collect();
        assert_eq!((page.total, found.len()), (n_found, n_found as usize), "{keyword}: {found:?}");
    }
    let filter = NamespaceFilter { page: 3, size: 20, ..NamespaceFilter::default() };
    let page = reader.namespaces(&filter).await.expect("a page");
    let found: Vec<&String> = page.items.iter().map(|row| &row.name).collect();
    assert_eq!(found, names[40..].iter().collect::<Vec<_>>());
    assert_eq!(page.total as usize, names.len());
}

#[tokio::test]
async fn names_that_a_collation_takes_for_one_stay_apart_on_every_database() {
    let names = all();
    for bed in [Bed::file().await, Bed::server().await] {
        fill(&bed.store, &names).await;
        check(&bed.store, &names).await;
    }
}

#[tokio::test]
async fn names_stay_apart_on_a_server_whose_own_settings_cut_fold_or_refuse() {
    let database = Database::alone(Vec::new()).await;
    let mut admin = database.admin().await;
    for sql in [
        "SET GLOBAL sql_select_limit = 3",
        "SET GLOBAL max_sort_length = 64",
        "SET GLOBAL sql_safe_updates = 1",
        "SET GLOBAL completion_type = 2",
        "SET GLOBAL TRANSACTION READ ONLY",
        "SET GLOBAL autocommit = 0",
        "SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
        "SET GLOBAL collation_connection = latin1_german2_ci",
    ] {
        admin.execute(sql).await.expect("done");
    }
    let (store, names) = (open_with(&database.options()).await, all());
    fill(&store, &names).await;
    check(&store, &names).await;
}

#[tokio::test]
async fn ledger_of_the_format_before_keeps_its_rows_and_tells_its_names_apart() {
    let names = all();
    let new = Database::shared().await;
    fill(&open_with(&new.options()).await, &names).await;
    let old = Database::of_before(&MIGRATIONS[..4], &new).await;
    let mut admin = old.admin().await;
    assert_eq!(
        count(&mut admin, GROUPED).await,
        names.len() as i64 - 4,
        "blanks at the end were not seen"
    );
    assert!(count(&mut admin, COLLATED).await > 20);
    let store = open_with(&old.options()).await;
    assert_eq!(count(&mut admin, COLLATED).await, 0);
    assert_eq!(store.snapshot().await.expect("a snapshot"), {
        without_tpot(open_with(&new.options()).await.snapshot().await.expect("a snapshot"))
    });
    // Gateways report every few seconds.
    let reports = (1..).zip(&names).map(|(active, name)| ConnectionsRow {
        gateway: name.clone(),
        namespace: "team".to_owned(),
        active,
        seen_us: 10,
    });
    store.put_connections(reports.collect()).await.expect("kept");
    check(&store, &names).await;
    // What counts goes on where it was.
    let claim = store.claim(1, 0, [2; 16], 2).await.expect("a claim");
    let next = commit_of_names(claim.owner, &claim.progress, &names);
    assert_eq!(store.commit(Arc::new(next)).await.0, Outcome::Committed { version: 2 });
    let by = [UsageBy::Consumer];
    let ask = UsageAsk { quarters: 0..10, by: &by, ..UsageAsk::default() };
    let mut reader = store.read().await.expect("a reader");
    let (_, found) = reader.usage(&ask, 1_000, 0).await.expect("groups");
    assert_eq!(found.len(), names.len());
    assert!(found.iter().all(|group| group.sums.used.tokens == [14, 0, 0, 6, 0]));
}

const GROUPED: &str =
    "SELECT count(*) FROM (SELECT 1 FROM consumer_series GROUP BY consumer, namespace) g";
const COLLATED: &str = "SELECT count(*) FROM information_schema.columns \
                        WHERE table_schema = DATABASE() AND collation_name IS NOT NULL";

async fn count(conn: &mut sqlx::mysql::MySqlConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.expect("a number")
}

#[tokio::test]
async fn no_column_of_a_new_ledger_on_a_server_compares_by_a_collation() {
    let database = Database::shared().await;
    open_with(&database.options()).await;
    let sql = "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns \
               WHERE table_schema = DATABASE() AND collation_name IS NOT NULL";
    let mut admin = database.admin().await;
    let found = sqlx::query(sql).fetch_all(&mut admin).await.expect("columns");
    let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    assert!(found.is_empty(), "every text of the ledger is VARBINARY, not: {found:?}");
}
