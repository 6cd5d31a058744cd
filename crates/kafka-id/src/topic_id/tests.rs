//! Unit tests of `topic_id`.

use super::*;

#[test]
fn id_reads_as_it_is_written() {
    // Kafka's own ids: Uuid.METADATA_TOPIC_ID is the number 1.
    assert_eq!(TopicId::new(0, 1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
    for id in [TopicId::default(), TopicId::new(-1, 7), TopicId::new(i64::MIN, i64::MAX)] {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    for text in ["AAAA", "AAAAAAAAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAAAAAAQ=="] {
        assert_eq!(text.parse::<TopicId>(), Err(NoTopicId), "{text}");
    }
    for bytes in [&b"\xff\xfe"[..], b"AAAAAAAAAAAAAAAAAAAAA\xe9", b"\0", &[0xed, 0xa0, 0x80]] {
        assert_eq!(TopicId::try_from(bytes), Err(NoTopicId), "{bytes:?}");
    }
}
