//! The registered labels, and what becomes of a name that is not registered yet.
//!
//! Names that a body brings for the first time are registered through the store, its namespaces
//! first: what an event of an unregistered namespace says never takes a place. After that they are
//! known for as long as the process lives, also while the store is down. A budget that is used up
//! is remembered for a while, so that a flood of new names does not become a flood of writes.
//! A model that only a client has named, in an attempt that failed, is looked up and never
//! registered: anybody can ask for a model that does not exist.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use event::name::{NONE, OTHER, is_consumer, is_label};
use event::{Connections, Event, Labels};
use service::config::IngestSettings;
use store::{LabelKind, LabelName, LabelRequest, Registration, Store, StoreError};
use tracing::warn;

/// How long a used-up budget is believed before the store is asked again: an operator who raises
/// it waits no longer than this.
const FULL_FOR: Duration = Duration::from_secs(10);

/// How long the store is left alone after it did not say which models there are: a batch waits for
/// it once in this time, not each.
const UNREAD_FOR: Duration = Duration::from_secs(10);

/// Names of one kind and scope.
type Names = HashSet<Box<str>>;

/// The names that are known.
#[derive(Debug, Default)]
pub struct Known {
    names: [Names; 5],
    consumers: HashMap<Box<str>, Names>,
    full: HashMap<(LabelKind, Box<str>), Instant>,
    /// Highest number of a namespace that was learnt from the store.
    newest_namespace: i64,
    /// Until when no models are looked up, because the store did not answer.
    models_unread_until: Option<Instant>,
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
        let namespaces = self.missing_namespaces(events, connections);
        if !namespaces.is_empty() {
            if self.known().is_full(LabelKind::Namespace, "", Instant::now()) {
                self.learn_namespaces(store).await?;
            } else {
                self.ask(store, namespaces).await?;
            }
        }
        let labels = self.missing_labels(events);
        if !labels.is_empty() {
            self.ask(store, labels).await?;
        }
        if self.wants_models(events) {
            self.learn_models(store).await;
        }
        Ok(())
    }

    /// Registers names within their budgets, those of namespaces first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn register_names(
        &self,
        store: &Store,
        names: Vec<LabelName>,
    ) -> Result<(), StoreError> {
        let missing: BTreeSet<LabelName> = {
            let (known, now) = (self.known(), Instant::now());
            let is_missing = |label: &LabelName| {
                let LabelName { kind, scope, name } = label;
                !known.has(*kind, scope, name) && !known.is_full(*kind, scope, now)
            };
            names.into_iter().filter(is_missing).collect()
        };
        let request = |label: LabelName| {
            let max = Some(self.budget(label.kind));
            LabelRequest { label, max }
        };
        let missing: Vec<LabelRequest> = missing.into_iter().map(request).collect();
        if missing.is_empty() { Ok(()) } else { self.ask(store, missing).await }
    }

    /// Registers names and remembers what became of them.
    async fn ask(&self, store: &Store, missing: Vec<LabelRequest>) -> Result<(), StoreError> {
        let verdicts = store.register_many(missing.clone()).await?;
        let now = Instant::now();
        let mut known = self.known_mut();
        known.full.retain(|_, until| now < *until);
        for (request, verdict) in missing.into_iter().zip(verdicts) {
            match verdict {
                Registration::Known | Registration::Added => known.insert(request.label),
                Registration::OverBudget => {
                    let key = (request.label.kind, request.label.scope.into_boxed_str());
                    known.full.insert(key, now + FULL_FOR);
                }
            }
        }
        Ok(())
    }

    /// Learns the namespaces that were made by hand: they pass whatever the budget, and at once,
    /// because a reject is final. Costs a read, never a write.
    async fn learn_namespaces(&self, store: &Store) -> Result<(), StoreError> {
        let newest = self.known().newest_namespace;
        let rows = store.namespaces_after(newest).await?;
        let mut known = self.known_mut();
        for row in rows {
            known.newest_namespace = known.newest_namespace.max(row.id);
            known.insert(namespace(&row.code));
        }
        Ok(())
    }

    /// Learns the models that other processes have registered. Costs a read, never a write. While
    /// the store does not answer the failed attempts count without a model: a client that asks for
    /// models by invented names must not stop what all others send.
    async fn learn_models(&self, store: &Store) {
        let names = store.label_names(LabelKind::Model).await;
        let mut known = self.known_mut();
        match names {
            Ok(names) => {
                let models = &mut known.names[LabelKind::Model as usize - 1];
                models.extend(names.into_iter().map(String::into_boxed_str));
            }
            Err(error) => {
                known.models_unread_until = Some(Instant::now() + UNREAD_FOR);
                drop(known);
                let error: &(dyn std::error::Error + 'static) = &error;
                warn!(error, "models of failed requests could not be looked up");
            }
        }
    }

    /// Whether an event of a known namespace was asked for a model that is not known and that it
    /// may not bring.
    fn wants_models(&self, events: &[(usize, Event<'_>)]) -> bool {
        let known = self.known();
        let is_unknown = |event: &Event<'_>| {
            let name = event.counted_model().filter(|name| is_label(name));
            name.is_some_and(|name| !known.has(LabelKind::Model, "", name))
        };
        let mut asked = events.iter().map(|(_, event)| event).filter(|e| !e.may_bring_model());
        known.models_unread_until.is_none_or(|until| until <= Instant::now())
            && asked.any(|event| {
                known.has(LabelKind::Namespace, "", &event.namespace) && is_unknown(event)
            })
    }

    /// The namespaces of a body that are not known, each once.
    fn missing_namespaces(
        &self,
        events: &[(usize, Event<'_>)],
        connections: &[(usize, Connections<'_>)],
    ) -> Vec<LabelRequest> {
        let known = self.known();
        let names = events.iter().map(|(_, event)| event.namespace.as_ref());
        let names = names.chain(connections.iter().map(|(_, report)| report.namespace.as_ref()));
        let missing: BTreeSet<&str> =
            names.filter(|name| !known.has(LabelKind::Namespace, "", name)).collect();
        let max = Some(self.budget(LabelKind::Namespace));
        missing.into_iter().map(|name| LabelRequest { label: namespace(name), max }).collect()
    }

    /// The other well-formed names that are not known, each once, in events whose namespace is.
    fn missing_labels(&self, events: &[(usize, Event<'_>)]) -> Vec<LabelRequest> {
        let known = self.known();
        let now = Instant::now();
        let mut missing = BTreeMap::new();
        let mut look = |kind: LabelKind, scope: &str, name: &str| {
            if known.has(kind, scope, name) || known.is_full(kind, scope, now) {
                return;
            }
            let label = LabelName { kind, scope: scope.to_owned(), name: name.to_owned() };
            missing.insert(label, self.budget(kind));
        };
        for (_, event) in events {
            let namespace = event.namespace.as_ref();
            if !known.has(LabelKind::Namespace, "", namespace) {
                continue;
            }
            let model = event.counted_model().filter(|_| event.may_bring_model());
            for (kind, name) in [
                (LabelKind::Upstream, Some(&*event.upstream)),
                (LabelKind::Model, model),
                (LabelKind::Endpoint, Some(&*event.endpoint)),
                (LabelKind::Policy, event.limited_by.as_deref()),
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

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
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

/// The names that labels are made of; fixed words are none.
pub fn names(labels: &Labels<'_>) -> Vec<LabelName> {
    let of = |kind, scope: &str, name: Option<&str>| {
        let name = name.filter(|name| ![NONE, OTHER].contains(name))?;
        Some(LabelName { kind, scope: scope.to_owned(), name: name.to_owned() })
    };
    [
        of(LabelKind::Namespace, "", Some(labels.namespace)),
        of(LabelKind::Upstream, "", Some(labels.upstream)),
        of(LabelKind::Model, "", Some(labels.model)),
        of(LabelKind::Endpoint, "", Some(labels.endpoint)),
        of(LabelKind::Policy, "", labels.limited_by),
        of(LabelKind::Consumer, labels.namespace, labels.consumer),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The name of a namespace.
fn namespace(code: &str) -> LabelName {
    LabelName { kind: LabelKind::Namespace, scope: String::new(), name: code.to_owned() }
}
