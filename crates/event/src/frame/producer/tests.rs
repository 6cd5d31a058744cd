//! Bytes of producers.

use super::*;

#[test]
fn a_producer_is_its_texts_and_its_epoch_within_the_limit() {
    let bytes = b"\x07default\x03gw1\x08\x07\x06\x05\x04\x03\x02\x01";
    let producer = Producer::of("default", "gw1", 0x0102_0304_0506_0708).expect("short");
    assert_eq!(producer.as_bytes(), bytes);
    for (n, fits) in [(111, true), (112, false), (300, false)] {
        let found = Producer::of("default", &"n".repeat(n), 1);
        assert_eq!(found.map(|found| found.as_bytes().len()), fits.then_some(n + 17), "{n}");
    }
    assert_ne!(Producer::of("a", "bc", 1), Producer::of("ab", "c", 1));
}
