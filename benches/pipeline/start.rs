//! The start with a full dedup set: how long it takes until events are counted again, and what an
//! id takes of memory.
//!
//! A log of 10,000,000 events of the last three quarters of an hour is counted once by `gatemeter
//! all`. Then the program is started in turn on that log and on an empty one. Time is from the
//! start of the process until the dedup set has all ids again, as its metric says: `/readyz` says
//! 200 long before that, for the page only needs the ledger. Memory is what is resident then
//! (proc(5), VmRSS of status), less that of the process with the empty log.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use clock::Wall;
use queue::{EmbeddedOptions, Queue};
use store::Store;

use crate::frames::{self, EVENTS_PER_FRAME};
use crate::process::{free_ports, get, program, terminate, value, wait, wait_events};
use crate::recording;
use crate::rounds::{ROUNDS, median};
use crate::row;
use crate::targets::{Target, Targets};

const IDS: u64 = 10_000_000;
/// Time from the first event to the last. With the time that the part takes, all are within the
/// hour for which ids are kept.
const SPAN_US: i64 = 45 * 60 * 1_000_000;

/// Measures and prints.
pub fn run(targets: &mut Targets) {
    let [empty, full] = [0, IDS].map(|n_events| {
        let folder = tempfile::tempdir().expect("a folder");
        fill(folder.path(), n_events);
        folder
    });
    let counting = Running::start(full.path(), IDS);
    wait_events(counting.port, &["counted"], IDS);
    counting.stop();
    let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let running = Running::start(empty.path(), 0);
        let base = running.resident();
        running.stop();
        let recording = recording::begin("start");
        let running = Running::start(full.path(), IDS);
        if let Some(recording) = recording {
            recording.end(&[running.child.id()], IDS);
        }
        seconds.push(running.seconds);
        bytes.push((running.resident() - base) as f64 / IDS as f64);
        running.stop();
    }
    let (seconds, bytes) = (median(&seconds), median(&bytes));
    row(&format!("start with {IDS} ids, until all are known"), &format!("{seconds:.2} s"), "", "");
    row(&format!("memory of an id of {IDS}"), &format!("{bytes:.1} B"), "", "");
    targets.set(Target::Rebuild, seconds);
    targets.set(Target::Memory, bytes);
}

/// Makes log and ledger, and appends events.
fn fill(folder: &Path, n_events: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let queue = Queue::open_embedded(folder, EmbeddedOptions::default()).await.expect("a log");
        let store = Store::open(folder).await.expect("a ledger");
        let generation = store.generation(queue.generation(), queue.partitions()).await;
        generation.expect("a generation");
        let n_frames = n_events / EVENTS_PER_FRAME;
        let begin_us = Wall::now().as_us() - SPAN_US;
        let time_us = |frame: u64| {
            let frame = i64::try_from(frame).expect("few");
            begin_us + SPAN_US / i64::try_from(n_frames).expect("few") * frame
        };
        frames::append(&queue, n_frames, &frames::consumers(), time_us).await;
        queue.close().await;
        store.close().await;
    });
}

/// `gatemeter all` on a folder, with a complete dedup set.
struct Running {
    child: Child,
    /// Where its aggregator listens.
    port: u16,
    /// Seconds until it was.
    seconds: f64,
}

impl Running {
    fn start(folder: &Path, n_ids: u64) -> Running {
        let [api, aggregator, ingest] = free_ports();
        let began = Instant::now();
        let mut child = Command::new(program())
            .args(["all", "--dev", "--data"])
            .arg(folder)
            .args(["--api-listen", &format!("127.0.0.1:{api}")])
            .args(["--aggregator-listen", &format!("127.0.0.1:{aggregator}")])
            .args(["--ingest-listen", &format!("127.0.0.1:{ingest}")])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        wait("every id is known", || {
            assert!(child.try_wait().expect("a child").is_none(), "the program ended");
            let page = get(aggregator, "/metrics?section=process").unwrap_or_default();
            value(&page, "gatemeter_dedup_events{partition=\"0\"}") == Some(n_ids)
        });
        Running { child, port: aggregator, seconds: began.elapsed().as_secs_f64() }
    }

    /// Bytes of memory that are resident now.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the child lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a size");
        kib.parse::<u64>().expect("a number") * 1024
    }

    fn stop(mut self) {
        terminate(self.child.id());
        assert!(self.child.wait().expect("a child").success(), "it did not end cleanly");
    }
}
