//! How many statements a write takes: on a server each is a round trip.

use std::sync::Arc;

use ledger::commit::{Commit, CommitId, CommitRows, Outcome, Part};
use ledger::measures::Measures;

use super::super::fixture::{Bed, commit, fail_after, part, total};
use super::super::load::Load;
use super::claimed;
use crate::rows::short_numbers;
use crate::sql::Backend;
use crate::{LabelKind, LabelName, LabelRequest, Store};

/// More than any write has.
const MANY: u32 = 1_000_000;

/// Statements of a write, with BEGIN and COMMIT.
async fn n_statements(store: &Store, write: impl Future<Output = ()>) -> i64 {
    let fail_after = fail_after(store).await;
    fail_after.set(Some(MANY));
    write.await;
    let left = fail_after.left();
    fail_after.set(None);
    i64::from(MANY) - left
}

/// Bytes that the server has received from the writer; 0 without a server.
async fn n_bytes_received(store: &Store) -> i64 {
    let mut held = store.writers().expect("writers").hold().await.expect("a writer");
    if held.steps.backend() == Backend::Sqlite {
        return 0;
    }
    let query = held.steps.backend().query(
        "SELECT CAST(variable_value AS SIGNED) FROM information_schema.session_status \
         WHERE variable_name = 'BYTES_RECEIVED'",
    );
    let row = held.steps.one(query, "ask for the bytes").await.expect("a row");
    row.get(0).expect("a number")
}

