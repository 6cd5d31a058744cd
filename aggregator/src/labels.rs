//! Re-registers labels that frames carry and a restored ledger lacks.
//!
//! Ingest registers a label before the first frame that has it, so that there is usually nothing to
//! do. A ledger restored from an older backup lacks labels registered since, and counts the frames
//! again: their labels are registered regardless of budgets before the rows that carry them are
//! committed. Each series is checked once per claim.

use std::collections::{BTreeSet, HashSet};

use ledger::commit::Part;
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
    /// The error of the store.
    pub async fn load(&mut self, store: &Store) -> Result<(), StoreError> {
        self.seen.clear();
        self.registered = store.load_labels().await?.into_iter().collect();
        Ok(())
    }

    /// Registers what the rows of a part have and the ledger lacks.
    ///
    /// # Errors
    /// The error of the store; the rows can still be committed and are checked again.
    pub async fn register(&mut self, store: &Store, part: &Part) -> Result<(), StoreError> {
        let new = || part.rows.totals.iter().filter(|(id, _, _)| !self.seen.contains(id));
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
                    let (kind, name) = (label.kind, &label.name);
                    warn!(?kind, %name, "label was missing and is registered again");
                }
            }
            self.registered.extend(missing);
        }
        self.seen.extend(ids);
        Ok(())
    }
}

/// The registered names among the labels of a row; fixed enum values are not registered.
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
mod tests;
