//! Unit tests of `exposure`.

use super::*;

const S: i64 = 1_000_000;

#[test]
fn the_gate_opens_when_all_goals_are_reached_or_halted() {
    let goals = BTreeMap::from([(0, 5), (1, 7), (2, 9)]);
    let mut gate = Gate::take_over(None, goals, Safeguards::default());
    gate.progress(0, 4);
    assert!(!gate.is_open());
    gate.progress(0, 5);
    gate.progress(1, 8);
    assert_eq!(gate.waits_for(), &Goals::Ends(BTreeMap::from([(2, 9)])));
    gate.halted(2);
    assert!(gate.is_open());
    assert!(!Gate::closed().is_open(), "nothing was taken over");
}

#[test]
fn a_restored_ledger_is_known_by_the_commit_of_the_version_shown_last() {
    let [one, two] = [CommitId([1; 16]), CommitId([2; 16])];
    let mut gate = Gate::take_over(None, BTreeMap::new(), Safeguards::default());
    assert!(gate.version().is_none() && !gate.is_restored(0, None));
    gate.shown(7, one);
    assert_eq!(gate.version(), Some(7));
    assert!(!gate.is_restored(7, Some(one)) && !gate.is_restored(6, Some(two)));
    assert!(gate.is_restored(7, None) && gate.is_restored(7, Some(two)));
}

#[test]
fn versions_are_shown_in_their_order_and_one_that_was_shown_means_a_ledger_gone_back() {
    let mut gate = Gate::take_over(None, BTreeMap::new(), Safeguards::default());
    assert_eq!((gate.step(1), gate.step(2)), (Step::Next, Step::Early));
    gate.shown(7, CommitId([1; 16]));
    let steps = [6, 7, 8, 9].map(|version| gate.step(version));
    assert_eq!(steps, [Step::Back, Step::Back, Step::Next, Step::Early]);
}

const MINUTE: i64 = 60 * S;
const A: u64 = 1;
const B: u64 = 2;

#[test]
fn a_series_is_zero_until_two_scrapes_fetched_it_whatever_their_interval() {
    for gap_us in [S, 15 * S, MINUTE, 150 * S, 5 * MINUTE, 7 * MINUTE] {
        let mut births = Births::new(Safeguards::default());
        births.scraped(A, 7, 0);
        births.born(7, gap_us / 2);
        assert!(births.release(gap_us - 1).is_empty());
        births.scraped(A, 7, gap_us);
        assert!(births.release(gap_us).is_empty(), "that page had only 0..7");
        births.scraped(A, 8, 2 * gap_us);
        assert!(births.release(3 * gap_us - 1).is_empty(), "one zero may be lost");
        births.scraped(A, 8, 3 * gap_us - 1);
        assert_eq!(births.release(3 * gap_us - 1), [7], "{gap_us}");
    }
}

#[test]
fn everybody_who_scrapes_fetches_a_zero_first() {
    let mut births = Births::new(Safeguards::default());
    for at in [0, 4 * MINUTE] {
        births.scraped(B, 0, at);
    }
    for at in 0..20 {
        births.scraped(A, 0, 3 * MINUTE + at * 15 * S);
    }
    let born_us = 8 * MINUTE - 10 * S;
    births.born(0, born_us);
    for at in 0..5 {
        births.scraped(A, 1, born_us + at * S);
        assert!(births.release(born_us + at * S).is_empty(), "the slow one has not come");
    }
    births.scraped(B, 1, born_us + 10 * S);
    assert_eq!(births.release(born_us + 10 * S), [0]);
}

#[test]
fn who_came_once_or_stays_away_is_not_waited_for() {
    let mut births = Births::new(Safeguards::default());
    let visitors = 100..100 + 2 * SCRAPERS_MAX as u64;
    births.scraped(B, 0, 0);
    births.scraped(B, 0, MINUTE);
    visitors.for_each(|each| births.scraped(each, 0, MINUTE));
    assert_eq!(births.scrapers.len(), SCRAPERS_MAX);
    births.born(0, 4 * MINUTE);
    births.scraped(A, 1, 4 * MINUTE);
    births.scraped(A, 1, 5 * MINUTE);
    assert_eq!(births.release(5 * MINUTE), [0], "B came each minute and is gone");
}

#[test]
fn nothing_is_held_for_more_than_twenty_minutes_or_for_nobody() {
    let mut births = Births::new(Safeguards::default());
    births.born(1, 0);
    assert_eq!(births.held().count(), 0, "nobody scrapes");
    births.scraped(A, 0, 0);
    births.born(2, 10 * MINUTE);
    assert!(births.release(20 * MINUTE - 1).is_empty());
    assert_eq!(births.release(20 * MINUTE), [2], "nobody scrapes any more");
    births.scraped(A, 0, 30 * MINUTE);
    births.born(3, 31 * MINUTE);
    births.scraped(A, 0, 45 * MINUTE);
    assert!(births.release(51 * MINUTE - 1).is_empty());
    assert_eq!(births.release(51 * MINUTE), [3]);
}
