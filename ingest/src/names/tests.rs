//! Unit tests of `names`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn name(kind: LabelKind, scope: &str, name: &str) -> LabelName {
    LabelName { kind, scope: scope.to_owned(), name: name.to_owned() }
}

#[test]
fn equal_texts_of_different_kinds_and_scopes_are_different_names() {
    let mut known = KnownNames::default();
    for (kind, scope) in [
        (LabelKind::Namespace, ""),
        (LabelKind::Model, ""),
        (LabelKind::Consumer, "a"),
        (LabelKind::Consumer, "b"),
    ] {
        assert!(!known.has(&name(kind, scope, "x")));
        known.insert(&name(kind, scope, "x"));
        assert!(known.has(&name(kind, scope, "x")));
    }
    assert!(!known.has(&name(LabelKind::Upstream, "", "x")));
    assert!(!known.has(&name(LabelKind::Consumer, "x", "x")));
    // Consumers do not register their namespace.
    assert_eq!(known.namespace("a"), None);
    known.insert(&name(LabelKind::Namespace, "", "a"));
    let scope = known.namespace("a").expect("registered");
    assert_eq!(known.text(known.id(LabelKind::Consumer, scope, "x").expect("registered")), "x");
}

#[test]
fn a_name_that_is_a_reserved_word_has_the_number_of_the_word() {
    let mut known = KnownNames::default();
    assert_eq!(known.id(LabelKind::Model, TextId::ABSENT, "other"), None);
    for word in ["other", "none", "other"] {
        known.insert(&name(LabelKind::Model, "", word));
    }
    assert_eq!(known.id(LabelKind::Model, TextId::ABSENT, "other"), Some(OTHER_ID));
    assert_eq!(known.id(LabelKind::Model, TextId::ABSENT, "none"), Some(NONE_ID));
    assert_eq!(known.id(LabelKind::Upstream, TextId::ABSENT, "none"), None);
    assert_eq!([TextId::ABSENT, NONE_ID, OTHER_ID].map(|id| known.text(id)), ["", "none", "other"]);
}

#[test]
fn an_exhausted_budget_expires_and_is_of_its_kind_and_scope() {
    let mut known = KnownNames::default();
    known.insert(&name(LabelKind::Namespace, "", "a"));
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    known.note_full(&name(LabelKind::Consumer, "a", "x"), now + second);
    known.note_full(&name(LabelKind::Consumer, "unknown", "x"), now + second);
    known.note_full(&name(LabelKind::Model, "", "x"), now + 2 * second);
    assert!(known.budget_is_full(&name(LabelKind::Consumer, "a", "y"), now));
    assert!(!known.budget_is_full(&name(LabelKind::Consumer, "unknown", "y"), now));
    assert!(!known.budget_is_full(&name(LabelKind::Upstream, "", "y"), now));
    known.forget_full(now + second);
    assert!(!known.budget_is_full(&name(LabelKind::Consumer, "a", "y"), now));
    assert!(known.is_full(LabelKind::Model, TextId::ABSENT, now + second));
    assert!(!known.is_full(LabelKind::Model, TextId::ABSENT, now + 2 * second));
}

proptest! {
    #[test]
    fn a_name_keeps_its_number_whatever_is_added(
        names in proptest::collection::vec((1usize..6, "[a-z]{0,3}", "[a-c/用]{1,40}"), 1..200),
    ) {
        let mut known = KnownNames::default();
        let mut added = std::collections::BTreeMap::new();
        for (kind, scope, text) in names {
            let kind = LabelKind::EACH[kind];
            let scope = if kind == LabelKind::Consumer { scope } else { String::new() };
            let label = name(kind, &scope, &text);
            prop_assert_eq!(known.has(&label), added.contains_key(&label));
            known.insert(&label);
            let scope = known.scope(&scope).expect("its names are known");
            let id = known.id(kind, scope, &text).expect("just added");
            prop_assert_eq!(known.text(id), &text);
            prop_assert_eq!(*added.entry(label).or_insert(id), id);
        }
    }
}
