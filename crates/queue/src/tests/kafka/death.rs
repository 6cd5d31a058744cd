//! Death of the broker: what was acknowledged before is there afterwards, exactly so.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::{APPEND_BYTES_MAX, KAFKA_RECORD_BYTES_MAX, Position};

const APPENDERS: u64 = 4;
const ACKS: usize = 200;

type Acked = Arc<Mutex<HashMap<u64, (i64, Bytes)>>>;

/// Appends until it is stopped; a failed append is not repeated, because nothing was promised.
async fn append_until(queue: Arc<Queue>, who: u64, acked: Acked, stop: Arc<AtomicBool>) -> u64 {
    let mut n_failed = 0;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let bytes = payload((who << 32) | n, 200);
        match queue.append(vec![record(bytes.clone())]).await.as_deref() {
            Ok([Position { offset, append_time_us, .. }]) => {
                let before = acked.lock().unwrap().insert(*offset, (*append_time_us, bytes));
                assert_eq!(before, None, "two records at offset {offset}");
            }
            Ok(other) => panic!("{other:?}"),
            Err(QueueError::Kafka { .. } | QueueError::Full) => n_failed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    n_failed
}

async fn more_acks(acked: &Acked, n: usize) {
    let goal = acked.lock().unwrap().len() + n;
    let come = async {
        while acked.lock().unwrap().len() < goal {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, come).await.expect("appends are acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_broker_loses_nothing_that_was_acknowledged() {
    let broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let topic = Topic::on(&broker, 1);
    let (queue, consumer) = (Arc::new(topic.producer().await), topic.consumer().await);
    let (acked, stop) = (Acked::default(), Arc::new(AtomicBool::new(false)));
    let mut appenders = tokio::task::JoinSet::new();
    for who in 0..APPENDERS {
        let (queue, acked) = (Arc::clone(&queue), Arc::clone(&acked));
        appenders.spawn(append_until(queue, who, acked, Arc::clone(&stop)));
    }
    for _ in 0..2 {
        more_acks(&acked, ACKS).await;
        tokio::task::block_in_place(|| broker.kill());
        tokio::task::block_in_place(|| broker.restart());
    }
    more_acks(&acked, ACKS).await;
    stop.store(true, Ordering::Relaxed);
    let n_failed: u64 = appenders.join_all().await.into_iter().sum();
    let acked = std::mem::take(&mut *acked.lock().unwrap());
    println!("{} acknowledged, {n_failed} failed", acked.len());
    assert!(!*queue.fatal().borrow());

    let reader = topic.reader().await;
    let high = reader.watermarks(0).await.unwrap().high;
    let (mut next, mut n_found) = (0, 0);
    while next < high {
        for found in reader.read(0, next, 1 << 20).await.unwrap() {
            assert_eq!(found.offset, next);
            if let Some((append_time_us, bytes)) = acked.get(&found.offset) {
                assert_eq!((found.append_time_us, &found.bytes), (*append_time_us, bytes));
                n_found += 1;
            }
            next += 1;
        }
    }
    assert_eq!(n_found, acked.len(), "every acknowledged record is there");
    // The consumer that lived through it reads the same log to its end.
    let records = crate::tests::contract::read_up_to(&consumer, 0, 0..high).await;
    assert_eq!(records.len() as u64, high);
    reader.close().await;
    queue.close().await;
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_beyond_the_bytes_that_may_wait_are_refused_at_once() {
    let broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let topic = Topic::on(&broker, 1);
    let queue = Arc::new(topic.producer().await);
    tokio::task::block_in_place(|| broker.kill());
    let large = Bytes::from(vec![7; KAFKA_RECORD_BYTES_MAX]);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..APPEND_BYTES_MAX / KAFKA_RECORD_BYTES_MAX {
        let (queue, record) = (Arc::clone(&queue), record(large.clone()));
        waiting.spawn(async move { queue.append(vec![record]).await });
    }
    let full = async {
        while queue.bytes() < APPEND_BYTES_MAX as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, full).await.expect("all take their room");
    let error = queue.append(vec![record("x")]).await.unwrap_err();
    assert!(matches!(error, QueueError::Full), "{error}");
    // Nobody acknowledges them: each call ends with an error within the delivery time.
    let ended = tokio::time::timeout(DEADLINE, waiting.join_all()).await.expect("they end");
    assert!(ended.iter().all(|result| matches!(result, Err(QueueError::Kafka { .. }))));
    assert_eq!(queue.bytes(), 0, "the room is free again");
    tokio::task::block_in_place(|| broker.restart());
    let position = queue.append(vec![record(large)]).await.unwrap()[0];
    assert_eq!(position.partition, 0);
    queue.close().await;
}
