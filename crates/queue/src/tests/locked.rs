//! Locks that another process holds on the log's file: callers wait, then get an error; nothing
//! ends.

use std::time::Instant;

use super::*;
use crate::LOCK_WAIT_MAX;

/// Waits until the queue reports this as the reason to refuse appends.
async fn wait_refusing(queue: &Queue, is_so: impl Fn(Option<&'static str>) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so(queue.refusing()) {
        assert!(Instant::now() < end, "still {:?}", queue.refusing());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn lock(dir: &Path) -> SqliteConnection {
    let mut conn = stranger(dir).await;
    sql(&mut conn, "BEGIN IMMEDIATE").await;
    conn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_wait_for_a_lock_and_are_refused_while_it_lasts() {
    let temp = tempfile::tempdir().unwrap();
    let queue = Arc::new(open(temp.path()).await);
    queue.append(vec![record("before")]).await.unwrap();
    let mut held = lock(temp.path()).await;
    let began = Instant::now();
    let waits = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.append(vec![record("waits")]).await }
    });
    wait_refusing(&queue, |why| why.is_some_and(|why| why.contains("locked"))).await;
    assert!(!waits.is_finished(), "a lock of a second is waited for");
    sql(&mut held, "ROLLBACK").await;
    assert_eq!(waits.await.unwrap().unwrap()[0].offset, 1);
    assert_eq!(queue.refusing(), None);
    assert!(began.elapsed() < LOCK_WAIT_MAX);

    sql(&mut held, "BEGIN EXCLUSIVE").await;
    let error = queue.append(vec![record("refused")]).await.unwrap_err();
    assert!(matches!(error, QueueError::Locked), "{error}");
    let began = Instant::now();
    for _ in 0..3 {
        let error = queue.append(vec![record("refused")]).await.unwrap_err();
        assert!(error.is_locked() && !error.is_storage(), "{error}");
        let error = queue.retain(0, 1, i64::MAX).await.unwrap_err();
        assert!(matches!(error, QueueError::Locked), "{error}");
    }
    assert!(began.elapsed() < LOCK_WAIT_MAX, "nobody waits for a lock that has lasted");
    assert_eq!(read_all(&queue).await.unwrap().len(), 2, "reads go on");
    assert!(!*queue.fatal().borrow());
    sql(&mut held, "ROLLBACK").await;
    assert_eq!(queue.append(vec![record("after")]).await.unwrap()[0].offset, 2);
    assert_eq!(queue.retain(0, 1, i64::MAX).await.unwrap().low, 1);
    queue.close().await;
}

#[tokio::test]
async fn a_lock_is_reported_without_appends_and_a_queue_can_be_closed_under_it() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    let mut held = lock(temp.path()).await;
    wait_refusing(&queue, |why| why.is_some()).await;
    sql(&mut held, "ROLLBACK").await;
    wait_refusing(&queue, |why| why.is_none()).await;
    sql(&mut held, "BEGIN IMMEDIATE").await;
    tokio::time::timeout(DEADLINE, queue.close()).await.unwrap();
    assert!(!*queue.fatal().borrow());
}

#[tokio::test]
async fn a_file_that_somebody_holds_for_himself_is_not_opened_now_but_later() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    queue.append(vec![record("a")]).await.unwrap();
    queue.close().await;
    let mut held = stranger(temp.path()).await;
    sql(&mut held, "PRAGMA locking_mode = EXCLUSIVE").await;
    sql(&mut held, "BEGIN IMMEDIATE").await;
    sql(&mut held, "UPDATE meta SET low = low").await;
    let error = Queue::open_embedded(temp.path(), options()).await.unwrap_err();
    assert!(error.is_locked(), "{error:?}");
    drop(held);
    let end = Instant::now() + DEADLINE;
    let queue = loop {
        match Queue::open_embedded(temp.path(), options()).await {
            Ok(queue) => break queue,
            Err(error) => assert!(error.is_locked() && Instant::now() < end, "{error:?}"),
        }
    };
    assert_eq!(read_all(&queue).await.unwrap().len(), 1);
    queue.close().await;
}

#[tokio::test]
async fn a_stale_snapshot_of_a_stranger_is_his_matter_and_a_lock_by_class() {
    let temp = tempfile::tempdir().unwrap();
    let queue = open(temp.path()).await;
    queue.append(vec![record("a")]).await.unwrap();
    let mut held = stranger(temp.path()).await;
    sql(&mut held, "BEGIN").await;
    sql(&mut held, "SELECT count(*) FROM log").await;
    queue.append(vec![record("b")]).await.unwrap();
    let error = sqlx::query("UPDATE meta SET low = low").execute(&mut held).await.unwrap_err();
    assert_eq!(crate::SqliteClass::of(&error), crate::SqliteClass::Locked, "{error}");
    sql(&mut held, "ROLLBACK").await;
    assert_eq!(queue.append(vec![record("c")]).await.unwrap()[0].offset, 2);
    queue.close().await;
}
