//! Settles the labels of events against the names that are known.
//!
//! Namespaces must never be merged: an event of an unregistered one is rejected, whereas any other
//! unregistered label becomes `other`. An event takes one look-up per label; only if a name may
//! have to be registered first are the events of a group settled a second time.

use std::time::Instant;

use event::frame::{LabelIds, TextId};
use event::name::{NONE, OTHER, is_consumer, is_label};
use event::{Event, Labels};
use store::LabelKind;

use crate::names::{KnownNames, NONE_ID, OTHER_ID};

/// The labels of events, in order; `None` for an event whose namespace is not registered.
pub type Settled = Vec<Option<LabelIds>>;

/// Settles events at one point of time.
pub struct Settler<'a> {
    known: &'a KnownNames,
    now: Instant,
    /// Whether a name was met that may have to be registered, or read, first.
    pub has_new: bool,
}

impl Settler<'_> {
    pub fn new(known: &KnownNames, now: Instant) -> Settler<'_> {
        Settler { known, now, has_new: false }
    }

    /// Settles events.
    pub fn settle<'e, 'a: 'e>(&mut self, events: impl Iterator<Item = &'e Event<'a>>) -> Settled {
        events.map(|event| self.event(event)).collect()
    }

    fn event(&mut self, event: &Event<'_>) -> Option<LabelIds> {
        let Some(namespace) = self.known.namespace(&event.namespace) else {
            self.has_new = true;
            return None;
        };
        let label = |settler: &mut Self, kind, name: &str| {
            settler.name(kind, TextId::ABSENT, name, is_label)
        };
        Some(LabelIds {
            status: event.status,
            method: event.method,
            outcome: event.outcome(),
            service_tier: event.service_tier,
            source: event.usage_source(),
            is_final: event.is_final,
            stream: event.stream,
            namespace,
            upstream: label(self, LabelKind::Upstream, &event.upstream),
            model: self.model(event),
            endpoint: label(self, LabelKind::Endpoint, &event.endpoint),
            limited_by: match &event.limited_by {
                Some(name) => label(self, LabelKind::Policy, name),
                None => TextId::ABSENT,
            },
            consumer: match &event.consumer {
                Some(name) => self.name(LabelKind::Consumer, namespace, name, is_consumer),
                None => TextId::ABSENT,
            },
        })
    }

    /// The number of a name, which is new if it is well formed and its budget has room.
    #[inline]
    fn name(
        &mut self,
        kind: LabelKind,
        scope: TextId,
        name: &str,
        is_well_formed: fn(&str) -> bool,
    ) -> TextId {
        self.known.id(kind, scope, name).unwrap_or_else(|| {
            self.has_new |= is_well_formed(name) && !self.known.is_full(kind, scope, self.now);
            OTHER_ID
        })
    }

    /// The model that an event is counted under. One that only the client named, in an attempt that
    /// failed, is looked up but never registered: anybody can request a model that does not exist.
    fn model(&mut self, event: &Event<'_>) -> TextId {
        let Some(name) = event.counted_model() else { return NONE_ID };
        if event.may_bring_model() {
            return self.name(LabelKind::Model, TextId::ABSENT, name, is_label);
        }
        self.known.id(LabelKind::Model, TextId::ABSENT, name).unwrap_or_else(|| {
            let may_read = self.known.models_unread_until.is_none_or(|until| until <= self.now);
            self.has_new |= may_read && is_label(name);
            NONE_ID
        })
    }
}

/// The labels of an event that was stamped before, settled against the names known now. Returns
/// `None` if its namespace is not registered.
pub fn settle_again(labels: &Labels<'_>, known: &KnownNames) -> Option<LabelIds> {
    let namespace = known.namespace(labels.namespace)?;
    let settled = |kind: LabelKind, scope: TextId, name: &str| match name {
        NONE => NONE_ID,
        OTHER => OTHER_ID,
        _ => known.id(kind, scope, name).unwrap_or(OTHER_ID),
    };
    let label = |kind: LabelKind, name: &str| settled(kind, TextId::ABSENT, name);
    Some(LabelIds {
        namespace,
        upstream: label(LabelKind::Upstream, labels.upstream),
        model: label(LabelKind::Model, labels.model),
        endpoint: label(LabelKind::Endpoint, labels.endpoint),
        limited_by: labels.limited_by.map_or(TextId::ABSENT, |name| label(LabelKind::Policy, name)),
        consumer: labels
            .consumer
            .map_or(TextId::ABSENT, |name| settled(LabelKind::Consumer, namespace, name)),
        ..LabelIds::without_texts(labels)
    })
}
