//! Bodies made to cost the receiver memory: each is refused, and none costs more than a plain body.

use std::io::Write as _;

use event::limits::BODY_BYTES_MAX;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::gatemeter::{Place, post};
use crate::totals::event;

/// What all bombs together may add to the resident memory, in bytes.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;
/// Senders at once.
const SENDERS: usize = 4;
/// Bombs of each kind from each sender.
const ROUNDS: usize = 10;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// A frame that does not say how large it is.
fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(plain, 3).expect("memory takes it")
}

#[test]
fn bombs_are_refused_and_cost_less_than_16_mib() {
    let place = Place::new();
    let running = place.start();
    let send = |encoding: &str, body: &[u8]| {
        let header = format!("content-encoding: {encoding}");
        post(place.ingest, "/v1/events", &[&header], body).expect("an answer")
    };
    let good = event("good", "wechat").to_string().into_bytes();
    for (encoding, body) in [("gzip", gzip(&good)), ("zstd", zstd(&good))] {
        assert_eq!(send(encoding, &body).status, 200);
    }
    // Blanks by the hundred million shrink to a thousandth; those with a digit here and there to
    // a hundredth, so that unpacking goes on to the last byte that is allowed.
    let blanks = vec![b' '; 128 * 1024 * 1024];
    let mut digits = vec![b' '; BODY_BYTES_MAX + 1];
    let mut state: u32 = 7;
    for byte in digits.iter_mut().step_by(32) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = b'0' + (state >> 29) as u8;
    }
    let bombs = [
        ("gzip", gzip(&blanks)),
        ("zstd", zstd(&blanks)),
        ("gzip", gzip(&digits)),
        ("zstd", zstd(&digits)),
        ("gzip", gzip(&gzip(&blanks))),
        ("zstd", zstd(&zstd(&blanks))),
    ];
    let n_sends = ROUNDS * bombs.len();
    let before = running.memory("VmRSS");
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                for (bomb_idx, (encoding, body)) in bombs.iter().enumerate().cycle().take(n_sends) {
                    let answer = send(encoding, body);
                    // In two layers it is no JSON, if it is not too much already.
                    let is_refused =
                        answer.status == 413 || (bomb_idx >= 4 && answer.status == 400);
                    assert!(is_refused, "bomb {bomb_idx}: {} {}", answer.status, answer.body);
                }
            });
        }
    });
    let growth = running.memory("VmHWM").saturating_sub(before);
    assert!(growth < GROWTH_MAX, "resident memory grew by {growth} bytes");
    assert_eq!(send("gzip", &gzip(&good)).status, 200);
    place.wait_events("duplicate", 2);
    place.recount();
}
