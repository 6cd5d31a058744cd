//! What counting allocates once labels are known: blocks for new marks, and nothing per event.

use super::*;

const EVENTS_PER_FRAME: u64 = 1_000;

/// Frames of events with ids of their own.
fn frames(n: u64) -> Vec<Stored> {
    let ids = |frame: u64| frame * EVENTS_PER_FRAME..(frame + 1) * EVENTS_PER_FRAME;
    let events = |frame| ids(frame).map(|id| Made { id, age: 0, tokens: 1 }).collect::<Vec<_>>();
    (0..n).map(|n| frame(&events(n), NOW_US)).collect()
}

/// Allocations of reading a log, frame by frame.
fn allocations(log: &[Stored]) -> Vec<u64> {
    let mut owner = core();
    claim(&mut owner, Progress::default(), log, 1);
    let mut read = || allocation_counter::measure(|| read_one(&mut owner, log, 1)).count_total;
    let counts = log.iter().map(|_| read()).collect();
    assert_eq!(owner.position(), log.len() as u64);
    counts
}

#[test]
fn new_events_allocate_for_blocks_of_marks_alone() {
    let counts = allocations(&frames(20));
    assert!(counts[10..].iter().sum::<u64>() < EVENTS_PER_FRAME, "{counts:?}");
}

#[test]
fn copies_allocate_nothing() {
    let mut log = frames(1);
    log.push(log[0].clone());
    let counts = allocations(&log);
    assert_eq!(counts[1], 0, "{counts:?}");
}
