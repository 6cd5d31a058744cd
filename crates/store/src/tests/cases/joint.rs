//! Commits of several partitions: one version with a range of each, or nothing of any.

use std::sync::Arc;

use clock::Wall;
use ledger::commit::{AcceptedLoss, Claim, Commit, CommitId, Outcome, Part, Progress, Resolution};

use super::super::fixture::{Bed, absent, commit, fail_after, joint, part, refused, total};
use crate::accepted::AcceptedRow;
use crate::{
    Baseline, Keep, LetterFilter, LogLetter, PartitionRow, RangeRow, Snapshot, Store, StoreError,
};

/// Claims partitions from 0 on; each nonce is the number of the process and the partition.
pub(in crate::tests) async fn claimed(store: &Store, n: u8, process: u8) -> Vec<Claim> {
    let mut claims = Vec::new();
    for partition in 0..n {
        let nonce = [16 * process + partition; 16];
        claims.push(store.claim(1, partition.into(), nonce, 2).await.expect("a claim"));
    }
    claims
}

/// A number that the ledger answers a query with.
async fn number(store: &Store, sql: &'static str) -> i64 {
    let mut held = store.writers().expect("writers").hold().await.expect("a writer");
    let query = held.steps.backend().query(sql);
    held.steps.one(query, "ask for a number").await.expect("a row").get(0).expect("a number")
}

/// Everything that a commit changes.
#[derive(Debug, PartialEq)]
struct Content {
    snapshot: Snapshot,
    ranges: Vec<RangeRow>,
    letters: Vec<LogLetter>,
    losses: Vec<AcceptedRow>,
    baselines: Vec<Baseline>,
    n_rows: Vec<i64>,
}

impl Content {
    async fn of(store: &Store) -> Content {
        let snapshot = store.snapshot().await.expect("a snapshot");
        let mut reader = store.read().await.expect("a reader");
        let all = LetterFilter { limit: 1_000, ..LetterFilter::default() };
        let (ranges, letters) = (reader.ranges().await, reader.log_letters(&all).await);
        let losses = reader.accepted_losses().await.expect("losses");
        let baselines = reader.baselines().await.expect("baselines");
        drop(reader);
        let mut n_rows = Vec::new();
        for sql in [
            "SELECT count(*) FROM commit_journal",
            "SELECT count(*) FROM series",
            "SELECT count(*) FROM series_short",
            "SELECT count(*) FROM consumer_series",
            "SELECT count(*) FROM quarter",
            "SELECT count(*) FROM minute",
            "SELECT count(*) FROM consumer_quarter",
            "SELECT count(DISTINCT commit_id) FROM partition_state",
        ] {
            n_rows.push(number(store, sql).await);
        }
        let (ranges, letters) = (ranges.expect("ranges"), letters.expect("letters"));
        Content { snapshot, ranges, letters, losses, baselines, n_rows }
    }
}

fn places(rows: &[PartitionRow]) -> Vec<(u32, u64, i64)> {
    let place =
        |row: &PartitionRow| (row.partition, row.progress.next, row.progress.account.counted);
    rows.iter().map(place).collect()
}

