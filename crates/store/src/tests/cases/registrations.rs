//! Names that are registered together: the answers and rows are those of one name after the other.

use super::super::fixture::{Bed, Dice, Names, fail_after};
use crate::*;

/// Registers one name as the rules of budgets say.
fn register_one(names: &mut Names, LabelRequest { label, max }: &LabelRequest) -> Registration {
    if names.labels.contains(label) {
        return Registration::Known;
    }
    let used = names.used.entry((label.kind as u8, label.scope.clone())).or_default();
    if *used >= max.unwrap_or(i64::MAX) {
        return Registration::OverBudget;
    }
    *used += 1;
    names.labels.insert(label.clone());
    if label.kind == LabelKind::Namespace {
        names.codes.push(label.name.clone());
    }
    Registration::Added
}

/// A request for one of `n_names` names, within budgets that end in the middle of them.
fn request(dice: &mut Dice, n_names: usize) -> LabelRequest {
    let groups = [
        (LabelKind::Namespace, ""),
        (LabelKind::Model, ""),
        (LabelKind::Consumer, "team"),
        (LabelKind::Consumer, "Team"),
        (LabelKind::Consumer, "team "),
    ];
    let (kind, scope) = groups[dice.below(groups.len())];
    // Case and a blank at the end make another name.
    let name = ["n", "N", "n "][dice.below(3)].replace('n', &format!("n{}", dice.below(n_names)));
    let max = [None, Some(0), Some(10), Some(20), Some(20), Some(20)][dice.below(6)];
    LabelRequest { label: LabelName { kind, scope: scope.to_owned(), name }, max }
}

pub(in super::super) async fn names_registered_together_get_the_answers_of_one_by_one(bed: Bed) {
    let mut expected = Names::default();
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let n_requests = 1 + dice.below(40);
        let requests: Vec<_> = (0..n_requests).map(|_| request(&mut dice, 10)).collect();
        let one_by_one: Vec<_> =
            requests.iter().map(|request| register_one(&mut expected, request)).collect();
        let together = bed.store.register_many(requests.clone()).await.expect("answers");
        assert_eq!(together, one_by_one, "seed {seed}: {requests:?}");
        assert_eq!(Names::of(&bed.store).await, expected, "seed {seed}: {requests:?}");
    }
    // More than one statement takes, with a budget that ends within.
    let mut dice = Dice(60);
    let mut requests: Vec<_> = (0..2_000).map(|_| request(&mut dice, 1_000)).collect();
    requests.iter_mut().for_each(|request| request.max = request.max.map(|max| max * 20));
    let one_by_one: Vec<_> =
        requests.iter().map(|request| register_one(&mut expected, request)).collect();
    for verdict in [Registration::Known, Registration::Added, Registration::OverBudget] {
        assert!(one_by_one.iter().filter(|each| **each == verdict).count() > 50, "{verdict:?}");
    }
    let together = bed.store.register_many(requests).await.expect("answers");
    assert_eq!(together, one_by_one);
    assert_eq!(Names::of(&bed.store).await, expected);
}

pub(in super::super) async fn a_registration_that_fails_at_any_statement_leaves_no_trace(bed: Bed) {
    let store = &bed.store;
    let request = |kind, name: &str| {
        let label = LabelName { kind, scope: String::new(), name: name.to_owned() };
        LabelRequest { label, max: Some(2) }
    };
    store.register_many(vec![request(LabelKind::Model, "a")]).await.expect("answers");
    let before = Names::of(store).await;
    let requests = vec![
        request(LabelKind::Model, "b"),
        request(LabelKind::Model, "c"),
        request(LabelKind::Namespace, "a"),
    ];
    let fail_after = fail_after(store).await;
    for n_statements in 0..100 {
        fail_after.set(Some(n_statements));
        let answers = store.register_many(requests.clone()).await;
        fail_after.set(None);
        if let Ok(verdicts) = answers {
            let added = Registration::Added;
            assert_eq!(verdicts, [added, Registration::OverBudget, added]);
            assert!(n_statements >= 7, "all statements were tried: {n_statements}");
            return;
        }
        assert_eq!(Names::of(store).await, before, "statement {n_statements}");
    }
    panic!("a registration has fewer than 100 statements");
}
