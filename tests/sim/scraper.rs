//! A Prometheus that looks at every process, and what no page may do.

use std::collections::BTreeMap;
use std::rc::Rc;

use ledger::invariants::{i5_monotone, i6_committed_only};
use ledger::series::SeriesId;

use crate::books::Ledger;
use crate::publisher::{HELD_US_MAX, Page, Publisher, Series, shown};
use crate::sql::Sql;

/// A scrape: who is asked, and when.
#[derive(Clone, Copy, Debug)]
pub struct Scrape {
    /// When it began: the time of its samples.
    pub came_us: i64,
    /// The version that its answer must have reached.
    pub at_least: i64,
}

/// Prometheus: remembers the good page of the newest scrape.
#[derive(Debug, Default)]
pub struct Scraper {
    last: Option<(Rc<Page>, i64, u64)>,
    /// How often the zero of a series that is held was fetched.
    zeros: BTreeMap<Series, u32>,
    /// Good pages that it got.
    pub n_good: u64,
}

impl Scraper {
    /// The answer to a scrape; says what is wrong with the page.
    pub fn answered(
        &mut self,
        scrape: Scrape,
        publisher: &mut Publisher,
        sql: &Sql,
        now_us: i64,
    ) -> Result<(), String> {
        let held = publisher.held();
        let Some(page) = publisher.scrape(scrape.at_least, now_us) else { return Ok(()) };
        self.n_good += 1;
        let is_held = |row: &Series| matches!(row, Series::Row(id, _) if held.contains(id));
        let is_committed = |version: &Ledger| i6_committed_only(&page, &[shown(version)], is_held);
        let is_known = self.last.as_ref().is_some_and(|(last, ..)| Rc::ptr_eq(last, &page));
        if !is_known && !sql.versions.iter().rev().any(is_committed) {
            return Err("I6: a page shows what no committed version has".to_owned());
        }
        self.compare(&page, scrape, publisher, now_us)?;
        let still_held = publisher.held();
        for series in page.keys() {
            if matches!(series, Series::Row(id, _) if still_held.contains(id)) {
                *self.zeros.entry(*series).or_default() += 1;
            }
        }
        // Samples have the time at which their scrape began.
        if self.last.as_ref().is_none_or(|(_, came_us, _)| *came_us <= scrape.came_us) {
            self.last = Some((page, scrape.came_us, publisher.incarnation));
        }
        Ok(())
    }

    /// Compares a page with that of the newest scrape.
    fn compare(
        &mut self,
        page: &Rc<Page>,
        scrape: Scrape,
        publisher: &Publisher,
        now_us: i64,
    ) -> Result<(), String> {
        let Some((last, newest_us, incarnation)) = &self.last else { return Ok(()) };
        if Rc::ptr_eq(last, page) {
            return Ok(());
        }
        let is_late = *newest_us > scrape.came_us;
        let (earlier, later) = if is_late { (page, last) } else { (last, page) };
        if !i5_monotone(earlier, later) {
            let fell = earlier.iter().find(|(series, n)| later.get(series).is_none_or(|m| m < n));
            return Err(format!("I5: a shown counter fell or vanished: {fell:?}"));
        }
        if is_late {
            return Ok(());
        }
        let is_same = publisher.incarnation == *incarnation;
        if is_same && scrape.came_us - newest_us < HELD_US_MAX {
            born_at_zero(last, page)?;
            return zero_twice(&self.zeros, page, |id| publisher.is_over(id, now_us));
        }
        self.zeros.clear();
        Ok(())
    }

    /// Nothing that was shown holds any more.
    pub fn forget(&mut self) {
        self.last = None;
        self.zeros.clear();
    }

    /// The last good page.
    #[must_use]
    pub fn last(&self) -> Option<&Page> {
        self.last.as_ref().map(|(page, ..)| page.as_ref())
    }
}

/// A series that the page before did not have begins at zero.
fn born_at_zero(last: &Page, page: &Page) -> Result<(), String> {
    let is_new = |series: &&Series| !last.contains_key(series);
    match page.keys().filter(is_new).find(|series| page[series] != 0) {
        Some(series) => Err(format!("a new series is first shown at its value: {series:?}")),
        None => Ok(()),
    }
}

/// A zero is fetched twice before the value is, unless the series was held for as long as may be.
fn zero_twice(
    zeros: &BTreeMap<Series, u32>,
    page: &Page,
    is_over: impl Fn(&SeriesId) -> bool,
) -> Result<(), String> {
    let is_early = |(series, value): &(&Series, &i64)| {
        let is_once = **value != 0 && zeros.get(series).is_some_and(|n| *n < 2);
        is_once && matches!(series, Series::Row(id, _) if !is_over(id))
    };
    match page.iter().find(is_early) {
        Some((series, _)) => Err(format!("a zero was fetched once only: {series:?}")),
        None => Ok(()),
    }
}

/// The page that the ledger must end up as.
#[must_use]
pub fn settled(sql: &Sql) -> Page {
    shown(&sql.ledger)
}
