//! The write-ahead log stays bounded, and no reader makes the writer wait.

use std::time::Instant;

use super::*;
use crate::checkpoint::CheckpointLimits;
use crate::limits::WAL_KEEP_BYTES;

/// Longest that one append may take beside a long reader.
const STALL_MAX: Duration = Duration::from_secs(1);

async fn append_some(queue: &Queue, n_calls: u64) -> Duration {
    let mut longest = Duration::ZERO;
    for n in 0..n_calls {
        let started = Instant::now();
        queue.append(vec![record(payload(n, 64 << 10))]).await.unwrap();
        longest = longest.max(started.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_is_copied_back_as_it_grows() {
    let temp = tempfile::tempdir().unwrap();
    let checkpoint = CheckpointLimits { every_bytes: 256 << 10, inline_bytes_max: 1 << 20 };
    let internals = Internals { checkpoint, ..Internals::default() };
    let queue = open_with(temp.path(), options(), internals).await.unwrap();
    append_some(&queue, 200).await;
    let wal_bytes = queue.wal_bytes();
    assert!(wal_bytes < 2 << 20, "{wal_bytes} bytes after 12 MiB of appends");
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_reader_does_not_stall_the_writer_and_its_backlog_is_copied_back_later() {
    let temp = tempfile::tempdir().unwrap();
    let checkpoint = CheckpointLimits { every_bytes: 128 << 10, inline_bytes_max: 512 << 10 };
    let internals = Internals { checkpoint, ..Internals::default() };
    let queue = open_with(temp.path(), options(), internals).await.unwrap();
    queue.append(vec![record("a")]).await.unwrap();
    let mut reader = stranger(temp.path()).await;
    sql(&mut reader, "BEGIN").await;
    sql(&mut reader, "SELECT count(*) FROM log").await;
    let longest = append_some(&queue, 400).await;
    assert!(longest < STALL_MAX, "an append took {longest:?}");
    let grown = queue.wal_bytes();
    assert!(grown > 20 << 20, "the reader was expected to hold the log back: {grown}");
    let n_seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM log").fetch_one(&mut reader).await.unwrap();
    assert_eq!(n_seen, 1, "the reader keeps its snapshot");
    sql(&mut reader, "COMMIT").await;

    // The log starts over once the backlog is copied back: it grows no more.
    let starts_over = async {
        loop {
            let longest = append_some(&queue, 4).await;
            assert!(longest < STALL_MAX, "an append took {longest:?}");
            let before = wal_salt(temp.path());
            append_some(&queue, 4).await;
            if wal_salt(temp.path()) != before {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, starts_over).await.unwrap();
    assert!(queue.wal_bytes() <= WAL_KEEP_BYTES);
    assert_eq!(
        read_all(&queue).await.unwrap().len() as u64,
        queue.watermarks(0).await.unwrap().high
    );
    queue.close().await;
}

/// The first salt in the header of the write-ahead log: it changes when the log starts over.
fn wal_salt(dir: &Path) -> [u8; 4] {
    let wal = std::fs::read(dir.join(schema::WAL_FILE)).unwrap();
    wal[16..20].try_into().unwrap()
}
