//! A receiver for tests: takes batches over HTTP as ingest does and counts as the ledger would.
//!
//! It judges every event by rules of its own, written down once more from the contracts, so that
//! the totals of a run are held against something that does not share their code. A script decides
//! what goes wrong on the way.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clock::Wall;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::totals::{Events, NamespaceTotals};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Taken and answered.
    Answer,
    /// Not taken: 503.
    Busy,
    /// Taken, but answered with 503.
    TakeThenBusy,
    /// Taken, and the connection breaks before the answer.
    TakeThenBreak,
    /// Taken, and no answer ever comes.
    TakeThenHang,
    /// Taken and answered by a clock that is an hour ahead.
    Skewed,
    /// Not taken: this status.
    Refuse(u16),
}

/// What the receiver has counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub events: Events,
    pub requests: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub reasoning: u64,
    pub namespaces: BTreeMap<Box<str>, NamespaceTotals>,
    pub status: BTreeMap<u16, u64>,
    /// Every body ever met under an id; one that changed between deliveries panics.
    bodies: HashMap<String, String>,
    counted: HashMap<String, ()>,
    /// Oldest and newest counted event time.
    pub span_us: Option<(i64, i64)>,
}

impl Tally {
    fn take(&mut self, batch: &[Value], now_us: i64) -> Value {
        let mut rejected = Vec::new();
        let (mut late, mut future) = (Vec::new(), Vec::new());
        for (index, event) in batch.iter().enumerate() {
            if let Some(reason) = fault(event) {
                self.events.rejected += 1;
                rejected.push(json!({"index": index, "id": event["id"], "reason": reason}));
                continue;
            }
            match self.count(event, now_us) {
                "late" => late.push(index),
                "future" => future.push(index),
                _ => {}
            }
        }
        let n_accepted = batch.len() - rejected.len();
        json!({"accepted": n_accepted, "rejected": rejected, "late": late, "future": future})
    }

    /// Puts an event into its class and says which.
    fn count(&mut self, event: &Value, now_us: i64) -> &'static str {
        let id = event["id"].as_str().unwrap().to_string();
        let body = event.to_string();
        let known = self.bodies.entry(id.clone()).or_insert_with(|| body.clone());
        assert_eq!(*known, body, "an event changed between two deliveries");
        let time_us = event["time"].as_i64().unwrap();
        if time_us < now_us - 3_600_000_000 {
            self.events.late += 1;
            // Late ones are counted at their own time by and by, once.
            if self.counted.insert(id, ()).is_none() {
                self.add(event);
            }
            "late"
        } else if time_us > now_us + 300_000_000 {
            self.events.future += 1;
            "future"
        } else if self.counted.insert(id, ()).is_some() {
            self.events.duplicate += 1;
            "duplicate"
        } else {
            self.events.counted += 1;
            let (first, last) = self.span_us.unwrap_or((time_us, time_us));
            self.span_us = Some((first.min(time_us), last.max(time_us)));
            self.add(event);
            "counted"
        }
    }

    fn add(&mut self, event: &Value) {
        let own = self.namespaces.entry(event["namespace"].as_str().unwrap().into()).or_default();
        let tokens = |name: &str| event["usage"][name].as_u64().unwrap_or(0);
        own.input += tokens("input_tokens");
        own.output += tokens("output_tokens");
        self.input += tokens("input_tokens");
        self.output += tokens("output_tokens");
        self.cache_read += tokens("cache_read_tokens");
        self.reasoning += tokens("reasoning_tokens");
        if event["final"] == json!(false) {
            return;
        }
        let status = event["status"].as_u64().unwrap();
        self.requests += 1;
        own.requests += 1;
        if status < 400 && event["error_type"].is_null() {
            own.success += 1
        } else {
            own.error += 1
        }
        *self.status.entry(status as u16).or_default() += 1;
    }
}

