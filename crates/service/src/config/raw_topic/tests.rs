//! Unit tests of `raw_topic`.

use super::*;

#[test]
fn topics_have_a_source_each_and_come_once() {
    let read = |text: &str| {
        let RawTopics(topics) = RawTopics::read(text)?;
        Some(topics.into_iter().map(|t| format!("{}={}", t.topic, t.source)).collect::<Vec<_>>())
    };
    assert_eq!(read("").unwrap(), [""; 0]);
    assert_eq!(read("gatemeter.raw").unwrap(), ["gatemeter.raw=default"]);
    assert_eq!(read("a=x, b_2 = y").unwrap(), ["a=x", "b_2=y"]);
    let many = (0..=TOPICS_MAX).map(|n| format!("t{n}")).collect::<Vec<_>>().join(",");
    for text in ["a,", "a,a=b", "a=", "=b", "a b", "gatemeter.events.g1", "a=b=c", &many] {
        assert_eq!(read(text), None, "{text}");
    }
}
