//! The frame version: what an operator is shown, and when it may be raised.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use queue::{EmbeddedOptions, Queue};
use store::{Owners, Raised};

use super::running::{DEADLINE, Running, frame_for};

impl Running {
    async fn frames(&self) -> String {
        let request = Request::get("/v1/frames").body(Body::empty()).expect("a request");
        let (status, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Waits until the frame version is shown like this.
    async fn frames_are(&self, expected: &str) {
        let look = async {
            while !self.frames().await.contains(expected) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, look).await;
        found.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {expected}"));
    }

    /// Asks for a frame version with this body; status and answer.
    async fn raise(&self, body: &'static str) -> (StatusCode, String) {
        let request = Request::post("/v1/frames")
            .header("content-type", "application/json")
            .body(Body::from(body));
        self.send(request.expect("a request")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_frame_version_is_raised_once_every_owner_knows_it_and_there_is_no_way_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { disk_reserve_bytes: 0, ..EmbeddedOptions::default() };
    let log = Queue::open_embedded(folder.path(), options).await.expect("a log");
    let running = Running::on(log, folder.path()).await;
    running.frames_are("{\"version\":1,\"known\":2,\"not_ready\":[]}").await;
    for (body, words) in [
        ("{\"version\":0}", "knows no frame version 0, only 1 to 2"),
        ("{\"version\":3}", "knows no frame version 3"),
        ("{\"version\":258}", "knows no frame version 258"),
        ("{\"version\":-1}", "invalid value"),
        ("{\"version\":2,\"force\":true}", "unknown field"),
        ("{}", "missing field"),
        ("{", "EOF"),
    ] {
        let (status, answer) = running.raise(body).await;
        assert!(status == StatusCode::BAD_REQUEST && answer.contains(words), "{body}: {answer}");
    }
    // What was asked to be tried only must not be done.
    let request = Request::post("/v1/frames?dry_run=1")
        .header("content-type", "application/json")
        .body(Body::from("{\"version\":2}"));
    let (status, answer) = running.send(request.expect("a request")).await;
    assert!(status == StatusCode::BAD_REQUEST && answer.contains("takes none"), "{answer}");
    // An older program takes the partition.
    running.store.claim(1, 0, [7; 16], 1).await.expect("a claim");
    running.frames_are("{\"version\":1,\"known\":2,\"not_ready\":[0]}").await;
    let (status, answer) = running.raise("{\"version\":2}").await;
    assert!(
        status == StatusCode::CONFLICT && answer.contains("aggregator first for 0"),
        "{answer}"
    );
    let (status, answer) = running.raise("{\"version\":1}").await;
    assert!(status == StatusCode::OK && answer.contains("\"is_new\":false"), "{answer}");
    // It finds out with its next commit that it has lost the partition, and takes it again.
    running.queue.append(vec![frame_for(0, 0..5)]).await.expect("appended");
    running.page_with("gatemeter_events_total{class=\"counted\"} 5").await;
    running.frames_are("{\"version\":1,\"known\":2,\"not_ready\":[]}").await;
    for is_new in ["true", "false"] {
        let (status, answer) = running.raise("{\"version\":2}").await;
        let expected = format!("{{\"version\":2,\"is_new\":{is_new}}}");
        assert!(status == StatusCode::OK && answer.contains(&expected), "{answer}");
    }
    let (status, answer) = running.raise("{\"version\":1}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(answer.contains("is 2 already, and there is no way back to 1"), "{answer}");
    // A newer program has raised it further.
    let raised = running.store.raise_frame_version(1, 3, Owners::Own).await;
    assert_eq!(raised.expect("an answer"), Raised::Done);
    running.frames_are("{\"version\":3,\"known\":2,\"not_ready\":[]}").await;
    let (status, answer) = running.raise("{\"version\":2}").await;
    assert!(status == StatusCode::BAD_REQUEST && answer.contains("is 3 already"), "{answer}");
    running.stop().await;
}
