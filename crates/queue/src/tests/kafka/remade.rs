//! Raw topics that are deleted and made anew: a topic is identified by its id, and what is read of
//! the new one is all of it, whatever was read of the old one.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::raw::{Raw, Taken, some, take};
use super::*;
use crate::{RawReader, RawTopic, RawWatch, Remade, TopicId, Witness};

impl Raw {
    async fn delete(&self) {
        let admin = self.topic.admin();
        let deleted = admin.delete_topics(&[&self.name], &AdminOptions::new()).await.unwrap();
        assert!(deleted[0].is_ok(), "{deleted:?}");
    }

    /// Makes the topic, as soon as the broker has forgotten the one before.
    async fn make(&self, partitions: i32) {
        let admin = self.topic.admin();
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while admin.create_topics([&new], &AdminOptions::new()).await.unwrap()[0].is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the topic cannot be made");
            tokio::task::yield_now().await;
        }
    }

    async fn make_anew(&self, partitions: i32) {
        self.delete().await;
        self.make(partitions).await;
    }

    /// Publishes to one partition.
    async fn publish(&self, partition: i32, texts: Vec<Bytes>) {
        let mut config = self.topic.config();
        config.set("message.timeout.ms", "20000").set("topic.metadata.refresh.interval.ms", "200");
        config.set("message.max.bytes", "4000000");
        let producer: BaseProducer = config.create().unwrap();
        for text in &texts {
            let record = BaseRecord::<(), [u8]>::to(&self.name).payload(&text[..]);
            assert!(producer.send(record.partition(partition)).is_ok(), "it is taken");
        }
        producer.flush(DEADLINE).unwrap();
        assert_eq!(producer.in_flight_count(), 0, "all was written");
    }
}

/// Waits until this holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Takes until every one of these texts has come under an id other than `old`; copies may come.
/// Marks each message as durable.
async fn take_all(reader: &mut RawReader, texts: Vec<Bytes>, old: &[TopicId]) -> TopicId {
    let mut missing: BTreeSet<Bytes> = texts.into_iter().collect();
    let mut id = TopicId::default();
    while !missing.is_empty() {
        for message in take(reader, 1).await {
            reader.done(&[message.mark()]);
            if !old.contains(&message.id) {
                missing.remove(&message.bytes);
                id = message.id;
            }
        }
    }
    id
}

