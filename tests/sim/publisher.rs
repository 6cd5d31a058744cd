//! What is shown, and a Prometheus that looks at it.
//!
//! The publisher keeps totals at the committed ledger, as the aggregator's does, on the real
//! `Gate` and `Births`. The scraper checks what no page may do.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ledger::account::Account;
use ledger::commit::Commit;
use ledger::exposure::{Births, Gate, Step};
use ledger::invariants::{i5_monotone, i6_committed_only};
use ledger::measures::Measures;
use ledger::series::SeriesId;

use crate::mutation::Mutation;
use crate::producer::PARTITIONS;
use crate::sql::{Ledger, Sql};

/// A shown number: of a series, or of the accounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// Requests, input and output tokens of a row.
    Row(SeriesId, u8),
    /// Events by class, in the order of the page, then conflicts and lost frames.
    Account(u8),
}

/// A page.
pub type Page = BTreeMap<Series, i64>;

/// How long a scrape is remembered, and the longest that a series is held, microseconds.
const HELD_US_MAX: i64 = 20 * 60 * 1_000_000;

/// What the current instance shows.
#[derive(Debug)]
pub struct Publisher {
    totals: BTreeMap<SeriesId, Measures>,
    accounts: [Account; PARTITIONS as usize],
    version: i64,
    is_restored: bool,
    gate: Gate,
    births: Births,
    numbers: BTreeMap<SeriesId, u32>,
    /// When each was born, in the order of their numbers.
    born_us: Vec<i64>,
    page: Option<Rc<Page>>,
}

impl Publisher {
    /// Takes over: everything in the ledger is shown at its value.
    #[must_use]
    pub fn take_over(sql: &Sql, highs: BTreeMap<u32, u64>, mutation: Mutation) -> Publisher {
        let safeguards = mutation.safeguards();
        let mut publisher = Publisher {
            totals: BTreeMap::new(),
            accounts: [Account::default(); PARTITIONS as usize],
            version: 0,
            is_restored: false,
            gate: Gate::take_over(sql.ledger.newest(), highs, safeguards),
            births: Births::new(safeguards),
            numbers: BTreeMap::new(),
            born_us: Vec::new(),
            page: None,
        };
        publisher.load(&sql.ledger, 0);
        publisher.build();
        publisher
    }

    /// Takes everything from the ledger; series that were not known are born.
    fn load(&mut self, ledger: &Ledger, now_us: i64) {
        self.totals.clone_from(&ledger.totals);
        for (account, row) in self.accounts.iter_mut().zip(&ledger.rows) {
            *account = row.progress.account;
        }
        self.version = ledger.version;
        let ids: Vec<SeriesId> = ledger.totals.keys().copied().collect();
        for id in ids {
            self.number(id, now_us);
        }
    }

    /// A commit took effect.
    pub fn committed(&mut self, commit: &Commit, version: i64, sql: &Sql, now_us: i64) {
        // Only a mutant publishes a commit of unknown version.
        let version = if version == 0 { self.version + 1 } else { version };
        // Several processes commit here. After a restore others may bring the ledger up to exactly
        // the version that precedes this commit, which cannot happen to a single process that makes
        // every commit.
        self.is_restored |= self.must_take_over(sql) || self.gate.step(version) == Step::Back;
        if self.gate.step(version) == Step::Next {
            for (id, _, sums) in &commit.rows.totals {
                self.totals.entry(*id).or_default().add(sums).expect("small numbers");
                self.number(*id, now_us);
            }
            for part in &commit.parts {
                self.accounts[part.owner.partition as usize] = part.progress.account;
            }
            self.version = version;
            self.gate.shown(version, commit.id);
        } else {
            // Somebody else committed meanwhile.
            self.load(&sql.ledger, now_us);
            if let Some((version, commit)) = sql.ledger.newest() {
                self.gate.shown(version, commit);
            }
        }
        for part in &commit.parts {
            self.gate.progress(part.owner.partition, part.progress.next);
        }
        self.release(now_us);
        self.build();
    }

    /// What the mutant shows that does not wait for commits.
    pub fn uncommitted(&mut self, partition: u32, account: Account) {
        self.accounts[partition as usize] = account;
        self.build();
    }

    /// A partition stands at an offset.
    pub fn progress(&mut self, partition: u32, next: u64, now_us: i64) {
        self.gate.progress(partition, next);
        self.release(now_us);
        self.build();
    }

    /// A partition is halted.
    pub fn halted(&mut self, partition: u32) {
        self.gate.halted(partition);
        self.build();
    }

    /// Whether the ledger went back since the take-over.
    pub fn must_take_over(&self, sql: &Sql) -> bool {
        let is_other = |version| self.gate.is_restored(version, sql.ledger.commit_of(version));
        self.is_restored || self.gate.version().is_some_and(is_other)
    }

