//! Unit tests of `labels`.

use std::sync::Arc;

use event::{Method, Outcome, ServiceTier, UsageSource};
use ledger::commit::CommitRows;
use ledger::measures::Measures;

use super::*;

fn rows(namespace: &str, model: &str) -> CommitRows {
    let labels = FullLabels {
        namespace: namespace.into(),
        upstream: "openai".into(),
        model: model.into(),
        method: Method::Post,
        endpoint: "/v1/chat/completions".into(),
        status: 200,
        outcome: Outcome::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        limited_by: None,
    };
    let totals = vec![(labels.id(), Arc::new(labels), Measures::default())];
    CommitRows { totals, ..CommitRows::default() }
}

#[tokio::test]
async fn what_a_restored_ledger_lacks_is_registered_beyond_the_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(folder.path()).await.expect("a store"));
    let mut keeper = LabelKeeper::default();
    keeper.load(&store).await.expect("nothing is registered");
    for (namespace, model) in [("wechat", "gpt-4o"), ("wechat", "none"), ("wechat", "gpt-4o")] {
        keeper.register(&store, &rows(namespace, model)).await.expect("registered");
    }
    let mut names: Vec<String> =
        store.load_labels().await.expect("labels").into_iter().map(|label| label.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["/v1/chat/completions", "gpt-4o", "openai", "wechat"]);
    let namespaces = store.namespaces_after(0).await.expect("namespaces");
    assert_eq!(namespaces.len(), 1);
}
