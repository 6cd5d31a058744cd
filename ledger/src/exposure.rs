//! What may be shown, and when: no page before the take-over is caught up, no series whose first
//! shown value is not zero.
//!
//! The publisher asks the `Gate` whether the business section may be served, and the `Births` of
//! each series whether to write its value or zero. Times are microseconds of a clock that never
//! goes back; the caller reads it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use crate::commit::CommitId;
use crate::safeguard::{Safeguard, Safeguards};

/// How far back scrapes are remembered to find their interval.
const SCRAPES_US: i64 = 2 * 60 * 1_000_000;
/// Most scrapes that are remembered; with more, the oldest are forgotten and the interval is
/// taken from the others.
const SCRAPES_MAX: usize = 1_024;

/// Opens when every partition that is not halted has reached the log end that was seen at
/// take-over; closes again when the ledger is seen to go back.
///
/// A ledger that was restored may have grown past the version that was shown before anybody looks
/// again, so not its version tells it, but the commit that made the version seen last: a restored
/// ledger has another one there, or none.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    goals: BTreeMap<u32, u64>,
    seen: Option<(i64, CommitId)>,
    safeguards: Safeguards,
}

impl Gate {
    /// Takes over. `goals` are the partitions with the log end seen now; `seen` is the version
    /// that is taken over with the commit that made it, or nothing before the first commit.
    #[must_use]
    pub fn take_over(
        seen: Option<(i64, CommitId)>,
        goals: BTreeMap<u32, u64>,
        safeguards: Safeguards,
    ) -> Gate {
        Gate { goals, seen, safeguards }
    }

    /// A partition has committed everything before `next`.
    pub fn progress(&mut self, partition: u32, next: u64) {
        if self.goals.get(&partition).is_some_and(|goal| next >= *goal) {
            self.goals.remove(&partition);
        }
    }

    /// A partition is halted: it holds up no page of the others, as its shown numbers stand still.
    pub fn halted(&mut self, partition: u32) {
        self.goals.remove(&partition);
    }

    /// A version is shown that this commit made.
    pub fn shown(&mut self, version: i64, commit: CommitId) {
        self.seen = Some((version, commit));
    }

    /// The version that was shown last.
    #[must_use]
    pub fn version(&self) -> Option<i64> {
        self.seen.map(|(version, _)| version)
    }

    /// How a version that a commit made stands to the one shown last. Deltas may only be added in
    /// the order of their versions: then every page is one committed snapshot, and a ledger that
    /// was restored below a running owner is seen at its first commit, before anything is added.
    #[must_use]
    pub fn step(&self, version: i64) -> Step {
        let shown = self.seen.map_or(0, |(shown, _)| shown);
        match version.cmp(&(shown + 1)) {
            _ if !self.safeguards.on(Safeguard::VersionOrder) => Step::Next,
            Ordering::Equal => Step::Next,
            Ordering::Greater => Step::Early,
            Ordering::Less => Step::Back,
        }
    }

    /// Whether the ledger went back, by the commit that it has at a version: another one than was
    /// shown, or none. Says no if another version was shown meanwhile.
    #[must_use]
    pub fn is_restored(&self, version: i64, commit: Option<CommitId>) -> bool {
        self.seen.is_some_and(|(shown, seen)| shown == version && commit != Some(seen))
    }

    /// Whether pages may be served.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.goals.is_empty() || !self.safeguards.on(Safeguard::CatchUp)
    }

    /// The partitions that are waited for, with the log ends that they have to reach.
    #[must_use]
    pub fn waits_for(&self) -> &BTreeMap<u32, u64> {
        &self.goals
    }
}

/// How a version stands to the one shown last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It follows it: it can be shown.
    Next,
    /// Others come before it that are not known yet.
    Early,
    /// It does not follow: the ledger went back to an earlier state.
    Back,
}

/// When the page was scraped lately.
#[derive(Clone, Debug, Default)]
pub struct Scrapes {
    times: VecDeque<i64>,
}

/// What is known of the scrape interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Nobody scrapes: nothing has to be held.
    Nobody,
    /// There was one scrape only: somebody scrapes, at an interval yet unknown.
    Unknown,
    /// The largest gap of the last two minutes.
    Us(i64),
}

impl Scrapes {
    /// Notes a scrape.
    pub fn note(&mut self, now_us: i64) {
        self.times.push_back(now_us);
        if self.times.len() > SCRAPES_MAX {
            self.times.pop_front();
        }
        self.forget(now_us);
    }

