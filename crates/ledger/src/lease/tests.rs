//! Unit tests of `lease`.

use super::*;

const SECOND_US: i64 = 1_000_000;
const PAGE: Answer = Answer::Page { at_least: 0 };
const NOBODY: LeaseRow = LeaseRow { term: 0, holder: None, beat: 0 };

fn lease(me: u8) -> Lease {
    Lease::new([me; 16], Safeguards::default())
}

fn row(term: i64, holder: u8, beat: i64) -> LeaseRow {
    LeaseRow { term, holder: Some([holder; 16]), beat }
}

#[test]
fn the_first_process_takes_it_and_need_not_be_silent() {
    let mut lease = lease(1);
    assert_eq!(lease.observe(NOBODY, 5), Next::Acquire(NOBODY));
    assert_eq!(lease.answer(&NOBODY, 5, 6, SECOND_US), Answer::Nobody);
    lease.acquired(NOBODY, 10);
    let mine = row(1, 1, 0);
    assert_eq!(lease.observe(mine, 20), Next::Renew(mine));
    assert_eq!(lease.answer(&mine, 5, 10, 10 * SECOND_US), PAGE);
    assert_eq!(lease.answer(&mine, 5, 9, 0), Answer::Silence, "it came before the take-over");
}

#[test]
fn a_lease_that_is_renewed_is_never_taken_over() {
    let mut lease = lease(2);
    for beat in 0..100 {
        assert_eq!(lease.observe(row(1, 1, beat), beat * (EXPIRES_US - 1)), Next::Wait);
    }
}

#[test]
fn one_that_stands_still_is_taken_over_and_the_new_holder_is_silent_for_a_timeout() {
    let mut lease = lease(2);
    let theirs = row(7, 1, 3);
    assert_eq!(lease.observe(theirs, 0), Next::Wait);
    assert_eq!(lease.observe(theirs, EXPIRES_US - 1), Next::Wait);
    assert_eq!(lease.observe(theirs, EXPIRES_US), Next::Acquire(theirs));
    let at_us = EXPIRES_US + SECOND_US;
    lease.acquired(theirs, at_us);
    let mine = row(8, 2, 0);
    let answers =
        [9, 10].map(|after| lease.answer(&mine, 5, at_us + after * SECOND_US, 10 * SECOND_US));
    assert_eq!(answers, [Answer::Silence, Answer::Page { at_least: 5 }]);
    // What the ledger had after the silence is enough from then on.
    let later = lease.answer(&mine, 90, at_us + 11 * SECOND_US, 10 * SECOND_US);
    assert_eq!(later, Answer::Page { at_least: 5 });
    // Who is more patient may wait for the holder of before for longer; nobody is shown more.
    let longer = lease.answer(&mine, 91, at_us + 11 * SECOND_US, 12 * SECOND_US);
    let others = lease.answer(&mine, 91, at_us + 11 * SECOND_US, 3 * SECOND_US);
    assert_eq!([longer, others], [Answer::Silence; 2]);
    let after = lease.answer(&mine, 92, at_us + 12 * SECOND_US, 3 * SECOND_US);
    assert_eq!(after, Answer::Page { at_least: 92 });
    assert!(lease.follows_another());
}

#[test]
fn one_that_was_given_back_is_free_at_once() {
    let mut lease = lease(2);
    assert_eq!(lease.observe(row(3, 1, 9), 0), Next::Wait);
    let free = LeaseRow { holder: None, ..row(3, 1, 9) };
    assert_eq!(lease.observe(free, 1), Next::Acquire(free));
    lease.acquired(free, 2);
    assert_eq!(lease.answer(&row(4, 2, 0), 5, 2, 10 * SECOND_US), PAGE);
    assert!(!lease.follows_another());
}

#[test]
fn who_is_not_the_holder_any_more_shows_nothing_before_it_knows() {
    let mut lease = lease(1);
    lease.acquired(NOBODY, 0);
    let theirs = row(2, 2, 0);
    assert_eq!(lease.answer(&theirs, 5, 5, 0), Answer::Standby, "the row is read for each request");
    assert_eq!(lease.observe(theirs, 6), Next::Lost);
    assert!(!lease.is_held());
    assert_eq!(lease.observe(theirs, 7), Next::Wait);
    // It takes over again as anybody would.
    assert_eq!(lease.observe(theirs, 6 + EXPIRES_US), Next::Acquire(theirs));
}

#[test]
fn a_term_of_a_ledger_that_was_put_back_is_not_taken_for_ones_own() {
    let mut lease = lease(1);
    lease.acquired(row(4, 9, 0), 0);
    let earlier = row(2, 1, 8);
    assert_eq!(lease.answer(&earlier, 5, SECOND_US, 0), Answer::Standby);
    assert_eq!(lease.observe(earlier, SECOND_US), Next::Lost);
}

#[test]
fn who_shows_the_section_is_known_once_the_lease_was_seen_to_be_renewed() {
    let mut lease = lease(1);
    let second = 10 * SECOND_US;
    assert_eq!(lease.standing(0, second), Standing::Nobody);
    lease.observe(row(1, 2, 5), 0);
    assert_eq!(lease.standing(0, second), Standing::Nobody, "its holder may be dead");
    assert_eq!(lease.answer(&row(1, 2, 5), 1, 0, second), Answer::Nobody);
    lease.observe(row(1, 2, 6), 1);
    assert_eq!(lease.answer(&row(1, 2, 6), 1, 1, second), Answer::Standby);
    lease.observe(row(1, 2, 6), 2);
    assert_eq!(lease.standing(2, second), Standing::Standby);
    lease.observe(row(2, 3, 6), 3);
    assert_eq!(lease.standing(3, second), Standing::Nobody, "another one took over");
    lease.observe(row(2, 3, 6), 3 + EXPIRES_US);
    lease.acquired(row(2, 3, 6), 4 + EXPIRES_US);
    assert_eq!(lease.standing(3 + EXPIRES_US + second, second), Standing::Silent);
    assert_eq!(lease.standing(4 + EXPIRES_US + second, second), Standing::Publisher);
}
