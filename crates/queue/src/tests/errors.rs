//! The answers of the queue when something is wrong with a call, the clock or the writer.

use super::*;
use crate::limits::{APPEND_BYTES_MAX, CLOCK_BACK_US_MAX};

const MINUTE_US: i64 = 60_000_000;

#[tokio::test]
async fn linked_sqlite_is_new_enough() {
    let temp = tempfile::tempdir().unwrap();
    let mut conn = stranger(temp.path()).await;
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut conn).await.unwrap();
    println!("sqlite {version}");
    schema::check_sqlite_version(&version).unwrap();
}

#[tokio::test]
async fn calls_that_can_never_work_are_refused_without_a_write() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    let elsewhere = Append { partition: 1, bytes: Bytes::from_static(b"x") };
    let error = queue.append(vec![record("a"), elsewhere]).await.unwrap_err();
    assert!(matches!(error, QueueError::Partition { partition: 1, partitions: 1 }));
    let large = Bytes::from(vec![0; APPEND_BYTES_MAX]);
    let error = queue.append(vec![record(large), record("a")]).await.unwrap_err();
    assert!(matches!(error, QueueError::TooLarge { .. }));
    assert!(matches!(queue.read(7, 0, 1).await, Err(QueueError::Partition { .. })));
    assert!(matches!(queue.watermarks(7).await, Err(QueueError::Partition { .. })));
    assert!(matches!(queue.retain(7, 0, 0).await, Err(QueueError::Partition { .. })));
    assert!(matches!(queue.read(0, 1, 1).await, Err(QueueError::PastEnd { high: 0 })));
    assert!(matches!(queue.read(0, u64::MAX, 1).await, Err(QueueError::PastEnd { high: 0 })));
    assert_eq!(queue.append(Vec::new()).await.unwrap(), Vec::new());
    assert_eq!(queue.watermarks(0).await.unwrap().high, 0);
    queue.close().await;
}

#[tokio::test]
async fn jump_of_the_wall_clock_stops_appends_until_it_is_accepted() {
    let temp = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let queue = open_with(temp.path(), options(), clock.internals()).await.unwrap();
    queue.append(vec![record("before")]).await.unwrap();
    clock.step(-4 * MINUTE_US);
    let position = queue.append(vec![record("earlier, and within F")]).await.unwrap()[0];
    assert_eq!(position.append_time_us, START_US - 4 * MINUTE_US, "the time is not clamped");
    clock.step(-10 * MINUTE_US);
    let error = queue.append(vec![record("refused")]).await.unwrap_err();
    assert!(matches!(error, QueueError::Clock { .. }), "{error}");
    assert!(matches!(queue.retain(0, 2, i64::MAX).await, Err(QueueError::Clock { .. })));
    assert_eq!(queue.read(0, 0, usize::MAX).await.unwrap().len(), 2, "reads go on");
    assert!(!*queue.fatal().borrow());
    queue.close().await;

    let queue = open_with(temp.path(), options(), clock.internals()).await.unwrap();
    let error = queue.append(vec![record("refused")]).await.unwrap_err();
    assert!(matches!(error, QueueError::Clock { .. }), "{error}");
    queue.close().await;

    let accepting = EmbeddedOptions { accept_clock: true, ..options() };
    let queue = open_with(temp.path(), accepting, clock.internals()).await.unwrap();
    assert_eq!(queue.append(vec![record("accepted")]).await.unwrap()[0].offset, 2);
    queue.close().await;
}

#[tokio::test]
async fn last_append_time_outlives_the_records() {
    let temp = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let queue = open_with(temp.path(), options(), clock.internals()).await.unwrap();
    queue.append(vec![record("a")]).await.unwrap();
    assert_eq!(queue.retain(0, 1, i64::MAX).await.unwrap().deleted, 1);
    queue.close().await;
    clock.step(-CLOCK_BACK_US_MAX - 1);
    let queue = open_with(temp.path(), options(), clock.internals()).await.unwrap();
    assert!(matches!(queue.append(vec![record("b")]).await, Err(QueueError::Clock { .. })));
    queue.close().await;
}