pub(in crate::tests) async fn a_commit_of_three_partitions_is_one_version_with_a_range_of_each(
    bed: Bed,
) {
    let store = &bed.store;
    let claims = claimed(store, 3, 1).await;
    let of =
        |idx: usize, n, names: &[&str]| part(claims[idx].owner, &claims[idx].progress, n, names);
    let parts = [of(2, 3, &["c", "a"]), of(0, 1, &["a", "b"]), of(1, 2, &["b"])];
    let all = Arc::new(joint(parts));
    let (outcome, error) = store.commit(Arc::clone(&all)).await;
    assert_eq!(outcome, Outcome::Committed { version: 1 }, "{error:?}");
    let found = Content::of(store).await;
    assert_eq!((found.snapshot.version, found.snapshot.commit), (1, Some(all.id)));
    assert_eq!(places(&found.snapshot.partitions), [(0, 1, 2), (1, 1, 2), (2, 1, 6)]);
    let n: Vec<_> =
        found.snapshot.totals.iter().map(|(labels, sums)| (&*labels.namespace, sums.n)).collect();
    assert_eq!(n, [("a", 4), ("b", 3), ("c", 3)], "sums are added up");
    let range = |part: &Arc<Part>| RangeRow {
        version: 1,
        generation: 1,
        partition: part.owner.partition,
        base: part.base,
        next: part.progress.next,
        sums: part.sums,
    };
    assert_eq!(found.ranges, all.parts.iter().map(range).collect::<Vec<_>>());
    let letters: Vec<_> = found.letters.iter().map(|row| (row.partition, row.offset)).collect();
    assert_eq!(letters, [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(found.n_rows, [1, 3, 3, 3, 3, 3, 3, 1]);
    let mut reader = store.read().await.expect("a reader");
    let minutes = reader.short_rows(61..62, Some("a")).await.expect("minutes");
    assert_eq!((minutes.len(), minutes[0].2.n), (1, 4));
    drop(reader);
    // Nothing of it takes effect again, whatever the members.
    assert_eq!(store.commit(Arc::clone(&all)).await.0, refused(&[0, 1, 2]));
    let again = Commit::of(CommitId([9; 16]), vec![Arc::clone(&all.parts[1])]);
    assert_eq!(store.commit(Arc::new(again)).await.0, refused(&[1]));
    assert_eq!(Content::of(store).await, found);
}

pub(in crate::tests) async fn a_member_that_lost_its_partition_is_named_and_the_others_go_on(
    bed: Bed,
) {
    let store = &bed.store;
    let claims = claimed(store, 3, 1).await;
    let first = joint(claims.iter().map(|claim| part(claim.owner, &claim.progress, 1, &["a"])));
    assert_eq!(store.commit(Arc::new(first.clone())).await.0, Outcome::Committed { version: 1 });
    let next = |idx: usize| part(claims[idx].owner, &first.parts[idx].progress, 2, &["a", "new"]);
    let other = store.claim(1, 1, [99; 16], 2).await.expect("a claim");
    let before = Content::of(store).await;
    let all = Arc::new(joint([next(0), next(1), next(2)]));
    let (outcome, error) = store.commit(Arc::clone(&all)).await;
    assert_eq!(outcome, refused(&[1]), "{error:?}");
    assert_eq!(Content::of(store).await, before, "nothing of any member is written");
    let none = Resolution::Absent { at_base: vec![0, 2] };
    assert_eq!(store.resolve(&all).await.expect("an answer"), none);
    let rest = Arc::new(joint([next(0), next(2)]));
    assert_ne!(rest.id, all.id);
    let (outcome, error) = store.commit(Arc::clone(&rest)).await;
    assert_eq!(outcome, Outcome::Committed { version: 2 }, "{error:?}");
    let theirs = Arc::new(commit(other.owner, &other.progress, 5, &["a"]));
    assert_eq!(store.commit(theirs).await.0, Outcome::Committed { version: 3 });
    let found = Content::of(store).await;
    assert_eq!(places(&found.snapshot.partitions), [(0, 2, 5), (1, 2, 6), (2, 2, 5)]);
    assert_eq!(total(store).await, 3 + 8 + 5);
    // All that are refused are named, whichever part of the fence it is.
    let mut parts = [next(0), next(1), next(2)];
    parts[0].base = 7;
    let all = Arc::new(joint(parts));
    assert_eq!(store.commit(all).await.0, refused(&[0, 1, 2]));
    assert_eq!(Content::of(store).await, found);
}

/// The second commit of three partitions: with new series, letters, an accepted loss and a new
/// baseline, so that it has a statement of every kind.
fn of_every_kind(claims: &[Claim], first: &Commit) -> Commit {
    let next =
        |idx: usize, names: &[&str]| part(claims[idx].owner, &first.parts[idx].progress, 1, names);
    let mut parts = [next(0, &["a", "x"]), next(1, &["a", "y"]), next(2, &["a", "b"])];
    parts[1].is_shortened = true;
    parts[2].progress.account.lost_frames = 4;
    parts[2].accepted = Some(AcceptedLoss { reason: "replaced".to_owned(), frames: 4 });
    joint(parts)
}

pub(in crate::tests) async fn a_joint_commit_that_fails_at_any_statement_is_whole_or_nothing(
    bed: Bed,
) {
    let store = &bed.store;
    let mut claims = claimed(store, 3, 1).await;
    let fail_after = fail_after(store).await;
    let mut first =
        joint(claims.iter().map(|claim| part(claim.owner, &claim.progress, 1, &["a", "b"])));
    let mut version = 1;
    assert_eq!(store.commit(Arc::new(first.clone())).await.0, Outcome::Committed { version });
    for n_statements in 0..100 {
        let next = Arc::new(of_every_kind(&claims, &first));
        let before = Content::of(store).await;
        fail_after.set(Some(n_statements));
        let (outcome, error) = store.commit(Arc::clone(&next)).await;
        fail_after.set(None);
        let took_effect = Resolution::Committed { version: version + 1 };
        if outcome == (Outcome::Committed { version: version + 1 }) {
            assert!(n_statements >= 18, "all statements were tried: {n_statements}");
            let found = Content::of(store).await;
            assert_eq!(found.ranges.len(), before.ranges.len() + 3);
            assert_eq!(found.letters.len(), before.letters.len() + 3);
            assert_eq!((found.losses.len(), found.baselines[0].version), (1, version + 1));
            assert_eq!(store.resolve(&next).await.expect("an answer"), took_effect);
            return;
        }
        // On a server nobody knows what became of a COMMIT that failed; it is looked up.
        let is_unknown = outcome == Outcome::Unknown && bed.is_server();
        assert!(is_unknown || outcome == Outcome::Aborted, "{outcome:?}: {error:?}");
        assert_eq!(Content::of(store).await, before, "statement {n_statements}");
        // A look that fails says nothing; one that does not says the truth.
        for n_looks in 0..100 {
            fail_after.set(Some(n_looks));
            let resolution = store.resolve(&next).await;
            fail_after.set(None);
            match resolution {
                Ok(resolution) => {
                    assert_eq!(resolution, absent(&next), "statement {n_statements}");
                    assert!(n_looks >= 4, "three rows and the journal were looked at");
                    break;
                }
                Err(error) => assert!(matches!(error, StoreError::Sql { .. }), "{error:?}"),
            }
        }
        // What is tried again later is another commit, so that this one meets the same rows.
        claims = claimed(store, 3, 2 + (n_statements % 2) as u8).await;
        first = joint(claims.iter().map(|claim| part(claim.owner, &claim.progress, 1, &["a"])));
        version += 1;
        assert_eq!(store.commit(Arc::new(first.clone())).await.0, Outcome::Committed { version });
        assert_eq!(
            store.resolve(&next).await.expect("an answer"),
            Resolution::Absent { at_base: Vec::new() }
        );
    }
    panic!("a commit has fewer than 100 statements");
}

pub(in crate::tests) async fn a_joint_commit_is_resolved_whoever_has_come_since(bed: Bed) {
    let store = &bed.store;
    let claims = claimed(store, 3, 1).await;
    let next = |progress: &dyn Fn(usize) -> Progress| {
        let part = |(idx, claim): (usize, &Claim)| part(claim.owner, &progress(idx), 1, &["a"]);
        Arc::new(joint(claims.iter().enumerate().map(part)))
    };
    let first = next(&|idx| claims[idx].progress);
    assert_eq!(store.resolve(&first).await.expect("an answer"), absent(&first));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let second = next(&|idx| first.parts[idx].progress);
    let other = store.claim(1, 1, [99; 16], 2).await.expect("a claim");
    let committed = Resolution::Committed { version: 1 };
    assert_eq!(store.resolve(&first).await.expect("an answer"), committed);
    let two = Resolution::Absent { at_base: vec![0, 2] };
    assert_eq!(store.resolve(&second).await.expect("an answer"), two);
    // The other owner has moved on, and so has one member by itself.
    let theirs = Arc::new(commit(other.owner, &other.progress, 1, &["a"]));
    assert_eq!(store.commit(theirs).await.0, Outcome::Committed { version: 2 });
    let mine = Commit::of(CommitId([9; 16]), vec![Arc::clone(&second.parts[0])]);
    assert_eq!(store.commit(Arc::new(mine)).await.0, Outcome::Committed { version: 3 });
    let one = Resolution::Absent { at_base: vec![2] };
    assert_eq!(store.resolve(&second).await.expect("an answer"), one);
    assert_eq!(store.resolve(&first).await.expect("an answer"), committed);
}

pub(in crate::tests) async fn losses_of_two_partitions_are_accepted_in_one_commit(bed: Bed) {
    let store = &bed.store;
    let claims = claimed(store, 3, 1).await;
    let loss = |claim: &Claim, frames: i64| {
        let mut progress = claim.progress;
        progress.account.lost_frames = frames;
        let reason = format!("{frames} frames are gone");
        Part {
            is_shortened: true,
            accepted: Some(AcceptedLoss { reason, frames }),
            ..Part::without_rows(claim.owner, progress.next, progress)
        }
    };
    let counting = part(claims[1].owner, &claims[1].progress, 2, &["a"]);
    let all = Arc::new(joint([loss(&claims[0], 3), counting, loss(&claims[2], 5)]));
    let (outcome, error) = store.commit(Arc::clone(&all)).await;
    assert_eq!(outcome, Outcome::Committed { version: 1 }, "{error:?}");
    let committed = Resolution::Committed { version: 1 };
    assert_eq!(store.resolve(&all).await.expect("an answer"), committed);
    let found = Content::of(store).await;
    let losses = found.losses.iter();
    let losses: Vec<_> = losses
        .map(|row| (row.version, row.partition, row.next, row.frames, &*row.reason))
        .collect();
    let wanted = [(1, 0, 0, 3, "3 frames are gone"), (1, 2, 0, 5, "5 frames are gone")];
    assert_eq!(losses, wanted);
    assert_eq!((found.baselines.len(), found.baselines[0].version), (1, 1));
    assert_eq!(places(&found.snapshot.partitions), [(0, 0, 0), (1, 1, 2), (2, 0, 0)]);
    assert_eq!(found.ranges.len(), 3);
    // A part that moves nothing is still at its base, but it took effect: it is not tried again.
    let forget = "DELETE FROM commit_journal WHERE version = 1 OR commit_id IS NULL";
    let mut held = store.writers().expect("writers").hold().await.expect("a writer");
    held.steps.begin().await.expect("begun");
    let query = held.steps.backend().query(forget);
    held.steps.run(query, "forget a commit").await.expect("deleted");
    held.steps.commit().await.expect("committed");
    drop(held);
    let absent = Resolution::Absent { at_base: Vec::new() };
    assert_eq!(store.resolve(&all).await.expect("an answer"), absent);
}

pub(in crate::tests) async fn ranges_are_kept_as_long_as_their_commits(bed: Bed) {
    let store = &bed.store;
    let claims = claimed(store, 2, 1).await;
    let mut progress = [claims[0].progress, claims[1].progress];
    for version in 1..=3 {
        let part = |idx: usize| part(claims[idx].owner, &progress[idx], 1, &["a"]);
        let next = joint([part(0), part(1)]);
        progress = [next.parts[0].progress, next.parts[1].progress];
        assert_eq!(store.commit(Arc::new(next)).await.0, Outcome::Committed { version });
    }
    let versions = async || {
        let ranges = store.read().await.expect("a reader").ranges().await.expect("ranges");
        ranges.iter().map(|row| (row.version, row.partition)).collect::<Vec<_>>()
    };
    let forever = i64::MAX / 2;
    let keep = |journal_us| Keep {
        minute_us: forever,
        quarter_us: forever,
        consumer_us: forever,
        journal_us,
        letter_us: forever,
    };
    let now = Wall::now();
    let all = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)];
    store.retain(now, &keep(3_600_000_000)).await.expect("retained");
    assert_eq!(versions().await, all, "all are young");
    let far = Wall::from_us(now.as_us() + 7_200_000_000);
    let retained = store.retain(far, &keep(3_600_000_000)).await.expect("retained");
    assert!(retained.deleted >= 6 && !retained.more, "{retained:?}");
    assert_eq!(versions().await, [(3, 0), (3, 1)], "the newest is kept");
    assert_eq!(number(store, "SELECT count(*) FROM commit_journal").await, 1);
    assert!(store.commit_of(3).await.expect("read").is_some());
    assert_eq!(total(store).await, 6);
}
