//! Label budgets: a flood of names costs neither other tenants nor memory.

use std::collections::BTreeSet;

use clock::Wall;
use event::Outcome;
use serde_json::{Value, json};
use store::{LabelKind, LabelName, LabelRequest, Store};

use super::fixture::{Answer, Ledger, Logged, Options, Running, event, event_with};

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

/// The values of one field as the log holds them.
async fn logged_values(field: &str, values: &[&str]) -> Vec<String> {
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
async fn labels_above_their_budget_or_with_invalid_characters_become_other() {
    let long = "x".repeat(129);
    let values = ["a", "b", "c", "d", "bad letters\"}\n", &long, "a", "b"];
    for field in ["model", "upstream", "endpoint", "limited_by"] {
        let expected = ["a", "b", "other", "other", "other", "other", "a", "b"];
        assert_eq!(logged_values(field, &values).await, expected, "{field}");
    }
    // Not part of any row, so without a budget.
    let expected = ["a", "b", "c", "d", "other", "other", "a", "b"];
    assert_eq!(logged_values("requested_model", &values).await, expected);
    let values = ["a", "b", "d", "\u{7}", &long, "a"];
    let expected = ["a", "b", "other", "other", "other", "a"];
    assert_eq!(logged_values("consumer", &values).await, expected);
}

#[tokio::test]
async fn event_without_a_model_has_none_and_uses_no_budget() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let body = event_with("a", &json!({"model": null})).to_string();
    assert_eq!(running.send(body).await.accepted(1), 1);
    assert_eq!(running.logged().await[0].model, "none");
    assert!(names(&running.store, LabelKind::Model).await.is_empty());
    running.stop().await;
}

/// The models that events are counted under. Each has a status, a model and a requested model.
async fn counted(running: &Running, events: &[(u16, Option<&str>, Option<&str>)]) -> Vec<String> {
    let before = running.logged().await.len();
    let event = |(n, (status, model, asked)): (usize, &(u16, Option<&str>, Option<&str>))| {
        let id = (before + n).to_string();
        event_with(&id, &json!({"status": status, "model": model, "requested_model": asked}))
    };
    let body = Value::Array(events.iter().enumerate().map(event).collect()).to_string();
    assert_eq!(running.send(body).await.accepted(events.len()), events.len());
    running.logged().await.into_iter().skip(before).map(|event| event.model).collect()
}

#[tokio::test]
async fn requested_model_counts_where_none_is_reported_and_failures_register_no_new_one() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let found = counted(
        &running,
        &[
            // A model that the batch registers is known to all of it, whatever the order.
            (404, None, Some("m1")),
            (200, None, Some("m1")),
            (499, Some(""), Some("m1")),
            (404, None, Some("made-up")),
            (503, None, Some("made-up too")),
            (200, None, Some("bad letters")),
            (200, None, None),
            // A response names its own model, even if it is an error.
            (500, Some("m2"), Some("made-up")),
            // The budget is exhausted: `other` for events that could register a model.
            (302, None, Some("m3")),
            (404, None, Some("m3")),
            (404, Some("m4"), Some("m1")),
        ],
    )
    .await;
    let expected =
        ["m1", "m1", "m1", "none", "none", "other", "none", "m2", "other", "none", "other"];
    assert_eq!(found, expected);
    let names: Vec<String> =
        names(&running.store, LabelKind::Model).await.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["m1", "m2"]);
    running.stop().await;
}

#[tokio::test]
async fn flood_of_made_up_models_uses_no_budget() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let made_up: Vec<String> = (0..500).map(|n| format!("gpt-{n}-free")).collect();
    let flood: Vec<_> = made_up.iter().map(|name| (404, None, Some(name.as_str()))).collect();
    assert!(counted(&running, &flood).await.iter().all(|model| model == "none"));
    assert!(names(&running.store, LabelKind::Model).await.is_empty());
    let found = counted(&running, &[(200, None, Some("m1")), (404, None, Some("m1"))]).await;
    assert_eq!(found, ["m1", "m1"]);
    running.stop().await;
}

#[tokio::test]
async fn model_registered_by_another_process_counts_for_failures_too() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let label = |name: &str| LabelName {
        kind: LabelKind::Model,
        scope: String::new(),
        name: name.to_owned(),
    };
    let request = LabelRequest { label: label("elsewhere"), max: None };
    running.store.register_many(vec![request]).await.expect("registered");
    let found = counted(&running, &[(429, None, Some("elsewhere")), (429, None, Some("x"))]).await;
    assert_eq!(found, ["elsewhere", "none"]);
    running.stop().await;
}

