//! Clients that leave at random bytes of request and answer: every request that the gateway took is
//! one event, and the tokens of each that ended are those that the upstream sent.
//!
//! A recorder stands between gateway and ingest and keeps the events that ingest has taken.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::gatemeter::{Place, free_ports, post, sum, wait_for};
use crate::gateway::Nginx;

const N_REQUESTS: u64 = 10_000;
const N_CLIENTS: u64 = 32;
/// The same requests leave at the same bytes in every run; `GATEMETER_LEAVING_SEED` names another.
const SEED: u64 = 14;
/// Longest wait of a client for a byte.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Passes batches on to ingest and keeps the lines of those that it answered with 200.
struct Recorder {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    fn start(ingest: u16) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("no waiting");
        let port = listener.local_addr().expect("an address").port();
        let (lines, ends) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (kept, end) = (lines.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::park_timeout(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).expect("waiting");
                let kept = kept.clone();
                // It ends with the gateway's connection.
                std::thread::spawn(move || while pass_on(&stream, ingest, &kept).is_some() {});
            }
        });
        Recorder { port, lines, ends, thread: Some(thread) }
    }

    fn len(&self) -> i64 {
        i64::try_from(self.lines.lock().expect("a lock").len()).expect("few")
    }

    fn events(&self) -> Vec<Value> {
        let lines = self.lines.lock().expect("a lock");
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pass_on(stream: &TcpStream, ingest: u16, kept: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut size) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            size = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body).ok()?;
    let answer = post(ingest, "/v1/events", &["content-type: application/x-ndjson"], &body)?;
    if answer.status == 200 {
        let text = String::from_utf8(body).expect("JSON is UTF-8");
        let events = text.lines().filter(|line| line.contains("\"id\":"));
        kept.lock().expect("a lock").extend(events.map(str::to_owned));
    }
    let head =
        format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n", answer.status, answer.body.len());
    let mut stream = stream;
    stream.write_all((head + &answer.body).as_bytes()).ok()
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// When a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// After so many bytes of its request.
    Sending(usize),
    /// After so many bytes of the answer, head included.
    Reading(usize),
    /// When the answer has ended.
    Never,
}

/// The request of a number, and when its client leaves.
fn plan(seed: u64, number: u64) -> (String, Leaves) {
    let mut chance = Chance(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let stream = chance.below(3) > 0;
    let body = format!("{{\"model\":\"r-{number}\",\"stream\":{stream},\"messages\":[]}}");
    let text = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         x-namespace: leaving\r\nx-mock-plain: 1\r\nx-mock-number: {number}\r\n\
         x-mock-tokens: {}\r\nx-mock-delay-ms: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        chance.below(40),
        chance.below(12),
        body.len()
    );
    let bytes = |bound: u64, chance: &mut Chance| {
        usize::try_from(chance.below(bound)).expect("a small number")
    };
    let size = u64::try_from(text.len()).expect("a short request");
    let leaves = match chance.below(10) {
        0 | 1 => Leaves::Never,
        2 => Leaves::Sending(bytes(size, &mut chance)),
        3 => Leaves::Reading(0),
        4..=6 => Leaves::Reading(bytes(250, &mut chance)),
        _ => Leaves::Reading(bytes(4_000, &mut chance)),
    };
    (text, leaves)
}

/// What a client that stayed has seen of its request; `None` if it left.
fn send(port: u16, text: &str, leaves: Leaves) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, READ_TIMEOUT).expect("a connection");
    stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a timeout");
    let sent = if let Leaves::Sending(bytes) = leaves { bytes } else { text.len() };
    stream.write_all(&text.as_bytes()[..sent]).expect("the gateway reads requests");
    match leaves {
        Leaves::Sending(_) => None,
        Leaves::Reading(bytes) => {
            let mut some = vec![0; bytes];
            // Bytes that it has not read make its leaving a reset.
            let _ = stream.read_exact(&mut some);
            None
        }
        Leaves::Never => {
            let mut seen = Vec::new();
            stream.read_to_end(&mut seen).expect("the whole answer");
            Some(String::from_utf8_lossy(&seen).into_owned())
        }
    }
}

