//! Properties of the codec: what goes in comes out, and nothing that is garbled comes out at all.

mod allocations;

use proptest::prelude::*;

use super::*;
use crate::code::{Method, Outcome, ServiceTier, UsageSource};
use crate::key::Key;
use crate::labels::{Facts, Labels};
use crate::usage::Usage;

/// Labels with texts that live as long as the test.
fn labels(n: u8) -> Labels<'static> {
    const NAMES: [&str; 4] = ["wechat", "b", "team-1/x", "z"];
    let pick = |shift: u8| NAMES[usize::from(n >> shift) % 4];
    let outcome = if n & 1 == 0 { Outcome::Success } else { Outcome::Timeout };
    Labels {
        // Some time out inside an answer of 200.
        status: if n & 1 == 1 && n & 128 == 0 { 504 } else { 200 },
        method: Method::Post,
        outcome,
        service_tier: ServiceTier::Standard,
        source: if n & 2 == 0 { UsageSource::Reported } else { UsageSource::None },
        is_final: n & 4 == 0,
        namespace: pick(0),
        upstream: pick(1),
        model: pick(2),
        endpoint: "/v1/chat/completions",
        limited_by: (n & 8 == 0).then_some("token_limit"),
        stream: n & 16 == 0,
        requested_model: (n & 32 == 0).then_some(if n & 3 == 0 { "m" } else { "m2" }),
        consumer: (n & 64 == 0).then_some("用户"),
    }
}

prop_compose! {
    fn event()(
        n in any::<u8>(), key in any::<[u8; 16]>(), time_us in 0i64..=253_402_300_799_999_999,
        duration_us in 0u64..=86_400_000_000, ttft_us in proptest::option::of(0u64..1000),
        input in proptest::option::of(0u32..=1_000_000_000), read in 0u32..100,
        output in proptest::option::of(any::<u16>()), cost in proptest::option::of(0i64..9_999),
        attempt in any::<u16>(), fingerprint in any::<u64>(),
    ) -> (Labels<'static>, Facts) {
        let mut labels = labels(n);
        let usage = Usage {
            input,
            cache_read: input.filter(|input| *input >= read).map(|_| read),
            cache_write: None,
            output: output.map(u32::from),
            reasoning: output.map(|output| u32::from(output) / 2),
        };
        labels.source = if usage.is_present() { UsageSource::Reported } else { UsageSource::None };
        let facts = Facts {
            key: Key(key), time_us, duration_us, ttft_us, usage, cost_nano: cost, attempt,
            fingerprint,
        };
        (labels, facts)
    }
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V2)]
}