/// What was reported of old topics, by partition: the offset read up to, and the end.
async fn reported(watch: &RawWatch, n: usize) -> BTreeMap<u32, (u64, u64)> {
    let mut found = BTreeMap::new();
    until("it is reported", || {
        for Remade { place, .. } in watch.remade() {
            found.extend(place.map(|place| (place.partition, (place.next, place.high))));
        }
        found.len() >= n
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_made_anew_is_read_from_its_begin_however_long_it_is() {
    let raw = Raw::new(2);
    let mut reader = raw.reader().await;
    let watch = reader.watch();
    raw.publish(0, some(0..20)).await;
    let first = take_all(&mut reader, some(0..20), &[]).await;
    assert!(!first.is_unknown());
    let tool = RawTopic::find(&raw.topic.options, &raw.name).await.unwrap();
    assert_eq!(tool.id().await.unwrap(), first);
    // Longer than what was read of the old one.
    raw.make_anew(2).await;
    raw.publish(0, some(100..150)).await;
    let second = take_all(&mut reader, some(100..150), &[first]).await;
    assert_eq!(reported(&watch, 1).await.get(&0), Some(&(20, 20)), "all of the old one was read");
    assert_eq!(tool.id().await.unwrap(), second, "a tool that was opened before sees the new one");
    tool.close().await;
    // Shorter, with fewer partitions.
    raw.make_anew(1).await;
    raw.publish(0, some(200..205)).await;
    let third = take_all(&mut reader, some(200..205), &[first, second]).await;
    assert_eq!(reported(&watch, 1).await.get(&0), Some(&(50, 50)));
    // With more partitions, and gone for longer than the client looks.
    raw.delete().await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    raw.make(3).await;
    raw.publish(2, some(300..303)).await;
    raw.publish(0, some(303..310)).await;
    take_all(&mut reader, some(300..310), &[first, second, third]).await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_made_anew_while_nobody_reads_is_noticed() {
    let raw = Raw::new(1);
    let mut reader = raw.reader().await;
    raw.publish(0, some(0..10)).await;
    let first = take_all(&mut reader, some(0..10), &[]).await;
    reader.close().await;
    raw.make_anew(1).await;
    raw.publish(0, some(100..130)).await;
    // What came back late: an offset of the old topic, kept for the new one.
    raw.commit_as(&raw.name, first, 10);
    let mut reader = raw.reader().await;
    take_all(&mut reader, some(100..130), &[first]).await;
    let seen = reader.watch().remade();
    assert!(seen.iter().any(|remade| remade.place.is_none() && remade.id != first), "{seen:?}");
    reader.close().await;
    // An offset that somebody set by hand is theirs to set.
    raw.commit_as(&raw.name, TopicId::default(), 25);
    let mut reader = raw.reader().await;
    let again: Vec<Taken> = take(&mut reader, 5).await;
    assert_eq!(again[0].offset, 25);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_read_of_the_old_topic_is_reported() {
    let raw = Raw::new(1);
    let mut reader = raw.reader().await;
    let watch = reader.watch();
    let large = |n: u8| Bytes::from(vec![n; 2 << 20]);
    for n in 0..25 {
        raw.publish(0, vec![large(n)]).await;
    }
    // It reads until so much waits, and knows the end all the same.
    let is_full = || watch.waiting_bytes() >= crate::RAW_BYTES_MAX && watch.lag(0) >= 25;
    until("it fills up", is_full).await;
    until("its end is seen", || watch.places().iter().any(|place| place.high >= 25)).await;
    raw.make_anew(1).await;
    let (next, high) = reported(&watch, 1).await[&0];
    let old = take(&mut reader, usize::try_from(next).unwrap()).await;
    assert_eq!((old.len() as u64, high), (next, 25), "what is not reported is there");
    assert!(next >= 16, "{next}");
    drop(old);
    raw.publish(0, some(0..30)).await;
    take_all(&mut reader, some(0..30), &[]).await;
    reader.close().await;
}

/// A member of the group that has all partitions and does nothing: as one that was killed, until
/// the group has noticed.
async fn dead_member(raw: &Raw) -> BaseConsumer {
    let mut config = raw.topic.config();
    config.set("group.id", &raw.name).set("partition.assignment.strategy", "cooperative-sticky");
    let member: BaseConsumer = config.create().unwrap();
    member.subscribe(&[&raw.name]).unwrap();
    until("it joins", || {
        assert!(member.poll(Duration::ZERO).is_none_or(|message| message.is_ok()));
        member.assignment().unwrap().count() > 0
    })
    .await;
    member
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_partitions_of_the_old_topic_are_reported_by_a_member_that_saw_their_ends() {
    let raw = Raw::new(2);
    raw.make(2).await;
    let dead = dead_member(&raw).await;
    let mut reader = raw.reader().await;
    let watch = reader.watch();
    raw.publish(1, some(0..7)).await;
    let has_end = || watch.places().iter().any(|place| (place.partition, place.high) == (1, 7));
    until("its end is seen", has_end).await;
    assert_eq!(watch.lag(0), 0, "it is not this member's");
    let first = watch.places()[0].id;
    raw.make_anew(2).await;
    raw.publish(1, some(100..103)).await;
    let mut found = None;
    until("it is reported", || {
        found = watch
            .remade()
            .into_iter()
            .find_map(|remade| remade.place.map(|place| (place, remade.witness, remade.is_quiet)));
        found.is_some()
    })
    .await;
    let (place, witness, is_quiet) = found.unwrap();
    assert_eq!((place.id, place.partition, place.next, place.high), (first, 1, 0, 7));
    assert_eq!((witness, is_quiet), (Witness::Observer, false), "more may be lost");
    drop(dead);
    take_all(&mut reader, some(100..103), &[first]).await;
    let is_unread = || watch.places().iter().any(|place| (place.partition, place.next) == (1, 0));
    until("whoever reads knows better", || !is_unread()).await;
    assert_eq!(watch.remade().into_iter().filter(|remade| remade.place.is_some()).count(), 0);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_transactions_leave_nothing_to_be_read() {
    let raw = Raw::new(2);
    let mut reader = raw.reader().await;
    let watch = reader.watch();
    let mut config = raw.topic.config();
    config.set("transactional.id", &raw.name);
    let producer: BaseProducer = config.create().unwrap();
    let limit = Duration::from_secs(20);
    producer.init_transactions(limit).unwrap();
    for (partition, is_committed) in [(0, true), (1, false)] {
        producer.begin_transaction().unwrap();
        for text in ["a", "b", "c"] {
            let record = BaseRecord::<(), str>::to(&raw.name).payload(text).partition(partition);
            producer.send(record).unwrap();
        }
        producer.flush(limit).unwrap();
        match is_committed {
            true => producer.commit_transaction(limit).unwrap(),
            false => producer.abort_transaction(limit).unwrap(),
        }
    }
    let read = take(&mut reader, 3).await;
    let ends = [(0, 4, 4), (1, 4, 4)];
    let places = || {
        let places = watch.places();
        places.iter().map(|place| (place.partition, place.next, place.high)).collect::<Vec<_>>()
    };
    until("what was given up is passed", || places()[1] == ends[1]).await;
    assert_eq!(places()[0].1, 0, "what was handed over is not done with");
    reader.done(&[read[2].mark()]);
    until("nothing is left to be read", || places() == ends && watch.lag(0) == 0).await;
    reader.close().await;
    // All of it expires, and nothing that anybody may read is lost.
    raw.delete_before(0, 4).await;
    raw.delete_before(1, 4).await;
    let mut reader = raw.reader().await;
    raw.publish(1, some(0..1)).await;
    take_all(&mut reader, some(0..1), &[]).await;
    assert_eq!(reader.watch().lost(), 0);
    reader.close().await;
}
