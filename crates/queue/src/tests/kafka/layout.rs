//! A topic is made as it must be, and one that is not is refused with what is wrong.

use rdkafka::admin::{NewTopic, ResourceSpecifier, TopicReplication};

use super::*;

/// Makes the topic of a stranger's mind.
async fn make(topic: &Topic, partitions: i32, settings: &[(&str, &str)]) {
    let name = topic.options.topic();
    let mut new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let made = topic.admin().create_topics([&new], &AdminOptions::new()).await.unwrap();
    made.into_iter().for_each(|result| assert_eq!(result.map(drop), Ok(())));
}

/// Settings that are accepted, with one of them changed.
fn with(changed: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", "604800000"),
        ("max.message.bytes", "10000000"),
    ];
    settings.retain(|(key, _)| *key != changed);
    settings.push((changed, value));
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_is_made_with_the_settings_that_counts_depend_on() {
    let topic = Topic::new(3);
    let producer = topic.producer().await;
    assert_eq!((producer.generation(), producer.partitions()), (topic.options.generation, 3));
    let name = topic.options.topic();
    let about = ResourceSpecifier::Topic(&name);
    let answers = topic.admin().describe_configs([&about], &AdminOptions::new()).await.unwrap();
    let resource = answers.into_iter().next().unwrap().unwrap();
    let value = |key: &str| resource.get(key).and_then(|entry| entry.value.clone()).unwrap();
    assert_eq!(value("message.timestamp.type"), "LogAppendTime");
    assert_eq!(value("retention.ms"), "604800000");
    assert_eq!(value("cleanup.policy"), "delete");
    assert_eq!(value("min.insync.replicas"), "1");
    producer.close().await;
    topic.producer().await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_that_would_spoil_counts_is_refused_by_name() {
    for (setting, value, wanted) in [
        ("message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("retention.ms", "3600000", "604800000 or more"),
        ("cleanup.policy", "compact", "delete"),
        ("max.message.bytes", "1000000", "8454144 or more"),
    ] {
        let topic = Topic::new(1);
        make(&topic, 1, &with(setting, value)).await;
        let expected = format!(
            "topic {} has {setting} {value} where {wanted} is needed; change the topic, or the \
             settings of this program",
            topic.options.topic()
        );
        let error = Queue::open_kafka_producer(&topic.options).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let error = Queue::open_kafka_consumer(&topic.options).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_with_another_number_of_partitions_or_copies_is_refused() {
    let topic = Topic::new(3);
    make(&topic, 2, &with("retention.ms", "-1")).await;
    let error = Queue::open_kafka_producer(&topic.options).await.unwrap_err().to_string();
    assert!(error.contains("has partitions 2 where 3 is needed"), "{error}");
    let error = Queue::open_kafka_read_only(&topic.options).await.unwrap_err().to_string();
    assert!(error.contains("has partitions 2 where 3 is needed"), "{error}");
    let copies = KafkaOptions { partitions: 2, replication_factor: 3, ..topic.options.clone() };
    let error = Queue::open_kafka_producer(&copies).await.unwrap_err().to_string();
    assert!(error.contains("has replication factor 1 where 3 or more is needed"), "{error}");
    let right = KafkaOptions { partitions: 2, ..topic.options.clone() };
    Queue::open_kafka_producer(&right).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_makes_no_topic_and_reports_a_missing_one() {
    let topic = Topic::new(1);
    for _ in 0..2 {
        let error = Queue::open_kafka_read_only(&topic.options).await.unwrap_err();
        assert!(matches!(error, QueueError::TopicMissing { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_that_is_not_there_and_settings_that_make_no_sense_are_errors() {
    let nobody = KafkaOptions { brokers: "127.0.0.1:1".to_owned(), ..Topic::new(1).options };
    let error = Queue::open_kafka_producer(&nobody).await.unwrap_err();
    assert!(matches!(error, QueueError::Kafka { .. }), "{error}");
    let mut odd = Topic::new(1).options;
    odd.security.ca_file = Some("/nowhere/ca.pem".into());
    odd.security.protocol = crate::KafkaProtocol::Ssl;
    let error = Queue::open_kafka_consumer(&odd).await.unwrap_err();
    assert!(matches!(error, QueueError::Kafka { .. } | QueueError::KafkaSetting { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_direction_refuses_the_other() {
    let topic = Topic::new(1);
    let (producer, consumer) = (topic.producer().await, topic.consumer().await);
    let error = producer.read(0, 0, 1).await.unwrap_err();
    assert!(matches!(error, QueueError::Direction { opened_to: "append" }), "{error}");
    let error = consumer.append(vec![record("x")]).await.unwrap_err();
    assert!(matches!(error, QueueError::Direction { opened_to: "read" }), "{error}");
    producer.close().await;
    consumer.close().await;
}
