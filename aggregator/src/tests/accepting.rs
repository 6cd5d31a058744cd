//! A log that is not the one that was counted: what an operator is told and may do.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use queue::{EmbeddedOptions, Queue};

use super::running::{DEADLINE, Running, frame_for};

async fn log(folder: &Path) -> Queue {
    let options = EmbeddedOptions { disk_reserve_bytes: 0, ..EmbeddedOptions::default() };
    Queue::open_embedded(folder, options).await.expect("a log")
}

impl Running {
    async fn partitions(&self) -> String {
        let request = Request::get("/v1/partitions").body(Body::empty()).expect("a request");
        let (status, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Waits until a partition is halted for this reason; the partitions as shown then.
    async fn halted(&self, reason: &str) -> String {
        let halted = async {
            loop {
                let shown = self.partitions().await;
                if shown.contains(reason) {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, halted).await.expect("it halts")
    }

    /// Accepts with this body on a partition; status and answer.
    async fn accept(&self, partition: &str, body: &'static str) -> (StatusCode, String) {
        let request = Request::post(format!("/v1/partitions/{partition}/accept-loss"))
            .header("content-type", "application/json")
            .body(Body::from(body));
        self.send(request.expect("a request")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_made_anew_is_counted_on_once_that_is_accepted() {
    let (ledger, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (ledger, other) = (ledger.expect("a folder"), other.expect("a folder"));
    let running = Running::on(log(ledger.path()).await, ledger.path()).await;
    running.queue.append(vec![frame_for(0, 0..5)]).await.expect("appended");
    running.page_with("gatemeter_events_total{class=\"counted\"} 5").await;
    let (status, body) = running.accept("0", "{\"next\":1}").await;
    assert!(status == StatusCode::CONFLICT && body.contains("is not halted"), "{body}");
    running.stop().await;

    let anew = log(other.path()).await;
    anew.append(vec![frame_for(0, 7..9)]).await.expect("appended");
    let running = Running::on(anew, ledger.path()).await;
    let shown = running.halted("was replaced").await;
    assert!(shown.contains("\"next\":1") && shown.contains("\"resumes_at\":1"), "{shown}");
    let owner = "\"owner\":{\"address\":\"host-1:8002\",\"is_here\":true,\"is_alive\":true}";
    assert!(shown.contains(owner), "{shown}");
    // Two events wait, though the log ends where the one before was counted up to.
    running.commit_age("they wait for a person", |age_us| age_us > 50_000).await;
    for (partition, body, expected, words) in [
        ("1", "{\"next\":1}", StatusCode::NOT_FOUND, "no partition '1'"),
        ("x", "{\"next\":1}", StatusCode::NOT_FOUND, "no partition 'x'"),
        ("0", "{\"next\":-1}", StatusCode::BAD_REQUEST, "invalid value"),
        ("0", "{\"next\":1,\"all\":true}", StatusCode::BAD_REQUEST, "unknown field"),
        ("0", "{", StatusCode::BAD_REQUEST, "EOF"),
        ("0", "{\"next\":2}", StatusCode::CONFLICT, "check the partition again"),
    ] {
        let (status, answer) = running.accept(partition, body).await;
        assert!(status == expected && answer.contains(words), "{body}: {status} {answer}");
    }
    // What was asked to be tried only must not be done.
    let request = Request::post("/v1/partitions/0/accept-loss?dry_run=1")
        .header("content-type", "application/json")
        .body(Body::from("{\"next\":1}"));
    for request in [request, Request::get("/v1/partitions?halted").body(Body::empty())] {
        let (status, answer) = running.send(request.expect("a request")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer.contains("unknown parameter") && answer.contains("takes none"), "{answer}");
    }
    let (status, answer) = running.accept("0", "{\"next\":1}").await;
    assert!(status == StatusCode::OK && answer.contains("\"lost_frames\":1"), "{answer}");
    assert!(running.partitions().await.contains("\"halted\":null"));
    running.page_with("gatemeter_lost_frames_total 1").await;
    running.commit_age("nothing waits", |age_us| age_us == 0).await;
    // Events as old as those that were counted: nobody can tell whether they were.
    running.queue.append(vec![frame_for(0, 0..5)]).await.expect("appended");
    running.page_with("gatemeter_events_total{class=\"late\"} 5").await;
    running.page_with("gatemeter_events_total{class=\"counted\"} 5").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_a_version_to_come_waits_for_a_newer_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::on(log(folder.path()).await, folder.path()).await;
    let mut newer = frame_for(0, 5..7);
    let mut bytes = newer.bytes.to_vec();
    bytes[0] = 9;
    let checksum = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
    newer.bytes = bytes.into();
    running.queue.append(vec![frame_for(0, 0..5), newer, frame_for(0, 7..8)]).await.expect("done");
    let shown = running.halted("frame at offset 1 has version 9").await;
    assert!(shown.contains("\"next\":1") && shown.contains("\"resumes_at\":null"), "{shown}");
    let (status, body) = running.accept("0", "{\"next\":1}").await;
    assert!(status == StatusCode::CONFLICT && body.contains("nothing is lost"), "{body}");
    running.page_with("gatemeter_events_total{class=\"counted\"} 5").await;
    running.page_with("gatemeter_events_total{class=\"poison\"} 0").await;
    running.stop().await;
}
