//! The hand-off alone, without a broker.

use bytes::Bytes;

use super::*;

fn record(offset: u64, len: usize) -> Record {
    let bytes = Bytes::from(vec![7; len]);
    Record { offset, append_time_us: 1, bytes, intact: true }
}

/// A slot that is started at `from`, and the number of that start.
fn running(from: u64) -> (Slot, u64) {
    let slot = Slot::new();
    slot.assign();
    let number = start(&slot, from);
    (slot, number)
}

fn start(slot: &Slot, at: u64) -> u64 {
    assert!(slot.request_start(at));
    match slot.take_request() {
        Some(Request { from, start }) if from == at => start,
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
    let (slot, number) = running(5);
    assert!(matches!(slot.take(5, 9), Taken::Nothing));
    assert!(matches!(slot.take(4, 9), Taken::Elsewhere));
    for offset in 5..9 {
        assert_eq!(slot.offer(number, record(offset, 4)), Offer::Accepted);
    }
    assert_eq!(*slot.subscribe().borrow(), 9);
    assert_eq!(offsets(slot.take(5, 9)), [5, 6]);
    assert_eq!(offsets(slot.take(7, 1)), [7], "one at least");
    assert!(matches!(slot.take(7, 9), Taken::Elsewhere), "what was read is gone");
    assert_eq!(offsets(slot.take(8, 9)), [8]);
}

#[test]
fn what_comes_twice_or_from_an_earlier_start_is_dropped() {
    let (slot, old) = running(0);
    assert_eq!(slot.offer(old, record(0, 1)), Offer::Accepted);
    assert_eq!(slot.offer(old, record(0, 1)), Offer::Dropped);
    let new = start(&slot, 0);
    assert_eq!(slot.offer(old, record(0, 1)), Offer::Dropped);
    assert!(matches!(slot.take(0, 9), Taken::Nothing));
    assert_eq!(slot.offer(new, record(0, 1)), Offer::Accepted);
    slot.revoke();
    assert_eq!(slot.offer(new, record(1, 1)), Offer::Dropped);
    assert!(matches!(slot.take(0, 9), Taken::NotAssigned), "not even what was there");
    assert!(!slot.request_start(0));
}

#[test]
fn hole_is_fetched_again_once_and_then_reported_after_what_is_before_it() {
    let (slot, number) = running(0);
    assert_eq!(slot.offer(number, record(0, 1)), Offer::Accepted);
    assert_eq!(slot.offer(number, record(3, 1)), Offer::Refetch);
    assert_eq!(slot.offer(number, record(1, 1)), Offer::Dropped, "it comes from before");
    let Some(Request { from: 1, start: number }) = slot.take_request() else { panic!("no start") };
    assert_eq!(slot.offer(number, record(3, 1)), Offer::Dropped);
    assert_eq!(offsets(slot.take(0, 9)), [0]);
    assert!(matches!(slot.take(1, 9), Taken::Broken(Broken::Hole { next: 3 })));
    slot.forget();
    assert!(matches!(slot.take(1, 9), Taken::Elsewhere));
}

#[test]
fn hole_that_the_client_made_heals() {
    let (slot, number) = running(0);
    assert_eq!(slot.offer(number, record(1, 1)), Offer::Refetch);
    let Some(Request { from: 0, start: number }) = slot.take_request() else { panic!("no start") };
    assert_eq!(slot.offer(number, record(0, 1)), Offer::Accepted);
    assert_eq!(slot.offer(number, record(1, 1)), Offer::Accepted);
    assert_eq!(offsets(slot.take(0, 9)), [0, 1]);
}

#[test]
fn full_slot_is_paused_until_half_of_it_is_read() {
    let (slot, number) = running(0);
    let quarter = HANDOFF_BYTES_MAX / 4;
    for offset in 0..3 {
        assert_eq!(slot.offer(number, record(offset, quarter)), Offer::Accepted);
    }
    assert_eq!(slot.offer(number, record(3, quarter)), Offer::Full);
    assert_eq!(slot.offer(number, record(4, 1)), Offer::Accepted, "it was under way");
    assert!(slot.is_full());
    slot.take(0, 2 * quarter);
    assert!(slot.is_full());
    slot.take(2, quarter);
    assert!(!slot.is_full());
    assert_eq!(slot.take_request(), None);
    assert_eq!(slot.offer(number, record(5, 2 * quarter)), Offer::Accepted);
    assert!(!slot.is_full(), "only at the bound again");
}

#[test]
fn slot_that_was_reset_reports_the_error_until_it_starts_over() {
    let (slot, number) = running(0);
    slot.reset(&Arc::new(KafkaError::NoMessageReceived));
    assert_eq!(slot.offer(number, record(0, 1)), Offer::Dropped);
    assert!(matches!(slot.take(0, 1), Taken::Broken(Broken::Reset(_))));
    let number = start(&slot, 0);
    assert_eq!(slot.offer(number, record(0, 1)), Offer::Accepted);
}

#[test]
fn topic_made_anew_is_not_read_before_somebody_trusts_it() {
    let (slot, number) = running(0);
    assert_eq!(slot.offer(number, record(0, 1)), Offer::Accepted);
    slot.remake();
    assert!(matches!(slot.take(0, 9), Taken::Remade), "not even what was there");
    assert_eq!(slot.offer(number, record(1, 1)), Offer::Dropped);
    slot.revoke();
    slot.assign();
    assert!(matches!(slot.take(0, 9), Taken::Remade), "whoever has it meanwhile");
    slot.trust();
    assert!(matches!(slot.take(0, 9), Taken::Elsewhere));
}

#[test]
fn callers_that_wait_for_an_assignment_notice_the_end() {
    let (slot, _) = running(0);
    slot.close();
    slot.revoke();
    assert!(*slot.assigned().borrow());
    assert!(slot.is_closed() && matches!(slot.take(0, 1), Taken::Closed));
}

#[test]
fn offsets_are_shown_once_and_only_while_the_partition_is_ours() {
    let (slot, _) = running(0);
    slot.commit_offset(7);
    assert_eq!((slot.take_commit(), slot.take_commit()), (Some(7), None));
    slot.commit_offset(8);
    slot.revoke();
    slot.commit_offset(9);
    assert_eq!(slot.take_commit(), None);
}

#[test]
fn a_slot_waits_only_while_records_are_fetched_and_none_is_left_to_read() {
    let slot = Slot::new();
    slot.assign();
    assert_eq!(slot.waits_for(), None, "nothing was requested");
    let number = start(&slot, 3);
    assert_eq!(slot.waits_for().map(|(from, _)| from), Some(3));
    assert_eq!(slot.offer(number, record(3, 1)), Offer::Accepted);
    assert_eq!(slot.waits_for(), None, "there is something to read");
    assert_eq!(offsets(slot.take(3, 9)), [3]);
    assert_eq!(slot.waits_for().map(|(from, _)| from), Some(4));
    assert!(!slot.fetch_again(3), "it has moved since");
    assert!(slot.fetch_again(4));
    assert_eq!(slot.waits_for(), None, "a fetch is requested already");
    assert_eq!(slot.offer(number, record(4, 1)), Offer::Dropped);
    let again = slot.take_request().expect("a request");
    assert_eq!(again.from, 4);
    assert_eq!(slot.offer(again.start, record(4, 1)), Offer::Accepted);
    assert_eq!(offsets(slot.take(4, 9)), [4]);
}
