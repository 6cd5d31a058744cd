//! Unit tests of `label`.

use proptest::prelude::*;
use service::config::Settings;

use super::*;
use crate::names::{NONE_ID, OTHER_ID};
use crate::parsed::Texts;

/// Names of which some are no label, and some are words.
const NAMES: [&str; 6] = ["a", "b", "other", "none", "not a label", "c"];

fn label(kind: LabelKind, scope: &str, name: &str) -> LabelName {
    LabelName { kind, scope: scope.to_owned(), name: name.to_owned() }
}

prop_compose! {
    /// An event as JSON, with names by their number.
    fn event()(
        namespace in 0..3usize, names in proptest::array::uniform4(0..6usize),
        requested in proptest::option::of(0..6usize), has_model in any::<bool>(),
        consumer in proptest::option::of(0..6usize), limited in proptest::option::of(0..6usize),
        status in prop_oneof![Just(200), Just(404)],
    ) -> String {
        let namespace = ["team", "b", "c"][namespace];
        let [upstream, model, endpoint, _] = names.map(|at| NAMES[at]);
        let mut event = serde_json::json!({
            "id": "x", "time": 1_790_000_000, "namespace": namespace,
            "upstream": upstream, "endpoint": endpoint, "status": status, "duration_ms": 1,
            "method": "POST",
        });
        let optional = [
            ("model", has_model.then_some(model)),
            ("requested_model", requested.map(|at| NAMES[at])),
            ("consumer", consumer.map(|at| NAMES[at])),
            ("limited_by", limited.map(|at| NAMES[at])),
        ];
        for (field, name) in optional {
            if let Some(name) = name {
                event[field] = name.into();
            }
        }
        event.to_string()
    }
}

proptest! {
    #[test]
    fn a_batch_is_registered_only_if_a_name_of_it_may_be_new(
        events in proptest::collection::vec(event(), 1..8),
        known in proptest::collection::vec((0..6usize, 0..3usize, 0..6usize), 0..30),
        full in proptest::collection::vec((0..6usize, 0..3usize), 0..6),
        models_are_unread in any::<bool>(),
    ) {
        let scope = |kind: LabelKind, at: usize| match kind {
            LabelKind::Consumer => ["team", "b", "c"][at],
            _ => "",
        };
        let mut names = KnownNames::default();
        for (kind, at, name) in known {
            let kind = LabelKind::EACH[kind];
            let name = match kind {
                LabelKind::Namespace => ["team", "b", "c"][at],
                _ => NAMES[name],
            };
            names.insert(&label(kind, scope(kind, at), name));
        }
        let later = Instant::now() + Duration::from_secs(60);
        for (kind, at) in full {
            let kind = LabelKind::EACH[kind];
            names.note_full(&label(kind, scope(kind, at), "x"), later);
        }
        names.models_unread_until = models_are_unread.then_some(later);
        let cache = LabelCache { known: RwLock::new(names), settings: Settings::default().ingest };
        let body = format!("[{}]", events.join(","));
        let texts = [Texts::one(body.into(), "default".into())];
        let parsed = Parsed::of(&texts, 0);
        let known = cache.known();
        let mut settler = Settler::new(&known, Instant::now());
        let settled = settler.settle(parsed.events());
        let is_new = !cache.missing_namespaces(&parsed).is_empty()
            || !cache.missing_labels(&parsed).is_empty()
            || cache.needs_models(&parsed);
        prop_assert_eq!(settler.has_new, is_new);
        for (event, ids) in parsed.events().zip(settled) {
            prop_assert_eq!(ids.is_some(), known.namespace(&event.namespace).is_some());
            let Some(ids) = ids else { continue };
            let upstream = known.id(LabelKind::Upstream, TextId::ABSENT, &event.upstream);
            prop_assert_eq!(ids.upstream, upstream.unwrap_or(OTHER_ID));
            prop_assert_eq!(ids.limited_by == TextId::ABSENT, event.limited_by.is_none());
            let consumer = event.consumer.as_deref().map(|name| {
                known.id(LabelKind::Consumer, ids.namespace, name).unwrap_or(OTHER_ID)
            });
            prop_assert_eq!(ids.consumer, consumer.unwrap_or(TextId::ABSENT));
            let model = event.counted_model().map(|name| {
                let other = if event.may_bring_model() { OTHER_ID } else { NONE_ID };
                known.id(LabelKind::Model, TextId::ABSENT, name).unwrap_or(other)
            });
            prop_assert_eq!(ids.model, model.unwrap_or(NONE_ID));
        }
    }
}
