//! Tests of the whole queue, through its public calls and a second connection to its file.
//! The helpers here open queues in folders of their own and wait with a deadline.

mod broker;
mod contract;
mod crash;
mod damage;
mod errors;
mod kafka;
mod locked;
mod model;
mod space;
mod wal;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sqlx::sqlite::SqliteConnection;

use crate::clock::{ClockSource, Reading};
use crate::embedded::{Embedded, Internals};
use crate::{Append, EmbeddedOptions, Queue, QueueError, Record, schema};

/// Longest time that a test waits for a state.
const DEADLINE: Duration = Duration::from_secs(60);

/// Wall time at which the tests' own clock starts, in microseconds.
const START_US: i64 = 1_700_000_000_000_000;

/// Options that ask nothing of the machine's disk.
fn options() -> EmbeddedOptions {
    EmbeddedOptions { disk_reserve_bytes: 0, ..EmbeddedOptions::default() }
}

async fn open(dir: &Path) -> Queue {
    Queue::open_embedded(dir, options()).await.unwrap()
}

async fn open_with(
    dir: &Path,
    options: EmbeddedOptions,
    internals: Internals,
) -> Result<Queue, QueueError> {
    Embedded::open(dir, options, internals).await.map(Queue::Embedded)
}

/// A clock that stands until a test moves it.
#[derive(Clone)]
struct TestClock(Arc<Mutex<Reading>>);

impl TestClock {
    fn new() -> TestClock {
        TestClock(Arc::new(Mutex::new(Reading { wall_us: START_US, boot_us: 1_000_000 })))
    }

    fn source(&self) -> ClockSource {
        ClockSource::Fixed(Arc::clone(&self.0))
    }

    fn internals(&self) -> Internals {
        Internals { clock: self.source(), ..Internals::default() }
    }

    /// Time passes on both clocks.
    fn pass(&self, us: i64) {
        let mut now = self.0.lock().unwrap();
        now.wall_us += us;
        now.boot_us += us;
    }

    /// Somebody sets the wall clock.
    fn step(&self, us: i64) {
        self.0.lock().unwrap().wall_us += us;
    }

    fn wall_us(&self) -> i64 {
        self.0.lock().unwrap().wall_us
    }
}

/// A connection beside the queue's own, to damage its file or hold a snapshot.
async fn stranger(dir: &Path) -> SqliteConnection {
    schema::connect_writer(dir).await.unwrap()
}

async fn sql(conn: &mut SqliteConnection, statement: &'static str) {
    sqlx::query(statement).execute(conn).await.unwrap();
}

fn record(bytes: impl Into<Bytes>) -> Append {
    Append { partition: 0, bytes: bytes.into() }
}

/// Bytes that are the same for the same seed and differ for any other.
fn payload(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(byte).collect()
}

/// Everything from the low end to the high end, read piece by piece.
async fn read_all(queue: &Queue) -> Result<Vec<Record>, QueueError> {
    let ends = queue.watermarks(0).await?;
    let mut records: Vec<Record> = Vec::new();
    let mut next = ends.low;
    while next < ends.high {
        let piece = queue.read(0, next, 64 << 10).await?;
        assert!(!piece.is_empty(), "nothing at {next}, before the end at {}", ends.high);
        for found in &piece {
            assert_eq!(found.offset, next);
            next += 1;
        }
        records.extend(piece);
    }
    assert_eq!(queue.read(0, ends.high, 1).await?, Vec::new());
    Ok(records)
}
