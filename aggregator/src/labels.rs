//! Re-registers labels that frames carry and a restored ledger lacks.
//!
//! Ingest registers a label before the first frame that has it, so that there is usually nothing to
//! do. A ledger restored from an older backup lacks labels registered since, and counts the frames
//! again: their labels are registered regardless of budgets before the rows that carry them are
//! committed. Each series is checked once per claim.

use std::collections::{BTreeSet, HashMap, HashSet};

use ledger::commit::CommitRows;
use ledger::series::{FullLabels, SeriesId};
use store::{LabelKind, LabelName, LabelRequest, Store, StoreError};
use tracing::warn;

/// The series whose labels are known to be registered.
#[derive(Debug, Default)]
pub struct LabelKeeper {
    registered: HashMap<LabelKind, HashSet<String>>,
    seen: HashSet<SeriesId>,
}

impl LabelKeeper {
    /// Forgets everything and reads what is registered; called before the first commit after a
    /// claim.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn load(&mut self, store: &Store) -> Result<(), StoreError> {
        self.seen.clear();
        for kind in KINDS {
            let names = store.label_names(kind).await?;
            self.registered.insert(kind, names.into_iter().collect());
        }
        Ok(())
    }

    /// Registers what the rows of a commit have and the ledger lacks.
    ///
    /// # Errors
    /// The error of the store; the rows can still be committed and are checked again.
    pub async fn register(&mut self, store: &Store, rows: &CommitRows) -> Result<(), StoreError> {
        let new = || rows.totals.iter().filter(|(id, _, _)| !self.seen.contains(id));
        let names = new().flat_map(|(_, labels, _)| names(labels));
        let missing: BTreeSet<(LabelKind, &str)> =
            names.filter(|(kind, name)| !self.is_registered(*kind, name)).collect();
        let missing: Vec<LabelName> = missing
            .into_iter()
            .map(|(kind, name)| LabelName { kind, scope: String::new(), name: name.to_owned() })
            .collect();
        let ids: Vec<SeriesId> = new().map(|(id, _, _)| *id).collect();
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
            for LabelName { kind, name, .. } in missing {
                self.registered.entry(kind).or_default().insert(name);
            }
        }
        self.seen.extend(ids);
        Ok(())
    }

    fn is_registered(&self, kind: LabelKind, name: &str) -> bool {
        self.registered.get(&kind).is_some_and(|names| names.contains(name))
    }
}

/// Kinds of names that rows have.
const KINDS: [LabelKind; 5] = [
    LabelKind::Namespace,
    LabelKind::Upstream,
    LabelKind::Model,
    LabelKind::Endpoint,
    LabelKind::Policy,
];

/// The registered names among the labels of a row; fixed enum values are not registered.
fn names(labels: &FullLabels) -> impl Iterator<Item = (LabelKind, &str)> {
    let FullLabels { namespace, upstream, model, endpoint, limited_by, .. } = labels;
    let names = [Some(namespace), Some(upstream), Some(model), Some(endpoint), limited_by.as_ref()];
    KINDS
        .into_iter()
        .zip(names)
        .filter_map(|(kind, name)| Some((kind, &**name?)))
        .filter(|(_, name)| ![event::name::NONE, event::name::OTHER].contains(name))
}

#[cfg(test)]
mod tests;
