//! The answers of each provider (gateway/tests/shapes.txt) through the real gateway: a mock sends
//! each cut into pieces of 3 and of 61 bytes, the client gets the same bytes, and exactly the usage
//! that the file expects is counted, as reported.
//!
//! A piece goes out when the client has the one before, so that nothing puts them together again.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use crate::gatemeter::{DEADLINE, Place, free_ports, repository};
use crate::gateway::Nginx;

const PIECES: [usize; 2] = [3, 61];
const N_CLIENTS: usize = 8;

/// One answer and what is to be counted for it.
#[derive(Debug, Default)]
struct Sample {
    name: String,
    path: String,
    kind: String,
    expect: Value,
    body: Vec<u8>,
}

/// The samples of the file, which says itself how it is made.
fn samples() -> Vec<Sample> {
    let text = std::fs::read_to_string(repository("gateway/tests/shapes.txt")).expect("samples");
    let mut samples: Vec<Sample> = Vec::new();
    let mut in_body = false;
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix("=== ") {
            samples.push(Sample { name: name.trim().to_owned(), ..Sample::default() });
            in_body = false;
            continue;
        }
        let Some(sample) = samples.last_mut() else { continue };
        if in_body {
            sample.body.extend_from_slice(line.as_bytes());
        } else if line == "---\n" {
            in_body = true;
        } else if let Some((key, value)) = line.trim_end().split_once(": ") {
            match key {
                "path" => value.clone_into(&mut sample.path),
                "type" => value.clone_into(&mut sample.kind),
                "expect" => sample.expect = serde_json::from_str(value).expect("JSON"),
                _ => panic!("{}: {key} is not known", sample.name),
            }
        }
    }
    samples
}

/// How many bytes of an answer its client has.
#[derive(Debug, Default)]
struct Progress {
    bytes: Mutex<usize>,
    changed: Condvar,
}

impl Progress {
    fn add(&self, bytes: usize) {
        *self.bytes.lock().expect("a lock") += bytes;
        self.changed.notify_all();
    }

    /// Waits until the client has so many.
    fn wait(&self, bytes: usize) {
        let held = self.bytes.lock().expect("a lock");
        let behind = |has: &mut usize| *has < bytes;
        let (held, waited) =
            self.changed.wait_timeout_while(held, DEADLINE, behind).expect("a lock");
        assert!(
            !waited.timed_out(),
            "of {bytes} bytes the client has {} after {DEADLINE:?}",
            *held
        );
    }
}

/// Each sample in each cut.
struct Trial {
    sample: usize,
    piece: usize,
    progress: Progress,
}

/// Answers one request per connection; the header `x-trial` says which.
fn serve(stream: &TcpStream, trials: &[Trial], samples: &[Sample]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut size, mut number) = (String::new(), 0, None);
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        match lower.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => size = value.parse().ok()?,
            Some(("x-trial", value)) => number = value.parse::<usize>().ok(),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; size]).ok()?;
    let trial = &trials[number?];
    let sample = &samples[trial.sample];
    let mut stream = stream;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n", sample.kind);
    stream
        .write_all(
            format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .ok()?;
    let mut sent = 0;
    for piece in sample.body.chunks(trial.piece) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&chunk).ok()?;
        sent += piece.len();
        trial.progress.wait(sent);
    }
    stream.write_all(b"0\r\n\r\n").ok()
}

/// The body that the client gets. It speaks HTTP/1.0, so that it comes without a framing.
fn ask(port: u16, number: usize, trial: &Trial, sample: &Sample) -> Vec<u8> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("it runs");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let request = format!(
        "POST {} HTTP/1.0\r\nX-Namespace: n{number}\r\nX-Trial: {number}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        sample.path
    );
    stream.write_all(request.as_bytes()).expect("it takes requests");
    let (mut seen, mut buffer, mut head) = (Vec::new(), [0; 65536], None);
    loop {
        let n = stream.read(&mut buffer).expect("an answer");
        if n == 0 {
            let head: usize = head.unwrap_or_else(|| panic!("{}: no answer", sample.name));
            return seen.split_off(head);
        }
        seen.extend_from_slice(&buffer[..n]);
        if head.is_some() {
            trial.progress.add(n);
        } else if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            head = Some(at + 4);
            trial.progress.add(seen.len() - at - 4);
        }
    }
}

