//! The roles on a real Kafka and a real MariaDB: from the topic of the log to committed counters,
//! and from the raw topic of JSON to committed counters; CPU of all processes of ours together.
//!
//! The stack of scripts/stack.sh runs beside. What is measured waits in its topic before the
//! processes that work on it start, so that nobody who sends takes their time. Baselines are of
//! the same run: reading and decoding the same frames from Kafka, and reading as many JSON events
//! with serde_json.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clock::Wall;
use event::frame::FrameReader;
use queue::{KafkaOptions, Queue};

use crate::cpu::{child_nanos, own_nanos};
use crate::events::json;
use crate::{ingest, per_event, row};

/// Events of each part.
const EVENTS: u64 = 1_000_000;
/// What is added to every port of the stack.
const OFFSET: u16 = 12_000;
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// When the bench gives up.
const DEADLINE: Duration = Duration::from_secs(300);

/// A stack, taken down with its data when this is dropped.
struct Stack {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// Measures and prints.
pub fn run() {
    let stack = Stack::up();
    stack.stop("aggregator");
    stack.replay("http://127.0.0.1", 8003, "");
    let began = Instant::now();
    stack.start();
    let done = stack.wait_counted(EVENTS);
    let counting = child_nanos(stack.pid("aggregator"));
    let wall = done.duration_since(began);
    print(
        "Kafka to committed counters",
        counting,
        wall,
        stack.decode(),
        "reading and decoding the \
          frames from Kafka",
    );

    stack.stop("ingest");
    let (before, began) = (child_nanos(stack.pid("aggregator")), Instant::now());
    stack.replay("kafka://127.0.0.1", 9092, "/gatemeter.raw");
    let sent = child_nanos(stack.pid("aggregator")) - before;
    let idle = sent * 1_000 / began.elapsed().as_millis().max(1);
    let began = Instant::now();
    stack.start();
    let done = stack.wait_counted(2 * EVENTS);
    let wall = done.duration_since(began);
    let both = child_nanos(stack.pid("ingest")) + child_nanos(stack.pid("aggregator"));
    let all = both - before - sent;
    let base = serde(EVENTS);
    print(
        "raw JSON topic to committed counters, ingest and aggregator",
        all,
        wall,
        base,
        "reading \
          the JSON with serde_json",
    );
    println!("| aggregator without work | {:.1} ms per second | | |", idle as f64 / 1e6);
}

fn print(what: &str, nanos: u128, wall: Duration, base: u128, baseline: &str) {
    let (each, rate) = per_event(nanos, EVENTS);
    let (base, _) = per_event(base, EVENTS);
    let seen = EVENTS as f64 / wall.as_secs_f64();
    row(
        what,
        &format!("{each:.0} ns"),
        &format!("{rate:.0} events ({seen:.0}/s seen, start of the process included)"),
        &format!("{:.2} x {baseline} ({base:.0} ns)", each / base),
    );
}

/// CPU time for reading as many events as JSON.
fn serde(n_events: u64) -> u128 {
    let now_us = Wall::now().as_us();
    let bodies: Vec<String> = (0..n_events / 500)
        .map(|body| {
            let events: Vec<String> = (0..500).map(|n| json(body * 500 + n, now_us)).collect();
            format!("[{}]", events.join(","))
        })
        .collect();
    let began = own_nanos();
    let n: usize = bodies.iter().map(|body| ingest::read_with_serde(body)).sum();
    assert_eq!(n as u64, n_events);
    own_nanos() - began
}

impl Stack {
    fn up() -> Stack {
        let program = std::env::var_os("GATEMETER_PROGRAM").map(PathBuf::from);
        let program =
            program.expect("GATEMETER_PROGRAM names the program, as scripts/bench.sh sets it");
        let stack = Stack { folder: tempfile::tempdir().expect("a folder"), program };
        stack.start();
        stack
    }

    fn script(&self, args: &[&str]) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stack.sh");
        let mut command = Command::new(script);
        command.args(args).args(["--dir".as_ref(), self.dir().as_os_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.status().expect("scripts/stack.sh runs").success()
    }

    /// Starts what does not run.
    fn start(&self) {
        assert!(self.script(&["up", "--offset", &OFFSET.to_string()]), "the stack is not up");
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    fn pid(&self, name: &str) -> u32 {
        let text =
            std::fs::read_to_string(self.dir().join("run").join(name)).expect("it was started");
        text.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// SIGTERM by process id, and waits for the end.
    fn stop(&self, name: &str) {
        let pid = self.pid(name);
        let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let stat = format!("/proc/{pid}/stat");
        wait("it ended", || {
            std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "))
        });
    }

    /// Sends the events of a part.
    fn replay(&self, host: &str, port: u16, path: &str) {
        let to = format!("{host}:{}{path}", port + OFFSET);
        let sent = Command::new(&self.program)
            .args(["replay", "synthetic", "--count", &EVENTS.to_string(), "--namespaces", "20"])
            .args(["--quiet", "--connections", "4", "--to", &to])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert!(sent.expect("replay runs").success(), "not all was sent to {to}");
    }

    /// Waits until so many events are counted in all; when that was seen.
    fn wait_counted(&self, n: u64) -> Instant {
        let line = "gatemeter_events_total{class=\"counted\"} ";
        wait("all is counted", || {
            let page = get(8002 + OFFSET, "/metrics?section=business").unwrap_or_default();
            let value = page.lines().find_map(|shown| shown.strip_prefix(line));
            value.and_then(|value| value.trim().parse::<u64>().ok()) == Some(n)
        });
        Instant::now()
    }

    /// CPU time for reading the log from Kafka and decoding every event.
    fn decode(&self) -> u128 {
        let options = KafkaOptions {
            brokers: format!("127.0.0.1:{}", 9092 + OFFSET),
            partitions: 6,
            replication_factor: 1,
            ..KafkaOptions::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let log = Queue::open_kafka_read_only(&options).await.expect("the log");
            let began = own_nanos();
            let (mut reader, mut n_events) = (FrameReader::default(), 0);
            for partition in 0..log.partitions() {
                let high = log.watermarks(partition).await.expect("ends").high;
                let mut next = 0;
                while next < high {
                    let records = log.read(partition, next, READ_BYTES_MAX).await.expect("records");
                    for record in &records {
                        let view = reader.read(&record.bytes).expect("a frame");
                        for idx in 0..view.len() {
                            let (labels, _) = view.labels(view.tuple(idx)).expect("labels");
                            std::hint::black_box(view.facts(idx, labels.source));
                        }
                        n_events += view.len() as u64;
                        next = record.offset + 1;
                    }
                }
            }
            assert_eq!(n_events, EVENTS);
            let nanos = own_nanos() - began;
            log.close().await;
            nanos
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.script(&["down", "--volumes"]);
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// GET over a connection of its own; `None` if there is no answer.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
