//! What the second pass over late events asks of the ledger.

use std::sync::Arc;

use clock::Wall;
use event::Key;
use ledger::commit::{AcceptedLoss, Claim, CommitId, LatePart, Merged, Outcome, Part, Progress};
use ledger::window::MINUTE_US;

use super::{Bed, Commit, commit, joint, part, refused};

const PLACE: (u32, u32) = (1, 0);

fn merged(id: u8, time_us: i64, offset: u64) -> Merged {
    Merged { key: Key([id; 16]), time_us, offset }
}

/// Commits one frame at a time: M after each, and late events in it.
async fn commit_frames(bed: &Bed, claim: &Claim, clocks: &[(Option<i64>, i64)]) -> Progress {
    let mut before = claim.progress;
    for (clock_us, late) in clocks {
        let mut next = part(claim.owner, &before, 1, &["a"]);
        next.progress.clock_us = *clock_us;
        next.progress.account.events += late;
        next.progress.account.late += late;
        (next.sums.first_clock_us, next.sums.last_clock_us) = (*clock_us, *clock_us);
        next.sums.late = *late;
        before = next.progress;
        let (outcome, error) = bed.store.commit(Arc::new(joint([next]))).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
    }
    before
}

/// A part that decides late events up to an offset and counts no frame.
fn decided(claim: &Claim, before: &Progress, to: u64, events: &[Merged]) -> Part {
    let mut progress = *before;
    progress.late_next = to;
    progress.account.merged += i64::try_from(events.len()).expect("few");
    Part {
        late: LatePart { base: before.late_next, merged: events.to_vec(), tokens: [0; 2] },
        ..Part::without_rows(claim.owner, before.next, progress)
    }
}

fn alone(id: u8, part: Part) -> Arc<Commit> {
    Arc::new(Commit::of(CommitId([id; 16]), vec![Arc::new(part)]))
}

pub(in super::super) async fn late_events_are_decided_once_in_the_order_of_the_log(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let before = commit_frames(&bed, &claim, &[(Some(5), 0), (Some(6), 3), (Some(9), 2)]).await;
    let mut reader = store.read().await.expect("a reader");
    let ranges = reader.late_ranges(PLACE, 0, 10).await.expect("ranges");
    let found: Vec<_> = ranges.iter().map(|range| (range.base, range.sums.late)).collect();
    assert_eq!(found, [(1, 3), (2, 2)]);
    assert_eq!(reader.late_ranges(PLACE, 2, 10).await.expect("ranges").len(), 1);
    assert_eq!(reader.late_ranges(PLACE, 0, 1).await.expect("ranges").len(), 1);
    drop(reader);
    let first = decided(&claim, &before, 2, &[merged(1, 4, 1), merged(1, 8, 1), merged(2, 4, 1)]);
    let second = decided(&claim, &first.progress, 3, &[merged(3, 4, 2)]);
    let outcome = store.commit(alone(7, second.clone())).await.0;
    assert_eq!(outcome, refused(&[0]), "others come before them");
    let outcome = store.commit(alone(8, first.clone())).await.0;
    assert_eq!(outcome, Outcome::Committed { version: 4 });
    assert_eq!(store.commit(alone(9, first.clone())).await.0, refused(&[0]), "a copy of it");
    assert_eq!(store.commit(alone(10, second)).await.0, Outcome::Committed { version: 5 });
    let again =
        decided(&claim, &Progress { late_next: 3, ..first.progress }, 3, &[merged(1, 4, 1)]);
    let (outcome, error) = store.commit(alone(11, again)).await;
    assert_eq!(outcome, Outcome::Aborted, "one that is merged");
    assert!(error.is_some());
    let mut reader = store.read().await.expect("a reader");
    let keys = [Key([1; 16]), Key([2; 16]), Key([9; 16])];
    let mut times = reader.merged_times(PLACE, &keys).await.expect("times");
    times.sort();
    assert_eq!(times, [(Key([1; 16]), 4), (Key([1; 16]), 8), (Key([2; 16]), 4)]);
    assert_eq!(reader.merged_times((1, 1), &keys).await.expect("times"), []);
    assert_eq!(reader.merged_times(PLACE, &[]).await.expect("times"), []);
    let row = reader.partitions().await.expect("rows").remove(0).progress;
    assert_eq!((row.late_next, row.account.merged, row.account.undecided()), (3, 4, 1));
}

