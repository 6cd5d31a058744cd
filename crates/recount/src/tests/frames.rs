//! Frames of version 2 are read to the last bit, and what breaks a rule alone is poison alone.

use std::rc::Rc;

use super::by_hand::{
    DICTIONARY_COLUMNS, DURATION, Hand, HandEvent, Producer, ROW, STATUS, TIME, consumer_read,
    event_read, good, row_read,
};
use crate::frame::{Event, Record, Sound, read};
use crate::labels::{Consumer, OUTCOMES, Row};

/// The smallest frame: one event, drawn without the writer.
#[test]
fn a_frame_that_is_written_out_is_read() {
    let dictionary: &[&[u8]] = &[
        &[3, 0, 1, 6, 5],
        b"n",
        b"openai",
        b"/v1/x",
        &[1, 0, 2, b'g', b'w', 1, b'p', 9, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0],
        // Namespace 1 in the distance, upstream 2 in the base, 1 as the model, 3, none.
        &[0x01, 1, 0x10, 2, 0x11, 1, 0, 0x10, 3, 0x00],
        // Status 300 + 204, PUT, unconfirmed, batch, estimated, not final.
        &[0x12, 204, 44, 1, 0x01, 3, 0x01, 9, 0x01, 2, 0x01, 2, 0x00],
    ];
    let columns: &[&[u8]] = &[
        // Row 0, no consumer, requested model 3, producer 1, presence: first token and reading.
        &[0x00, 0x00, 0x10, 3, 0x01, 1, 0x01, 1 | 2 | 4 | 8 | 16 | 32 | 64 | 128],
        // Time, duration, attempt.
        &[0x80, 1, 2, 3, 4, 5, 6, 0, 0, 0x02, 0x10, 0x27, 0x01, 7],
        // First token, input, cache read, cache write, output, reasoning, cost, seq.
        &[0x01, 5, 0x02, 0, 1, 0x01, 30, 0x01, 20, 0x01, 10, 0x01, 4, 0x03, 0, 0, 1, 0x01, 77],
        &[8, 7, 6, 5, 4, 3, 2, 1],
        &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6],
    ];
    let (dictionary, columns) = (dictionary.concat(), columns.concat());
    let head: &[&[u8]] = &[
        b"\x02GMF",
        &[1, 0, 0, 0, 21, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0],
        &[dictionary.len() as u8, 0, 0, 0, columns.len() as u8, 0, 0, 0],
        &crc32c::crc32c(&[dictionary.clone(), columns.clone()].concat()).to_le_bytes(),
        &[0; 8],
    ];
    let mut bytes = head.concat();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend([dictionary, columns].concat());
    let row = Row {
        namespace: "n".to_owned(),
        upstream: "openai".to_owned(),
        model: "n".to_owned(),
        method: "PUT",
        endpoint: "/v1/x".to_owned(),
        status: 504,
        outcome: "unconfirmed",
        tier: "batch",
        source: "estimated",
        is_final: false,
        limited_by: None,
    };
    let event = Event {
        consumer: Rc::new(Consumer {
            namespace: "n".to_owned(),
            consumer: String::new(),
            model: "n".to_owned(),
        }),
        row: Rc::new(row),
        key: [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6],
        fingerprint: 0x0102_0304_0506_0708,
        time_us: 0x0000_0605_0403_0201,
        duration_us: 10_000,
        ttft_us: Some(5),
        tokens: [256 - 50, 30, 20, 6, 4],
        cost_nano: 65_536,
    };
    let frame = Record::Frame { stamp_us: 21, events: vec![Some(event)] };
    assert_eq!(read(&bytes, Sound::Yes), frame);
    assert_eq!(read(&bytes, Sound::No), Record::Garbled { n_events: 1 });
}

