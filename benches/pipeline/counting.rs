//! From the log to committed counters: CPU of everything between the embedded log and the page,
//! commits, rollups and exact dedup included.
//!
//! The baseline reads the same frames from the same log and decodes every event of them, and
//! counts nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aggregator::Parts;
use clock::Wall;
use event::frame::{FrameBuilder, FrameReader, Stamp};
use queue::{Append, EmbeddedOptions, Queue};
use service::config::Settings;
use service::metrics::ProcessMetrics;
use service::shutdown::channel;
use store::Store;

use crate::cpu::own_nanos;
use crate::events::{CONSUMERS, facts, labels};
use crate::{per_event, row};

const EVENTS_PER_FRAME: u64 = 1_000;
const FRAMES: u64 = 3_000;
/// Frames of one append.
const FRAMES_PER_APPEND: u64 = 50;
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// When the bench gives up.
const DEADLINE: Duration = Duration::from_secs(300);

/// Measures and prints, without consumers and with them.
pub fn run() {
    let keys: Vec<String> = (0..CONSUMERS).map(|n| format!("key-{n:04}")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        measure("no consumers", &[]).await;
        measure("500 consumers", &keys).await;
    });
}

async fn measure(what: &str, consumers: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = Queue::open_embedded(folder.path(), EmbeddedOptions::default()).await;
    let queue = Arc::new(queue.expect("a log"));
    let Filled { bytes, tuples } = fill(&queue, consumers).await;
    let n_events = FRAMES * EVENTS_PER_FRAME;
    let base = decode(&queue).await;
    let (nanos, wall) = count(&queue, folder.path()).await;
    let (each, rate) = per_event(nanos, n_events);
    let (base, _) = per_event(base, n_events);
    let seen = n_events as f64 / wall.as_secs_f64();
    row(
        &format!("log to committed counters, exact dedup, {what}"),
        &format!("{each:.0} ns"),
        &format!("{rate:.0} events ({seen:.0}/s seen)"),
        &format!("{:.2} x reading and decoding the frames ({base:.0} ns)", each / base),
    );
    let shape =
        format!("{} B, {:.2} label tuples", bytes / n_events, tuples as f64 / n_events as f64);
    row(&format!("an event in its frame, {what}"), &shape, "", "");
}

/// What the frames of a log take.
struct Filled {
    bytes: u64,
    tuples: u64,
}

/// Appends the frames.
async fn fill(queue: &Queue, consumers: &[String]) -> Filled {
    let namespaces: Vec<String> = (0..20).map(|n| format!("team-{n:02}")).collect();
    let mut reader = FrameReader::default();
    let mut filled = Filled { bytes: 0, tuples: 0 };
    for append in 0..FRAMES / FRAMES_PER_APPEND {
        let mut frames = Vec::new();
        for frame in 0..FRAMES_PER_APPEND {
            let first = (append * FRAMES_PER_APPEND + frame) * EVENTS_PER_FRAME;
            let mut builder = FrameBuilder::default();
            let now_us = Wall::now().as_us();
            for n in first..first + EVENTS_PER_FRAME {
                let labels = labels(n, &namespaces, consumers);
                builder.push(&labels, &facts(n, now_us)).expect("room");
            }
            let stamp = Stamp { ingest_us: now_us, tokenizer_version: 0, price_version: 0 };
            let bytes = builder.encode(stamp);
            filled.bytes += bytes.len() as u64;
            filled.tuples += reader.read(&bytes).expect("a frame").n_tuples() as u64;
            frames.push(Append { partition: 0, bytes: bytes.into() });
        }
        queue.append(frames).await.expect("appended");
    }
    filled
}

/// Reads and decodes everything; gives the CPU time.
async fn decode(queue: &Queue) -> u128 {
    let before = own_nanos();
    let mut reader = FrameReader::default();
    let (mut at, mut sum) = (0, 0_u64);
    while at < FRAMES {
        let records = queue.read(0, at, READ_BYTES_MAX).await.expect("records");
        at = records.last().expect("there are more").offset + 1;
        for record in &records {
            let frame = reader.read(&record.bytes).expect("a frame");
            for idx in 0..frame.len() {
                let (labels, _) = frame.labels(frame.tuple(idx)).expect("labels");
                let facts = frame.facts(idx, labels.source).expect("facts");
                sum = sum.wrapping_add(facts.key.low()).wrapping_add(facts.duration_us);
            }
        }
    }
    std::hint::black_box(sum);
    own_nanos() - before
}

/// Counts everything; gives CPU and wall time.
async fn count(queue: &Arc<Queue>, folder: &Path) -> (u128, Duration) {
    let store = Arc::new(Store::open(folder).await.expect("a ledger"));
    let generation = store.generation(queue.generation(), queue.partitions()).await;
    let parts = Parts {
        queue: Arc::clone(queue),
        store: Arc::clone(&store),
        generation: generation.expect("a generation"),
        pressure: Arc::new(AtomicBool::new(false)),
        access: service::auth::Access::Dev,
        is_shared: false,
    };
    let metrics = Arc::new(ProcessMetrics::new("aggregator", "0").expect("a registry"));
    let (trigger, shutdown) = channel();
    let (before, began) = (own_nanos(), Instant::now());
    let started = aggregator::start(&Settings::default(), parts, metrics, shutdown).await;
    let mut aggregator = started.expect("it starts");
    loop {
        let snapshot = store.read().await.expect("a reader").partitions().await.expect("rows");
        if snapshot.first().is_some_and(|row| row.progress.next == FRAMES) {
            let counted = snapshot[0].progress.account.counted;
            assert_eq!(counted.cast_unsigned(), FRAMES * EVENTS_PER_FRAME);
            break;
        }
        assert!(began.elapsed() < DEADLINE, "not counted within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let measured = (own_nanos() - before, began.elapsed());
    trigger.drain();
    aggregator.ended().await.expect("a clean end");
    measured
}
