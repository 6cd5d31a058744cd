//! The Kafka backend on a real broker: what only it can meet. Cases that both backends share are
//! in `contract`.

mod death;
mod group;
mod layout;
mod raw;
mod remade;
mod strange;

use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::broker::Broker;
use super::*;
use crate::{KafkaOptions, QueueReader};

/// A topic of a test's own.
pub(super) struct Topic {
    pub options: KafkaOptions,
}

impl Topic {
    /// A name on the shared broker that nobody else uses; the topic is made by whoever opens it.
    pub(super) fn new(partitions: u32) -> Topic {
        Topic::on(Broker::shared(), partitions)
    }

    pub(super) fn on(broker: &Broker, partitions: u32) -> Topic {
        static GENERATION: AtomicU32 = AtomicU32::new(1);
        let options = KafkaOptions {
            brokers: broker.address(),
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            partitions,
            replication_factor: 1,
            ..KafkaOptions::default()
        };
        Topic { options }
    }

    pub(super) async fn producer(&self) -> Queue {
        Queue::open_kafka_producer(&self.options).await.unwrap()
    }

    /// A consumer that has been given partition 0.
    pub(super) async fn consumer(&self) -> Queue {
        let queue = Queue::open_kafka_consumer(&self.options).await.unwrap();
        tokio::time::timeout(DEADLINE, queue.assigned(0)).await.expect("assigned").unwrap();
        queue
    }

    pub(super) async fn reader(&self) -> QueueReader {
        Queue::open_kafka_read_only(&self.options).await.unwrap()
    }

    pub(super) async fn delete_before(&self, partition: i32, offset: u64) {
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(offset).unwrap());
        list.add_partition_offset(&self.options.topic(), partition, offset).unwrap();
        let deleted = self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
        assert_eq!(deleted.elements()[0].error(), Ok(()));
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.options.brokers);
        config
    }
}
