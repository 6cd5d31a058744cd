//! Registers again what frames bring and the ledger does not know, as after a restore.
//!
//! Ingest registers a label before the first frame that has it, so that usually nothing is found
//! here. A ledger that was restored from an older copy lacks what was registered since, and counts
//! its frames again: their labels come back with them, beyond every budget, before the rows that
//! carry them are committed. Each series is looked at once per claim.

use std::collections::{BTreeSet, HashSet};

use ledger::commit::Commit;
use ledger::series::{FullLabels, SeriesId};
use store::{LabelKind, LabelName, LabelRequest, Store, StoreError};
use tracing::warn;

/// The series whose labels are known to be registered.
#[derive(Debug, Default)]
pub struct LabelKeeper {
    registered: HashSet<LabelName>,
    seen: HashSet<SeriesId>,
}

impl LabelKeeper {
    /// Forgets everything and reads what is registered; called with each claim.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(&mut self, store: &Store) -> Result<(), StoreError> {
        self.seen.clear();
        self.registered = store.load_labels().await?.into_iter().collect();
        Ok(())
    }

    /// Registers what the rows of a commit have and the ledger lacks.
    ///
    /// # Errors
    /// What the store says; the rows can be committed all the same and are looked at again.
    pub async fn register(&mut self, store: &Store, commit: &Commit) -> Result<(), StoreError> {
        let new = || commit.totals.iter().filter(|(id, _, _)| !self.seen.contains(id));
        let found: BTreeSet<LabelName> = new().flat_map(|(_, labels, _)| names(labels)).collect();
        let ids: Vec<SeriesId> = new().map(|(id, _, _)| *id).collect();
        let missing: Vec<LabelName> =
            found.into_iter().filter(|label| !self.registered.contains(label)).collect();
        if !missing.is_empty() {
            // Ingest may have registered some of them since the claim; only the others are news.
            let request = |label: &LabelName| LabelRequest { label: label.clone(), max: None };
            let verdicts = store.register_many(missing.iter().map(request).collect()).await?;
            for (label, verdict) in missing.iter().zip(verdicts) {
                if verdict == store::Registration::Added {
                    warn!(kind = ?label.kind, name = %label.name, "label was not registered");
                }
            }
            self.registered.extend(missing);
        }
        self.seen.extend(ids);
        Ok(())
    }
}

/// The names that the labels of a row are made of; fixed words are none.
fn names(labels: &FullLabels) -> impl Iterator<Item = LabelName> {
    let FullLabels { namespace, upstream, model, endpoint, limited_by, .. } = labels;
    [
        (LabelKind::Namespace, Some(namespace)),
        (LabelKind::Upstream, Some(upstream)),
        (LabelKind::Model, Some(model)),
        (LabelKind::Endpoint, Some(endpoint)),
        (LabelKind::Policy, limited_by.as_ref()),
    ]
    .into_iter()
    .filter_map(|(kind, name)| Some((kind, name?)))
    .filter(|(_, name)| ![event::name::NONE, event::name::OTHER].contains(&name.as_ref()))
    .map(|(kind, name)| LabelName { kind, scope: String::new(), name: name.to_string() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use event::{Method, Outcome, ServiceTier, UsageSource};
    use ledger::commit::{CommitId, Owner, Progress};
    use ledger::measures::Measures;

    use super::*;

    fn commit(namespace: &str, model: &str) -> Commit {
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
        Commit {
            totals: vec![(labels.id(), labels, Measures::default())],
            ..Commit::without_rows(CommitId([0; 16]), owner, 0, Progress::default())
        }
    }

    #[tokio::test]
    async fn what_a_restored_ledger_lacks_is_registered_beyond_the_budget() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path()).await.expect("a store"));
        let mut keeper = LabelKeeper::default();
        keeper.load(&store).await.expect("nothing is registered");
        for (namespace, model) in [("wechat", "gpt-4o"), ("wechat", "none"), ("wechat", "gpt-4o")] {
            keeper.register(&store, &commit(namespace, model)).await.expect("registered");
        }
        let mut names: Vec<String> = store
            .load_labels()
            .await
            .expect("labels")
            .into_iter()
            .map(|label| label.name)
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["/v1/chat/completions", "gpt-4o", "openai", "wechat"]);
        let namespaces = store.namespaces_after(0).await.expect("namespaces");
        assert_eq!(namespaces.len(), 1);
    }
}
