//! The registered labels, and the registration of new names within their budgets.
//!
//! New names in a batch are registered in the store, namespaces first: an event of an unregistered
//! namespace must not use up any budget. From then on they are known for the life of the process,
//! even while the store is down. An exhausted budget is cached for a while, so that a flood of new
//! names does not become a flood of writes. A model that only the client named, in an attempt that
//! failed, is looked up but never registered: anybody can request a model that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use event::frame::TextId;
use event::name::{NONE, OTHER, is_consumer, is_label};
use event::{Event, Labels};
use service::config::IngestSettings;
use store::{LabelKind, LabelName, LabelRequest, Registration, Store, StoreError};
use tracing::warn;

use crate::names::KnownNames;
use crate::parsed::Parsed;
use crate::settle::{Settled, Settler};

/// How long an exhausted budget is cached before the store is asked again: an operator who raises
/// it waits no longer than this.
const FULL_FOR: Duration = Duration::from_secs(10);

/// Pause after a failed lookup of models: one batch in this time waits for the store, not each.
const MODELS_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The registered labels as this process knows them.
#[derive(Debug)]
pub struct LabelCache {
    known: RwLock<KnownNames>,
    settings: IngestSettings,
}

impl LabelCache {
    /// Loads the labels from the store.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn load(store: &Store, settings: IngestSettings) -> Result<LabelCache, StoreError> {
        let mut known = KnownNames::default();
        for label in store.load_labels().await? {
            known.insert(&label);
        }
        Ok(LabelCache { known: RwLock::new(known), settings })
    }

    /// The known names. The guard must not be held across an await.
    pub fn known(&self) -> RwLockReadGuard<'_, KnownNames> {
        // A panic while the lock is held cannot leave the sets inconsistent.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles the labels of events. Names that are not known yet are registered first, also those
    /// of the namespaces that report connections.
    ///
    /// # Errors
    /// If the store fails; the labels cannot be settled now.
    pub async fn settle(&self, store: &Store, parsed: &Parsed<'_>) -> Result<Settled, StoreError> {
        {
            let known = self.known();
            let mut settler = Settler::new(&known, Instant::now());
            let settled = settler.settle(parsed.events());
            let mut reports = parsed.connections();
            if !settler.has_new && reports.all(|it| known.namespace(&it.namespace).is_some()) {
                return Ok(settled);
            }
        }
        self.register(store, parsed).await?;
        Ok(Settler::new(&self.known(), Instant::now()).settle(parsed.events()))
    }

    /// Registers the names that are not known yet.
    async fn register(&self, store: &Store, parsed: &Parsed<'_>) -> Result<(), StoreError> {
        let namespaces = self.missing_namespaces(parsed);
        if !namespaces.is_empty() {
            if self.known().is_full(LabelKind::Namespace, TextId::ABSENT, Instant::now()) {
                self.load_namespaces(store).await?;
            } else {
                self.register_missing(store, namespaces).await?;
            }
        }
        let labels = self.missing_labels(parsed);
        if !labels.is_empty() {
            self.register_missing(store, labels).await?;
        }
        if self.needs_models(parsed) {
            self.load_models(store).await;
        }
        Ok(())
    }

    /// Registers names within their budgets, namespaces first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn register_names(
        &self,
        store: &Store,
        names: Vec<LabelName>,
    ) -> Result<(), StoreError> {
        let missing: BTreeSet<LabelName> = {
            let (known, now) = (self.known(), Instant::now());
            let is_missing =
                |label: &LabelName| !known.has(label) && !known.budget_is_full(label, now);
            names.into_iter().filter(is_missing).collect()
        };
        let request = |label: LabelName| {
            let max = Some(self.budget(label.kind));
            LabelRequest { label, max }
        };
        let missing: Vec<LabelRequest> = missing.into_iter().map(request).collect();
        if missing.is_empty() { Ok(()) } else { self.register_missing(store, missing).await }
    }

    /// Registers names and caches the outcome of each.
    async fn register_missing(
        &self,
        store: &Store,
        missing: Vec<LabelRequest>,
    ) -> Result<(), StoreError> {
        let verdicts = store.register_many(missing.clone()).await?;
        let now = Instant::now();
        let mut known = self.known_mut();
        known.forget_full(now);
        for (request, verdict) in missing.into_iter().zip(verdicts) {
            match verdict {
                Registration::Known | Registration::Added => known.insert(&request.label),
                Registration::OverBudget => known.note_full(&request.label, now + FULL_FOR),
            }
        }
        Ok(())
    }

    /// Loads namespaces that an operator created: they are accepted whatever the budget, and at
    /// once, because a reject is final. Costs a read, never a write.
    async fn load_namespaces(&self, store: &Store) -> Result<(), StoreError> {
        let newest = self.known().newest_namespace;
        let rows = store.namespaces_after(newest).await?;
        let mut known = self.known_mut();
        for row in rows {
            known.newest_namespace = known.newest_namespace.max(row.id);
            known.insert(&namespace(&row.code));
        }
        Ok(())
    }

    /// Loads models that other processes registered. Costs a read, never a write. If the store does
    /// not answer, failed attempts are counted without a model: a client that requests made-up
    /// models must not block the events of all others.
    async fn load_models(&self, store: &Store) {
        let names = store.label_names(LabelKind::Model).await;
        let mut known = self.known_mut();
        match names {
            Ok(names) => {
                for name in names {
                    let (kind, scope) = (LabelKind::Model, String::new());
                    known.insert(&LabelName { kind, scope, name });
                }
            }
            Err(error) => {
                known.models_unread_until = Some(Instant::now() + MODELS_RETRY_AFTER);
                drop(known);
                let error: &(dyn std::error::Error + 'static) = &error;
                warn!(error, "models of failed requests could not be looked up");
            }
        }
    }

    /// Whether an event of a known namespace requested an unknown model that it may not register.
    fn needs_models(&self, parsed: &Parsed<'_>) -> bool {
        let known = self.known();
        let is_unknown = |event: &Event<'_>| {
            let name = event.counted_model().filter(|name| is_label(name));
            name.is_some_and(|name| known.id(LabelKind::Model, TextId::ABSENT, name).is_none())
        };
        let mut asked = parsed.events().filter(|event| !event.may_bring_model());
        known.models_unread_until.is_none_or(|until| until <= Instant::now())
            && asked.any(|event| known.namespace(&event.namespace).is_some() && is_unknown(event))
    }

    /// The unknown namespaces, without duplicates.
    fn missing_namespaces(&self, parsed: &Parsed<'_>) -> Vec<LabelRequest> {
        let known = self.known();
        let names = parsed.events().map(|event| event.namespace.as_ref());
        let names = names.chain(parsed.connections().map(|report| report.namespace.as_ref()));
        let missing: BTreeSet<&str> =
            names.filter(|name| known.namespace(name).is_none()).collect();
        let max = Some(self.budget(LabelKind::Namespace));
        missing.into_iter().map(|name| LabelRequest { label: namespace(name), max }).collect()
    }

    /// Other well-formed unknown names, without duplicates, from events of known namespaces.
    fn missing_labels(&self, parsed: &Parsed<'_>) -> Vec<LabelRequest> {
        let known = self.known();
        let now = Instant::now();
        let mut missing = BTreeMap::new();
        let mut look = |kind: LabelKind, scope: (TextId, &str), name: &str| {
            let (id, scope) = scope;
            if known.id(kind, id, name).is_some() || known.is_full(kind, id, now) {
                return;
            }
            let label = LabelName { kind, scope: scope.to_owned(), name: name.to_owned() };
            missing.insert(label, self.budget(kind));
        };
        for event in parsed.events() {
            let Some(namespace) = known.namespace(&event.namespace) else { continue };
            let model = event.counted_model().filter(|_| event.may_bring_model());
            for (kind, name) in [
                (LabelKind::Upstream, Some(&*event.upstream)),
                (LabelKind::Model, model),
                (LabelKind::Endpoint, Some(&*event.endpoint)),
                (LabelKind::Policy, event.limited_by.as_deref()),
            ] {
                if let Some(name) = name.filter(|name| is_label(name)) {
                    look(kind, (TextId::ABSENT, ""), name);
                }
            }
            if let Some(name) = event.consumer.as_ref().filter(|name| is_consumer(name)) {
                look(LabelKind::Consumer, (namespace, &event.namespace), name);
            }
        }
        missing.into_iter().map(|(label, max)| LabelRequest { label, max: Some(max) }).collect()
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, KnownNames> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Most names of a kind; for consumers, in each namespace.
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

/// The names in labels, without the reserved words `none` and `other`.
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

fn namespace(code: &str) -> LabelName {
    LabelName { kind: LabelKind::Namespace, scope: String::new(), name: code.to_owned() }
}

#[cfg(test)]
mod tests;
