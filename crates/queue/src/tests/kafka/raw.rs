//! Raw topics: a message is delivered again until it is acknowledged, and no loss goes unreported.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::{RAW_BYTES_MAX, RawBatch, RawMark, RawMessage, RawReader, RawTopic, TopicId};

/// A raw topic of a test's own.
pub(super) struct Raw {
    pub(super) topic: Topic,
    pub(super) name: String,
}

impl Raw {
    pub(super) fn new(partitions: u32) -> Raw {
        let topic = Topic::new(partitions);
        let name = format!("raw.g{}", topic.options.generation);
        Raw { topic, name }
    }

    pub(super) async fn reader(&self) -> RawReader {
        let topics = vec![self.name.clone()];
        RawReader::open(&self.topic.options, &self.name, topics).await.unwrap()
    }

    async fn writer(&self) -> RawTopic {
        RawTopic::find(&self.topic.options, &self.name).await.unwrap()
    }

    /// Commits an offset for the group, as one of this topic.
    pub(super) fn commit_as(&self, group: &str, id: crate::TopicId, offset: i64) {
        use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
        let mut config = self.topic.config();
        let client: BaseConsumer = config.set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.name, 0);
        element.set_offset(Offset::Offset(offset)).unwrap();
        if !id.is_unknown() {
            element.set_metadata(id.to_string());
        }
        client.commit(&list, CommitMode::Sync).unwrap();
    }

    /// Commits an offset for the group as a foreign client may, with metadata of its own: the
    /// bytes go to the broker as they are, for our own client takes nothing but UTF-8.
    fn commit_with(&self, group: &str, offset: i64, words: &[u8]) {
        use std::io::{Read as _, Write as _};
        const OFFSET_COMMIT: i16 = 8;
        let text = |text: &[u8]| {
            let len = i16::try_from(text.len()).unwrap();
            [&len.to_be_bytes(), text].concat()
        };
        let one = 1_i32.to_be_bytes();
        let request = [
            [OFFSET_COMMIT.to_be_bytes(), 2_i16.to_be_bytes()].concat(),
            [&7_i32.to_be_bytes()[..], &text(b"stranger"), &text(group.as_bytes())].concat(),
            // No member, no generation, kept for as long as the broker likes.
            [&(-1_i32).to_be_bytes()[..], &text(b""), &(-1_i64).to_be_bytes()].concat(),
            [&one[..], &text(self.name.as_bytes()), &one, &0_i32.to_be_bytes()].concat(),
            [&offset.to_be_bytes()[..], &text(words)].concat(),
        ]
        .concat();
        let mut stream = std::net::TcpStream::connect(&self.topic.options.brokers).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let size = i32::try_from(request.len()).unwrap();
        stream.write_all(&[&size.to_be_bytes()[..], &request].concat()).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.ends_with(&[0, 0, 0, 0, 0, 0]), "partition 0, no error: {answer:?}");
    }

    pub(super) async fn delete_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        let deleted = self.topic.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
        assert_eq!(deleted.elements()[0].error(), Ok(()));
    }
}

/// A message that was taken.
pub(super) struct Taken {
    pub id: TopicId,
    pub partition: u32,
    pub offset: u64,
    pub bytes: Bytes,
    batch: Arc<RawBatch>,
}

impl Taken {
    /// The mark behind this message.
    pub(super) fn mark(&self) -> RawMark {
        self.batch.mark_behind(self.offset)
    }
}

/// Takes messages until there are so many.
pub(super) async fn take(reader: &mut RawReader, n: usize) -> Vec<Taken> {
    let mut messages = Vec::new();
    let taken = async {
        while messages.len() < n {
            let mut batches = Vec::new();
            assert!(reader.take(&mut batches, 1_000).await, "the reader has ended");
            for batch in batches.into_iter().map(Arc::new) {
                let mut begin = 0;
                for RawMessage { offset, end } in batch.messages.iter().copied() {
                    let bytes = batch.bytes.slice(begin..end);
                    let (id, partition, batch) = (batch.id, batch.partition, Arc::clone(&batch));
                    messages.push(Taken { id, partition, offset, bytes, batch });
                    begin = end;
                }
            }
        }
    };
    tokio::time::timeout(DEADLINE, taken).await.expect("messages");
    messages
}

fn texts(messages: &[Taken]) -> Vec<Bytes> {
    let mut texts: Vec<Bytes> = messages.iter().map(|message| message.bytes.clone()).collect();
    texts.sort();
    texts
}

pub(super) fn some(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|n| Bytes::from(format!("message {n:05}"))).collect()
}

