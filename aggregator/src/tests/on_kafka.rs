//! The role on a real Kafka topic: counted once, across restarts and while partitions come and go.

use std::time::Duration;

use queue::{Append, KafkaOptions, Queue, QueueError};
use store::Store;

use super::broker::Broker;
use super::running::{DEADLINE, Running, frame_for, key};

const PARTITIONS: u32 = 2;

/// A topic of a test's own, with two partitions.
fn topic(generation: u32) -> KafkaOptions {
    KafkaOptions {
        brokers: Broker::shared().address(),
        generation,
        partitions: PARTITIONS,
        replication_factor: 1,
        ..KafkaOptions::default()
    }
}

/// One frame per partition with the ids of a range that belong to it.
fn frames(ids: std::ops::Range<u32>) -> Vec<Append> {
    let of = |partition| ids.clone().filter(move |id| key(*id).partition(PARTITIONS) == partition);
    (0..PARTITIONS).map(|partition| frame_for(partition, of(partition))).collect()
}

/// Waits until the ledger has counted so many events of partitions that are named.
async fn counted(store: &Store, partitions: &[u32], expected: i64) {
    let look = async {
        loop {
            let snapshot = store.snapshot().await.expect("a snapshot");
            let rows = snapshot.partitions.iter();
            let of_these = rows.filter(|row| partitions.contains(&row.partition));
            if of_these.map(|row| row.progress.account.counted).sum::<i64>() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let seen = tokio::time::timeout(DEADLINE, look).await;
    seen.unwrap_or_else(|_| panic!("not {expected} events of partitions {partitions:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_is_counted_once_and_goes_on_after_a_restart() {
    let (topic, folder) = (topic(1), tempfile::tempdir().expect("a folder"));
    let producer = Queue::open_kafka_producer(&topic).await.expect("a producer");
    producer.append(frames(0..50)).await.expect("appended");
    for round in 0..2u32 {
        let log = Queue::open_kafka_consumer(&topic).await.expect("a consumer");
        let running = Running::on(log, folder.path()).await;
        let events = 50 + round * 10;
        running.page_with(&format!("gatemeter_events_total{{class=\"counted\"}} {events}")).await;
        // Ten new ones and forty that were counted before, also before the restart.
        producer.append(frames(10 + round * 10..60 + round * 10)).await.expect("appended");
        let events = events + 10;
        running.page_with(&format!("gatemeter_events_total{{class=\"counted\"}} {events}")).await;
        let duplicates = 40 * (round + 1);
        let line = format!("gatemeter_events_total{{class=\"duplicate\"}} {duplicates}");
        running.page_with(&line).await;
        running.page_with("gatemeter_events_total{class=\"misrouted\"} 0").await;
        running.stop().await;
    }
    producer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_that_is_taken_away_is_let_go_and_counted_on_when_it_comes_back() {
    let (topic, folder) = (topic(2), tempfile::tempdir().expect("a folder"));
    let producer = Queue::open_kafka_producer(&topic).await.expect("a producer");
    let log = Queue::open_kafka_consumer(&topic).await.expect("a consumer");
    let running = Running::on(log, folder.path()).await;
    producer.append(frames(0..40)).await.expect("appended");
    counted(&running.store, &[0, 1], 40).await;
    let marks = |partition: u32, n: usize| {
        format!("gatemeter_dedup_events{{partition=\"{partition}\"}} {n}")
    };
    let of = |partition| (0..80).filter(move |id| key(*id).partition(PARTITIONS) == partition);
    for partition in 0..PARTITIONS {
        let n = of(partition).filter(|id| *id < 40).count();
        running.with("/metrics?section=process", &marks(partition, n)).await;
    }

    let other = Queue::open_kafka_consumer(&topic).await.expect("a second consumer");
    let taken = tokio::time::timeout(DEADLINE, async {
        tokio::select! {
            Ok(()) = other.assigned(0) => 0,
            Ok(()) = other.assigned(1) => 1,
        }
    });
    let taken = taken.await.expect("the second one gets a partition");
    let kept = 1 - taken;
    // Its marks hold no memory here that the others need.
    running.with("/metrics?section=process", &marks(taken, 0)).await;
    let n_kept = i64::try_from(of(kept).count()).expect("few");
    let n_taken_before = i64::try_from(of(taken).filter(|id| *id < 40).count()).expect("few");
    let appended = producer.append(frames(20..80)).await.expect("appended");
    counted(&running.store, &[kept], n_kept).await;
    counted(&running.store, &[taken], n_taken_before).await;
    let error = running.queue.read(taken, 0, 1).await.expect_err("it is another's");
    assert!(matches!(error, QueueError::NotAssigned { .. }), "{error}");
    assert_eq!(appended.len(), 2);

    other.close().await;
    counted(&running.store, &[0, 1], 80).await;
    running.page_with("gatemeter_events_total{class=\"duplicate\"} 20").await;
    running.stop().await;
    producer.close().await;
}
