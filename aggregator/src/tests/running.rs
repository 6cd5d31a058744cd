//! Frames in the log become numbers on the page, once, also across restarts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use clock::Wall;
use event::frame::{FrameBuilder, Stamp};
use event::{Facts, Key, Labels, Method, Outcome, Secret, ServiceTier, Usage, UsageSource};
use http::{Request, StatusCode};
use queue::{Append, EmbeddedOptions, Queue};
use service::config::Settings;
use service::health::Readiness;
use service::metrics::ProcessMetrics;
use service::shutdown::{Trigger, channel};
use store::{ProcessRow, Store};
use tower::ServiceExt as _;

use crate::{Aggregator, Parts, start};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A frame of events with these ids, all of one series.
fn frame(ids: std::ops::Range<u32>) -> Append {
    frame_for(0, ids)
}

/// The key of the event with this id.
pub(super) fn key(id: u32) -> Key {
    Key::of(&Secret([0; 32]), "default", &id.to_string())
}

/// As `frame`, for any partition.
pub(super) fn frame_for(partition: u32, ids: impl IntoIterator<Item = u32>) -> Append {
    let labels = Labels {
        status: 200,
        method: Method::Post,
        outcome: Outcome::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        namespace: "wechat",
        upstream: "openai",
        model: "gpt-4o",
        endpoint: "/v1/chat/completions",
        limited_by: None,
        stream: false,
        requested_model: None,
        consumer: None,
    };
    let mut builder = FrameBuilder::default();
    let now_us = Wall::now().as_us();
    for id in ids {
        let facts = Facts {
            key: key(id),
            time_us: now_us,
            duration_us: 800_000,
            ttft_us: Some(40_000),
            usage: Usage { input: Some(10), output: Some(3), ..Usage::default() },
            cost_nano: None,
            attempt: 0,
            fingerprint: u64::from(id),
        };
        builder.push(&labels, &facts).expect("few events");
    }
    let stamp = Stamp { ingest_us: now_us, tokenizer_version: 0, price_version: 0 };
    Append { partition, bytes: builder.encode(stamp).into() }
}

/// What an aggregator stands on that counts a log into the ledger of a folder, which others may
/// reach.
pub(crate) async fn parts(queue: Queue, folder: &Path) -> Parts {
    let store = Store::open(folder).await.expect("a ledger");
    let generation = store.generation(queue.generation(), queue.partitions()).await;
    Parts {
        queue: Arc::new(queue),
        store: Arc::new(store),
        generation: generation.expect("a generation"),
        pressure: Arc::new(AtomicBool::new(false)),
        access: service::auth::Access::Dev,
        is_shared: true,
        process: ProcessRow {
            id: [1; 16],
            role: "aggregator".to_owned(),
            address: "host-1:8002".to_owned(),
            ..ProcessRow::default()
        },
    }
}

pub(super) struct Running {
    pub queue: Arc<Queue>,
    pub store: Arc<Store>,
    aggregator: Aggregator,
    trigger: Trigger,
}

impl Running {
    async fn start(folder: &Path) -> Running {
        let options = EmbeddedOptions { disk_reserve_bytes: 0, ..EmbeddedOptions::default() };
        Running::on(Queue::open_embedded(folder, options).await.expect("a log"), folder).await
    }

    /// Counts any log into the ledger of a folder.
    pub(super) async fn on(queue: Queue, folder: &Path) -> Running {
        let parts = parts(queue, folder).await;
        let (queue, store) = (Arc::clone(&parts.queue), Arc::clone(&parts.store));
        let (trigger, shutdown) = channel();
        let metrics = Arc::new(ProcessMetrics::new("aggregator", "0.1.0").expect("new"));
        let started = start(&Settings::default(), parts, metrics, shutdown).await;
        Running { queue, store, aggregator: started.expect("it starts"), trigger }
    }

    pub(super) async fn stop(mut self) {
        self.trigger.drain();
        self.aggregator.ended().await.expect("a clean end");
        self.queue.close().await;
        self.store.close().await;
    }

