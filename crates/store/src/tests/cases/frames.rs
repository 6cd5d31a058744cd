//! The frame version: raised once every owner knows it, and never lowered.

use super::super::fixture::{Bed, fail_after};
use crate::{Owners, Raised, Store, StoreError};

async fn raise(store: &Store, to: u8) -> Raised {
    store.raise_frame_version(1, to, Owners::Any).await.expect("an answer")
}

fn not_yet(partitions: &[u32]) -> Raised {
    Raised::NotYet { partitions: partitions.to_vec() }
}

/// Takes a partition as programs from before format 7 do.
async fn claim_of_before(bed: &Bed, partition: u32) {
    let progress = "next, floor, events, counted, duplicate, late, future, poison, misrouted, \
                    conflicts, lost_frames, letter_hour, letter_rows";
    let sql = format!(
        "INSERT INTO partition_state (generation, `partition`, epoch, nonce, {progress}) \
         VALUES (1, {partition}, 1, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) "
    );
    let mut held = bed.store.writers().expect("writers").hold().await.expect("a writer");
    let end = held.steps.backend().text(
        "ON CONFLICT DO UPDATE SET epoch = epoch + 1, nonce = excluded.nonce",
        "ON DUPLICATE KEY UPDATE epoch = epoch + 1, nonce = VALUES(nonce)",
    );
    held.steps.begin().await.expect("begun");
    let query = held.steps.backend().query(sqlx::AssertSqlSafe(sql + end)).bind(vec![9; 16]);
    held.steps.run(query, "claim").await.expect("claimed");
    held.steps.commit().await.expect("committed");
}

pub(in super::super) async fn a_frame_version_is_raised_once_every_owner_knows_it(bed: Bed) {
    let store = &bed.store;
    store.generation(1, 3).await.expect("a generation");
    assert_eq!(store.frame_version().await.expect("a version"), 1);
    assert_eq!(raise(store, 1).await, Raised::Already { version: 1 });
    assert_eq!(raise(store, 2).await, not_yet(&[0, 1, 2]), "nobody has claimed them");
    for (generation, partition, frames) in [(1, 0, 2), (1, 1, 1), (1, 2, 3), (2, 1, 3)] {
        store.claim(generation, partition, [1; 16], frames).await.expect("a claim");
    }
    assert_eq!(raise(store, 2).await, not_yet(&[1]));
    assert_eq!(store.frame_version().await.expect("a version"), 1, "nothing was written");
    let mut reader = store.read().await.expect("a reader");
    for (version, expected) in [(1, vec![]), (2, vec![1]), (3, vec![0, 1]), (4, vec![0, 1, 2])] {
        let found = reader.unready_partitions(1, version).await.expect("partitions");
        assert_eq!(found, expected, "{version}");
    }
    drop(reader);
    store.claim(1, 1, [2; 16], 2).await.expect("a claim");
    assert_eq!(raise(store, 2).await, Raised::Done);
    for to in [2, 1, 0] {
        assert_eq!(raise(store, to).await, Raised::Already { version: 2 }, "it is never lowered");
    }
    assert_eq!(store.frame_version().await.expect("a version"), 2);
    assert_eq!(raise(store, 3).await, not_yet(&[0, 1]));
    let own = store.raise_frame_version(1, 3, Owners::Own).await;
    assert_eq!(own.expect("an answer"), Raised::Done, "nobody else is asked");
    assert_eq!(bed.open_read_only().await.frame_version().await.expect("a version"), 3);
    let gone = store.raise_frame_version(9, 4, Owners::Any).await;
    assert!(matches!(gone, Err(StoreError::Fatal { .. })), "no partitions are not all: {gone:?}");
}

pub(in super::super) async fn an_owner_that_does_not_tell_knows_version_1(bed: Bed) {
    let store = &bed.store;
    store.generation(1, 2).await.expect("a generation");
    store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    claim_of_before(&bed, 1).await;
    assert_eq!(raise(store, 2).await, not_yet(&[1]));
    assert_eq!(store.claim(1, 1, [2; 16], 2).await.expect("a claim").owner.epoch, 2);
    // What the one before told says nothing of the one that has the partition now.
    claim_of_before(&bed, 0).await;
    assert_eq!(raise(store, 2).await, not_yet(&[0]));
    assert_eq!(store.claim(1, 0, [3; 16], 2).await.expect("a claim").owner.epoch, 3);
    assert_eq!(raise(store, 2).await, Raised::Done);
}

pub(in super::super) async fn of_two_who_raise_the_frame_version_at_once_one_does(bed: Bed) {
    let store = &bed.store;
    store.generation(1, 1).await.expect("a generation");
    for to in 2..12 {
        store.claim(1, 0, [to; 16], to).await.expect("a claim");
        let (one, two) = tokio::join!(raise(store, to), raise(store, to));
        let already = Raised::Already { version: to };
        let is_so = [&one, &two].contains(&&Raised::Done) && [&one, &two].contains(&&already);
        assert!(is_so, "{one:?} {two:?}");
        assert_eq!(store.frame_version().await.expect("a version"), to);
    }
}

pub(in super::super) async fn a_claim_or_raise_that_fails_at_any_statement_changes_nothing(
    bed: Bed,
) {
    let store = &bed.store;
    store.generation(1, 1).await.expect("a generation");
    store.claim(1, 0, [1; 16], 1).await.expect("a claim");
    let fail_after = fail_after(store).await;
    let mut n_failed = 0;
    for n in 0.. {
        fail_after.set(Some(n));
        let claimed = store.claim(1, 0, [2; 16], 2).await;
        fail_after.set(None);
        if let Ok(claim) = claimed {
            assert_eq!(claim.owner.epoch, 2, "no other claim took effect");
            break;
        }
        assert_eq!(raise(store, 2).await, not_yet(&[0]), "after {n} statements");
        n_failed += 1;
    }
    for n in 0.. {
        fail_after.set(Some(n));
        let raised = store.raise_frame_version(1, 2, Owners::Any).await;
        fail_after.set(None);
        if let Ok(raised) = raised {
            assert_eq!(raised, Raised::Done);
            break;
        }
        assert_eq!(store.frame_version().await.expect("a version"), 1, "after {n} statements");
        n_failed += 1;
    }
    assert!(n_failed >= 6, "{n_failed} statements");
}
