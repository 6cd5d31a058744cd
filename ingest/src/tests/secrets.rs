//! Prompt text never leaves ingest: it is in no file, no response and no metric.

use std::fs;

use serde_json::json;

use super::fixture::{Running, event, event_with};

const PROMPT: &str = "the quick brown fox is a trade secret";

#[tokio::test]
async fn event_text_is_in_no_file_of_the_data_directory_and_in_no_response() {
    let (folder, running) = Running::fresh().await;
    let text = json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}],
        "input": PROMPT,
        "system": PROMPT,
        "instructions": [PROMPT],
        "tools": [{"name": PROMPT, "parameters": {"properties": {PROMPT: {"enum": [PROMPT]}}}}],
        "output": {PROMPT: PROMPT},
        "reasoning": PROMPT,
        "tool_calls": [{"name": PROMPT, "arguments": PROMPT}],
    });
    let good = event_with("good", &json!({"text": text, "usage": null}));
    let unknown = event_with("unknown-field", &json!({"prompt": PROMPT, PROMPT: 1}));
    let bad = event_with("bad", &json!({"text": text, "status": PROMPT}));
    let worse = event_with("worse", &json!({"text": PROMPT, "namespace": PROMPT}));
    let body = json!([good, unknown, bad, worse, PROMPT]).to_string();
    let answer = running.send(body.clone()).await;
    assert_eq!(answer.accepted(5), 2);
    let mut shown = answer.text;
    for broken in [&body[1..], &body[..body.len() - 1], &format!("\"{PROMPT}\" {PROMPT}")] {
        let answer = running.send(broken.to_owned()).await;
        assert_ne!(answer.status, 200, "{broken}");
        shown += &answer.text;
    }
    let lines = format!("{}\n{{\"text\":{{\"input\":\"{PROMPT}\n{PROMPT}\"}}", event("line"));
    let answer = running.send(lines).await;
    assert_eq!(answer.accepted(3), 1);
    shown += &answer.text;
    shown += &running.get("/metrics").await.text;
    assert!(!shown.contains("trade secret"), "{shown}");
    assert_eq!(running.logged().await.len(), 3);
    check_files(folder.path());
    running.stop().await;
    check_files(folder.path());
}

/// Checks every file, including the write-ahead logs.
fn check_files(folder: &std::path::Path) {
    let mut n_files = 0;
    let mut has_label = false;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        // A write-ahead log may be deleted meanwhile, and then holds nothing.
        let Ok(bytes) = fs::read(entry.path()) else { continue };
        let has = |words: &str| bytes.windows(words.len()).any(|at| at == words.as_bytes());
        assert!(!has("trade secret"), "{}", entry.path().display());
        assert!(!has("unknown-field"), "ids are not stored: {}", entry.path().display());
        has_label |= has("wechat");
        n_files += 1;
    }
    assert!(n_files >= 2 && has_label, "the files of log and ledger were checked");
}