/// Sends them all; gives the numbers of those whose clients stayed.
fn send_all(port: u16, seed: u64) -> HashSet<u64> {
    let next = AtomicU64::new(0);
    let client = || {
        let mut stayed = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= N_REQUESTS {
                return stayed;
            }
            let (text, leaves) = plan(seed, number);
            if let Some(seen) = send(port, &text, leaves) {
                assert!(seen.starts_with("HTTP/1.1 200"), "{number}: {seen}");
                assert!(seen.ends_with("\r\n0\r\n\r\n"), "{number}: {seen}");
                stayed.push(number);
            }
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..N_CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|one| one.join().expect("a client")).collect()
    })
}

/// Input, cached input, output and reasoning that the mock reports for a number (mock.lua).
fn tokens_of(number: i64) -> [i64; 4] {
    let (input, output) = (100 + number % 900, 10 + number % 300);
    let cached = if number % 4 == 0 { input / 2 } else { 0 };
    let reasoning = if number % 5 == 0 { output / 3 } else { 0 };
    [input, cached, output, reasoning]
}

fn reported(event: &Value) -> Option<[i64; 4]> {
    let of = |name: &str| event["usage"][name].as_i64().unwrap_or(0);
    let is_whole =
        event["usage"]["input_tokens"].is_i64() && event["usage"]["output_tokens"].is_i64();
    let names = ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"];
    is_whole.then(|| names.map(of))
}

#[test]
fn clients_that_leave_at_random_bytes_cost_no_event_and_make_none_twice() {
    let seed = std::env::var("GATEMETER_LEAVING_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(SEED);
    println!("GATEMETER_LEAVING_SEED={seed}");
    let place = Place::new();
    let mut running = place.start();
    let recorder = Recorder::start(place.ingest);
    let [upstream_port, gateway_port, _] = free_ports();
    let folder = place.file("nginx");
    let upstream = Nginx::start("mock", &folder, upstream_port, &[]);
    let file = place.file("gateway.json");
    std::fs::write(&file, r#"{"connections":{"interval_s":1}}"#).expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream_port)),
        ("GATEWAY_INGEST", place.url(recorder.port)),
    ];
    let mut gateway = Nginx::start("gateway", &folder, gateway_port, &env);
    let stayed = send_all(gateway_port, seed);

    let admitted = || gateway.own("gatemeter_gateway_admitted_total");
    wait_for("each request that passed is an event", || {
        let n = admitted();
        n == gateway.own("gatemeter_gateway_events_total") && n == recorder.len()
    });
    assert_eq!(gateway.own("gatemeter_gateway_events_dropped_total"), 0);
    gateway.end("QUIT");
    let events = recorder.events();
    let tokens = compare(&events, &stayed);
    let n_events = i64::try_from(events.len()).expect("few");
    place.wait_events("counted", n_events);
    assert_eq!(place.recount()["classes"]["counted"], n_events);
    let page = place.page();
    let reported = |line: &&str| line.contains("source=\"reported\"");
    let lines: Vec<&str> = page.lines().filter(reported).collect();
    assert_eq!(sum(&lines.join("\n"), "gatemeter_tokens_total{"), tokens);
    drop(upstream);
    assert!(running.terminate().0.success());
}

/// Checks each event and all together; returns the tokens that were reported by an upstream.
fn compare(events: &[Value], stayed: &HashSet<u64>) -> i64 {
    let (mut ids, mut numbers, mut whole) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut n_left, mut tokens) = (0, 0);
    for event in events {
        assert!(ids.insert(event["id"].to_string()), "twice: {event}");
        let asked = event["requested_model"].as_str().and_then(|name| name.strip_prefix("r-"));
        let number: Option<u64> = asked.and_then(|number| number.parse().ok());
        if let Some(number) = number {
            assert!(numbers.insert(number), "two events of one request: {event}");
        }
        let status = event["status"].as_i64().expect("a status");
        // A client that leaves within its body is nginx's 400 or 499.
        assert!([200, 400, 499].contains(&status), "{event}");
        n_left += i64::from(status == 499);
        let Some(found) = reported(event) else {
            assert_ne!(status, 200, "an answer that ended has no usage: {event}");
            continue;
        };
        let number = number.expect("an answer has a request");
        let expected = tokens_of(i64::try_from(number).expect("a small number"));
        assert_eq!(found, expected, "{event}");
        tokens += found[0] + found[2];
        if status == 200 {
            whole.insert(number);
        }
    }
    let missing: Vec<_> = stayed.difference(&whole).collect();
    assert!(missing.is_empty(), "answers that were read to the end: {missing:?}");
    println!("{} events, {n_left} left, {} ended", events.len(), whole.len());
    assert!(stayed.len() > 1_500 && n_left > 1_500, "the load is a mixture");
    tokens
}