fn marks(messages: &[Taken]) -> Vec<RawMark> {
    let mut last = BTreeMap::new();
    for message in messages {
        last.insert(message.partition, message.mark());
    }
    last.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_comes_again_until_it_is_done_with() {
    let raw = Raw::new(3);
    let mut reader = raw.reader().await;
    let writer = raw.writer().await;
    writer.publish(some(0..90)).await.unwrap();
    let first = take(&mut reader, 90).await;
    assert_eq!(texts(&first), some(0..90));
    for partition in 0..3 {
        let offsets = first.iter().filter(|m| m.partition == partition).map(|m| m.offset);
        assert!(offsets.eq(0..30), "in order and whole");
    }
    let done: Vec<RawMark> =
        first.iter().filter(|m| m.partition == 1 && m.offset == 29).map(Taken::mark).collect();
    reader.done(&done);
    drop(first);
    reader.close().await;

    let mut reader = raw.reader().await;
    let again = take(&mut reader, 60).await;
    assert!(again.iter().all(|message| message.partition != 1), "it was done with");
    reader.done(&marks(&again));
    writer.publish(some(90..93)).await.unwrap();
    let new = take(&mut reader, 3).await;
    assert_eq!(texts(&new), some(90..93), "nothing else comes");
    reader.done(&marks(&new));
    reader.close().await;
    let mut reader = raw.reader().await;
    writer.publish(some(93..94)).await.unwrap();
    assert_eq!(texts(&take(&mut reader, 1).await), some(93..94));
    assert_eq!(reader.watch().lost(), 0);
    reader.close().await;
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_partitions_and_marks_from_before_a_revocation_have_no_effect() {
    let raw = Raw::new(4);
    let mut first = raw.reader().await;
    let writer = raw.writer().await;
    writer.publish(some(0..40)).await.unwrap();
    let all = take(&mut first, 40).await;
    let mut second = raw.reader().await;
    // Two partitions change hands with nothing done: their messages come to the new owner.
    let moved = take(&mut second, 20).await;
    assert_eq!(moved.len(), 20);
    first.done(&marks(&all));
    second.close().await;
    // They come back, and marks of the first member from before have no effect.
    let back = take(&mut first, 20).await;
    assert_eq!(texts(&back), texts(&moved));
    first.done(&marks(&back));
    first.close().await;
    let mut third = raw.reader().await;
    writer.publish(some(40..41)).await.unwrap();
    assert_eq!(texts(&take(&mut third, 1).await), some(40..41), "all else is done with");
    third.close().await;
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_unread_is_counted_and_what_is_left_is_read() {
    let raw = Raw::new(1);
    let mut reader = raw.reader().await;
    let writer = raw.writer().await;
    writer.publish(some(0..10)).await.unwrap();
    let first = take(&mut reader, 10).await;
    reader.done(&[first[3].mark()]);
    reader.close().await;
    writer.publish(some(10..20)).await.unwrap();
    raw.delete_before(0, 15).await;
    let mut reader = raw.reader().await;
    assert_eq!(texts(&take(&mut reader, 5).await), some(15..20));
    assert_eq!(reader.watch().lost(), 11, "messages 4 to 14");
    assert_eq!(writer.message(0, 14).await.unwrap(), None, "it is gone");
    assert_eq!(writer.message(0, 16).await.unwrap(), Some(some(16..17).remove(0)));
    assert_eq!(writer.message(0, 20).await.unwrap(), None, "it is not there yet");
    reader.close().await;
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_work_bounds_what_is_fetched() {
    let raw = Raw::new(2);
    let mut reader = raw.reader().await;
    let writer = raw.writer().await;
    let large = |n: u8| Bytes::from(vec![n; 2 << 20]);
    for n in 0..25 {
        writer.publish(vec![large(n)]).await.unwrap();
    }
    let waiting = async {
        while reader.watch().waiting_bytes() < RAW_BYTES_MAX {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it fills up");
    let mut seen = 0;
    while seen < 25 {
        let taken = take(&mut reader, 1).await;
        assert!(reader.watch().waiting_bytes() <= RAW_BYTES_MAX + (2 << 20), "no more is fetched");
        seen += taken.len();
    }
    assert_eq!(seen, 25);
    reader.close().await;
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_of_a_foreign_tool_is_followed_whatever_its_metadata() {
    let raw = Raw::new(1);
    let reader = raw.reader().await;
    reader.close().await;
    let writer = raw.writer().await;
    writer.publish(some(0..20)).await.unwrap();
    let long = [0xff; 4_000];
    let words = [&b"\xff\xfe"[..], b"AAAAAAAAAAAAAAAAAAAAA\xe9", b"a\0b", b"\xed\xa0\x80", &long];
    for (words, at) in words.into_iter().zip(3..) {
        raw.commit_with(&raw.name, at, words);
        let mut reader = raw.reader().await;
        assert_eq!(take(&mut reader, 1).await[0].offset, u64::try_from(at).unwrap(), "{words:?}");
        reader.close().await;
    }
    writer.close().await;
}