#[tokio::test]
async fn failures_with_unknown_requested_models_are_accepted_while_the_ledger_is_down() {
    let (folder, running) = Running::fresh_with(options()).await;
    assert_eq!(counted(&running, &[(200, None, Some("m1"))]).await, ["m1"]);
    running.stop().await;
    let options = Options { ledger: Ledger::ReadOnly, ..options() };
    let running = Running::start(folder.path(), options).await;
    running.store.close().await;
    let found = counted(&running, &[(404, None, Some("m1")), (404, None, Some("made-up"))]).await;
    assert_eq!(found, ["m1", "none"]);
    let taken = event_with("new", &json!({"model": null, "requested_model": "m2"}));
    let answer = running.send(taken.to_string()).await;
    let message = answer.message();
    assert!(
        message.starts_with("the ledger does not answer"),
        "it could register a model: {message}"
    );
    running.stop().await;
}

#[tokio::test]
async fn error_type_makes_an_error_of_any_status() {
    let (_folder, running) = Running::fresh().await;
    let cases = [
        (200, Some("server_error"), Outcome::ServerError),
        (206, Some("timeout"), Outcome::Timeout),
        (200, Some("client_closed"), Outcome::ClientClosed),
        (302, Some("policy"), Outcome::Policy),
        (429, Some("content_filter"), Outcome::ContentFilter),
        // Unknown error types are ignored.
        (200, Some("overloaded_error"), Outcome::Success),
        (200, Some("Server_Error"), Outcome::Success),
        (200, Some("success"), Outcome::Success),
        (200, Some(""), Outcome::Success),
        (200, None, Outcome::Success),
        (502, Some("success"), Outcome::UpstreamUnreachable),
    ];
    let event = |(n, (status, word, _)): (usize, &(u16, Option<&str>, Outcome))| {
        event_with(&n.to_string(), &json!({"status": status, "error_type": word}))
    };
    let body = Value::Array(cases.iter().enumerate().map(event).collect()).to_string();
    assert_eq!(running.send(body).await.accepted(cases.len()), cases.len());
    let found: Vec<Outcome> = running.logged().await.iter().map(|event| event.outcome).collect();
    assert_eq!(found, cases.map(|(_, _, outcome)| outcome));
    running.stop().await;
}

#[tokio::test]
async fn registered_labels_stay_known_across_requests_and_restarts() {
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

/// Checks that only the item at `index` is rejected, because its namespace is not registered.
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
async fn namespace_above_the_budget_is_rejected_and_known_ones_are_accepted() {
    const REJECTED: &str = "gatemeter_rejected_total{reason=\"namespace_not_registered\"}";
    let (folder, running) = Running::fresh_with(options()).await;
    check_not_registered(&running.send(events("namespace", &["a", "b", "c"])).await, 3, 2);
    // Also while the exhausted budget is cached, and after a restart.
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
    assert_eq!(answer.accepted(2), 0, "wechat is above the budget, too");
    let labels = running.store.load_labels().await.expect("labels");
    assert_eq!(labels.len(), before, "{labels:?}");
    running.stop().await;
}

#[tokio::test]
async fn without_auto_register_only_namespaces_created_by_hand_are_accepted() {
    let mut options = options();
    options.settings.auto_register = false;
    let (_folder, running) = Running::fresh_with(options).await;
    running.store.create_namespace("made", "Made by hand").await.expect("made");
    check_not_registered(&running.send(events("namespace", &["made", "x"])).await, 2, 1);
    assert_eq!(running.send(events("namespace", &["x"])).await.accepted(1), 0);
    let namespaces = names(&running.store, LabelKind::Namespace).await;
    assert_eq!(namespaces, BTreeSet::from([(String::new(), "made".to_owned())]));
    // One that is created while others are being rejected is accepted at once.
    running.store.create_namespace("second", "Also by hand").await.expect("made");
    assert_eq!(running.send(events("namespace", &["second"])).await.accepted(1), 1);
    running.stop().await;
}

#[tokio::test]
async fn connection_report_needs_a_registered_namespace() {
    let (_folder, running) = Running::fresh_with(options()).await;
    let report = |namespace: &str| {
        json!({"kind": "connections", "namespace": namespace, "gateway": "gw", "active": 1,
            "time": Wall::now().as_us()})
    };
    let body = json!([report("a"), report("b"), report("c")]);
    check_not_registered(&running.send(body.to_string()).await, 3, 2);
    running.stop().await;
}
