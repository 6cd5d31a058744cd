//! Unit tests of `confirm`.

use ledger::lease::LeaseRow;

use super::*;
use crate::publisher::Committers;

const ME: [u8; 16] = [7; 16];

#[tokio::test]
async fn page_needs_a_ledger_that_answers_and_the_lease_unless_the_ledger_is_our_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(folder.path()).await.expect("a store"));
    let publisher = Publisher::new(Committers::Any);
    let leadership = Arc::new(Leadership::new(ME));
    let shared = Confirmer::new(Some((Arc::clone(&store), leadership)));
    assert_eq!(shared.confirm(&publisher, 0).await, Err(NOBODY));
    // The lease of another process of the same name is not ours.
    assert!(store.acquire_lease(LeaseRow::default(), ME).await.expect("a ledger"));
    assert_eq!(shared.confirm(&publisher, 0).await, Err(NOBODY));
    store.close().await;
    assert_eq!(shared.confirm(&publisher, 0).await, Err(NO_ANSWER));
    let own = Confirmer::new(None).confirm(&publisher, 0).await;
    assert_eq!(own, Ok(Confirmed::Publisher { at_least: 0 }));
}