/// Classes of tokens with their counts, as the ledger has them.
fn classes(usage: &Value) -> BTreeMap<&'static str, i64> {
    let of = |name: &str| usage[name].as_i64().unwrap_or(0);
    let cached = of("cache_read_tokens") + of("cache_write_tokens");
    let all = [
        ("input_uncached", (of("input_tokens") - cached).max(0)),
        ("input_cache_read", of("cache_read_tokens")),
        ("input_cache_write", of("cache_write_tokens")),
        ("output_text", (of("output_tokens") - of("reasoning_tokens")).max(0)),
        ("output_reasoning", of("reasoning_tokens")),
    ];
    all.into_iter().filter(|(_, n)| *n > 0).collect()
}

/// Runs the mock for all trials, and their clients, some at a time.
fn run(place: &Place, trials: &Arc<Vec<Trial>>, samples: &Arc<Vec<Sample>>) -> Nginx {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let upstream = listener.local_addr().expect("an address").port();
    let (known, bodies) = (trials.clone(), samples.clone());
    std::thread::spawn(move || {
        // As many connections as trials: the gateway asks once for each, and keeps none.
        for stream in listener.incoming().take(known.len()).flatten() {
            let (known, bodies) = (known.clone(), bodies.clone());
            std::thread::spawn(move || serve(&stream, &known, &bodies));
        }
    });
    let [port, _, _] = free_ports();
    let file = place.file("gateway.json");
    std::fs::write(&file, r#"{"send_text":"never"}"#).expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    let gateway = Nginx::start("gateway", &place.file("nginx"), port, &env);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..N_CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(trial) = trials.get(number) else { return };
                    let sample = &samples[trial.sample];
                    let body = ask(port, number, trial, sample);
                    assert!(
                        body == sample.body,
                        "{} by {} bytes came as {:?}",
                        sample.name,
                        trial.piece,
                        String::from_utf8_lossy(&body)
                    );
                }
            });
        }
    });
    gateway
}

#[test]
fn each_shape_passes_unchanged_in_small_pieces_and_its_usage_is_counted_as_reported() {
    let place = Place::new();
    let mut running = place.start();
    let samples = Arc::new(samples());
    assert!(samples.len() > 50, "{} samples", samples.len());
    let pieces = PIECES.iter().flat_map(|piece| (0..samples.len()).map(move |at| (at, *piece)));
    let new = |(sample, piece)| Trial { sample, piece, progress: Progress::default() };
    let trials: Arc<Vec<Trial>> = Arc::new(pieces.map(new).collect());
    let gateway = run(&place, &trials, &samples);
    let n_trials = i64::try_from(trials.len()).expect("few");
    place.wait_events("counted", n_trials);

    let page = place.page();
    let mut differences = Vec::new();
    for (number, trial) in trials.iter().enumerate() {
        let sample = &samples[trial.sample];
        let usage = &sample.expect["usage"];
        let wanted = format!("namespace=\"n{number}\"");
        let mut found = BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with("gatemeter_tokens_total{")) {
            let value: i64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(-1);
            if line.contains(&wanted) && value != 0 {
                let label = |name: &str| {
                    let rest = line.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
                    rest.split('"').next().unwrap_or("").to_owned()
                };
                // The path alone names a model: it is taken if it is known or may be, else none.
                let mut model = label("model");
                if sample.expect["requested_model"] == model.as_str() {
                    "none".clone_into(&mut model);
                }
                let key = (model, label("class"), label("source"));
                *found.entry(key).or_insert(0) += value;
            }
        }
        let model = sample.expect["model"].as_str().unwrap_or("none");
        let key = |class: &str| (model.to_owned(), class.to_owned(), "reported".to_owned());
        let expected: BTreeMap<_, _> =
            classes(usage).into_iter().map(|(class, n)| (key(class), n)).collect();
        if found != expected {
            let what = format!("{} by {}", sample.name, trial.piece);
            differences.push(format!("{what}: expected {expected:?}, counted {found:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    compare_own(&gateway, &samples);
    drop(gateway);
    assert!(running.terminate().0.success());
}

/// The gateway's own counters of what was odd about the samples.
fn compare_own(gateway: &Nginx, samples: &[Sample]) {
    let n_cuts = i64::try_from(PIECES.len()).expect("few");
    let with = |name: &str| {
        let has = samples.iter().filter(|sample| !sample.expect[name].is_null()).count();
        i64::try_from(has).expect("few") * n_cuts
    };
    let own = |name: &str| gateway.own(&format!("gatemeter_gateway_{name}"));
    assert_eq!(own("usage_mismatch_total"), with("mismatch"));
    assert_eq!(own("usage_repaired_total"), with("repaired"));
    let n_errors = own("stream_errors_total") + own("answer_errors_total");
    assert_eq!(n_errors, with("error_type"));
    assert_eq!(own("events_total"), n_cuts * i64::try_from(samples.len()).expect("few"));
}
