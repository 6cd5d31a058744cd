//! A newer program has migrated the ledger while this one runs.

use std::sync::Arc;

use ledger::commit::Outcome;

use super::super::fixture::{Bed, commit, refused, total};
use crate::schema::MIGRATIONS;
use crate::{Owners, StoreError};

/// Moves the format of the ledger by so much.
async fn move_format(bed: &Bed, by: i64) {
    let mut held = bed.store.writers().expect("writers").hold().await.expect("a writer");
    held.steps.begin().await.expect("begun");
    let query = held.steps.backend().query("UPDATE meta SET format = format + ?").bind(by);
    held.steps.run(query, "move the format").await.expect("moved");
    held.steps.commit().await.expect("committed");
}

/// Whether a ledger is one format newer than what this program knows.
fn is_newer(error: &StoreError) -> bool {
    let newest = MIGRATIONS.len() as i64;
    matches!(error, StoreError::Newer { found, known } if *known == newest && *found == newest + 1)
}

pub(in super::super) async fn a_ledger_of_a_newer_program_takes_neither_claim_nor_commit(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 3, &["a"]));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    move_format(&bed, 1).await;
    let second = Arc::new(commit(claim.owner, &first.parts[0].progress, 2, &["a"]));
    assert_eq!(store.commit(Arc::clone(&second)).await.0, refused(&[0]));
    for partition in [0, 1] {
        let error = store.claim(1, partition, [2; 16], 2).await.expect_err("it is newer");
        assert!(is_newer(&error), "{error:?}");
        assert!(error.is_fatal(), "the process has to end");
    }
    let raised = store.raise_frame_version(1, 2, Owners::Own).await;
    assert!(raised.as_ref().is_err_and(is_newer), "{raised:?}");
    assert_eq!(total(store).await, 3, "nothing was written");
    move_format(&bed, -1).await;
    assert_eq!(store.commit(second).await.0, Outcome::Committed { version: 2 });
    let again = store.claim(1, 1, [3; 16], 2).await.expect("a claim");
    assert_eq!(again.owner.epoch, 1, "no claim took effect before");
}