    /// The interval as of now.
    pub fn interval(&mut self, now_us: i64) -> Interval {
        self.forget(now_us);
        let gaps = self.times.iter().zip(self.times.iter().skip(1)).map(|(a, b)| b - a);
        match (self.times.len(), gaps.max()) {
            (0, _) => Interval::Nobody,
            (_, None) => Interval::Unknown,
            (_, Some(us)) => Interval::Us(us),
        }
    }

    fn forget(&mut self, now_us: i64) {
        while self.times.front().is_some_and(|time| now_us - time > SCRAPES_US) {
            self.times.pop_front();
        }
    }
}

/// Where a shown series stands between its birth and its first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// Its value is shown.
    Shown,
    /// It is shown at zero; no scrape has seen that yet.
    Unseen,
    /// It is shown at zero since a scrape at this time.
    Seen(i64),
}

/// The series that are held at zero, by the number that the page gave them.
#[derive(Clone, Debug, Default)]
pub struct Births {
    held: BTreeMap<u32, Birth>,
    safeguards: Safeguards,
}

impl Births {
    /// Nothing is held.
    #[must_use]
    pub fn new(safeguards: Safeguards) -> Births {
        Births { held: BTreeMap::new(), safeguards }
    }

    /// A series is born after the take-over. Held only if somebody scrapes.
    pub fn born(&mut self, series: u32, interval: Interval) {
        if interval != Interval::Nobody && self.safeguards.on(Safeguard::BornAtZero) {
            self.held.insert(series, Birth::Unseen);
        }
    }

    /// Whether a series is shown at zero.
    #[must_use]
    pub fn is_held(&self, series: u32) -> bool {
        self.held.contains_key(&series)
    }

    /// The series that are held, ascending.
    pub fn held(&self) -> impl Iterator<Item = u32> {
        self.held.keys().copied()
    }

    /// A scrape got a page that has every series with a number below `n_series`.
    pub fn scraped(&mut self, n_series: u32, now_us: i64) {
        for (_, birth) in self.held.range_mut(..n_series) {
            if *birth == Birth::Unseen {
                *birth = Birth::Seen(now_us);
            }
        }
    }

    /// Releases the series whose zero was seen for two intervals, or all if nobody scrapes any
    /// more. Gives those that were released, ascending.
    pub fn release(&mut self, interval: Interval, now_us: i64) -> Vec<u32> {
        let is_due = |birth: Birth| match (birth, interval) {
            (_, Interval::Nobody) => true,
            (Birth::Seen(at), Interval::Us(us)) => now_us - at >= us.saturating_mul(2),
            _ => false,
        };
        let due: Vec<u32> =
            self.held.iter().filter(|(_, b)| is_due(**b)).map(|(series, _)| *series).collect();
        for series in &due {
            self.held.remove(series);
        }
        due
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(gate.waits_for().len(), 1);
        gate.halted(2);
        assert!(gate.is_open());
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

    #[test]
    fn the_interval_is_the_largest_gap_of_two_minutes() {
        let mut scrapes = Scrapes::default();
        assert_eq!(scrapes.interval(0), Interval::Nobody);
        scrapes.note(0);
        assert_eq!(scrapes.interval(S), Interval::Unknown);
        scrapes.note(15 * S);
        scrapes.note(25 * S);
        assert_eq!(scrapes.interval(26 * S), Interval::Us(15 * S));
        assert_eq!(scrapes.interval(130 * S), Interval::Us(10 * S));
        assert_eq!(scrapes.interval(200 * S), Interval::Nobody);
    }

    #[test]
    fn a_series_is_zero_for_two_intervals_from_the_scrape_that_saw_it() {
        let mut births = Births::new(Safeguards::default());
        births.born(7, Interval::Us(5 * S));
        assert!(births.release(Interval::Us(5 * S), 100 * S).is_empty());
        births.scraped(7, 100 * S);
        assert!(births.release(Interval::Us(5 * S), 200 * S).is_empty(), "page had only 0..7");
        births.scraped(8, 200 * S);
        births.scraped(8, 205 * S);
        assert!(births.release(Interval::Us(5 * S), 209 * S).is_empty());
        assert_eq!(births.release(Interval::Us(5 * S), 210 * S), [7]);
        births.born(8, Interval::Nobody);
        assert_eq!(births.held().count(), 0);
        births.born(9, Interval::Unknown);
        assert_eq!(births.release(Interval::Nobody, 0), [9]);
    }
}
