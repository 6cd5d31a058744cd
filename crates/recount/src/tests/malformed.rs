//! Records that are bad as a whole: none is ever taken for a frame, and none panics.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use queue::{Append, EmbeddedOptions, Queue};
use store::plain::{Account, Progress, Window};

use super::by_hand::{
    COLUMNS, DICTIONARY_COLUMNS, Hand, HandEvent, Producer, ROW, STAMP_US, TIME, event_read,
    framed, good, seal,
};
use super::made::N_PARTITIONS;
use super::proof::decoded;
use crate::found::Ledger;
use crate::frame::{Newer, Record, Sound, read};
use crate::log::{Beginning, walk};
use crate::tally::Tally;
use crate::verdict::{Class, Rules};

/// What a frame of so many events is whose payload is bad.
fn spoiled(n_events: u32) -> Record {
    Record::Spoiled { stamp_us: STAMP_US, n_events }
}

fn check_spoiled(what: &str, hand: &Hand) {
    let n_events = hand.events.len() as u32;
    assert_eq!(read(&hand.bytes(), Sound::Yes), spoiled(n_events), "{what}");
}

/// A frame that uses everything: texts, producers, two rows, sparse columns.
fn rich() -> Hand {
    let mut hand = good(3);
    hand.rows.push(ROW);
    hand.events[1].row = 1;
    hand.events[1].producer = 1;
    hand.events[1].presence |= 1 | 64;
    hand.shapes.insert(TIME, (3, 7, 1_753_000_000_000_000));
    assert!(hand.read().iter().all(Option::is_some));
    hand
}

#[test]
fn a_number_that_refers_to_nothing_spoils_the_frame() {
    type Set = fn(&mut HandEvent, u64);
    let sets: [(&str, u64, Set); 4] = [
        ("row", 2, |event, n| event.row = n),
        ("consumer", 7, |event, n| event.consumer = n),
        ("requested model", 7, |event, n| event.requested_model = n),
        ("producer", 2, |event, n| event.producer = n),
    ];
    for (what, first, set) in sets {
        let mut hand = rich();
        set(&mut hand.events[2], first - 1);
        assert!(hand.read()[2].is_some(), "{what}");
        for number in [first, 1 << 16, 1 << 32, u64::MAX] {
            set(&mut hand.events[2], number);
            check_spoiled(what, &hand);
        }
    }
    for column in 0..5 {
        let mut hand = rich();
        // No event has this row, and it is bad for another reason, too.
        hand.rows.push([1, 2, 3, 4, 0, 99, 2, 0, 1, 1, 1]);
        assert!(hand.read().iter().all(Option::is_some));
        for number in [7, u64::MAX] {
            hand.rows[2][column] = number;
            check_spoiled("text of a row", &hand);
        }
    }
    let mut hand = rich();
    hand.rows.clear();
    check_spoiled("no rows", &hand);
}

#[test]
fn a_column_of_more_than_eight_bytes_spoils_the_frame() {
    for column in 0..COLUMNS {
        let mut hand = rich();
        hand.shapes.insert(column, (8, 8, 0));
        assert!(hand.read().iter().all(Option::is_some), "{column}");
        for shape in [(9, 0, 0), (15, 0, 0), (0, 9, 0), (8, 9, 0), (9, 9, 0), (0, 15, 0)] {
            // Values of no bytes are their base, and the base here is 0.
            hand.shapes.insert(column, shape);
            if shape.0 == 0 {
                set_column(&mut hand, column, 0);
            }
            check_spoiled(&format!("{column} {shape:?}"), &hand);
        }
    }
}

/// Sets every value of a column.
fn set_column(hand: &mut Hand, column: usize, value: u64) {
    if column < DICTIONARY_COLUMNS {
        return hand.rows.iter_mut().for_each(|row| row[column] = value);
    }
    for event in &mut hand.events {
        match column - DICTIONARY_COLUMNS {
            0 => event.row = value,
            1 => event.consumer = value,
            2 => event.requested_model = value,
            3 => event.producer = value,
            4 => event.presence = value,
            5 => event.time = value,
            6 => event.duration = value,
            7 => event.attempt = value,
            15 => event.seq = value,
            n => event.present[n - 8] = value,
        }
    }
}

