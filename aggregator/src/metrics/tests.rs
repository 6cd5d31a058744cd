//! Unit tests of `metrics`.

use super::*;

#[test]
fn what_waits_is_old_from_when_it_was_first_seen_until_a_commit_or_another_owner() {
    let mut partition = Partition { is_ours: true, next: 5, ..Partition::default() };
    partition.observe(5);
    assert_eq!(partition.waits_since, None);
    partition.observe(6);
    let since = partition.waits_since;
    assert!(since.is_some());
    partition.observe(9);
    assert_eq!(partition.waits_since, since, "more that waits does not make it younger");
    partition.next = 9;
    partition.observe(9);
    assert_eq!(partition.waits_since, None);
    // A log that was made anew ends before what is counted.
    partition.halted = Some(Halted { reason: "replaced".to_owned(), resumes_at: Some(9) });
    for (high, waits) in [(0, false), (3, true)] {
        partition.observe(high);
        assert_eq!(partition.waits_since.is_some(), waits, "{high}");
    }
    partition.is_ours = false;
    partition.observe(12);
    assert_eq!(partition.waits_since, None);
}
