//! Unit tests of `producers`.

use event::native::parse;

use super::*;

/// Events of these producers, epochs and numbers, as JSON.
fn body(events: &[(&str, u64, u64)]) -> String {
    let event = |(n, (producer, epoch, seq)): (usize, &(&str, u64, u64))| {
        format!(
            r#"{{"id":"{n}","time":1790000000,"namespace":"a","upstream":"u","method":"POST",
              "endpoint":"/v1","status":200,"duration_ms":1,"producer":"{producer}",
              "epoch":{epoch},"seq":{seq}}}"#
        )
    };
    let events: Vec<String> = events.iter().enumerate().map(event).collect();
    format!("[{}]", events.join(","))
}

/// The numbers that the events of a body keep.
fn numbers(producers: &Producers, unnumbered: &IntCounter, body: &str, now: Instant) -> Vec<u64> {
    let batch = parse(body.as_bytes()).expect("a body");
    let mut numbering = Numbering::new(producers, unnumbered, now);
    let mut numbers = Vec::new();
    for (_, event) in &batch.events {
        numbers.push(numbering.of("default", event).map_or(0, |numbered| numbered.seq));
    }
    numbers
}

#[test]
fn an_event_keeps_its_number_if_it_has_a_producer_and_a_number() {
    let (producers, now) = (Producers::default(), Instant::now());
    let unnumbered = IntCounter::new("unnumbered", "not numbered").expect("a name");
    let long = "w".repeat(111);
    let events = [("a", 1, 1), ("a", 1, 2), ("b", 1, 1), ("", 1, 4), ("a", 2, 0), (&long, 1, 5)];
    let found = numbers(&producers, &unnumbered, &body(&events), now);
    assert_eq!(found, [1, 2, 1, 0, 0, 5]);
    assert_eq!(unnumbered.get(), 0, "an event without a number has none to lose");
    let longer = "w".repeat(112);
    let found = numbers(&producers, &unnumbered, &body(&[(&longer, 1, 5), ("a", 2, 7)]), now);
    assert_eq!((found, unnumbered.get()), (vec![0, 7], 1));
}

#[test]
fn a_flood_of_producers_gets_no_place_and_those_that_send_keep_theirs() {
    let (producers, start) = (Producers::default(), Instant::now());
    let unnumbered = IntCounter::new("unnumbered", "not numbered").expect("a name");
    let number = |epoch, now| numbers(&producers, &unnumbered, &body(&[("a", epoch, 9)]), now)[0];
    for epoch in 0..PRODUCERS_MAX as u64 {
        assert_eq!(number(epoch, start), 9);
    }
    let new = PRODUCERS_MAX as u64;
    assert_eq!(number(new, start), 0);
    assert_eq!(number(3, start + PLACE_TTL / 2), 9);
    let swept = || producers.places.lock().expect("unpoisoned").swept;
    // Not every event looks through all places.
    let early = start + PLACE_TTL - SWEEP_EVERY / 2;
    assert_eq!((number(new, early), swept()), (0, Some(early)));
    assert_eq!((number(new, start + PLACE_TTL), swept()), (0, Some(early)));
    // An hour later the others have made room, and the one that sent since has not.
    let later = early + SWEEP_EVERY;
    assert_eq!((number(new, later), number(3, later)), (9, 9));
    assert_eq!(producers.places.lock().expect("unpoisoned").last.len(), 2);
    assert_eq!(unnumbered.get(), 3);
}