fn build(events: &[(Labels<'_>, Facts)], version: Version) -> FrameBuilder {
    let mut builder = FrameBuilder::new(version);
    for (labels, facts) in events {
        builder.push(labels, facts).expect("room");
    }
    builder
}

/// The texts of `labels`.
struct TestTexts;

const TEXTS: [&str; 8] =
    ["", "wechat", "b", "team-1/x", "z", "/v1/chat/completions", "token_limit", "用户"];

impl Texts for TestTexts {
    fn text(&self, id: TextId) -> &str {
        TEXTS[id.0 as usize]
    }
}

fn columns(events: &[(Labels<'_>, Facts)]) -> EventColumns {
    let id = |text: &str| {
        let at = TEXTS.iter().position(|other| *other == text).expect("a text of the table");
        TextId(u32::try_from(at).expect("a short table"))
    };
    let mut columns = EventColumns::with_capacity(events.len());
    for (labels, facts) in events {
        let ids = LabelIds {
            namespace: id(labels.namespace),
            upstream: id(labels.upstream),
            model: id(labels.model),
            endpoint: id(labels.endpoint),
            limited_by: id(labels.limited_by.unwrap_or_default()),
            consumer: id(labels.consumer.unwrap_or_default()),
            ..LabelIds::without_texts(labels)
        };
        columns.push(&ids, labels.requested_model, None, facts).expect("room");
    }
    columns
}

/// Whether no value comes twice.
fn is_distinct<T: Ord>(values: impl Iterator<Item = T>) -> bool {
    let mut values: Vec<T> = values.collect();
    let n = values.len();
    values.sort_unstable();
    values.dedup();
    values.len() == n
}

fn stamp() -> Stamp {
    Stamp { ingest_us: 5, tokenizer_version: 3, price_version: 9 }
}

fn decode(record: &[u8]) -> Vec<(Vec<u8>, Facts)> {
    let mut reader = FrameReader::default();
    let view = reader.read(record).expect("a frame");
    (0..view.len())
        .map(|idx| {
            let labels = view.labels(idx).expect("labels");
            let mut bytes = Vec::new();
            labels.encode(&mut bytes);
            (bytes, view.facts(idx, labels.source).expect("in range"))
        })
        .collect()
}

fn encoded(events: &[(Labels<'_>, Facts)]) -> Vec<(Vec<u8>, Facts)> {
    events
        .iter()
        .map(|(labels, facts)| {
            let mut bytes = Vec::new();
            labels.encode(&mut bytes);
            (bytes, *facts)
        })
        .collect()
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        events in proptest::collection::vec(event(), 1..60), version in version(),
    ) {
        let record = build(&events, version).encode(stamp());
        let envelope = Envelope::decode(&record).expect("an envelope");
        prop_assert_eq!((envelope.stamp, envelope.version), (stamp(), version));
        prop_assert_eq!(decode(&record), encoded(&events));
    }

    #[test]
    fn columns_of_several_requests_make_the_frame_of_all_their_events(
        requests in proptest::collection::vec(proptest::collection::vec(event(), 1..20), 1..5),
        version in version(),
    ) {
        let mut all = EventColumns::default();
        for events in &requests {
            all.append(&columns(events)).expect("room");
        }
        // Buffers of an encoder and of columns hold nothing of the frame before.
        let mut encoder = FrameEncoder::default();
        let (one, first) = (columns(&requests[0]), build(&requests[0], version).encode(stamp()));
        prop_assert_eq!(&encoder.encode(&one, &TestTexts, stamp(), version), &first);
        let record = encoder.encode(&all, &TestTexts, stamp(), version);
        let events = requests.concat();
        if version == Version::V1 {
            // In version 2, texts of a table and those of requests are numbered apart.
            prop_assert_eq!(&record, &build(&events, version).encode(stamp()));
        }
        prop_assert_eq!(decode(&record), encoded(&events));
        let mut view = FrameReader::default();
        let view = view.read(&record).expect("a frame");
        let text = |number: &u32| view.text(*number as usize);
        let rows = view.rows().iter().flatten();
        let rows = rows.map(|row| (row.codes(), row.texts.each_ref().map(text)));
        let consumers = (0..view.len()).map(|idx| view.text(view.consumer(idx)));
        let is_v2 = version == Version::V2;
        prop_assert!(!is_v2 || is_distinct(rows));
        prop_assert!(!is_v2 || view.n_texts() <= TEXTS.len() - 1 + 2, "{} texts", view.n_texts());
        let expected = events.iter().map(|(labels, _)| labels.consumer.unwrap_or("").as_bytes());
        prop_assert!(consumers.eq(expected));
        all.clear();
        all.append(&one).expect("room");
        prop_assert_eq!(encoder.encode(&all, &TestTexts, stamp(), version), first);
    }

    #[test]
    fn a_garbled_byte_is_always_noticed_and_the_count_survives_outside_the_envelope(
        events in proptest::collection::vec(event(), 1..20), at in any::<prop::sample::Index>(),
        flip in 1u8.., version in version(),
    ) {
        let mut record = build(&events, version).encode(stamp());
        let at = at.index(record.len());
        record[at] ^= flip;
        prop_assert!(FrameReader::default().read(&record).is_err());
        let envelope = Envelope::decode(&record);
        if at >= envelope::ENVELOPE_BYTES {
            prop_assert_eq!(envelope.expect("holds").n_events as usize, events.len());
        } else {
            prop_assert!(envelope.is_err());
        }
    }

    #[test]
    fn bytes_of_any_kind_under_good_checksums_never_panic(
        mut record in proptest::collection::vec(any::<u8>(), 48..400), n in 1u32..50,
        dictionary in 0u32..300, version in version(),
    ) {
        let payload = record.len() - envelope::ENVELOPE_BYTES;
        let dictionary_bytes = dictionary.min(u32::try_from(payload).expect("small"));
        let head = Envelope {
            version,
            n_events: n,
            stamp: stamp(),
            dictionary_bytes,
            columns_bytes: u32::try_from(payload).expect("small") - dictionary_bytes,
            payload_crc: crc32c::crc32c(&record[envelope::ENVELOPE_BYTES..]),
        };
        record[..envelope::ENVELOPE_BYTES].copy_from_slice(&head.encode());
        let mut reader = FrameReader::default();
        if let Ok(view) = reader.read(&record) {
            for idx in 0..view.len() {
                let _ = view.labels(idx);
                let _ = view.facts(idx, UsageSource::Reported);
            }
        }
    }

    #[test]
    fn a_cut_frame_is_refused(events in proptest::collection::vec(event(), 1..20),
        cut in any::<prop::sample::Index>(), version in version()) {
        let record = build(&events, version).encode(stamp());
        let cut = cut.index(record.len());
        prop_assert!(FrameReader::default().read(&record[..cut]).is_err());
    }
}

fn one() -> (Labels<'static>, Facts) {
    let facts = Facts {
        key: Key([1; 16]),
        time_us: 1,
        duration_us: 2,
        ttft_us: None,
        usage: Usage { input: Some(1), ..Usage::default() },
        cost_nano: None,
        attempt: 0,
        fingerprint: 4,
    };
    (labels(0), facts)
}

#[test]
fn a_full_frame_takes_no_more() {
    let one = one();
    for version in Version::EACH {
        let mut builder = FrameBuilder::new(version);
        for _ in 0..4096 {
            builder.push(&one.0, &one.1).expect("room");
        }
        assert_eq!(builder.push(&one.0, &one.1), Err(Full));
        let record = builder.encode(stamp());
        assert_eq!(decode(&record).len(), 4096);
        // Equal columns have no bytes: an event costs its fingerprint and its key.
        assert!(record.len() < 4096 * 24 + 400, "{}", record.len());
    }
    let mut full = EventColumns::default();
    for _ in 0..4096 {
        full.append(&columns(std::slice::from_ref(&one))).expect("room");
    }
    assert_eq!(full.append(&columns(&[one])), Err(Full));
}

#[test]
fn producers_and_numbers_stand_in_version_2() {
    let producers =
        ["gw1", "gw2", "gw1"].map(|name| Producer::of("default", name, 7).expect("a short name"));
    let (labels, facts) = one();
    let ids = LabelIds {
        namespace: TextId(1),
        upstream: TextId(2),
        model: TextId(3),
        endpoint: TextId(5),
        ..LabelIds::without_texts(&labels)
    };
    let mut all = EventColumns::default();
    for (at, producer) in producers.iter().enumerate() {
        let mut some = EventColumns::default();
        for seq in [at as u64 + 1, 300] {
            some.push(&ids, None, Some(Numbered { producer, seq }), &facts).expect("room");
            some.push(&ids, None, None, &facts).expect("room");
        }
        all.append(&some).expect("room");
    }
    let record = FrameEncoder::default().encode(&all, &TestTexts, stamp(), Version::V2);
    let mut reader = FrameReader::default();
    reader.read(&record).expect("a frame");
    let dictionary = [&[2, 0], producers[0].as_bytes(), producers[1].as_bytes()].concat();
    assert!(record.windows(dictionary.len()).any(|bytes| bytes == dictionary));
    assert_eq!(reader.scratch.producer, [1, 0, 1, 0, 2, 0, 2, 0, 1, 0, 1, 0]);
    assert_eq!(reader.scratch.seq, [1, 0, 300, 0, 2, 0, 300, 0, 3, 0, 300, 0]);
    // Version 1 has no place for them.
    let of_v1 = FrameEncoder::default().encode(&all, &TestTexts, stamp(), Version::V1);
    assert_eq!(decode(&of_v1), decode(&record));
}

/// An error type of version 2 becomes, in version 1, what the status says.
#[test]
fn unconfirmed_is_an_outcome_of_version_2_alone() {
    let (mut labels, facts) = one();
    labels.outcome = Outcome::Unconfirmed;
    for (status, outcome) in [(200, Outcome::Success), (504, Outcome::Timeout)] {
        labels.status = status;
        for (version, outcome) in [(Version::V1, outcome), (Version::V2, Outcome::Unconfirmed)] {
            let record = build(&[(labels, facts)], version).encode(stamp());
            let mut reader = FrameReader::default();
            let view = reader.read(&record).expect("a frame");
            assert_eq!(view.labels(0).map(|labels| labels.outcome), Ok(outcome));
        }
    }
    // Code 9 in a tuple of version 1 is poison, as it was before there was a version 2.
    labels.outcome = Outcome::Policy;
    let mut record = build(&[(labels, facts)], Version::V1).encode(stamp());
    let outcome = envelope::ENVELOPE_BYTES + 2 + 2 + 3;
    assert_eq!(record[outcome], Outcome::Policy.code());
    record[outcome] = Outcome::Unconfirmed.code();
    let payload_crc = crc32c::crc32c(&record[envelope::ENVELOPE_BYTES..]);
    let envelope = Envelope { payload_crc, ..Envelope::decode(&record).expect("an envelope") };
    record[..envelope::ENVELOPE_BYTES].copy_from_slice(&envelope.encode());
    let mut reader = FrameReader::default();
    let view = reader.read(&record).expect("a frame");
    assert_eq!(view.rows(), [None]);
    assert!(view.labels(0).is_err());
}

#[test]
fn a_whole_envelope_of_a_version_to_come_is_told_from_damage() {
    let whole = build(&[one()], Version::NEWEST).encode(stamp());
    let decode = |at: usize, byte: u8, is_sealed: bool| {
        let mut record = whole.clone();
        record[at] = byte;
        if is_sealed {
            let checksum = crc32c::crc32c(&record[..44]);
            record[44..48].copy_from_slice(&checksum.to_le_bytes());
        }
        Envelope::decode(&record).expect_err("it is not a frame of today")
    };
    let version = Version::NEWEST.number() + 1;
    assert_eq!(decode(0, version, false), EnvelopeError::Checksum);
    assert_eq!(decode(0, version, true), EnvelopeError::Newer { version });
    assert_eq!(decode(0, 0, true), EnvelopeError::NotAFrame);
    // A kind to come, whatever else its envelope holds.
    assert_eq!(decode(36, 1, false), EnvelopeError::Checksum);
    assert_eq!(decode(36, 1, true), EnvelopeError::Kind { kind: 1 });
    assert_eq!(decode(37, 1, true), EnvelopeError::Range("reserved field"));
}
