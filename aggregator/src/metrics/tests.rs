//! Unit tests of `metrics`.

use super::*;

#[test]
fn what_waits_is_old_from_when_it_was_first_seen_until_a_commit_or_another_owner() {
    let mut place = Place { is_ours: true, next: 5, ..Place::default() };
    place.look(5);
    assert_eq!(place.waits_since, None);
    place.look(6);
    let since = place.waits_since;
    assert!(since.is_some());
    place.look(9);
    assert_eq!(place.waits_since, since, "more that waits does not make it younger");
    place.next = 9;
    place.look(9);
    assert_eq!(place.waits_since, None);
    // A log that was made anew ends before what is counted.
    place.halted = Some(Halted { reason: "replaced".to_owned(), resumes_at: 9 });
    for (high, waits) in [(0, false), (3, true)] {
        place.look(high);
        assert_eq!(place.waits_since.is_some(), waits, "{high}");
    }
    place.is_ours = false;
    place.look(12);
    assert_eq!(place.waits_since, None);
}
