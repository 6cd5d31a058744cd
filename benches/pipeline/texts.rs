//! Plain events beside texts of a megabyte that tokenizers choke on: how long each waits until it
//! is durable, sent one by one, alone and beside two senders of such texts, in turn.
//!
//! The only part that measures time and not CPU: what is asked is whether others have to wait.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clock::Wall;

use crate::events::json;
use crate::ingest::{Ingest, post};
use crate::row;

/// Rounds of each kind.
const ROUNDS: u64 = 4;
/// Plain events of a round.
const PLAIN: u64 = 250;
/// Bytes of a hostile text.
const TEXT_BYTES: usize = 1_000_000;
/// What hostile texts are made of.
const UNITS: [&str; 4] = [" ", "a", "\u{8bed}", "\u{300}"];
const SENDERS: u64 = 2;

/// Measures and prints.
pub fn run() {
    let ingest = Ingest::start();
    let mut next = 0;
    send(ingest.address, &mut next, &mut Vec::new());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let n_texts = AtomicU64::new(0);
    for _ in 0..ROUNDS {
        send(ingest.address, &mut next, &mut alone);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| hostile(ingest.address, &n_texts, &is_over));
            }
            send(ingest.address, &mut next, &mut beside);
            is_over.store(true, Ordering::Relaxed);
        });
    }
    ingest.stop();
    let n_texts = n_texts.into_inner();
    for (name, per_mille) in [("median", 500), ("99 of 100", 990)] {
        let [alone, beside] = [&mut alone, &mut beside].map(|times| quantile(times, per_mille));
        row(
            &format!("plain event until durable, {name}, beside {n_texts} texts of 1 MB"),
            &format!("{:.2} ms", beside.as_secs_f64() * 1e3),
            "",
            &format!(
                "{:.2} x alone ({:.2} ms)",
                beside.as_secs_f64() / alone.as_secs_f64(),
                alone.as_secs_f64() * 1e3
            ),
        );
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Sends a round of plain events, one after the other.
fn send(address: SocketAddr, next: &mut u64, times: &mut Vec<Duration>) {
    let mut stream = connect(address);
    for _ in 0..PLAIN {
        let event = json(*next, Wall::now().as_us());
        *next += 1;
        let began = Instant::now();
        post(&mut stream, &event);
        times.push(began.elapsed());
    }
}

/// Sends hostile texts until the round is over.
fn hostile(address: SocketAddr, n_texts: &AtomicU64, is_over: &AtomicBool) {
    let mut stream = connect(address);
    while !is_over.load(Ordering::Relaxed) {
        let n = n_texts.fetch_add(1, Ordering::Relaxed);
        let unit = UNITS[n as usize % UNITS.len()];
        let text = unit.repeat(TEXT_BYTES / unit.len());
        let event = format!(
            "{{\"id\":\"text-{n}\",\"time\":{},\"namespace\":\"hostile\",\"upstream\":\"openai\",\
             \"model\":\"gpt-4o\",\"method\":\"POST\",\"endpoint\":\"/v1/chat/completions\",\
             \"status\":200,\"duration_ms\":1,\"text\":{{\"input\":\"{text}\"}}}}",
            Wall::now().as_us()
        );
        post(&mut stream, &event);
    }
}

fn quantile(times: &mut [Duration], per_mille: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * per_mille / 1_000).min(times.len() - 1)]
}
