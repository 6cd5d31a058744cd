//! Properties of tuples: one encoding per set of labels, and a split that agrees with decoding.

use proptest::prelude::*;

use super::*;

/// Bytes of texts, good and bad for one place or another.
const TEXTS: [&[u8]; 14] = [
    b"",
    b"a",
    b"team-1/x",
    b"gpt-4o",
    b"/v1/chat/completions",
    b"all",
    b"1a",
    b"a b",
    b"a\n",
    "用户".as_bytes(),
    // The first byte of a letter of three.
    b"a\xe7",
    b"\x80",
    &[b'x'; 128],
    &[b'x'; 129],
];

/// Bytes of a tuple: mostly well formed, and garbled now and then.
fn tuple() -> impl Strategy<Value = Vec<u8>> {
    let number = |good: u8| prop_oneof![9 => Just(good), 1 => any::<u8>()];
    let fixed = (number(200), number(0), number(2), number(0), number(1), number(1), number(1));
    let text = || prop_oneof![6 => 1..5_usize, 1 => 0..TEXTS.len()];
    let texts = (prop::array::uniform5(text()), number(1), text(), text());
    let garbled = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>(), 0..4));
    (fixed, texts, garbled).prop_map(|(fixed, (row, stream, requested, consumer), garbled)| {
        let mut bytes = vec![fixed.0, fixed.1, fixed.2, fixed.3, fixed.4, fixed.5, fixed.6];
        let put = |bytes: &mut Vec<u8>, text: usize| {
            bytes.push(u8::try_from(TEXTS[text].len()).expect("short"));
            bytes.extend_from_slice(TEXTS[text]);
        };
        row.iter().for_each(|text| put(&mut bytes, *text));
        bytes.push(stream);
        put(&mut bytes, requested);
        put(&mut bytes, consumer);
        if let Some((at, byte, how)) = garbled {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.push(byte),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// Whether a row is that of a tuple that decodes.
fn is_row(row: &[u8]) -> bool {
    let tuple = [row, &[0, 0, 0]].concat();
    Labels::decode(&tuple).is_ok_and(|(_, row_length)| row_length == row.len())
}

/// Whether a consumer is that of a tuple that decodes.
fn is_known_consumer(consumer: &[u8]) -> bool {
    let mut tuple = vec![200, 0, 2, 0, 1, 1, 1, 1, b'n', 1, b'u', 1, b'm', 1, b'e', 0, 0, 0];
    tuple.push(u8::try_from(consumer.len()).expect("short"));
    tuple.extend_from_slice(consumer);
    Labels::decode(&tuple).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_tuple_decodes_if_and_only_if_its_parts_are_those_of_tuples_that_do(bytes in tuple()) {
        let parts = TupleParts::of(&bytes);
        match Labels::decode(&bytes) {
            Ok((labels, row_length)) => {
                let consumer = labels.consumer.unwrap_or("").as_bytes();
                prop_assert_eq!(parts, Some(TupleParts { row: &bytes[..row_length], consumer }));
                prop_assert!(is_row(&bytes[..row_length]) && is_known_consumer(consumer));
                let mut again = Vec::new();
                labels.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
            Err(_) => {
                let is_known = parts
                    .is_some_and(|parts| is_row(parts.row) && is_known_consumer(parts.consumer));
                prop_assert!(!is_known);
            }
        }
    }

    #[test]
    fn any_bytes_are_split_or_refused_as_they_are_decoded(bytes in any::<Vec<u8>>()) {
        if Labels::decode(&bytes).is_ok() {
            prop_assert!(TupleParts::of(&bytes).is_some());
        }
    }
}