#[test]
fn the_head_of_a_column_without_values_is_checked_as_well() {
    // Cache reads: no event has one.
    let column = DICTIONARY_COLUMNS + 10;
    let mut hand = good(1);
    hand.shapes.insert(column, (5, 8, u64::MAX));
    assert_eq!(hand.read(), [Some(event_read())]);
    for shape in [(9, 0, 0), (0, 9, 0)] {
        hand.shapes.insert(column, shape);
        check_spoiled("head", &hand);
    }
}

#[test]
fn bytes_that_end_early_or_go_on_spoil_the_frame() {
    let hand = rich();
    let (dictionary, columns) = (hand.dictionary(), hand.columns());
    let check = |what: &str, dictionary: &[u8], columns: &[u8]| {
        assert_eq!(read(&framed(3, dictionary, columns), Sound::Yes), spoiled(3), "{what}");
    };
    for end in 0..dictionary.len() {
        check(&format!("dictionary of {end}"), &dictionary[..end], &columns);
        let (kept, moved) = dictionary.split_at(end);
        check(&format!("border at {end}"), kept, &[moved, &columns].concat());
    }
    for end in 0..columns.len() {
        check(&format!("columns of {end}"), &dictionary, &columns[..end]);
        let (moved, kept) = columns.split_at(end + 1);
        check(&format!("border behind {end}"), &[&dictionary[..], moved].concat(), kept);
    }
    check("a byte behind the dictionary", &[&dictionary[..], &[0]].concat(), &columns);
    check("a byte behind the columns", &dictionary, &[&columns[..], &[0]].concat());
    check("nothing", &[], &[]);
    for n in [2, 4] {
        let bytes = framed(n, &dictionary, &columns);
        assert_eq!(read(&bytes, Sound::Yes), spoiled(n as u32), "{n} events");
    }
}

#[test]
fn counts_beyond_the_bytes_spoil_the_frame() {
    let hand = rich();
    let (dictionary, columns) = (hand.dictionary(), hand.columns());
    let texts: usize = hand.texts.iter().map(Vec::len).sum();
    let producers = 2 + hand.texts.len() + texts;
    let rows = producers + 2 + 1 + 2 + 1 + 1 + 8;
    assert_eq!(dictionary[producers..producers + 2], [1, 0]);
    assert_eq!(dictionary[rows..rows + 2], [2, 0]);
    for at in [0, producers, rows] {
        for count in [0u16, 3, 255, u16::MAX] {
            let mut other = dictionary.clone();
            other[at..at + 2].copy_from_slice(&count.to_le_bytes());
            assert_eq!(read(&framed(3, &other, &columns), Sound::Yes), spoiled(3), "{at} {count}");
        }
    }
}

#[test]
fn as_many_rows_as_there_can_be_are_read_and_no_more() {
    let mut hand = good(1);
    hand.rows = vec![ROW; 4_096];
    hand.shapes = ROW.into_iter().enumerate().map(|(column, n)| (column, (0, 8, n))).collect();
    hand.events[0].row = 4_095;
    assert_eq!(hand.read(), [Some(event_read())]);
    hand.events[0].row = 4_096;
    check_spoiled("a number above the last", &hand);
    hand.rows.push(ROW);
    check_spoiled("one more row", &hand);
}

#[test]
fn an_envelope_that_does_not_hold_is_one_unknown_record() {
    let good = rich().bytes();
    let changed = |at: usize, bytes: &[u8]| {
        let mut record = good.clone();
        record[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut record);
        read(&record, Sound::Yes)
    };
    assert!(matches!(changed(16, &[1; 8]), Record::Frame { .. }), "tokenizer and prices");
    assert_eq!(changed(0, &[0]), Record::Unknown, "version 0");
    assert_eq!(changed(1, b"gmf"), Record::Unknown, "another format");
    assert_eq!(changed(4, &[0; 4]), Record::Unknown, "no events");
    assert_eq!(changed(4, &4_097u32.to_le_bytes()), Record::Unknown, "too many events");
    assert_eq!(changed(8, &(-1i64).to_le_bytes()), Record::Unknown, "before the epoch");
    let late = 253_402_300_800_000_000i64.to_le_bytes();
    assert_eq!(changed(8, &late), Record::Unknown, "after the year 9999");
    assert_eq!(changed(24, &8_388_608u32.to_le_bytes()), Record::Unknown, "too long");
    assert_eq!(changed(24, &[255; 8]), Record::Unknown, "longer than any number");
    for at in 37..44 {
        assert_eq!(changed(at, &[1]), Record::Unknown, "reserved byte {at}");
    }
    let mut version_1 = good.clone();
    (version_1[0], version_1[36]) = (1, 1);
    seal(&mut version_1);
    assert_eq!(read(&version_1, Sound::Yes), Record::Unknown, "version 1 has no kinds");
    version_1[36] = 0;
    seal(&mut version_1);
    assert_eq!(read(&version_1, Sound::Yes), spoiled(3), "nor this payload");
}