fn fault(event: &Value) -> Option<&'static str> {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let count = |name: &str| match &event["usage"][name] {
        Value::Null => Some(0),
        value => value.as_u64(),
    };
    let namespace = text("namespace");
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    let sums = || {
        let cache = count("cache_read_tokens")? + count("cache_write_tokens")?;
        let fits = cache <= count("input_tokens")?
            && count("reasoning_tokens")? <= count("output_tokens")?;
        Some(fits)
    };
    match () {
        () if !(1..=128).contains(&text("id").len()) => Some("id"),
        () if event["time"].as_i64().is_none() => Some("time"),
        () if !namespace.starts_with(|c: char| c.is_ascii_alphabetic())
            || namespace.len() > 64
            || !namespace.chars().all(letters)
            || ["all", "none", "other"].contains(&namespace) =>
        {
            Some("namespace")
        }
        () if text("upstream").is_empty() || text("endpoint").is_empty() => Some("label"),
        () if !(100..=599).contains(&event["status"].as_u64().unwrap_or(0)) => Some("status"),
        () if event["duration_ms"].as_f64().is_none_or(|number| number < 0.0) => Some("duration"),
        () if sums() != Some(true) => Some("usage"),
        () => None,
    }
}

type Script = Box<dyn FnMut(u64) -> Act + Send>;

/// A running receiver.
pub struct Fake {
    pub address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
    script: Arc<Mutex<Script>>,
    n_requests: watch::Receiver<u64>,
    _server: tokio::task::JoinHandle<()>,
}

impl Fake {
    /// Listens on a free port; `script` is asked with the number of each request, from 1.
    pub async fn start(script: impl FnMut(u64) -> Act + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tally = Arc::new(Mutex::new(Tally::default()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (counter, n_requests) = watch::channel(0);
        let desk = Arc::new(Desk {
            tally: Arc::clone(&tally),
            script: Arc::clone(&script),
            n_requests: counter,
        });
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(Arc::clone(&desk), request));
                    let stream = TokioIo::new(stream);
                    // A connection that breaks is part of the script.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(stream, service)
                        .await;
                });
            }
        });
        Fake { address, tally, script, n_requests, _server: server }
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// From now on everything goes well.
    pub fn heal(&self) {
        *self.script.lock().unwrap() = Box::new(|_| Act::Answer);
    }

    /// Waits until `n_requests` have come in.
    pub async fn wait_for(&self, n_requests: u64) {
        let mut seen = self.n_requests.clone();
        let wait = seen.wait_for(|number| *number >= n_requests);
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, wait).await.unwrap().unwrap();
    }
}

fn unpack(encoding: Option<&str>, body: &[u8]) -> Vec<u8> {
    match encoding {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some("zstd") => zstd::bulk::decompress(body, 8 * 1024 * 1024).unwrap(),
        Some(name) => panic!("{name} is no encoding of the contract"),
    }
}

struct Desk {
    tally: Arc<Mutex<Tally>>,
    script: Arc<Mutex<Script>>,
    n_requests: watch::Sender<u64>,
}

async fn serve(
    desk: Arc<Desk>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    assert_eq!(request.uri().path(), "/v1/events");
    let encoding = request.headers().get("content-encoding");
    let encoding = encoding.map(|name| name.to_str().unwrap().to_string());
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut n_requests = 0;
    desk.n_requests.send_modify(|number| {
        *number += 1;
        n_requests = *number;
    });
    let act = desk.script.lock().unwrap()(n_requests);
    let batch: Vec<Value> = serde_json::from_slice(&unpack(encoding.as_deref(), &body)).unwrap();
    let busy = || Response::builder().status(503).header("retry-after", "0");
    let answer = match act {
        Act::Busy => return Ok(busy().body(Full::default()).unwrap()),
        Act::Refuse(status) => {
            let text = Full::from("{\"code\":401,\"message\":\"no\"}");
            return Ok(Response::builder().status(status).body(text).unwrap());
        }
        Act::Skewed => desk.tally.lock().unwrap().take(&batch, Wall::now().as_us() + 3_600_000_000),
        _ => desk.tally.lock().unwrap().take(&batch, Wall::now().as_us()),
    };
    match act {
        Act::TakeThenBusy => Ok(busy().body(Full::default()).unwrap()),
        Act::TakeThenBreak => Err(std::io::Error::other("broken on purpose")),
        Act::TakeThenHang => std::future::pending().await,
        _ => {
            let status = if answer["accepted"] == 0 { 422 } else { 200 };
            let text = Full::from(answer.to_string());
            Ok(Response::builder().status(status).body(text).unwrap())
        }
    }
}
