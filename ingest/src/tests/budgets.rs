//! Labels against their budgets: a flood of names costs neither other tenants nor memory.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use store::{LabelKind, Store};

use super::fixture::{Answer, Logged, Options, Running, event, event_with};

/// Small budgets.
fn options() -> Options {
    let mut options = Options::default();
    let settings = &mut options.settings;
    settings.namespaces_max = 2;
    settings.models_max = 2;
    settings.upstreams_max = 2;
    settings.endpoints_max = 2;
    settings.policies_max = 2;
    settings.consumers_per_namespace_max = 2;
    options
}

/// The registered names of a kind, with their scopes.
async fn names(store: &Store, kind: LabelKind) -> BTreeSet<(String, String)> {
    let labels = store.load_labels().await.expect("labels");
    labels.into_iter().filter(|l| l.kind == kind).map(|l| (l.scope, l.name)).collect()
}

/// Events that differ in one field.
fn events(field: &str, values: &[&str]) -> String {
    let event = |(n, value): (usize, &&str)| event_with(&n.to_string(), &json!({ (field): value }));
    Value::Array(values.iter().enumerate().map(event).collect()).to_string()
}

/// What became of the values of one field.
async fn settled(field: &str, values: &[&str]) -> Vec<String> {
    let (_folder, running) = Running::fresh_with(options()).await;
    assert_eq!(running.send(events(field, values)).await.accepted(values.len()), values.len());
    let found = running.logged().await;
    running.stop().await;
    let value = |event: Logged| match field {
        "model" => event.model,
        "upstream" => event.upstream,
        "endpoint" => event.endpoint,
        "limited_by" => event.limited_by.expect("a policy"),
        "consumer" => event.consumer.expect("a consumer"),
        "requested_model" => event.requested_model.expect("a model"),
        _ => panic!("not a label: {field}"),
    };
    found.into_iter().map(value).collect()
}

#[tokio::test]
async fn labels_beyond_their_budget_or_with_bad_letters_become_other() {
    let long = "x".repeat(129);
    let values = ["a", "b", "c", "d", "bad letters\"}\n", &long, "a", "b"];
    for field in ["model", "upstream", "endpoint", "limited_by"] {
        let expected = ["a", "b", "other", "other", "other", "other", "a", "b"];
        assert_eq!(settled(field, &values).await, expected, "{field}");
    }
    // In no row, so without a budget.
    let expected = ["a", "b", "c", "d", "other", "other", "a", "b"];
    assert_eq!(settled("requested_model", &values).await, expected);
    let values = ["a", "b", "d", "\u{7}", &long, "a"];
    let expected = ["a", "b", "other", "other", "other", "a"];
    assert_eq!(settled("consumer", &values).await, expected);
}

#[tokio::test]
async fn event_without_a_model_has_none_and_takes_no_place() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let body = event_with("a", &json!({"model": null})).to_string();
    assert_eq!(running.send(body).await.accepted(1), 1);
    assert_eq!(running.logged().await[0].model, "none");
    assert!(names(&running.store, LabelKind::Model).await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn place_of_a_label_is_kept_across_requests_and_restarts() {
    let (folder, running) = Running::fresh_with(options()).await;
    assert_eq!(running.send(events("model", &["x", "y"])).await.accepted(2), 2);
    assert_eq!(running.send(events("model", &["a", "x"])).await.accepted(2), 2);
    running.stop().await;
    let running = Running::start(folder.path(), options()).await;
    assert_eq!(running.send(events("model", &["b", "y"])).await.accepted(2), 2);
    let models: Vec<String> = running.logged().await.into_iter().map(|e| e.model).collect();
    assert_eq!(models, ["x", "y", "other", "x", "other", "y"]);
    running.stop().await;
}

#[tokio::test]
async fn consumers_have_a_budget_in_each_namespace() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let sent = [("one", "a"), ("one", "b"), ("one", "c"), ("two", "c"), ("two", "d"), ("two", "e")];
    let event = |(namespace, consumer): &(&str, &str)| {
        event_with(consumer, &json!({"namespace": namespace, "consumer": consumer}))
    };
    let body = Value::Array(sent.iter().map(event).collect()).to_string();
    assert_eq!(running.send(body).await.accepted(6), 6);
    let found = running.logged().await;
    let consumers: Vec<&str> = found.iter().filter_map(|e| e.consumer.as_deref()).collect();
    assert_eq!(consumers, ["a", "b", "other", "c", "d", "other"]);
    running.stop().await;
}