    async fn ask(&self, path: &str) -> (StatusCode, String) {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// Status and body of an answer.
    pub(super) async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let answer = self.aggregator.router().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("a page");
        (parts.status, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until what waits to be committed has waited as long as wanted, microseconds.
    pub(super) async fn commit_age(&self, what: &str, is_so: impl Fn(u64) -> bool) {
        let look = async {
            while !is_so(self.aggregator.lag()()[0].commit_age_us) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, look).await;
        found.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
    }

    /// Waits until a line is on the page, and gives the page.
    pub(super) async fn page_with(&self, line: &str) -> String {
        self.with("/metrics?section=business", line).await
    }

    /// The same of any page.
    pub(super) async fn with(&self, path: &str, line: &str) -> String {
        let look = async {
            loop {
                let (status, page) = self.ask(path).await;
                if status == StatusCode::OK && page.lines().any(|shown| shown == line) {
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, look).await;
        found.unwrap_or_else(|_| panic!("not on the page within {DEADLINE:?}: {line}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_counted_once_and_numbers_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(folder.path()).await;
    running.queue.append(vec![frame(0..5), frame(3..8)]).await.expect("appended");
    let page = running.page_with("gatemeter_events_total{class=\"counted\"} 8").await;
    let lines = [
        "gatemeter_events_total{class=\"duplicate\"} 2",
        "namespace_requests_total{namespace=\"wechat\",status=\"success\"} 8",
        "namespace_tokens_total{namespace=\"wechat\",token_type=\"input\"} 80",
        "namespace_tokens_total{namespace=\"wechat\",token_type=\"output\"} 24",
        "upstream_requests_total{upstream=\"openai\",status=\"success\"} 8",
        "upstream_requests_total{upstream=\"openai\",status=\"error\"} 0",
        "gatemeter_series_held 0",
    ];
    for line in lines {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
    assert!(matches!(running.aggregator.readiness()(), Readiness::Ready));
    running.stop().await;

    let running = Running::start(folder.path()).await;
    let page = running.page_with("gatemeter_events_total{class=\"counted\"} 8").await;
    assert!(lines.iter().all(|line| page.lines().any(|shown| shown == *line)), "{page}");
    // A copy from before the restart is recognised: the marks were rebuilt from the log.
    running.queue.append(vec![frame(7..9)]).await.expect("appended");
    running.page_with("gatemeter_events_total{class=\"counted\"} 9").await;
    running.page_with("gatemeter_events_total{class=\"duplicate\"} 3").await;
    let lag = running.aggregator.lag()();
    assert_eq!(lag.first().map(|lag| lag.frames), Some(0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_poison_with_its_count_and_the_next_frame_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(folder.path()).await;
    let mut garbled = frame(0..4).bytes.to_vec();
    let last = garbled.len() - 1;
    garbled[last] ^= 0x55;
    let records = vec![
        Append { partition: 0, bytes: garbled.into() },
        Append { partition: 0, bytes: vec![1, 2, 3].into() },
        frame(10..12),
    ];
    running.queue.append(records).await.expect("appended");
    running.page_with("gatemeter_events_total{class=\"counted\"} 2").await;
    running.page_with("gatemeter_events_total{class=\"poison\"} 5").await;
    let mut reader = running.store.read().await.expect("a reader");
    let letters = reader.letters().await.expect("letters");
    let poison = letters.iter().find(|row| row.class == "poison").expect("poison is kept");
    assert_eq!(poison.events, 5);
    drop(reader);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_committed_at_shutdown_and_the_rest_after_the_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(folder.path()).await;
    running.page_with("gatemeter_ledger_version 0").await;
    for n in 0..20 {
        running.queue.append(vec![frame(n * 10..n * 10 + 10)]).await.expect("appended");
    }
    running.stop().await;
    let store = Store::open_read_only(folder.path()).await.expect("a ledger");
    let snapshot = store.snapshot().await.expect("a snapshot");
    let progress = snapshot.partitions[0].progress;
    assert_eq!(progress.account.counted, i64::try_from(progress.next * 10).expect("fits"));
    store.close().await;
    let running = Running::start(folder.path()).await;
    running.page_with("gatemeter_events_total{class=\"counted\"} 200").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_age_grows_while_others_take_the_partition_and_ends_with_the_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(folder.path()).await;
    running.queue.append(vec![frame(0..5)]).await.expect("appended");
    running.page_with("gatemeter_events_total{class=\"counted\"} 5").await;
    running.commit_age("nothing waits", |age_us| age_us == 0).await;
    // Whoever claims last may commit: two who claim all the time let nobody.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let rivals: Vec<_> = (1..3)
        .map(|n| {
            let (store, stopped) = (Arc::clone(&running.store), stopped.clone());
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    store.claim(1, 0, [n; 16], 2).await.expect("a claim");
                }
            })
        })
        .collect();
    running.queue.append(vec![frame(5..9)]).await.expect("appended");
    running.commit_age("it grows", |age_us| age_us > 2_000_000).await;
    stop.send_replace(true);
    for rival in rivals {
        rival.await.expect("no panic");
    }
    running.page_with("gatemeter_events_total{class=\"counted\"} 9").await;
    running.commit_age("it is committed", |age_us| age_us == 0).await;
    running.stop().await;
}
