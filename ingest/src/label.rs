//! The registered labels, and what becomes of a name that is not registered yet.
//!
//! Names that a body brings for the first time are registered through the store in one call;
//! after that they are known for as long as the process lives, also while the store is down. A
//! budget that is used up is remembered for a while, so that a flood of new names does not become
//! a flood of writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use event::name::{is_consumer, is_label};
use event::{Connections, Event};
use service::config::IngestSettings;
use store::{LabelKind, LabelName, LabelRequest, Registration, Store, StoreError};

/// How long a used-up budget is believed before the store is asked again: an operator who raises
/// it waits no longer than this.
const FULL_FOR: Duration = Duration::from_secs(10);

/// Names of one kind and scope.
type Names = HashSet<Box<str>>;

/// The names that are known.
#[derive(Debug, Default)]
pub struct Known {
    names: [Names; 5],
    consumers: HashMap<Box<str>, Names>,
    full: HashMap<(LabelKind, Box<str>), Instant>,
}

impl Known {
    /// Whether a name is registered.
    #[must_use]
    pub fn has(&self, kind: LabelKind, scope: &str, name: &str) -> bool {
        match kind {
            LabelKind::Consumer => {
                self.consumers.get(scope).is_some_and(|names| names.contains(name))
            }
            kind => self.names[kind as usize - 1].contains(name),
        }
    }

    fn insert(&mut self, label: LabelName) {
        let name = label.name.into_boxed_str();
        match label.kind {
            LabelKind::Consumer => {
                self.consumers.entry(label.scope.into_boxed_str()).or_default().insert(name);
            }
            kind => {
                self.names[kind as usize - 1].insert(name);
            }
        }
    }

    /// Whether the budget of a kind and scope was used up a moment ago.
    fn is_full(&self, kind: LabelKind, scope: &str, now: Instant) -> bool {
        let until = self.full.iter().find(|((k, s), _)| *k == kind && &**s == scope);
        until.is_some_and(|(_, until)| now < *until)
    }
}

/// The registered labels of a process.
#[derive(Debug)]
pub struct LabelCache {
    known: RwLock<Known>,
    settings: IngestSettings,
}

impl LabelCache {
    /// The labels as the store has them now.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(store: &Store, settings: IngestSettings) -> Result<LabelCache, StoreError> {
        let mut known = Known::default();
        for label in store.load_labels().await? {
            known.insert(label);
        }
        Ok(LabelCache { known: RwLock::new(known), settings })
    }

    /// The known names, for settling a body. Not to be held across a wait.
    pub fn known(&self) -> RwLockReadGuard<'_, Known> {
        // A panic while the lock is held cannot leave the sets half changed.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the names of a body that are not known yet.
    ///
    /// # Errors
    /// What the store says; then the body cannot be settled now.
    pub async fn register(
        &self,
        store: &Store,
        events: &[(usize, Event<'_>)],
        connections: &[(usize, Connections<'_>)],
    ) -> Result<(), StoreError> {
        let missing = self.missing(events, connections);
        if missing.is_empty() {
            return Ok(());
        }
        let verdicts = store.register_many(missing.clone()).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + FULL_FOR;
        known.full.retain(|_, until| Instant::now() < *until);
        for (request, verdict) in missing.into_iter().zip(verdicts) {
            match verdict {
                Registration::Known | Registration::Added => known.insert(request.label),
                Registration::OverBudget => {
                    let key = (request.label.kind, request.label.scope.into_boxed_str());
                    known.full.insert(key, until);
                }
            }
        }
        Ok(())
    }

    /// The well-formed names of a body that are not known, each once.
    fn missing(
        &self,
        events: &[(usize, Event<'_>)],
        connections: &[(usize, Connections<'_>)],
    ) -> Vec<LabelRequest> {
        let known = self.known();
        let now = Instant::now();
        let mut missing = BTreeMap::new();
        let mut look = |kind: LabelKind, scope: &str, name: &str| {
            if known.has(kind, scope, name) || known.is_full(kind, scope, now) {
                return;
            }
            let max = self.budget(kind);
            let label = LabelName { kind, scope: scope.to_owned(), name: name.to_owned() };
            missing.insert(label, max);
        };
        for (_, report) in connections {
            look(LabelKind::Namespace, "", &report.namespace);
        }
        for (_, event) in events {
            let namespace = event.namespace.as_ref();
            look(LabelKind::Namespace, "", namespace);
            for (kind, name) in [
                (LabelKind::Upstream, Some(&event.upstream)),
                (LabelKind::Model, event.model.as_ref()),
                (LabelKind::Endpoint, Some(&event.endpoint)),
                (LabelKind::Policy, event.limited_by.as_ref()),
            ] {
                if let Some(name) = name.filter(|name| is_label(name)) {
                    look(kind, "", name);
                }
            }
            if let Some(name) = event.consumer.as_ref().filter(|name| is_consumer(name)) {
                look(LabelKind::Consumer, namespace, name);
            }
        }
        missing.into_iter().map(|(label, max)| LabelRequest { label, max: Some(max) }).collect()
    }

    /// How many names of a kind there may be.
    fn budget(&self, kind: LabelKind) -> i64 {
        let settings = &self.settings;
        i64::from(match kind {
            LabelKind::Namespace if !settings.auto_register => 0,
            LabelKind::Namespace => settings.namespaces_max,
            LabelKind::Model => settings.models_max,
            LabelKind::Upstream => settings.upstreams_max,
            LabelKind::Endpoint => settings.endpoints_max,
            LabelKind::Policy => settings.policies_max,
            LabelKind::Consumer => settings.consumers_per_namespace_max,
        })
    }
}