#[tokio::test]
async fn failed_write_stops_the_writer_for_good_and_reads_go_on() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    queue.append(vec![record("a")]).await.unwrap();
    sql(&mut stranger(temp.path()).await, "ALTER TABLE meta RENAME COLUMN bytes TO gone").await;
    assert!(matches!(queue.append(vec![record("b")]).await, Err(QueueError::Fatal)));
    tokio::time::timeout(DEADLINE, queue.fatal().wait_for(|f| *f)).await.unwrap().unwrap();
    assert!(matches!(queue.append(vec![record("c")]).await, Err(QueueError::Fatal)));
    assert!(matches!(queue.retain(0, 0, 0).await, Err(QueueError::Fatal)));
    assert_eq!(read_all(&queue).await.unwrap().len(), 1, "nothing of the failed call is there");
    queue.close().await;
}

#[tokio::test]
async fn offset_taken_by_a_stranger_stops_the_writer() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    queue.append(vec![record("a")]).await.unwrap();
    let insert = "INSERT INTO log (append_time_us, crc32c, bytes) VALUES (1, 1, x'00')";
    sql(&mut stranger(temp.path()).await, insert).await;
    assert!(matches!(queue.append(vec![record("b")]).await, Err(QueueError::Fatal)));
    assert!(*queue.fatal().borrow());
    assert_eq!(*queue.subscribe(0).borrow(), 1);
    queue.close().await;
}

#[tokio::test]
async fn closed_queue_refuses_calls_and_is_not_fatal() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    queue.append(vec![record("a")]).await.unwrap();
    queue.close().await;
    assert!(matches!(queue.append(vec![record("b")]).await, Err(QueueError::Closed)));
    assert!(matches!(queue.read(0, 0, 1).await, Err(QueueError::Closed)));
    assert!(!*queue.fatal().borrow());
    assert_eq!(queue.wal_bytes(), 0, "a clean close leaves nothing in the write-ahead log");
}

#[tokio::test]
async fn reader_sees_commits_of_the_writer_and_needs_a_log() {
    let temp = tempfile::tempdir().unwrap();
    let missing = Queue::open_embedded_read_only(temp.path()).await.unwrap_err();
    assert!(matches!(missing, QueueError::Missing { .. }));
    let queue = open(temp.path()).await;
    let reader = Queue::open_embedded_read_only(temp.path()).await.unwrap();
    assert_eq!((reader.generation(), reader.partitions()), (1, 1));
    for n in 0..3 {
        queue.append(vec![record("a")]).await.unwrap();
        assert_eq!(reader.watermarks(0).await.unwrap().high, n + 1);
        assert_eq!(reader.read(0, n, 1).await.unwrap().len(), 1);
    }
    queue.close().await;
    assert_eq!(reader.read(0, 0, usize::MAX).await.unwrap().len(), 3);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn append_given_up_by_its_caller_is_wholly_in_or_not_in() {
    const CALL: usize = 5;
    let temp = tempfile::tempdir().unwrap();
    let queue = Arc::new(open(temp.path()).await);
    let mut calls = tokio::task::JoinSet::new();
    let mut n_acked = 0;
    for n in 0..200u64 {
        let queue = Arc::clone(&queue);
        let records = (0..CALL).map(|_| record(payload(n, 300))).collect();
        let call = calls.spawn(async move { queue.append(records).await.unwrap().len() });
        if n % 3 == 0 {
            tokio::task::yield_now().await;
            call.abort();
        }
    }
    while let Some(call) = calls.join_next().await {
        n_acked += call.unwrap_or(0);
    }
    let records = read_all(&queue).await.unwrap();
    assert!(records.len() >= n_acked);
    for call in records.chunks(CALL) {
        assert_eq!(call.len(), CALL);
        assert!(call.iter().all(|r| r.bytes == call[0].bytes), "calls are not mixed");
    }
    queue.close().await;
}