    /// A scrape: the page, if there is one.
    pub fn scrape(&mut self, now_us: i64) -> Option<Rc<Page>> {
        if self.release(now_us) {
            self.build();
        }
        let page = self.page.clone()?;
        let n_series = u32::try_from(self.numbers.len()).expect("few");
        self.births.scraped(0, n_series, now_us);
        Some(page)
    }

    /// The series that are shown at zero.
    #[must_use]
    pub fn held(&self) -> BTreeSet<SeriesId> {
        let is_held = |(_, number): &(&SeriesId, &u32)| self.births.is_held(**number);
        self.numbers.iter().filter(is_held).map(|(id, _)| *id).collect()
    }

    /// Whether a series may be shown at its value whatever was fetched: it is that old.
    fn is_over(&self, id: &SeriesId, now_us: i64) -> bool {
        now_us - self.born_us[self.numbers[id] as usize] >= HELD_US_MAX
    }

    fn release(&mut self, now_us: i64) -> bool {
        !self.births.release(now_us).is_empty()
    }

    /// Number of a series; a new one is born.
    fn number(&mut self, id: SeriesId, now_us: i64) {
        if self.numbers.contains_key(&id) {
            return;
        }
        let number = u32::try_from(self.numbers.len()).expect("few");
        self.numbers.insert(id, number);
        self.born_us.push(now_us);
        self.births.born(number, now_us);
    }

    fn build(&mut self) {
        if !self.gate.is_open() || self.is_restored {
            self.page = None;
            return;
        }
        let mut page = Page::new();
        for (id, sums) in &self.totals {
            let is_held = self.births.is_held(self.numbers[id]);
            for (part, value) in [sums.n, sums.input(), sums.output()].into_iter().enumerate() {
                let shown = if is_held { 0 } else { value };
                page.insert(Series::Row(*id, part as u8), shown);
            }
        }
        account(&self.accounts, &mut page);
        self.page = Some(Rc::new(page));
    }
}

/// The accounting of all partitions.
fn account(accounts: &[Account], page: &mut Page) {
    let mut sum = Account::default();
    for account in accounts {
        sum.merge(account);
    }
    let Account { counted, duplicate, late, future, poison, misrouted, .. } = sum;
    let classes = [counted, duplicate, late, future, poison, misrouted];
    let numbers = classes.into_iter().chain([sum.conflicts, sum.lost_frames]);
    for (idx, n) in (0..).zip(numbers) {
        page.insert(Series::Account(idx), n);
    }
}

/// A committed version as a page would show it.
fn shown(ledger: &Ledger) -> Page {
    let mut page = Page::new();
    for (id, sums) in &ledger.totals {
        for (part, value) in (0..).zip([sums.n, sums.input(), sums.output()]) {
            page.insert(Series::Row(*id, part), value);
        }
    }
    let accounts: Vec<Account> = ledger.rows.iter().map(|row| row.progress.account).collect();
    account(&accounts, &mut page);
    page
}

/// Prometheus: remembers the last good page.
#[derive(Debug, Default)]
pub struct Scraper {
    last: Option<(Rc<Page>, i64, u64)>,
    /// How often the zero of a series that is held was fetched.
    zeros: BTreeMap<Series, u32>,
    /// Good pages that it got.
    pub n_good: u64,
}

impl Scraper {
    /// Scrapes; says what is wrong with the page.
    pub fn scrape(
        &mut self,
        publisher: &mut Publisher,
        sql: &Sql,
        now_us: i64,
        incarnation: u64,
    ) -> Result<(), String> {
        let held = publisher.held();
        let Some(page) = publisher.scrape(now_us) else { return Ok(()) };
        self.n_good += 1;
        let is_same = self.last.as_ref().is_some_and(|(last, _, _)| Rc::ptr_eq(last, &page));
        if !is_same {
            if let Some((last, at_us, before)) = &self.last {
                if !i5_monotone(last, &page) {
                    return Err("I5: a shown counter fell or vanished".to_owned());
                }
                if incarnation == *before && now_us - at_us < HELD_US_MAX {
                    born_at_zero(last, &page)?;
                    zero_twice(&self.zeros, &page, |id| publisher.is_over(id, now_us))?;
                } else {
                    self.zeros.clear();
                }
            }
            let is_held = |row: &Series| matches!(row, Series::Row(id, _) if held.contains(id));
            let is_committed =
                |version: &Ledger| i6_committed_only(&page, &[shown(version)], is_held);
            if !sql.versions.iter().rev().any(is_committed) {
                return Err("I6: a page shows what no committed version has".to_owned());
            }
        }
        let still_held = publisher.held();
        for series in page.keys() {
            if matches!(series, Series::Row(id, _) if still_held.contains(id)) {
                *self.zeros.entry(*series).or_default() += 1;
            }
        }
        self.last = Some((page, now_us, incarnation));
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
        self.last.as_ref().map(|(page, _, _)| page.as_ref())
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
