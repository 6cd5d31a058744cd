//! What may be shown, and when: no page before the take-over is caught up, no series whose first
//! shown value is not zero.
//!
//! The publisher asks the `Gate` whether the business section may be served, and the `Births` of
//! each series whether to write its value or zero. Times are microseconds of a clock that never
//! goes back; the caller reads it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::commit::CommitId;
use crate::safeguard::{Safeguard, Safeguards};

/// Longest that a series is shown at zero, and how long a scrape is remembered: Prometheus treats a
/// series without samples for five minutes as stale, so four times that exceeds every sensible
/// scrape interval.
const HELD_US_MAX: i64 = 20 * 60 * 1_000_000;
/// Scrapes that have to fetch a zero before the value is shown. One may be lost on its way.
const ZEROS: u32 = 2;
/// Maximum number of tracked scrapers; beyond it the one not seen for longest is dropped.
const SCRAPERS_MAX: usize = 16;
/// Missed intervals after which a scraper is no longer waited for.
const INTERVALS_AWAY: i64 = 2;

/// Opens when every partition that is not halted has reached the log end that was seen at
/// take-over; closes again when the ledger is seen to go back.
///
/// A restored ledger may have grown past the exposed version before the next check, so it is not
/// detected by its version but by the commit that created the last exposed version: a restored
/// ledger has another one there, or none.
#[derive(Clone, Debug)]
pub struct Gate {
    goals: Goals,
    seen: Option<(i64, CommitId)>,
    safeguards: Safeguards,
}

/// What a closed gate waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goals {
    /// The ledger has not been read yet.
    Unknown,
    /// Partitions that have not reached the log end that was seen at the take-over.
    Ends(BTreeMap<u32, u64>),
}

impl Goals {
    fn reached(&mut self, partition: u32, by: impl FnOnce(u64) -> bool) {
        if let Goals::Ends(ends) = self
            && ends.get(&partition).is_some_and(|end| by(*end))
        {
            ends.remove(&partition);
        }
    }
}

impl Gate {
    /// A gate that stays closed until the take-over.
    #[must_use]
    pub fn closed() -> Gate {
        Gate { goals: Goals::Unknown, seen: None, safeguards: Safeguards::default() }
    }

    /// Takes over. `goals` are the partitions with the log end seen now; `seen` is the version
    /// that is taken over with the commit that made it, or `None` before the first commit.
    #[must_use]
    pub fn take_over(
        seen: Option<(i64, CommitId)>,
        goals: BTreeMap<u32, u64>,
        safeguards: Safeguards,
    ) -> Gate {
        Gate { goals: Goals::Ends(goals), seen, safeguards }
    }

    /// A partition has committed everything before `next`.
    pub fn progress(&mut self, partition: u32, next: u64) {
        self.goals.reached(partition, |end| next >= end);
    }

    /// A partition is halted: it does not block the page of the others, as its own numbers stay
    /// constant.
    pub fn halted(&mut self, partition: u32) {
        self.goals.reached(partition, |_| true);
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

    /// Compares the version of a commit with the one shown last. Deltas may only be added in the
    /// order of their versions: then every page is one committed snapshot, and a ledger that was
    /// restored below a running owner is seen at its first commit, before anything is added.
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
        let is_caught_up = matches!(&self.goals, Goals::Ends(ends) if ends.is_empty());
        is_caught_up || !self.safeguards.on(Safeguard::CatchUp)
    }

    /// What the gate waits for.
    #[must_use]
    pub fn waits_for(&self) -> &Goals {
        &self.goals
    }
}

/// A version relative to the one shown last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It follows it: it can be shown.
    Next,
    /// Others come before it that are not known yet.
    Early,
    /// It does not follow: the ledger went back to an earlier state.
    Back,
}

/// A scraper, by the number that the caller gives it.
#[derive(Clone, Copy, Debug)]
struct Scraper {
    last_us: i64,
    /// Between its last two scrapes; `None` after the first.
    interval_us: Option<i64>,
    /// It has fetched every series with a number below this.
    n_series: u32,
}

impl Scraper {
    /// Whether it scrapes regularly and is not overdue.
    fn is_awaited(&self, now_us: i64) -> bool {
        self.interval_us
            .is_some_and(|us| now_us - self.last_us <= us.saturating_mul(INTERVALS_AWAY))
    }
}

/// A series that is shown at zero.
#[derive(Clone, Copy, Debug)]
struct Birth {
    born_us: i64,
    /// Scrapes that have fetched the zero.
    n_zeros: u32,
}

/// The series that are held at zero, by the number that the page gave them, and who scrapes them.
///
/// A series is released once two scrapes have fetched its zero, and everybody who scrapes has; or
/// after 20 minutes. Where nobody has scraped for 20 minutes nothing is held.
#[derive(Clone, Debug, Default)]
pub struct Births {
    held: BTreeMap<u32, Birth>,
    scrapers: BTreeMap<u64, Scraper>,
    safeguards: Safeguards,
}

impl Births {
    /// Nothing is held, and nobody is known to scrape.
    #[must_use]
    pub fn new(safeguards: Safeguards) -> Births {
        Births { safeguards, ..Births::default() }
    }

    /// A series is born after the take-over. Held only if somebody scrapes.
    pub fn born(&mut self, series: u32, now_us: i64) {
        if self.is_scraped(now_us) && self.safeguards.on(Safeguard::BornAtZero) {
            self.held.insert(series, Birth { born_us: now_us, n_zeros: 0 });
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

    /// A scrape got a page that has every series with a number below `n_series`; 0 if it got none.
    pub fn scraped(&mut self, scraper: u64, n_series: u32, now_us: i64) {
        for (_, birth) in self.held.range_mut(..n_series) {
            birth.n_zeros = birth.n_zeros.saturating_add(1);
        }
        let before = self.scrapers.get(&scraper);
        let known = Scraper {
            last_us: now_us,
            interval_us: before.map(|before| now_us - before.last_us),
            n_series: before.map_or(n_series, |before| n_series.max(before.n_series)),
        };
        self.scrapers.insert(scraper, known);
        if self.scrapers.len() > SCRAPERS_MAX {
            let oldest = self.scrapers.iter().min_by_key(|(_, each)| each.last_us);
            let oldest = oldest.map(|(id, _)| *id);
            oldest.and_then(|id| self.scrapers.remove(&id));
        }
    }

    /// Releases the series whose zero was fetched often enough, or that were held for long enough,
    /// or all if nobody scrapes any more. Gives those that were released, ascending.
    pub fn release(&mut self, now_us: i64) -> Vec<u32> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let is_scraped = self.is_scraped(now_us);
        let awaited = self.scrapers.values().filter(|each| each.is_awaited(now_us));
        let fetched_by_all = awaited.map(|each| each.n_series).min().unwrap_or(u32::MAX);
        let zeros = if self.safeguards.on(Safeguard::TwoZeros) { ZEROS } else { 1 };
        let is_due = |series: u32, birth: &Birth| {
            !is_scraped
                || now_us - birth.born_us >= HELD_US_MAX
                || (birth.n_zeros >= zeros && series < fetched_by_all)
        };
        let due = self.held.iter().filter(|(series, birth)| is_due(**series, birth));
        let due: Vec<u32> = due.map(|(series, _)| *series).collect();
        for series in &due {
            self.held.remove(series);
        }
        due
    }

    /// Whether somebody has scraped lately.
    fn is_scraped(&mut self, now_us: i64) -> bool {
        self.scrapers.retain(|_, each| now_us - each.last_us < HELD_US_MAX);
        !self.scrapers.is_empty()
    }
}

#[cfg(test)]
mod tests;
