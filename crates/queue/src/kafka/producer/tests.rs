//! A client that can do nothing more is replaced. The error comes from the mock broker of the
//! client library: a real one gives it only when both have lost the sequence.

use std::time::Instant;

use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

fn record(text: &'static str) -> Append {
    Append { partition: 0, bytes: Bytes::from_static(text.as_bytes()) }
}

/// Appends as one does who was refused.
async fn again(producer: &Producer) -> Vec<Position> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match producer.append(vec![record("b"), record("c")]).await {
            Ok(positions) => return positions,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_lost_its_sequence_is_replaced_and_nobody_waits_for_ever() {
    let brokers = MockCluster::new(1).expect("a mock");
    brokers.create_topic("log", 1, 1).expect("a topic");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers.bootstrap_servers());
    let (fatal, failed) = watch::channel(false);
    let topic = Topic { name: "log".to_owned(), generation: 1, partitions: 1 };
    let listener = Listener::new(fatal);
    let producer = Producer::open(topic, &config, listener, failed.clone()).expect("a producer");
    let first = producer.append(vec![record("a")]).await.expect("appended");
    for round in 1..=3 {
        let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        brokers.request_errors(RDKafkaApiKey::Produce, &[lost]);
        let refused = producer.append(vec![record("b"), record("c")]).await;
        assert!(matches!(refused, Err(QueueError::Kafka { .. })), "{refused:?}");
        // Refused as well while the error is on its way.
        let again = again(&producer).await;
        assert_eq!(again.len(), 2);
        assert!(again[0].offset > first[0].offset, "round {round}: {again:?}");
    }
    assert!(!*failed.borrow(), "the process goes on");
    assert_eq!(producer.bytes(), 0, "nothing waits");
    producer.close().await;
}
