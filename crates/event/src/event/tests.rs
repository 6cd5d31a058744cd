//! Unit tests of `event`.

use super::*;
use crate::native::parse;

/// The input of a fingerprint as docs/format.md lists it, for the event of the test.
fn input(model: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let texts = [Some("team"), Some("openai"), Some(model), None, Some("/v1/chat"), Some("r")];
    for text in texts.into_iter().chain([None, Some("quota")]) {
        let length = text.map_or(u32::MAX, |text| text.len() as u32);
        bytes.extend(length.to_le_bytes());
        bytes.extend(text.unwrap_or_default().bytes());
    }
    bytes.extend(1_790_000_000_000_000_i64.to_le_bytes());
    bytes.extend(1_500_000_u64.to_le_bytes());
    bytes.extend(u64::MAX.to_le_bytes());
    for count in [7, u32::MAX, u32::MAX, 5, 2] {
        bytes.extend(count.to_le_bytes());
    }
    bytes.extend(200_u16.to_le_bytes());
    bytes.extend(3_u16.to_le_bytes());
    let codes = [Method::Post.code(), 0, ServiceTier::Standard.code(), 1, 1];
    bytes.extend(codes);
    bytes
}

#[test]
fn fingerprint_is_over_the_listed_fields_however_long_they_are() {
    for n in [1, 20, 300, 450, 500, 5_000] {
        let model = "m".repeat(n);
        let body = format!(
            r#"{{"id": "a", "time": 1790000000, "namespace": "team", "upstream": "openai",
              "model": "{model}", "method": "POST", "endpoint": "/v1/chat", "status": 200,
              "duration_ms": 1500, "stream": true, "request_id": "r", "attempt": 3,
              "limited_by": "quota", "producer": "p", "epoch": 4, "seq": 9, "final": true,
              "usage": {{"input_tokens": 7, "output_tokens": 5, "reasoning_tokens": 2}}}}"#
        );
        let batch = parse(body.as_bytes()).expect("a body");
        let (_, event) = batch.events.first().expect("an event");
        assert_eq!(event.fingerprint(), xxh3_64(&input(&model)), "{n}: {:?}", batch.rejects);
    }
}
