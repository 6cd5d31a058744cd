//! Retention, and what happens when space runs out.

use super::*;

#[tokio::test]
async fn offsets_go_on_after_retention_emptied_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    queue.append(vec![record("a"), record("b"), record("c")]).await.unwrap();
    let report = queue.retain(0, 3, i64::MAX).await.unwrap();
    assert_eq!((report.deleted, report.low, report.more), (3, 3, false));
    assert_eq!(queue.bytes(), 0);
    queue.close().await;

    let queue = open(temp.path()).await;
    let ends = queue.watermarks(0).await.unwrap();
    assert_eq!((ends.low, ends.high), (3, 3));
    assert_eq!(queue.append(vec![record("d")]).await.unwrap()[0].offset, 3);
    assert!(matches!(queue.read(0, 1, 1).await, Err(QueueError::Gap { low: 3 })));
    assert_eq!(queue.read(0, 3, 1).await.unwrap()[0].bytes, "d");
    queue.close().await;
}

#[tokio::test]
async fn retention_never_passes_the_floor() {
    let temp = tempfile::tempdir().unwrap();
    let tiny = EmbeddedOptions { bytes_max: 200, ..options() };
    let queue = open_with(temp.path(), tiny, Internals::default()).await.unwrap();
    let calls: Vec<Append> = (0..4).map(|n| record(payload(n, 10))).collect();
    queue.append(calls).await.unwrap();
    assert_eq!(queue.refusing(), None);
    assert!(matches!(queue.append(vec![record("more")]).await, Err(QueueError::Full)));
    assert!(queue.refusing().unwrap().contains("bytes_max"));
    assert_eq!(queue.retain(0, 0, i64::MAX).await.unwrap().deleted, 0);
    assert!(matches!(queue.append(vec![record("more")]).await, Err(QueueError::Full)));
    assert_eq!(queue.retain(0, 2, i64::MAX).await.unwrap().low, 2);
    assert_eq!(queue.refusing(), None, "retention made room");
    assert_eq!(queue.append(vec![record("more")]).await.unwrap()[0].offset, 4);
    queue.close().await;
}

#[tokio::test]
async fn large_retention_ends_at_its_bound_and_goes_on_when_called_again() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    let n_records = 20_000;
    for _ in 0..10 {
        queue.append(vec![record("x"); n_records / 10]).await.unwrap();
    }
    let first = queue.retain(0, u64::MAX, i64::MAX).await.unwrap();
    assert_eq!((first.deleted, first.more), (16 * 1_024, true));
    let second = queue.retain(0, u64::MAX, i64::MAX).await.unwrap();
    assert_eq!((second.low, second.more), (n_records as u64, false));
    queue.close().await;
}

#[tokio::test]
async fn full_disk_is_answered_and_reads_go_on_and_appends_come_back() {
    let temp = tempfile::tempdir().unwrap();
    let internals = Internals { pages_max: Some(16), ..Internals::default() };
    let queue = open_with(temp.path(), options(), internals).await.unwrap();
    let mut n_acked = 0;
    let error = loop {
        match queue.append(vec![record(payload(n_acked, 9_000)), record("x")]).await {
            Ok(_) => n_acked += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, QueueError::DiskFull), "{error}");
    assert!(n_acked > 10);
    assert!(!*queue.fatal().borrow());
    let again = queue.append(vec![record(payload(0, 9_000))]).await;
    assert!(matches!(again, Err(QueueError::DiskFull)));
    let records = read_all(&queue).await.unwrap();
    assert_eq!(records.len() as u64, n_acked * 2);
    assert!(records.iter().all(|r| r.intact));
    assert_eq!(queue.retain(0, n_acked, i64::MAX).await.unwrap().deleted, n_acked);
    let position = queue.append(vec![record(payload(1, 9_000))]).await.unwrap()[0];
    assert_eq!(position.offset, n_acked * 2);
    queue.close().await;
}

#[tokio::test]
async fn appends_stop_before_the_reserve_of_the_disk_is_touched() {
    let temp = tempfile::tempdir().unwrap();
    let greedy = EmbeddedOptions { disk_reserve_bytes: u64::MAX, ..options() };
    let queue = open_with(temp.path(), greedy, Internals::default()).await.unwrap();
    assert!(matches!(queue.append(vec![record("a")]).await, Err(QueueError::DiskFull)));
    assert_eq!(queue.watermarks(0).await.unwrap().high, 0);
    assert!(!*queue.fatal().borrow());
    queue.close().await;
}

#[tokio::test]
async fn calls_beyond_the_bytes_that_may_wait_are_refused_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    // The writer cannot commit while a stranger holds the write lock.
    let mut conn = stranger(temp.path()).await;
    sql(&mut conn, "BEGIN IMMEDIATE").await;
    let half = Bytes::from(vec![7; crate::APPEND_BYTES_MAX / 2]);
    // Polled in this order: the first two take all the room, the third meets none.
    let (first, second, third, ()) = tokio::join!(
        biased;
        queue.append(vec![record(half.clone())]),
        queue.append(vec![record(half)]),
        queue.append(vec![record("x")]),
        sql(&mut conn, "ROLLBACK"),
    );
    assert_eq!((first.unwrap().len(), second.unwrap().len()), (1, 1));
    assert!(matches!(third, Err(QueueError::Full)));
    queue.append(vec![record("room again")]).await.unwrap();
    queue.close().await;
}