/// Checks that everything but the item at `index` is accepted and it is not registered.
#[track_caller]
fn check_not_registered(answer: &Answer, n_items: usize, index: usize) {
    assert_eq!(answer.accepted(n_items), n_items - 1);
    let rejects = answer.rejects();
    let [reject] = rejects.as_slice() else { panic!("one reject: {rejects:?}") };
    assert_eq!((&reject["index"], &reject["field"]), (&json!(index), &json!("namespace")));
    let reason = reject["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("namespace_not_registered"), "{reason}");
}

#[tokio::test]
async fn namespace_beyond_the_budget_is_rejected_while_known_ones_pass() {
    const REJECTED: &str = "gatemeter_rejected_total{reason=\"namespace_not_registered\"}";
    let (folder, running) = Running::fresh_with(options()).await;
    check_not_registered(&running.send(events("namespace", &["a", "b", "c"])).await, 3, 2);
    // Also while the used-up budget is remembered, and after a restart.
    check_not_registered(&running.send(events("namespace", &["d", "b", "a"])).await, 3, 0);
    assert_eq!(running.send(events("namespace", &["c"])).await.accepted(1), 0);
    assert_eq!(running.metric(REJECTED).await, Some(3));
    running.stop().await;
    let running = Running::start(folder.path(), options()).await;
    check_not_registered(&running.send(events("namespace", &["a", "c", "b"])).await, 3, 1);
    let found = running.logged().await;
    let namespaces: Vec<&str> = found.iter().map(|event| &*event.namespace).collect();
    assert_eq!(namespaces, ["a", "b", "b", "a", "a", "b"]);
    running.stop().await;
}

#[tokio::test]
async fn names_in_rejected_events_are_not_registered() {
    let (_folder, running) = Running::fresh_with(options()).await;
    assert_eq!(running.send(events("namespace", &["a", "b"])).await.accepted(2), 2);
    let before = running.store.load_labels().await.expect("labels").len();
    let stranger = json!({"namespace": "c", "consumer": "who", "model": "new-model",
        "upstream": "new-upstream", "endpoint": "/new", "limited_by": "new-policy"});
    let body = json!([event_with("1", &stranger), event("2")]);
    let answer = running.send(body.to_string()).await;
    assert_eq!(answer.accepted(2), 0, "wechat is beyond the budget, too");
    let labels = running.store.load_labels().await.expect("labels");
    assert_eq!(labels.len(), before, "{labels:?}");
    running.stop().await;
}

#[tokio::test]
async fn without_auto_register_only_namespaces_made_by_hand_pass() {
    let mut options = options();
    options.settings.auto_register = false;
    let (_folder, running) = Running::fresh_with(options).await;
    running.store.create_namespace("made", "Made by hand").await.expect("made");
    check_not_registered(&running.send(events("namespace", &["made", "x"])).await, 2, 1);
    assert_eq!(running.send(events("namespace", &["x"])).await.accepted(1), 0);
    let namespaces = names(&running.store, LabelKind::Namespace).await;
    assert_eq!(namespaces, BTreeSet::from([(String::new(), "made".to_owned())]));
    // One that is made while others are being refused passes at once.
    running.store.create_namespace("second", "Also by hand").await.expect("made");
    assert_eq!(running.send(events("namespace", &["second"])).await.accepted(1), 1);
    running.stop().await;
}

#[tokio::test]
async fn report_of_connections_needs_a_registered_namespace() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let report = |namespace: &str| {
        json!({"kind": "connections", "namespace": namespace, "gateway": "gw", "active": 1,
            "time": crate::gather::now_us()})
    };
    let body = json!([report("a"), report("b"), report("c")]);
    check_not_registered(&running.send(body.to_string()).await, 3, 2);
    running.stop().await;
}
