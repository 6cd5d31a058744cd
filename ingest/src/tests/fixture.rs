//! An ingest on a real log and a real ledger in a temporary folder, and a reader of its log.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use clock::Wall;
use event::frame::FrameReader;
use event::limits::BODY_BYTES_MAX;
use event::{Facts, Key, Outcome};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use queue::{EmbeddedOptions, Queue, QueueReader, Record};
use serde_json::{Map, Value, json};
use service::auth::Access;
use service::config::{IngestSettings, Settings};
use service::metrics::ProcessMetrics;
use store::{Generation, Store};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::stamp::SOURCE;
use crate::{Ingest, Parts, start};

/// After this long a test has hung.
const DEADLINE: Duration = Duration::from_secs(30);

/// How the ingest of a test is configured.
pub struct Options {
    pub settings: IngestSettings,
    pub access: Access,
    pub log: EmbeddedOptions,
    pub ledger: Ledger,
}

/// State of the ledger of a test.
pub enum Ledger {
    Works,
    /// Refuses every write, as if it were down.
    ReadOnly,
}

impl Default for Options {
    fn default() -> Options {
        let settings = IngestSettings { gather_ms: 0, ..Settings::default().ingest };
        let log = EmbeddedOptions { disk_reserve_bytes: 0, ..EmbeddedOptions::default() };
        Options { settings, access: Access::Dev, log, ledger: Ledger::Works }
    }
}

/// A running ingest. Its folder outlives it, so that another can be started there.
pub struct Running {
    pub queue: Arc<Queue>,
    pub store: Arc<Store>,
    pub pressure: Arc<AtomicBool>,
    pub generation: Generation,
    folder: PathBuf,
    ingest: Ingest,
}

impl Running {
    pub async fn start(folder: &Path, options: Options) -> Running {
        let queue = Queue::open_embedded(folder, options.log).await.expect("a log");
        let queue = Arc::new(queue);
        let store = match options.ledger {
            Ledger::Works => Store::open(folder).await,
            Ledger::ReadOnly => Store::open_read_only(folder).await,
        };
        let store = Arc::new(store.expect("a ledger"));
        let generation = store.generation(queue.generation(), queue.partitions()).await;
        let generation = generation.expect("a generation");
        let pressure = Arc::new(AtomicBool::new(false));
        let parts = Parts {
            queue: Arc::clone(&queue),
            store: Arc::clone(&store),
            generation: generation.clone(),
            access: options.access,
            pressure: Arc::clone(&pressure),
            frame_version: Arc::new(AtomicU8::new(2)),
            settings: options.settings,
            faults: Vec::new(),
        };
        let metrics = Arc::new(ProcessMetrics::new("ingest", "0.1.0").expect("new"));
        let ingest = start(parts, metrics).await.expect("it starts");
        let folder = folder.to_owned();
        Running { queue, store, pressure, generation, folder, ingest }
    }

    /// Starts one with the default settings, in a new folder.
    pub async fn fresh() -> (TempDir, Running) {
        Running::fresh_with(Options::default()).await
    }

    pub async fn fresh_with(options: Options) -> (TempDir, Running) {
        let folder = tempfile::tempdir().expect("a folder");
        let running = Running::start(folder.path(), options).await;
        (folder, running)
    }

    pub fn router(&self) -> Router {
        self.ingest.router()
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        ask(self.router(), request).await
    }