async fn n_of_commit(store: &Store, next: &Arc<Commit>) -> i64 {
    n_statements(store, async {
        let (outcome, error) = store.commit(Arc::clone(next)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
    })
    .await
}

pub(in super::super) async fn commits_of_many_rows_take_few_statements(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    // A first commit of the day also keeps a baseline.
    let first = Arc::new(commit(claim.owner, &claim.progress, 1, &["a"]));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let names: Vec<String> = (0..1_000).map(|n| format!("team-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let known = Arc::new(commit(claim.owner, &first.parts[0].progress, 1, &names[..700]));
    n_of_commit(store, &known).await;
    // 1,000 rows of each table, 300 of them of new series.
    let mixed = Arc::new(commit(claim.owner, &known.parts[0].progress, 1, &names));
    let n_mixed = n_of_commit(store, &mixed).await;
    let again = Arc::new(commit(claim.owner, &mixed.parts[0].progress, 1, &names));
    let n_bytes_before = n_bytes_received(store).await;
    let n_known = n_of_commit(store, &again).await;
    // 164 numbers in the four rows of a series, most of them small.
    let n_bytes = n_bytes_received(store).await - n_bytes_before;
    assert!(n_bytes <= 700_000, "{n_bytes}");
    let [most_known, most_mixed] = if bed.is_server() { [44, 62] } else { [214, 231] };
    assert!(n_known <= most_known && n_mixed <= most_mixed, "{n_known} {n_mixed}");
    assert_eq!(total(store).await, 2_701);
}

/// Statements of commits, and the bytes that the server received with them.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    statements: i64,
    bytes: i64,
    /// The same with 8 bytes for each number of a row, as all were sent before frame version 2.
    wide_bytes: i64,
}

async fn cost(store: &Store, commits: Vec<Commit>) -> Cost {
    let before = n_bytes_received(store).await;
    let (mut statements, mut saved) = (0, 0);
    for next in commits {
        saved += n_bytes_saved(&next.rows);
        statements += n_of_commit(store, &Arc::new(next)).await;
    }
    let bytes = n_bytes_received(store).await - before;
    Cost { statements, bytes, wide_bytes: bytes + saved }
}

/// How many of the 8 bytes of the numbers of rows are not sent to a server.
fn n_bytes_saved(rows: &CommitRows) -> i64 {
    let saved = |number: i64| match number {
        _ if i8::try_from(number).is_ok() => 7,
        _ if i16::try_from(number).is_ok() => 6,
        _ if i32::try_from(number).is_ok() => 4,
        _ => 0,
    };
    let times = rows.quarters.iter().map(|row| row.0);
    let times = times.chain(rows.minutes.iter().map(|row| row.0));
    let times = times.chain(rows.used.iter().map(|row| row.0));
    let full = rows.totals.iter().map(|row| &row.2).chain(rows.quarters.iter().map(|row| &row.2));
    let full = full.flat_map(Measures::to_array);
    let short = rows.minutes.iter().flat_map(|row| short_numbers(&row.2));
    let used = rows.used.iter().flat_map(|row| row.2.to_array());
    times.chain(full).chain(short).chain(used).map(saved).sum()
}

/// Costs of the same parts: as one commit, and as a commit of each. Rounds before the last one let
/// both ledgers know all statements and most series.
async fn costs(bed: &Bed, n_rounds: u8, mut round: impl FnMut() -> Vec<Arc<Part>>) -> (Cost, Cost) {
    let other = if bed.is_server() { Bed::server().await } else { Bed::file().await };
    claimed(&other.store, 6, 1).await;
    let (one, two) = (bed.open_narrow().await, other.open_narrow().await);
    let rounds: Vec<Vec<Arc<Part>>> = (0..n_rounds).map(|_| round()).collect();
    // One ledger after the other: a connection that is idle meanwhile would be opened anew, and all
    // of its statements would be prepared, and sent, once more.
    let (mut together, mut each) = (Cost::default(), Cost::default());
    for (n, parts) in (1..).zip(&rounds) {
        let all = Commit::of(CommitId([n; 16]), parts.clone());
        together = cost(&one, vec![all]).await;
    }
    for (n, parts) in (1..).zip(&rounds) {
        let alone = |(idx, part): (usize, &Arc<Part>)| {
            let id = [n, u8::try_from(idx).expect("few")].repeat(8);
            Commit::of(CommitId(id.try_into().expect("16 bytes")), vec![Arc::clone(part)])
        };
        each = cost(&two, parts.iter().enumerate().map(alone).collect()).await;
    }
    let (one, two) = (one.snapshot().await, two.snapshot().await);
    let (one, two) = (one.expect("a snapshot"), two.expect("a snapshot"));
    assert_eq!((one.totals, one.partitions), (two.totals, two.partitions), "they count the same");
    (together, each)
}

pub(in super::super) async fn six_partitions_of_equal_series_cost_a_third_if_they_commit_together(
    bed: Bed,
) {
    let claims = claimed(&bed.store, 6, 1).await;
    let mut progress: Vec<_> = claims.iter().map(|claim| claim.progress).collect();
    let names: Vec<String> = (0..100).map(|n| format!("team-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let round = || {
        let part = |(claim, progress)| Arc::new(part(claim, progress, 1, &names));
        let owners = claims.iter().map(|claim| claim.owner);
        let parts: Vec<_> = owners.zip(&progress).map(part).collect();
        progress = parts.iter().map(|part| part.progress).collect();
        parts
    };
    let (together, each) = costs(&bed, 3, round).await;
    println!("together {together:?}, each {each:?}");
    assert!(together.statements * 3 <= each.statements, "{together:?} {each:?}");
    assert!(together.bytes * 3 <= each.bytes, "{together:?} {each:?}");
}

pub(in super::super) async fn a_second_of_traffic_costs_a_third_if_its_partitions_commit_together(
    bed: Bed,
) {
    let mut load = Load::new(&claimed(&bed.store, 6, 1).await);
    let (together, each) = costs(&bed, 4, || load.second()).await;
    println!("together {together:?}, each {each:?}");
    // Most rows of a second are rare ones, which a single partition has: they stay what they are.
    // In a file a statement has few rows, so that there are as many statements as there are rows.
    let n_times = if bed.is_server() { 3 } else { 2 };
    assert!(together.statements * n_times <= each.statements, "{together:?} {each:?}");
    assert!(together.bytes * 2 <= each.bytes, "{together:?} {each:?}");
    // What a second cost before commits were joined and numbers were short.
    assert!(together.bytes * 3 <= each.wide_bytes, "{together:?} {each:?}");
}

pub(in super::super) async fn registrations_of_many_names_take_few_statements(bed: Bed) {
    let store = &bed.store;
    let request = |n: usize| {
        let (kind, scope) = (LabelKind::Consumer, format!("team-{}", n % 20));
        LabelRequest { label: LabelName { kind, scope, name: format!("key-{n}") }, max: Some(99) }
    };
    // All are new, all are known, one is new.
    let most = if bed.is_server() { [15, 4, 8] } else { [16, 6, 9] };
    for (n_names, most) in [500, 500, 501].into_iter().zip(most) {
        let requests: Vec<_> = (0..n_names).map(request).collect();
        let n_statements = n_statements(store, async {
            store.register_many(requests).await.expect("answers");
        })
        .await;
        assert!(n_statements <= most, "{n_names} names: {n_statements}");
    }
    assert_eq!(store.load_labels().await.expect("labels").len(), 501);
}