/// A whole envelope whose other fields hold anything.
fn newer(version: u8, kind: u8, filling: u8) -> Vec<u8> {
    let mut record = vec![filling; 48];
    record[..4].copy_from_slice(&[version, b'G', b'M', b'F']);
    record[36] = kind;
    let crc = crc32c::crc32c(&record[..44]);
    record[44..].copy_from_slice(&crc.to_le_bytes());
    record
}

#[test]
fn another_kind_or_a_higher_version_is_for_a_newer_program_whatever_else_it_holds() {
    for filling in [0, 1, 255] {
        for kind in [1, 2, 255] {
            let record = Record::Newer(Newer::Kind(kind));
            assert_eq!(read(&newer(2, kind, filling), Sound::Yes), record);
        }
        for version in [3, 255] {
            for kind in [0, 1] {
                let record = Record::Newer(Newer::Version(version));
                assert_eq!(read(&newer(version, kind, filling), Sound::Yes), record);
            }
        }
    }
    for (version, kind) in [(3, 0), (2, 1)] {
        let mut record = newer(version, kind, 9);
        assert_eq!(read(&record, Sound::No), Record::Unknown, "the storage may have garbled it");
        assert_eq!(read(&record[..47], Sound::Yes), Record::Unknown);
        record[47] ^= 1;
        assert_eq!(read(&record, Sound::Yes), Record::Unknown);
    }
}

#[test]
fn nothing_of_a_frame_to_come_is_tallied_neither_counted_nor_for_its_marks() {
    for count_from in [0, 10] {
        let rules = Rules {
            past_us: 3_600_000_000,
            ahead_us: 300_000_000,
            keep_us: 3_900_000_000,
            partition: 0,
            n_partitions: N_PARTITIONS,
        };
        let mut tally = Tally::new(rules, None, count_from, 0, BTreeSet::new(), 0..0);
        let error = tally.record(5, STAMP_US, &newer(3, 0, 0), Sound::Yes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has version 3, this program reads up to 2: start a newer one"
        );
        let error = tally.record(5, STAMP_US, &newer(2, 1, 0), Sound::Yes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is of kind 1, this program reads kind 0: start a newer one"
        );
        assert_eq!((tally.account.events, tally.judge().clock_us()), (0, None));
        tally.record(5, STAMP_US, &newer(3, 0, 0), Sound::No).unwrap();
        let n = i128::from(count_from == 0);
        assert_eq!((tally.account.of(Class::Poison), tally.judge().clock_us()), (n, None));
        let mut hand = good(2);
        hand.events[0].row = 9;
        tally.record(6, STAMP_US, &hand.bytes(), Sound::Yes).unwrap();
        assert_eq!(
            (tally.account.of(Class::Poison), tally.judge().clock_us()),
            (3 * n, Some(STAMP_US))
        );
    }
}

#[tokio::test]
async fn a_recount_stops_at_a_frame_to_come_and_names_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let log = Queue::open_embedded(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let append = |bytes: Vec<u8>| Append { partition: 0, bytes: Bytes::from(bytes) };
    log.append(vec![append(good(2).bytes()), append(newer(2, 2, 0))]).await.unwrap();
    let log = Queue::open_embedded_read_only(folder.path()).await.unwrap();
    let counted = |next| {
        let progress = Progress {
            late_next: 0,
            next,
            floor: 0,
            floor_clock_us: None,
            clock_us: None,
            last_print: None,
            account: Account::default(),
        };
        Ledger { partitions: BTreeMap::from([(0, progress)]), ..Ledger::default() }
    };
    let window = Window { past_us: 1, ahead_us: 1, keep_us: 1 };
    let expected = walk(&log, &counted(1), &window, &Beginning(None)).await.unwrap();
    assert_eq!(expected.account().events, 2, "what nobody counted is not looked at");
    let error = walk(&log, &counted(2), &window, &Beginning(None)).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "frame at offset 1 of partition 0: it is of kind 2, this program reads kind 0: start a \
         newer one"
    );
}