pub(in super::super) async fn the_log_of_a_time_is_found_by_its_clock(bed: Bed) {
    let claim = bed.store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let clocks = [None, Some(10), Some(10), Some(20), Some(40), Some(40), Some(50)];
    commit_frames(&bed, &claim, &clocks.map(|clock_us| (clock_us, 0))).await;
    let mut reader = bed.store.read().await.expect("a reader");
    for (stretch, bases) in [
        (0..=9, vec![1]),
        (10..=10, vec![1, 2, 3]),
        (11..=25, vec![3, 4]),
        (40..=40, vec![4, 5, 6]),
        (45..=60, vec![6]),
        (51..=60, vec![]),
    ] {
        let ranges = reader.ranges_within(PLACE, &stretch).await.expect("ranges");
        let found: Vec<u64> = ranges.iter().map(|range| range.base).collect();
        assert_eq!(found, bases, "{stretch:?}");
    }
    for (low, unread_us) in [(0, None), (1, None), (2, Some(10)), (4, Some(20)), (7, Some(50))] {
        assert_eq!(reader.unread_us(PLACE, low).await.expect("an answer"), unread_us, "{low}");
    }
    assert_eq!(reader.unread_us((1, 1), 0).await.expect("an answer"), None, "nothing is counted");
    assert_eq!(reader.unread_us((1, 1), 5).await.expect("an answer"), Some(i64::MAX));
    assert_eq!(reader.unread_us((2, 0), 0).await.expect("an answer"), Some(50), "of a log before");
}

pub(in super::super) async fn what_came_before_an_accepted_loss_cannot_be_read(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let before = commit_frames(&bed, &claim, &[(Some(10), 1), (Some(20), 0)]).await;
    let progress = Progress { next: 5, floor: 5, clock_us: Some(90), late_next: 5, ..before };
    let loss = AcceptedLoss { reason: "gone".to_owned(), frames: 3 };
    let accepted = Part {
        accepted: Some(loss),
        late: LatePart { base: 0, ..LatePart::default() },
        ..Part::without_rows(claim.owner, before.next, progress)
    };
    let outcome = store.commit(alone(3, accepted)).await.0;
    assert_eq!(outcome, Outcome::Committed { version: 3 });
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.unread_us(PLACE, 0).await.expect("an answer"), Some(20));
}

pub(in super::super) async fn merged_events_are_kept_as_long_as_their_frames(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let before = commit_frames(&bed, &claim, &[(Some(5), 1), (Some(6), 1), (Some(7), 1)]).await;
    let events = [merged(1, 1, 0), merged(2, 1, 1), merged(3, 1, 2)];
    let outcome = store.commit(alone(8, decided(&claim, &before, 3, &events))).await.0;
    assert_eq!(outcome, Outcome::Committed { version: 4 });
    assert!(!store.forget_merged(1, 1, 9).await.expect("done"), "another partition");
    assert!(!store.forget_merged(1, 0, 2).await.expect("done"));
    let rows = store.read().await.expect("a reader").merged(1).await.expect("rows");
    let found: Vec<_> = rows.iter().map(|row| (row.partition, row.key[0], row.offset)).collect();
    assert_eq!(found, [(0, 3, 2)]);
}

pub(in super::super) async fn minutes_that_are_over_are_not_begun_again(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let kept_us = |minute: i64| Wall::now().as_us() - minute * MINUTE_US;
    store.keep_minutes(kept_us(62)).expect("set");
    let first = Arc::new(commit(claim.owner, &claim.progress, 3, &["a"]));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let mut reader = store.read().await.expect("a reader");
    assert!(reader.short_rows(0..100, None).await.expect("minutes").is_empty());
    assert_eq!(reader.full_quarters(0..100).await.expect("quarters").len(), 1);
    drop(reader);
    store.keep_minutes(kept_us(60)).expect("set");
    let second = commit(claim.owner, &first.parts[0].progress, 2, &["a"]);
    let second = Arc::new(second);
    assert_eq!(store.commit(Arc::clone(&second)).await.0, Outcome::Committed { version: 2 });
    store.keep_minutes(kept_us(62)).expect("set");
    let third = commit(claim.owner, &second.parts[0].progress, 4, &["a"]);
    assert_eq!(store.commit(Arc::new(third)).await.0, Outcome::Committed { version: 3 });
    let mut reader = store.read().await.expect("a reader");
    let minutes = reader.short_rows(0..100, None).await.expect("minutes");
    assert_eq!(minutes[0].2.n, 6, "it is there, and goes with all that are over");
}
