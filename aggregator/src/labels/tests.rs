//! Unit tests of `labels`.

use std::sync::Arc;

use event::{Method, Outcome, ServiceTier, UsageSource};
use ledger::commit::{CommitRows, Owner, Progress};
use ledger::measures::Measures;

use super::*;

fn part(namespace: &str, model: &str) -> Part {
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
    let owner = Owner { generation: 1, partition: 0, epoch: 1, nonce: [0; 16] };
    let totals = vec![(labels.id(), Arc::new(labels), Measures::default())];
    let rows = Arc::new(CommitRows { totals, ..CommitRows::default() });
    Part { rows, ..Part::without_rows(owner, 0, Progress::default()) }
}

#[tokio::test]
async fn what_a_restored_ledger_lacks_is_registered_beyond_the_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(folder.path()).await.expect("a store"));
    let mut keeper = LabelKeeper::default();
    keeper.load(&store).await.expect("nothing is registered");
    for (namespace, model) in [("wechat", "gpt-4o"), ("wechat", "none"), ("wechat", "gpt-4o")] {
        keeper.register(&store, &part(namespace, model)).await.expect("registered");
    }
    let mut names: Vec<String> =
        store.load_labels().await.expect("labels").into_iter().map(|label| label.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["/v1/chat/completions", "gpt-4o", "openai", "wechat"]);
    let namespaces = store.namespaces_after(0).await.expect("namespaces");
    assert_eq!(namespaces.len(), 1);
}
