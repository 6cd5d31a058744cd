//! Unit tests of `foreign`.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::*;

fn client() -> BaseConsumer {
    let mut config = ClientConfig::new();
    // Nobody listens there.
    config.set("bootstrap.servers", "127.0.0.1:1").create().expect("a client")
}

#[test]
fn nobody_there_is_an_error_within_the_limit() {
    let consumer = client();
    let limit = Duration::from_millis(50);
    assert!(describe(consumer.client(), &["a.topic"], limit).is_err());
    assert!(describe(consumer.client(), &["a\0topic"], limit).is_err(), "no name");
    assert!(describe(consumer.client(), &["twice", "twice"], limit).is_err());
}

#[test]
fn ends_of_what_was_never_fetched_are_not_known() {
    let consumer = client();
    assert_eq!(seen_ends(consumer.client(), c"a.topic", 0), None);
}

/// A list whose element for `topic` has these words, as a broker may answer them.
fn kept(topic: &CStr, words: &[u8]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic.to_str().expect("a name"), 3);
    // SAFETY: the list lives, and the text ends.
    let found = unsafe { c::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), 3) };
    // SAFETY: it is an element of the list, and nobody else looks at it.
    let element = unsafe { &mut *found };
    // SAFETY: the library's own memory, which it gives back with the list.
    let room = unsafe { c::rd_kafka_mem_malloc(std::ptr::null_mut(), words.len()) };
    // SAFETY: there is room for this many bytes, and the ranges do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), room.cast::<u8>(), words.len()) };
    (element.metadata, element.metadata_size) = (room, words.len());
    list
}

#[test]
fn words_of_a_stranger_are_bytes_whatever_they_are() {
    let long = vec![0xff; 4_096];
    for words in [&b"plain"[..], b"\xff\xfe", b"a\0b", &[0xed, 0xa0, 0x80], &long] {
        let list = kept(c"a.topic", words);
        assert_eq!(kept_words(&list, "a.topic", 3), words);
        assert!(kept_words(&list, "a.topic", 4).is_empty(), "another partition");
        assert!(kept_words(&list, "another", 3).is_empty());
        assert!(kept_words(&list, "a\0topic", 3).is_empty(), "no name");
    }
    let mut list = TopicPartitionList::new();
    list.add_partition("a.topic", 0);
    assert!(kept_words(&list, "a.topic", 0).is_empty(), "there are none");
}
