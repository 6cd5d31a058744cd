//! The hand-off alone, without a broker.

use bytes::Bytes;

use super::*;

fn record(offset: u64, len: usize) -> Record {
    let bytes = Bytes::from(vec![7; len]);
    Record { offset, append_time_us: 1, bytes, intact: true }
}

/// A place that runs from `from` on, and the number of its start.
fn running(from: u64) -> (Place, u64) {
    let place = Place::new();
    place.assign();
    let nonce = start(&place, from);
    (place, nonce)
}

fn start(place: &Place, at: u64) -> u64 {
    assert!(place.start(at));
    match place.wish() {
        Some(Wish::Start { from, nonce }) if from == at => nonce,
        other => panic!("{other:?}"),
    }
}

fn offsets(taken: Taken) -> Vec<u64> {
    match taken {
        Taken::Records(records) => records.iter().map(|record| record.offset).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_are_read_in_order_and_in_pieces() {
    let (place, nonce) = running(5);
    assert!(matches!(place.take(5, 9), Taken::Nothing));
    assert!(matches!(place.take(4, 9), Taken::Elsewhere));
    for offset in 5..9 {
        assert_eq!(place.offer(nonce, record(offset, 4)), Offer::Accepted);
    }
    assert_eq!(*place.subscribe().borrow(), 9);
    assert_eq!(offsets(place.take(5, 9)), [5, 6]);
    assert_eq!(offsets(place.take(7, 1)), [7], "one at least");
    assert!(matches!(place.take(7, 9), Taken::Elsewhere), "what was read is gone");
    assert_eq!(offsets(place.take(8, 9)), [8]);
}

#[test]
fn what_comes_twice_or_from_an_earlier_start_is_dropped() {
    let (place, old) = running(0);
    assert_eq!(place.offer(old, record(0, 1)), Offer::Accepted);
    assert_eq!(place.offer(old, record(0, 1)), Offer::Dropped);
    let new = start(&place, 0);
    assert_eq!(place.offer(old, record(0, 1)), Offer::Dropped);
    assert!(matches!(place.take(0, 9), Taken::Nothing));
    assert_eq!(place.offer(new, record(0, 1)), Offer::Accepted);
    place.revoke();
    assert_eq!(place.offer(new, record(1, 1)), Offer::Dropped);
    assert!(matches!(place.take(0, 9), Taken::NotAssigned), "not even what was there");
    assert!(!place.start(0));
}

#[test]
fn hole_is_fetched_again_once_and_then_reported_after_what_is_before_it() {
    let (place, nonce) = running(0);
    assert_eq!(place.offer(nonce, record(0, 1)), Offer::Accepted);
    assert_eq!(place.offer(nonce, record(3, 1)), Offer::Again);
    assert_eq!(place.offer(nonce, record(1, 1)), Offer::Dropped, "it comes from before");
    let Some(Wish::Start { from: 1, nonce }) = place.wish() else { panic!("no start") };
    assert_eq!(place.offer(nonce, record(3, 1)), Offer::Dropped);
    assert_eq!(offsets(place.take(0, 9)), [0]);
    assert!(matches!(place.take(1, 9), Taken::Broken(Broken::Hole { next: 3 })));
    place.forget();
    assert!(matches!(place.take(1, 9), Taken::Elsewhere));
}

#[test]
fn hole_that_the_client_made_heals() {
    let (place, nonce) = running(0);
    assert_eq!(place.offer(nonce, record(1, 1)), Offer::Again);
    let Some(Wish::Start { from: 0, nonce }) = place.wish() else { panic!("no start") };
    assert_eq!(place.offer(nonce, record(0, 1)), Offer::Accepted);
    assert_eq!(place.offer(nonce, record(1, 1)), Offer::Accepted);
    assert_eq!(offsets(place.take(0, 9)), [0, 1]);
}

#[test]
fn full_place_is_paused_until_half_of_it_is_read() {
    let (place, nonce) = running(0);
    let quarter = HANDOFF_BYTES_MAX / 4;
    for offset in 0..3 {
        assert_eq!(place.offer(nonce, record(offset, quarter)), Offer::Accepted);
    }
    assert_eq!(place.offer(nonce, record(3, quarter)), Offer::Full);
    assert_eq!(place.offer(nonce, record(4, 1)), Offer::Accepted, "it was under way");
    place.take(0, 2 * quarter);
    assert_eq!(place.wish(), None);
    place.take(2, quarter);
    assert_eq!(place.wish(), Some(Wish::Resume));
    assert_eq!(place.wish(), None);
}

#[test]
fn disturbed_place_says_so_until_it_starts_over() {
    let (place, nonce) = running(0);
    place.disturb(&Arc::new(KafkaError::NoMessageReceived));
    assert_eq!(place.offer(nonce, record(0, 1)), Offer::Dropped);
    assert!(matches!(place.take(0, 1), Taken::Broken(Broken::Disturbed(_))));
    let nonce = start(&place, 0);
    assert_eq!(place.offer(nonce, record(0, 1)), Offer::Accepted);
}

#[test]
fn topic_made_anew_is_not_read_before_somebody_trusts_it() {
    let (place, nonce) = running(0);
    assert_eq!(place.offer(nonce, record(0, 1)), Offer::Accepted);
    place.remake();
    assert!(matches!(place.take(0, 9), Taken::Remade), "not even what was there");
    assert_eq!(place.offer(nonce, record(1, 1)), Offer::Dropped);
    place.revoke();
    place.assign();
    assert!(matches!(place.take(0, 9), Taken::Remade), "whoever has it meanwhile");
    place.trust();
    assert!(matches!(place.take(0, 9), Taken::Elsewhere));
}

#[test]
fn end_is_heard_by_whoever_waits_for_an_assignment() {
    let (place, _) = running(0);
    place.close();
    place.revoke();
    assert!(*place.assigned().borrow());
    assert!(place.is_closed() && matches!(place.take(0, 1), Taken::Closed));
}

#[test]
fn offsets_are_shown_once_and_only_while_the_partition_is_ours() {
    let (place, _) = running(0);
    place.commit_offset(7);
    assert_eq!((place.take_commit(), place.take_commit()), (Some(7), None));
    place.commit_offset(8);
    place.revoke();
    place.commit_offset(9);
    assert_eq!(place.take_commit(), None);
}
