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
use event::frame::FrameReader;
use queue::{EmbeddedOptions, Queue};
use service::config::Settings;
use service::metrics::ProcessMetrics;
use service::shutdown::channel;
use store::{ProcessRow, Store};

use crate::cpu::own_nanos;
use crate::frames::{self, EVENTS_PER_FRAME, Shape};
use crate::recording;
use crate::rounds::{ROUNDS, Rounds};
use crate::targets::{Target, Targets};
use crate::{per_event, row};

/// Frames of one round.
const FRAMES: u64 = 3_000;
const N_EVENTS: u64 = FRAMES * EVENTS_PER_FRAME;
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// When the bench gives up.
const DEADLINE: Duration = Duration::from_secs(300);

/// Measures and prints, without consumers and with them.
pub fn run(targets: &mut Targets) {
    let keys = frames::consumers();
    let kinds = [("no consumers", &[][..]), ("500 consumers", &keys)];
    let mut found = kinds.map(|_| (Rounds::default(), None));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for _ in 0..ROUNDS {
        for ((_, consumers), (rounds, shape)) in kinds.iter().zip(&mut found) {
            *shape = Some(runtime.block_on(measure(consumers, rounds)));
        }
    }
    for ((what, _), (rounds, shape)) in kinds.iter().zip(&found) {
        rounds.print(
            &format!("log to committed counters, exact dedup, {what}"),
            "reading and decoding the frames",
        );
        let shape = shape.as_ref().expect("there was a round");
        let rows = shape.rows as f64 / N_EVENTS as f64;
        let shape = format!("{} B, {rows:.2} rows", shape.bytes / N_EVENTS);
        row(&format!("an event in its frame, {what}"), &shape, "", "");
    }
    targets.set(Target::Embedded, found[1].0.ratio());
}

async fn measure(consumers: &[String], rounds: &mut Rounds) -> Shape {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = Queue::open_embedded(folder.path(), EmbeddedOptions::default()).await;
    let queue = Arc::new(queue.expect("a log"));
    let shape = frames::append(&queue, FRAMES, consumers, |_| Wall::now().as_us()).await;
    let base = decode(&queue).await;
    // What has a target is recorded.
    let recording = if consumers.is_empty() { None } else { recording::begin("counting") };
    let (nanos, wall) = count(&queue, folder.path()).await;
    if let Some(recording) = recording {
        recording.end(&[std::process::id()], N_EVENTS);
    }
    let seen = N_EVENTS as f64 / wall.as_secs_f64();
    rounds.add(per_event(nanos, N_EVENTS), per_event(base, N_EVENTS), seen);
    shape
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
                let labels = frame.labels(idx).expect("labels");
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
        process: ProcessRow::default(),
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
            assert_eq!(counted.cast_unsigned(), N_EVENTS);
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
