//! Unit tests of `confirm`.

use super::*;

#[tokio::test]
async fn page_needs_a_ledger_that_answers_unless_it_is_our_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(folder.path()).await.expect("a store"));
    let (publisher, shared) = (Publisher::default(), Confirmer::new(Some(Arc::clone(&store))));
    assert_eq!(shared.confirm(&publisher).await, Ok(()));
    store.close().await;
    assert_eq!(shared.confirm(&publisher).await, Err(NO_ANSWER));
    assert_eq!(Confirmer::new(None).confirm(&publisher).await, Ok(()));
}