#[test]
fn texts_rows_and_producers_are_told_apart_and_absent_values_take_no_bytes() {
    let mut hand = good(6);
    let policy = hand.text(b"token_limit");
    let again = hand.text(b"wechat");
    let empty = hand.text(b"");
    hand.producers.push(Producer { source: vec![0xff; 60], producer: vec![], epoch: u64::MAX });
    // Status 429, rate_limited, no tokens, not final, by a policy; then row 0 in other numbers.
    hand.rows.push([1, 2, 3, 4, policy, 429, 2, 2, 1, 0, 0]);
    hand.rows.push([again, 2, 3, 4, empty, 200, 2, 0, 1, 1, 1]);
    let numbers = [(0, 0), (1, 1), (2, 0), (0, 2), (1, 1), (0, 0)];
    for (idx, (event, (row, producer))) in hand.events.iter_mut().zip(numbers).enumerate() {
        (event.row, event.producer, event.seq) = (row, producer, 1 << (8 * idx));
        event.key[0] = idx as u8;
        event.time += idx as u64;
        if row == 1 {
            event.presence = 0;
        }
    }
    let limited = Row {
        status: 429,
        outcome: "rate_limited",
        source: "none",
        is_final: false,
        limited_by: Some("token_limit".to_owned()),
        ..row_read()
    };
    // The first token of two events, cache and reasoning of one, a cost and a stream.
    hand.events[1].presence = 1 | 128;
    hand.events[1].present[0] = 9;
    hand.events[3].presence |= 1 | 4 | 8 | 32 | 64;
    hand.events[3].present = [7, 100, 30, 10, 20, 5, 12];
    hand.events[5].consumer = empty;
    hand.events[5].requested_model = 0;
    let expected = |idx: u8| {
        let mut event = event_read();
        event.key[0] = idx;
        event.time_us += i64::from(idx);
        match idx {
            1 | 4 => {
                event.row = Rc::new(limited.clone());
                event.ttft_us = (idx == 1).then_some(9);
                event.tokens = [0; 5];
            }
            3 => {
                event.ttft_us = Some(7);
                event.tokens = [60, 30, 10, 15, 5];
                event.cost_nano = 12;
            }
            5 => event.consumer = Rc::new(consumer_read("")),
            _ => {}
        }
        Some(event)
    };
    let expected: Vec<_> = (0..6).map(expected).collect();
    assert_eq!(hand.read(), expected);
}

#[test]
fn a_value_and_its_base_have_any_number_of_bytes() {
    let low_bytes = |number: u64, bytes: u8| {
        if bytes == 8 { number } else { number & ((1 << (8 * bytes)) - 1) }
    };
    for width in 0..=8 {
        for base_bytes in 0..=8 {
            let base = low_bytes(0x0123_4567_89ab_cdef, base_bytes);
            let distance = low_bytes(0x01fe_dcba_9876_5432, width);
            let mut hand = good(3);
            hand.shapes.insert(TIME, (width, base_bytes, base));
            for event in &mut hand.events {
                event.time = base + distance;
            }
            hand.events[1].time = base;
            let times = [base + distance, base, base + distance];
            for (event, time) in hand.read().into_iter().zip(times) {
                let time_us = time.cast_signed();
                assert_eq!(event, Some(Event { time_us, ..event_read() }), "{width} {base_bytes}");
            }
        }
    }
}

#[test]
fn values_wrap_around() {
    let mut hand = good(2);
    hand.shapes.insert(TIME, (1, 8, u64::MAX - 1));
    hand.events[0].time = 0;
    hand.events[1].time = 200;
    hand.shapes.insert(DURATION, (8, 1, 255));
    hand.events[0].duration = 254;
    // A code that wraps is a code like any other.
    hand.shapes.insert(STATUS, (2, 8, u64::MAX));
    let [first, second] = [0, 1].map(|idx| hand.read()[idx].clone().unwrap());
    assert_eq!((first.time_us, first.duration_us, first.row.status), (0, 254, 200));
    assert_eq!((second.time_us, second.duration_us), (200, 1_500_000));
}

#[test]
fn a_full_frame_is_read() {
    let mut hand = good(4_096);
    for n in 0..300u16 {
        let text = hand.text(format!("m{n}").as_bytes());
        hand.rows.push([1, 2, text, 4, 0, 200, 2, 0, 1, 1, 1]);
    }
    for (idx, event) in hand.events.iter_mut().enumerate() {
        event.row = idx as u64 % 301;
    }
    hand.shapes.insert(DICTIONARY_COLUMNS, (2, 0, 0));
    let events = hand.read();
    assert_eq!(events.len(), 4_096);
    for (idx, event) in events.iter().enumerate() {
        let model = (idx % 301).checked_sub(1).map_or("gpt-4o".to_owned(), |n| format!("m{n}"));
        let event = event.as_ref().unwrap();
        assert_eq!((&event.row.model, &event.consumer.model), (&model, &model));
    }
}

