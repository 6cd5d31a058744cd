//! Replay of dead letters: an event whose model only its request names is counted as it was over
//! HTTP, because the letter records what ingest decided.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use ledger::account::Class;
use ledger::commit::{Commit, CommitId, DeadLetter, Outcome, Part};
use queue::Queue;
use serde_json::{Value, json};
use store::LabelKind;

use super::fixture::{Running, event_with};

/// Commits every record of the log as a dead letter that may be replayed. Returns their number.
async fn commit_as_letters(running: &Running, folder: &std::path::Path) -> u64 {
    let reader = Queue::open_embedded_read_only(folder).await.expect("a log");
    let records = reader.read(0, 0, 1 << 20).await.expect("records");
    reader.close().await;
    let claim = running.store.claim(running.queue.generation(), 0, [7; 16], 2).await.expect("ours");
    let letter = |record: &queue::Record| DeadLetter {
        offset: record.offset,
        idx: 0,
        n: 1,
        class: Class::Future,
        reason: "ahead of the log's clock",
        time_us: None,
        namespace: None,
        // The record of a single event is the same frame that its letter holds.
        content: Some(record.bytes.to_vec().into()),
        clock_us: None,
    };
    let mut progress = claim.progress;
    progress.next = records.len() as u64;
    let letters = records.iter().map(letter).collect();
    let part = Part { letters, ..Part::without_rows(claim.owner, 0, progress) };
    let commit = Commit::of(CommitId([9; 16]), vec![Arc::new(part)]);
    let (ended, error) = running.store.commit(Arc::new(commit)).await;
    assert!(matches!(ended, Outcome::Committed { .. }), "{ended:?}: {error:?}");
    records.len() as u64
}

#[tokio::test]
async fn replayed_letter_with_only_a_requested_model_is_counted_as_over_http() {
    let (folder, running) = Running::fresh().await;
    let cases = [
        (200, None, Some("asked-for"), "asked-for"),
        (404, None, Some("asked-for"), "asked-for"),
        // Anybody can request a model that does not exist.
        (404, None, Some("made-up"), "none"),
        (200, Some("gpt-4o"), Some("auto"), "gpt-4o"),
        (500, None, None, "none"),
    ];
    for (n, (status, model, asked, _)) in cases.iter().enumerate() {
        let facts = json!({"status": status, "model": model, "requested_model": asked});
        let body = event_with(&n.to_string(), &facts).to_string();
        assert_eq!(running.send(body).await.accepted(1), 1);
    }
    let n_letters = commit_as_letters(&running, folder.path()).await;
    assert_eq!(n_letters, cases.len() as u64);
    let address = |offset| json!({"generation": 1, "partition": 0, "offset": offset, "index": 0});
    let wanted = json!({"letters": (0..n_letters).map(address).collect::<Vec<Value>>()});
    let request = |query: &str| {
        let request = Request::post(format!("/v1/dead-letters/replay{query}"));
        request.body(Body::from(wanted.to_string())).expect("a request")
    };
    // A request for a dry run must not append anything.
    let answer = running.ask(request("?dry_run=true")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert_eq!(answer.message(), "unknown parameter \"dry_run\": takes none");
    assert_eq!(running.logged().await.len(), cases.len());
    let beyond = json!({"letters": [address(u64::MAX)]}).to_string();
    let beyond = Request::post("/v1/dead-letters/replay").body(Body::from(beyond));
    let answer = running.ask(beyond.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert!(answer.message().contains("offset must be at most"), "{}", answer.text);
    let answer = running.ask(request("")).await;
    let data = &answer.json()["data"];
    assert_eq!(data, &json!({"accepted": n_letters, "rejected": []}), "{}", answer.text);

    let found = running.logged().await;
    let (first, again) = found.split_at(cases.len());
    for ((one, other), (_, _, asked, counted)) in first.iter().zip(again).zip(cases) {
        assert_eq!((one.model.as_str(), other.model.as_str()), (counted, counted));
        assert_eq!(other.requested_model.as_deref(), asked);
        assert_eq!(one.facts, other.facts, "a copy, with its key and its fingerprint");
    }
    let labels = running.store.load_labels().await.expect("labels");
    let models = labels.into_iter().filter(|label| label.kind == LabelKind::Model);
    let mut models: Vec<String> = models.map(|label| label.name).collect();
    models.sort();
    assert_eq!(models, ["asked-for", "gpt-4o"], "a made-up model uses no budget");
    running.stop().await;
}
