//! Topics that were cut, made anew, or written by strangers; and readers that are slow.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;
use crate::limits::HANDOFF_BYTES_MAX;
use crate::tests::contract::read_up_to;

/// Reads again and again until the answer is as expected.
async fn read_until(queue: &Queue, from: u64, expected: impl Fn(&QueueError) -> bool) {
    let seen = async {
        loop {
            match queue.read(0, from, 1).await {
                Err(error) if expected(&error) => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, seen).await.expect("the expected answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_retention_overtakes_gets_a_gap() {
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    producer.append(vec![record("a"), record("b")]).await.unwrap();
    read_up_to(&consumer, 0, 0..2).await;
    // The consumer stands at 2 and is kept from fetching by nothing; what it has not read goes.
    consumer.read(0, 0, 1).await.unwrap();
    producer.append((0..50).map(|seed| record(payload(seed, 10))).collect()).await.unwrap();
    topic.delete_before(0, 40).await;
    read_until(&consumer, 30, |error| matches!(error, QueueError::Gap { low: 40 })).await;
    assert_eq!(read_up_to(&consumer, 0, 40..52).await.len(), 12);
    producer.close().await;
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_that_was_made_anew_is_seen_by_its_id() {
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    producer.append((0..5).map(|seed| record(payload(seed, 10))).collect()).await.unwrap();
    producer.close().await;
    read_up_to(&consumer, 0, 0..5).await;
    let deleted = topic.admin().delete_topics(&[&topic.options.topic()], &AdminOptions::new());
    deleted.await.unwrap().into_iter().for_each(|result| assert_eq!(result.map(drop), Ok(())));
    let made_again = async {
        // The name is free some time after the brokers have acknowledged the deletion.
        loop {
            match Queue::open_kafka_producer(&topic.options).await {
                Ok(producer) => return producer,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let producer = tokio::time::timeout(DEADLINE, made_again).await.unwrap();
    producer.append(vec![record("new")]).await.unwrap();
    read_until(&consumer, 5, |error| matches!(error, QueueError::Remade { .. })).await;
    let error = consumer.read(0, 0, 1 << 20).await.unwrap_err();
    assert!(matches!(error, QueueError::Remade { .. }), "nothing of it is read: {error}");
    consumer.trust(0);
    read_until(&consumer, 5, |error| matches!(error, QueueError::PastEnd { high: 1 })).await;
    let ends = consumer.watermarks(0).await.unwrap();
    assert_eq!((ends.low, ends.high), (0, 1));
    assert_eq!(read_up_to(&consumer, 0, 0..1).await[0].bytes, "new");
    producer.close().await;
    consumer.close().await;
}

/// A stranger's transaction: its end takes an offset that no reader is ever given.
fn write_in_a_transaction(topic: &Topic) {
    let mut config = topic.config();
    config.set("transactional.id", topic.options.topic());
    let stranger: BaseProducer = config.create().unwrap();
    let name = topic.options.topic();
    stranger.init_transactions(DEADLINE).unwrap();
    stranger.begin_transaction().unwrap();
    stranger.send(BaseRecord::<(), str>::to(&name).partition(0).payload("foreign")).unwrap();
    stranger.commit_transaction(DEADLINE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hole_in_the_offsets_is_noticed_and_never_skipped() {
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    producer.append(vec![record("ours")]).await.unwrap();
    tokio::task::block_in_place(|| write_in_a_transaction(&topic));
    let ended = async {
        // Its end is written some time after the commit was acknowledged.
        while producer.watermarks(0).await.unwrap().high < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("the transaction ends");
    assert_eq!(producer.append(vec![record("behind")]).await.unwrap()[0].offset, 3);
    let before = read_up_to(&consumer, 0, 0..2).await;
    assert_eq!((&before[0].bytes[..], &before[1].bytes[..]), (&b"ours"[..], &b"foreign"[..]));
    for _ in 0..2 {
        read_until(&consumer, 2, |e| matches!(e, QueueError::Hole { offset: 2, next: 3 })).await;
    }
    assert_eq!(read_up_to(&consumer, 0, 3..4).await[0].bytes, "behind");
    let reader = topic.reader().await;
    assert_eq!(reader.read(0, 1, usize::MAX).await.unwrap().len(), 1);
    let error = reader.read(0, 2, 1).await.unwrap_err();
    assert!(matches!(error, QueueError::Hole { offset: 2, next: 3 }), "{error}");
    reader.close().await;
    producer.close().await;
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_holds_a_bounded_number_of_bytes_and_misses_nothing() {
    const N: u64 = 96;
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    let size = 4 * HANDOFF_BYTES_MAX / N as usize;
    for n in 0..N {
        producer.append(vec![record(payload(n, size))]).await.unwrap();
    }
    for from in [0, 11] {
        consumer.read(0, from, 1).await.unwrap();
        let full = async {
            while consumer.bytes() < HANDOFF_BYTES_MAX as u64 {
                let mut end = consumer.subscribe(0);
                end.changed().await.unwrap();
            }
        };
        tokio::time::timeout(DEADLINE, full).await.expect("the place fills up");
    }
    let records = read_up_to(&consumer, 0, 12..N).await;
    assert!(records.iter().zip(12..).all(|(found, n)| found.bytes == payload(n, size)));
    assert_eq!(consumer.bytes(), 0);
    producer.close().await;
    consumer.close().await;
}

/// A client that stops fetching reports nothing, so that only a look at the ends can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_whose_client_delivers_nothing_is_fetched_again() {
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    let append = async |n| producer.append(vec![record(payload(n, 9))]).await.unwrap();
    append(0).await;
    assert_eq!(read_up_to(&consumer, 0, 0..1).await[0].bytes, payload(0, 9));
    let Queue::Kafka(kafka) = &consumer else { panic!("not on Kafka") };
    kafka.stop_fetching(0);
    for n in 1..4 {
        append(n).await;
    }
    let records = read_up_to(&consumer, 0, 1..4).await;
    assert!(records.iter().zip(1..).all(|(found, n)| found.bytes == payload(n, 9)));
    producer.close().await;
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_alone_reads_every_partition_and_joins_no_group() {
    let topic = Topic::new(3);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    for n in 0..30u64 {
        let (partition, bytes) = ((n % 3) as u32, payload(n, 40));
        producer.append(vec![Append { partition, bytes }]).await.unwrap();
    }
    let reader = topic.reader().await;
    assert_eq!((reader.generation(), reader.partitions()), (topic.options.generation, 3));
    for partition in [2, 0, 1] {
        let mut next = 0;
        loop {
            let piece = reader.read(partition, next, 100).await.unwrap();
            if piece.is_empty() {
                break;
            }
            for found in piece {
                assert_eq!(found.bytes, payload(found.offset * 3 + u64::from(partition), 40));
                next = found.offset + 1;
            }
        }
        assert_eq!((next, reader.watermarks(partition).await.unwrap().high), (10, 10));
        let error = reader.read(partition, 11, 1).await.unwrap_err();
        assert!(matches!(error, QueueError::PastEnd { high: 10 }), "{error}");
    }
    // The consumer has lost nothing by it.
    for partition in 0..3 {
        assert_eq!(read_up_to(&consumer, partition, 0..10).await.len(), 10);
    }
    reader.close().await;
    producer.close().await;
    consumer.close().await;
}
