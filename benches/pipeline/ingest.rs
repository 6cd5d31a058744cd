//! HTTP batches of 500 events to durable frames: CPU of an ingest that runs in a process of its
//! own, with the embedded log and no aggregator beside it.
//!
//! The baseline reads the same bodies with `serde_json` into typed events that borrow, and does
//! nothing with them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use clock::Wall;
use queue::{EmbeddedOptions, Queue};
use service::auth::Access;
use service::config::Settings;
use service::metrics::ProcessMetrics;
use service::server::Server;
use service::shutdown::channel;
use store::Store;

use crate::cpu::{child_nanos, own_nanos};
use crate::events::json;
use crate::per_event;
use crate::recording;
use crate::rounds::{ROUNDS, Rounds};
use crate::targets::{Target, Targets};

/// Flag of the child that serves.
pub const SERVE: &str = "--serve";

const BATCH: u64 = 500;
/// Batches of a round.
const BATCHES: u64 = 2_000;
const CONNECTIONS: u64 = 4;
/// Batches that are sent before the measurement begins.
const WARM_UP: u64 = 200;

/// The child: ingest on a free port, whose address is the first line of its output.
pub fn serve(folder: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let folder = Path::new(folder);
        let queue = Queue::open_embedded(folder, EmbeddedOptions::default()).await.expect("a log");
        let store = Store::open(folder).await.expect("a ledger");
        let generation = store.generation(queue.generation(), queue.partitions()).await;
        let settings = Settings::default();
        let parts = ::ingest::Parts {
            queue: Arc::new(queue),
            store: Arc::new(store),
            generation: generation.expect("a generation"),
            access: Access::Dev,
            pressure: Arc::new(AtomicBool::new(false)),
            frame_version: Arc::new(AtomicU8::new(2)),
            settings: settings.ingest.clone(),
            faults: Vec::new(),
        };
        let metrics = Arc::new(ProcessMetrics::new("ingest", "0").expect("a registry"));
        let ingest = ::ingest::start(parts, metrics).await.expect("it starts");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind("ingest", any).await.expect("a free port");
        println!("{}", server.local_addr());
        let (_trigger, shutdown) = channel();
        server.serve(ingest.router(), &settings.server, shutdown).await;
    });
}

/// An ingest in a process and a folder of its own.
pub struct Ingest {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Ingest {
    /// Starts the child.
    pub fn start() -> Ingest {
        let folder = tempfile::tempdir().expect("a folder");
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args([SERVE.as_ref(), folder.path().as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut line = String::new();
        let mut told = BufReader::new(child.stdout.take().expect("piped"));
        told.read_line(&mut line).expect("an address");
        let address = line.trim().parse().expect("an address");
        Ingest { child, address, _folder: folder }
    }

    /// Ends it.
    pub fn stop(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("a child");
    }
}

/// Measures and prints.
pub fn run(targets: &mut Targets) {
    let ingest = Ingest::start();
    let pid = ingest.child.id();
    send(ingest.address, 0, WARM_UP);
    let (mut rounds, mut next) = (Rounds::default(), WARM_UP);
    let n_events = BATCHES * BATCH;
    for _ in 0..ROUNDS {
        let (before, began) = (child_nanos(pid), Instant::now());
        let recording = recording::begin("ingest");
        send(ingest.address, next, BATCHES);
        if let Some(recording) = recording {
            recording.end(&[pid], n_events);
        }
        let nanos = child_nanos(pid) - before;
        let seen = n_events as f64 / began.elapsed().as_secs_f64();
        next += BATCHES;
        rounds.add(per_event(nanos, n_events), per_event(baseline(), n_events), seen);
    }
    ingest.stop();
    rounds.print("HTTP batches of 500 to durable frames", "reading the JSON with serde_json");
    targets.set(Target::Http, rounds.ratio());
}

/// Sends batches over a few connections.
fn send(address: SocketAddr, first: u64, n_batches: u64) {
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).expect("it listens");
                stream.set_nodelay(true).expect("a socket");
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= first + n_batches {
                        break;
                    }
                    post(&mut stream, &body(batch));
                }
            });
        }
    });
}

/// Events of a batch as an array.
fn body(batch: u64) -> String {
    let now_us = Wall::now().as_us();
    let events: Vec<String> = (0..BATCH).map(|idx| json(batch * BATCH + idx, now_us)).collect();
    format!("[{}]", events.join(","))
}

/// Posts a body and waits for the answer, which must be 200.
pub fn post(stream: &mut TcpStream, body: &str) {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    let mut chunk = [0; 4_096];
    let end = loop {
        let n = stream.read(&mut chunk).expect("an answer");
        assert!(n > 0, "the connection was closed");
        answer.extend_from_slice(&chunk[..n]);
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length: ").nth(1).expect("a length");
    let length: usize = length.split("\r\n").next().and_then(|n| n.parse().ok()).expect("a length");
    let mut rest = vec![0; (end + length).saturating_sub(answer.len())];
    stream.read_exact(&mut rest).expect("the whole answer");
}

/// An event as the least reader would take it.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "the fields are read and not used: that is the baseline")]
struct Plain<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    time: i64,
    #[serde(borrow)]
    namespace: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    upstream: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    model: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    endpoint: std::borrow::Cow<'a, str>,
    status: u16,
    duration_ms: f64,
    ttft_ms: f64,
    stream: bool,
    usage: PlainUsage,
    #[serde(borrow)]
    request_id: std::borrow::Cow<'a, str>,
    attempt: u16,
    r#final: bool,
    #[serde(borrow)]
    consumer: std::borrow::Cow<'a, str>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "the fields are read and not used: that is the baseline")]
struct PlainUsage {
    input_tokens: u32,
    cache_read_tokens: u32,
    output_tokens: u32,
    reasoning_tokens: u32,
}

/// CPU time of reading the bodies, without making them.
fn baseline() -> u128 {
    let mut nanos = 0;
    for batch in 0..BATCHES {
        let body = body(batch);
        let before = own_nanos();
        read_with_serde(&body);
        nanos += own_nanos() - before;
    }
    nanos
}

/// Reads a body as the baseline does; how many events it has.
pub fn read_with_serde(body: &str) -> usize {
    let events: Vec<Plain<'_>> = serde_json::from_str(body).expect("events");
    std::hint::black_box(&events).len()
}