    /// Sends a body to `/v1/events`.
    pub async fn send(&self, body: impl Into<Body>) -> Answer {
        self.ask(post(body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// The value of a series on `/metrics`. Returns `None` if it is missing.
    pub async fn metric(&self, name: &str) -> Option<i64> {
        let page = self.get("/metrics").await.text;
        let line = page.lines().find(|line| line.rsplit_once(' ').is_some_and(|l| l.0 == name))?;
        let (_, value) = line.rsplit_once(' ')?;
        Some(value.parse().expect("a whole number"))
    }

    /// Waits until a series on `/metrics` has a value.
    pub async fn until_metric(&self, name: &str, value: i64) {
        let look = async {
            while self.metric(name).await != Some(value) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let seen = tokio::time::timeout(DEADLINE, look).await;
        assert!(seen.is_ok(), "{name} is not {value} within {DEADLINE:?}");
    }

    /// The key that an id has in this log.
    pub fn key(&self, id: &str) -> Key {
        Key::of(&self.generation.secret, SOURCE, id)
    }

    /// Every event of the log's file.
    pub async fn logged(&self) -> Vec<Logged> {
        let reader = Queue::open_embedded_read_only(self.folder.as_path()).await;
        let reader = reader.expect("a log");
        let events = logged_by(&reader).await;
        reader.close().await;
        events
    }

    /// Stops it once every event in flight is appended.
    pub async fn stop(self) {
        let drained = tokio::time::timeout(DEADLINE, self.ingest.drained()).await;
        assert!(drained.is_ok(), "not drained within {DEADLINE:?}");
        self.queue.close().await;
        self.store.close().await;
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json", "{}", self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// The number of accepted items. Checks every invariant of the answer to `n_items` items.
    #[track_caller]
    pub fn accepted(&self, n_items: usize) -> usize {
        let value = self.json();
        let object = value.as_object().expect("an object");
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        assert_eq!(names, ["accepted", "future", "late", "position", "rejected"]);
        let n_accepted = usize::try_from(value["accepted"].as_u64().expect("a number"));
        let n_accepted = n_accepted.expect("fits");
        let rejected: Vec<u64> =
            self.rejects().iter().map(|r| r["index"].as_u64().expect("an index")).collect();
        assert_eq!(n_accepted + rejected.len(), n_items, "{value}");
        assert!(rejected.is_sorted_by(|a, b| a < b), "{value}");
        for list in [&rejected, &indexes(&value["late"]), &indexes(&value["future"])] {
            assert!(list.iter().all(|index| *index < n_items as u64), "{value}");
        }
        for index in indexes(&value["late"]).iter().chain(&indexes(&value["future"])) {
            assert!(!rejected.contains(index), "{value}");
        }
        let is_refused = n_accepted == 0 && n_items > 0;
        let expected = if is_refused { 422 } else { 200 };
        assert_eq!(self.status.as_u16(), expected, "{value}");
        n_accepted
    }

    pub fn rejects(&self) -> Vec<Value> {
        self.json()["rejected"].as_array().expect("a list").clone()
    }

    /// The message in the envelope. Checks the envelope.
    #[track_caller]
    pub fn message(&self) -> String {
        let value = self.json();
        assert_eq!(value["code"], self.status.as_u16(), "{value}");
        assert_eq!(value["data"], Value::Null, "{value}");
        assert!(value["timestamp"].is_string(), "{value}");
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = self.headers[RETRY_AFTER].to_str().expect("text").parse::<u32>();
            assert!(seconds.is_ok_and(|seconds| seconds > 0), "{:?}", self.headers);
        }
        value["message"].as_str().expect("a message").to_owned()
    }

    /// Offsets of the positions, all in partition 0.
    pub fn offsets(&self) -> Vec<u64> {
        let value = self.json();
        let positions = value["position"].as_array().expect("a list");
        positions
            .iter()
            .map(|position| {
                assert_eq!(position.as_object().expect("an object").len(), 3);
                assert!(position["generation"].is_u64() && position["partition"] == 0);
                position["offset"].as_u64().expect("an offset")
            })
            .collect()
    }
}

/// The indexes in a JSON list.
pub fn indexes(list: &Value) -> Vec<u64> {
    let list = list.as_array().expect("a list");
    list.iter().map(|index| index.as_u64().expect("an index")).collect()
}

pub fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/v1/events").body(body.into()).expect("a request")
}

/// A request that declares a content encoding.
pub fn post_as(encoding: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = post(body);
    request.headers_mut().insert(CONTENT_ENCODING, encoding.parse().expect("a header"));
    request
}

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("written to memory");
    encoder.finish().expect("written to memory")
}

/// One frame that declares its size and has a checksum.
pub fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).expect("a compressor");
    compressor.include_checksum(true).expect("a parameter");
    compressor.compress(plain).expect("it fits")
}

pub async fn ask(router: Router, request: Request<Body>) -> Answer {
    let asked = tokio::time::timeout(DEADLINE, router.oneshot(request)).await;
    let (parts, body) = asked.expect("an answer in time").expect("an answer").into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.expect("a body");
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    Answer { status: parts.status, headers: parts.headers, text }
}

/// A valid event with the current time.
pub fn event(id: &str) -> Value {
    json!({
        "id": id,
        "time": Wall::now().as_us(),
        "namespace": "wechat",
        "upstream": "openai",
        "model": "gpt-4o",
        "method": "POST",
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "duration_ms": 1500,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    })
}

/// An event with fields replaced or added; a null leaves the field out.
pub fn event_with(id: &str, changes: &Value) -> Value {
    let mut event = event(id);
    let fields = event.as_object_mut().expect("an object");
    let changes: &Map<String, Value> = changes.as_object().expect("an object");
    for (name, value) in changes {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    event
}

/// An array of events with these ids.
pub fn batch(ids: impl IntoIterator<Item = String>) -> String {
    Value::Array(ids.into_iter().map(|id| event(&id)).collect()).to_string()
}

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub offset: u64,
    pub facts: Facts,
    pub namespace: String,
    pub upstream: String,
    pub model: String,
    pub endpoint: String,
    pub outcome: Outcome,
    pub limited_by: Option<String>,
    pub requested_model: Option<String>,
    pub consumer: Option<String>,
}

/// Every event of partition 0 in order.
pub async fn logged_by(reader: &QueueReader) -> Vec<Logged> {
    let mut events = Vec::new();
    let mut from = 0;
    loop {
        let records = reader.read(0, from, 1 << 20).await.expect("readable");
        let Some(last) = records.last() else { return events };
        from = last.offset + 1;
        decode(&records, &mut events);
    }
}

/// The events of frames.
fn decode(records: &[Record], events: &mut Vec<Logged>) {
    let mut reader = FrameReader::default();
    let text = |text: Option<&str>| text.map(str::to_owned);
    for record in records {
        assert!(record.intact);
        let frame = reader.read(&record.bytes).expect("a frame");
        for idx in 0..frame.len() {
            let labels = frame.labels(idx).expect("labels");
            events.push(Logged {
                offset: record.offset,
                facts: frame.facts(idx, labels.source).expect("in range"),
                namespace: labels.namespace.to_owned(),
                upstream: labels.upstream.to_owned(),
                model: labels.model.to_owned(),
                endpoint: labels.endpoint.to_owned(),
                outcome: labels.outcome,
                limited_by: text(labels.limited_by),
                requested_model: text(labels.requested_model),
                consumer: text(labels.consumer),
            });
        }
    }
}