/// A frame of one event before and one behind the event in question, which alone is spoiled.
fn check(what: &str, is_sound: bool, change: impl FnOnce(&mut Hand)) {
    let mut hand = good(3);
    hand.rows.push(ROW);
    hand.events[1].row = 1;
    change(&mut hand);
    let events = hand.read();
    assert_eq!(events[0], Some(event_read()), "{what}");
    assert_eq!(events[2], Some(event_read()), "{what}");
    assert_eq!(events[1].is_some(), is_sound, "{what}");
}

#[test]
fn a_row_with_a_number_that_is_on_no_list_spoils_its_own_events_only() {
    type Case = (&'static str, usize, &'static [u64], &'static [u64]);
    let cases: [Case; 6] = [
        ("status", 5, &[100, 399, 204], &[0, 99, 400, 599, 600, 65_736, u64::MAX]),
        ("method", 6, &[1, 8], &[0, 9, 258, u64::MAX]),
        ("outcome", 7, &[0, 1, 9], &[10, 256, u64::MAX]),
        ("tier", 8, &[1, 4], &[0, 5, 257, u64::MAX]),
        ("source", 9, &[1, 2], &[3, 257, u64::MAX]),
        ("final", 10, &[0, 1], &[2, 257, u64::MAX]),
    ];
    for (what, column, right, wrong) in cases {
        for value in right {
            check(&format!("{what} {value}"), true, |hand| hand.rows[1][column] = *value);
        }
        for value in wrong {
            check(&format!("{what} {value}"), false, |hand| hand.rows[1][column] = *value);
        }
    }
}

#[test]
fn success_stands_below_400_only_and_any_other_outcome_anywhere() {
    for outcome in 0..OUTCOMES.len() as u64 {
        for status in [100, 399, 400, 599] {
            check(&format!("{outcome} {status}"), status < 400 || outcome != 0, |hand| {
                hand.rows[1][7] = outcome;
                hand.rows[1][STATUS] = status;
            });
        }
    }
    let mut hand = good(1);
    (hand.rows[0][7], hand.rows[0][STATUS]) = (9, 200);
    let event = hand.read()[0].clone().unwrap();
    assert_eq!((event.row.outcome, event.row.status_word()), ("unconfirmed", "error"));
}

#[test]
fn a_row_with_a_text_that_is_not_valid_in_its_place_spoils_its_own_events_only() {
    let long = [b'a'; 255];
    let bad: [&[u8]; 7] = [b" ", b"a b", b"a\"", "ä".as_bytes(), b"\xff", &long[..129], &long];
    for column in 0..5 {
        let is_namespace = column == 0;
        let set = |hand: &mut Hand, text: &[u8]| hand.rows[1][column] = hand.text(text);
        for text in bad {
            check(&format!("{column} {text:?}"), false, |hand| set(hand, text));
        }
        check(&format!("{column} none"), column == 4, |hand| hand.rows[1][column] = 0);
        check(&format!("{column} empty"), column == 4, |hand| set(hand, b""));
        check(&format!("{column} 64"), true, |hand| set(hand, &long[..64]));
        for text in [&long[..65], &long[..128], b"all", b"none", b"other", b"1a", b"-", b"a@b"] {
            check(&format!("{column} {text:?}"), !is_namespace, |hand| set(hand, text));
        }
    }
}

#[test]
fn rows_and_texts_that_no_event_needs_may_be_anything() {
    let mut hand = good(1);
    let bad = hand.text(&[0xff; 255]);
    hand.rows.push([bad, bad, bad, bad, bad, 0, 0, 99, 0, 9, 9]);
    assert_eq!(hand.read(), [Some(event_read())]);
}

#[test]
fn a_consumer_or_a_requested_model_that_is_not_valid_spoils_its_own_events_only() {
    let long = [b'a'; 129];
    let consumers: [(&[u8], bool); 7] = [
        (b"", true),
        (b"a b\"c", true),
        (&long[..128], true),
        (&long, false),
        (b"\xff", false),
        (b"a\n", false),
        ("a\u{85}".as_bytes(), false),
    ];
    for (text, is_sound) in consumers {
        let what = format!("consumer {text:?}");
        check(&what, is_sound, |hand| hand.events[1].consumer = hand.text(text));
    }
    let models: [(&[u8], bool); 7] = [
        (b"", true),
        (b"none", true),
        (&long[..128], true),
        (&long, false),
        (b"\xff", false),
        (b"a b", false),
        ("模".as_bytes(), false),
    ];
    for (text, is_sound) in models {
        let what = format!("requested model {text:?}");
        check(&what, is_sound, |hand| hand.events[1].requested_model = hand.text(text));
    }
    check("no requested model", true, |hand| hand.events[1].requested_model = 0);
    check("no consumer", true, |hand| hand.events[1].consumer = 0);
}

#[test]
fn a_number_out_of_its_range_spoils_its_own_event_only() {
    type Set = fn(&mut HandEvent, u64);
    let cases: [(&str, u64, Set); 10] = [
        ("time", 253_402_300_799_999_999, |event, n| event.time = n),
        ("duration", 86_400_000_000, |event, n| event.duration = n),
        ("attempt", 65_535, |event, n| event.attempt = n),
        ("presence", 255, |event, n| event.presence = n),
        ("first token", 86_400_000_000, |event, n| {
            event.presence |= 1;
            event.present[0] = n;
        }),
        ("input", 1_000_000_000, |event, n| event.present[1] = n),
        ("cache write", 60, |event, n| {
            event.presence |= 4 | 8;
            event.present[2..4].copy_from_slice(&[40, n]);
        }),
        ("output", 1_000_000_000, |event, n| event.present[4] = n),
        ("reasoning", 20, |event, n| {
            event.presence |= 32;
            event.present[5] = n;
        }),
        ("cost", 1_000_000_000_000_000, |event, n| {
            event.presence |= 64;
            event.present[6] = n;
        }),
    ];
    for (what, most, set) in cases {
        check(&format!("{what} {most}"), true, |hand| set(&mut hand.events[1], most));
        for more in [most + 1, u64::MAX] {
            check(&format!("{what} {more}"), false, |hand| set(&mut hand.events[1], more));
        }
    }
}

#[test]
fn token_counts_stand_where_the_row_says_so_and_only_there() {
    check("none, as the row says", true, |hand| {
        hand.rows[1][9] = 0;
        hand.events[1].presence = 1 | 64 | 128;
    });
    check("some without a source", false, |hand| hand.rows[1][9] = 0);
    check("a source of none", false, |hand| hand.events[1].presence = 1 | 64 | 128);
    check("a source of zeros", true, |hand| {
        hand.events[1].presence = 2;
        hand.events[1].present[1] = 0;
    });
}

#[test]
fn an_event_with_unknown_bits_of_presence_keeps_its_places_in_the_columns() {
    check("presence 256 and first token", false, |hand| {
        hand.events[1].presence = 256 | 1 | 2 | 16;
        hand.events[1].present = [3, 4, 0, 0, 5, 0, 0];
    });
    let mut hand = good(1);
    hand.events[0].presence = 256;
    assert_eq!(hand.read(), [None]);
}

#[test]
fn producer_and_sequence_decide_nothing() {
    let mut hand = good(2);
    hand.producers.push(Producer { source: vec![0; 59], producer: vec![0xfe; 59], epoch: 0 });
    for (producer, seq) in [(0, 0), (1, 0), (1, 1), (2, 1), (2, u64::MAX)] {
        hand.events[1].producer = producer;
        hand.events[1].seq = seq;
        assert_eq!(hand.read(), [Some(event_read()), Some(event_read())]);
    }
    hand.producers[1].source.push(0);
    let spoiled = read(&hand.bytes(), Sound::Yes);
    assert!(matches!(spoiled, Record::Spoiled { n_events: 2, .. }), "129 bytes: {spoiled:?}");
}
