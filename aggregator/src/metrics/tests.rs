//! Unit tests of `metrics`.

use super::*;

#[test]
fn what_waits_is_old_from_when_it_was_first_seen_until_a_commit_or_another_owner() {
    let mut state = PartitionState { is_owned: true, next: 5, ..PartitionState::default() };
    state.look(5);
    assert_eq!(state.waits_since, None);
    state.look(6);
    let since = state.waits_since;
    assert!(since.is_some());
    state.look(9);
    assert_eq!(state.waits_since, since, "more that waits does not make it younger");
    state.next = 9;
    state.look(9);
    assert_eq!(state.waits_since, None);
    // A log that was made anew ends before what is counted.
    state.halted = Some(Halted { reason: "replaced".to_owned(), resumes_at: 9 });
    for (high, waits) in [(0, false), (3, true)] {
        state.look(high);
        assert_eq!(state.waits_since.is_some(), waits, "{high}");
    }
    state.is_owned = false;
    state.look(12);
    assert_eq!(state.waits_since, None);
}