prop_compose! {
    /// An event that may break rules, of a frame that holds everything up to these numbers.
    fn any_event(rows: u64, texts: u64, producers: u64)(
        row in 0..rows, consumer in 0..=texts, requested_model in 0..=texts,
        producer in 0..=producers, presence in prop_oneof![9 => 0u64..256, 1 => 256u64..600],
        time in 0u64..1 << 58, duration in 0u64..90_000_000_000, attempt in 0u64..70_000,
        present in any::<[u32; 7]>(), seq in any::<u64>(), fingerprint in any::<u64>(),
        key in any::<[u8; 16]>(),
    ) -> HandEvent {
        HandEvent {
            row, consumer, requested_model, producer, presence, time, duration, attempt,
            present: present.map(u64::from), seq, fingerprint, key,
        }
    }
}

prop_compose! {
    fn any_hand()(
        events in proptest::collection::vec(any_event(3, 8, 2), 1..20),
        bases in proptest::collection::btree_map(0..COLUMNS, any::<u64>(), 0..COLUMNS),
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 2),
        codes in any::<[u8; 6]>(),
    ) -> Hand {
        let mut hand = good(0);
        hand.texts.extend(texts);
        hand.producers.push(Producer { source: vec![], producer: vec![1], epoch: 3 });
        let [status, codes @ ..] = codes.map(|code| u64::from(code % 11));
        let [method, outcome, tier, source, is_final] = codes;
        hand.rows.push([1, 2, 3, 4, 0, 95 + status, method, outcome, tier, source, is_final]);
        hand.rows.push([1, 7, 8, 4, 0, 204, 2, 0, 1, 1, 1]);
        hand.events = events;
        hand.shapes = bases.into_iter().map(|(column, base)| (column, (8, 8, base))).collect();
        hand
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_frame_that_lost_bytes_or_bits_is_never_one(
        hand in any_hand(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let bytes = hand.bytes();
        let n_events = hand.events.len() as u32;
        let is_frame = matches!(read(&bytes, Sound::Yes), Record::Frame { .. });
        prop_assert!(is_frame);
        let at = at.index(bytes.len());
        let expected = if at < 48 { Record::Unknown } else { spoiled(n_events) };
        prop_assert_eq!(read(&bytes[..at], Sound::Yes), expected.clone());
        let mut flipped = bytes;
        flipped[at] ^= flip;
        prop_assert_eq!(read(&flipped, Sound::Yes), expected);
        prop_assert_eq!(read(&flipped[..at], Sound::No), if at < 48 {
            Record::Unknown
        } else {
            Record::Garbled { n_events }
        });
    }

    #[test]
    fn a_frame_of_a_foreign_writer_has_its_events_or_none(
        hand in any_hand(), at in any::<prop::sample::Index>(), flip in 1u8..,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = hand.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        seal(&mut bytes);
        let record = read(&bytes, Sound::Yes);
        if !matches!(record, Record::Newer(_)) {
            prop_assert_eq!(&record, &decoded(&bytes), "the ledger reads the same");
        }
        match record {
            Record::Frame { events, .. } => prop_assert_eq!(events.len(), hand.events.len()),
            Record::Spoiled { n_events, .. } => prop_assert!((1..=4_096).contains(&n_events)),
            Record::Newer(_) => prop_assert!([0, 36].contains(&at)),
            Record::Unknown => prop_assert!(at < 48),
            Record::Garbled { .. } => prop_assert!(false),
        }
        let (dictionary, columns) = (hand.dictionary(), hand.columns());
        let n = hand.events.len();
        let record = framed(n, &dictionary, &columns[..cut.index(columns.len())]);
        prop_assert_eq!(read(&record, Sound::Yes), spoiled(n as u32));
    }

    #[test]
    fn bytes_by_chance_behind_an_envelope_never_panic(
        dictionary in proptest::collection::vec(0u8..20, 0..300),
        columns in proptest::collection::vec(0u8..20, 0..300),
        n in 1usize..5,
    ) {
        for before in [dictionary, good(n).dictionary()] {
            if let Record::Frame { events, .. } = read(&framed(n, &before, &columns), Sound::Yes) {
                prop_assert_eq!(events.len(), n);
            }
        }
    }
}
