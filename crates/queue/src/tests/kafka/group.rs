//! Several consumers share the partitions: one has a partition, and the others know that they
//! have not.

use std::collections::BTreeSet;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::*;
use crate::tests::contract::read_up_to;

/// Partitions that a queue can read now.
async fn held(queue: &Queue) -> BTreeSet<u32> {
    let mut held = BTreeSet::new();
    for partition in 0..queue.partitions() {
        match queue.read(partition, 0, 1).await {
            Ok(_) => {
                held.insert(partition);
            }
            Err(QueueError::NotAssigned { .. }) => {}
            Err(error) => panic!("partition {partition}: {error}"),
        }
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_go_to_a_second_consumer_and_come_back_when_it_leaves() {
    let topic = Topic::new(4);
    let producer = topic.producer().await;
    for partition in 0..4 {
        let made = (0..5).map(|n| Append { partition, bytes: payload(n, 20) });
        producer.append(made.collect()).await.unwrap();
    }
    let first = topic.consumer().await;
    assert_eq!(held(&first).await.len(), 4);
    let second = Queue::open_kafka_consumer(&topic.options).await.unwrap();
    let shared = async {
        loop {
            let (ours, theirs) = (held(&first).await, held(&second).await);
            if ours.len() == 2 && theirs.len() == 2 {
                return (ours, theirs);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (ours, theirs) = tokio::time::timeout(DEADLINE, shared).await.expect("it is shared");
    assert!(ours.is_disjoint(&theirs));
    for partition in &theirs {
        assert_eq!(read_up_to(&second, *partition, 2..5).await.len(), 3);
    }
    let lost = *theirs.first().unwrap();
    let error = first.read(lost, 5, 1).await.unwrap_err();
    assert!(matches!(error, QueueError::NotAssigned { partition } if partition == lost));
    second.close().await;
    tokio::time::timeout(DEADLINE, first.assigned(lost)).await.expect("it is back").unwrap();
    assert_eq!(read_up_to(&first, lost, 0..5).await.len(), 5);
    first.close().await;
    assert!(matches!(first.assigned(lost).await, Err(QueueError::Closed)));
    producer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counted_offsets_are_shown_to_tools_and_never_read() {
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    producer.append(vec![record("a"), record("b"), record("c")]).await.unwrap();
    read_up_to(&consumer, 0, 0..3).await;
    consumer.commit_offset(0, 2);
    consumer.close().await;
    let mut config = topic.config();
    config.set("group.id", format!("gatemeter.aggregator.g{}", topic.options.generation));
    let tool: BaseConsumer = config.create().unwrap();
    let shown = async {
        loop {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic.options.topic(), 0);
            let found = tokio::task::block_in_place(|| tool.committed_offsets(list, DEADLINE));
            if found.unwrap().elements()[0].offset() == Offset::Offset(2) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, shown).await.expect("tools see it");
    let consumer = topic.consumer().await;
    assert_eq!(
        read_up_to(&consumer, 0, 0..3).await.len(),
        3,
        "reading starts where the reader asks"
    );
    let lag = async {
        while consumer.high(0) != 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, lag).await.expect("the end is known");
    consumer.close().await;
    producer.close().await;
}
