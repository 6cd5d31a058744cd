//! What a process shows.
//!
//! The publisher keeps totals at the committed ledger, as the aggregator's does, on the real
//! `Gate` and `Births`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ledger::account::Account;
use ledger::commit::{Commit, Progress};
use ledger::exposure::{Births, Gate, Step};
use ledger::measures::Measures;
use ledger::series::SeriesId;

use crate::books::Ledger;
use crate::mutation::Mutation;
use crate::producer::PARTITIONS;

/// A shown number: of a series, or of the accounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// Requests, input and output tokens of a row.
    Row(SeriesId, u8),
    /// Events by class, in the order of the page, then conflicts, lost frames, and late events by
    /// verdict.
    Account(u8),
}

/// A page.
pub type Page = BTreeMap<Series, i64>;

/// How long a scrape is remembered, and the longest that a series is held, microseconds.
pub(crate) const HELD_US_MAX: i64 = 20 * 60 * 1_000_000;

/// What a process shows, if it is the publisher.
#[derive(Debug)]
pub struct Publisher {
    mutation: Mutation,
    totals: BTreeMap<SeriesId, Measures>,
    accounts: [Account; PARTITIONS as usize],
    version: i64,
    is_restored: bool,
    may_lack_shown: bool,
    waits_for_late: bool,
    gate: Gate,
    births: Births,
    numbers: BTreeMap<SeriesId, u32>,
    /// When each was born, in the order of their numbers.
    born_us: Vec<i64>,
    page: Option<Rc<Page>>,
    /// Its take-over.
    pub incarnation: u64,
}

impl Publisher {
    /// One that shows nothing before it takes over.
    #[must_use]
    pub fn closed(mutation: Mutation) -> Publisher {
        Publisher {
            mutation,
            totals: BTreeMap::new(),
            accounts: [Account::default(); PARTITIONS as usize],
            version: 0,
            is_restored: false,
            may_lack_shown: false,
            waits_for_late: false,
            gate: Gate::closed(),
            births: Births::new(mutation.safeguards()),
            numbers: BTreeMap::new(),
            born_us: Vec::new(),
            page: None,
            incarnation: 0,
        }
    }

    /// Takes over: everything in the ledger is shown at its value.
    pub fn take_over(&mut self, ledger: &Ledger, highs: BTreeMap<u32, u64>, follows_another: bool) {
        *self = Publisher::closed(self.mutation);
        self.gate = Gate::take_over(ledger.newest(), highs, self.mutation.safeguards());
        self.load(ledger, 0);
        let is_restored = ledger.is_restored && self.mutation != Mutation::RestoreNoted;
        let succeeds = follows_another && self.mutation != Mutation::SuccessionNoted;
        self.may_lack_shown = is_restored || succeeds;
        self.waits_for_late = is_restored && self.mutation != Mutation::LateRestored;
        self.build();
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

    /// A commit of its own process took effect: it is shown if it is the next version.
    pub fn committed(&mut self, commit: &Commit, version: i64, now_us: i64) {
        // Only a mutant publishes a commit of unknown version.
        let version = if version == 0 { self.version + 1 } else { version };
        if self.gate.step(version) != Step::Next {
            return;
        }
        for (id, _, sums) in &commit.rows.totals {
            self.totals.entry(*id).or_default().add(sums).expect("small numbers");
            self.number(*id, now_us);
        }
        for part in &commit.parts {
            self.accounts[part.owner.partition as usize] = part.progress.account;
        }
        self.version = version;
        self.gate.shown(version, commit.id);
        for part in &commit.parts {
            self.reached(part.owner.partition, &part.progress);
        }
        self.release(now_us);
        self.build();
    }

    /// What was committed since, by any process.
    pub fn follow_to(&mut self, ledger: &Ledger, now_us: i64) {
        let before = self.version;
        if ledger.version > self.version && self.mutation != Mutation::FollowOthers {
            self.load(ledger, now_us);
            if let Some((version, commit)) = ledger.newest() {
                self.gate.shown(version, commit);
            }
        }
        let is_new = ledger.version == self.version && self.page.is_none();
        for (partition, row) in (0..).zip(&ledger.rows) {
            self.reached(partition, &row.progress);
        }
        if self.release(now_us) || is_new || before != self.version {
            self.build();
        }
    }

    /// What the mutant shows that does not wait for commits.
    pub fn uncommitted(&mut self, partition: u32, account: Account) {
        self.accounts[partition as usize] = account;
        self.build();
    }

    /// How far a partition is counted.
    fn reached(&mut self, partition: u32, progress: &Progress) {
        let reached = if self.waits_for_late { progress.late_next } else { progress.next };
        self.gate.progress(partition, reached);
    }

    /// A partition stands somewhere.
    pub fn progress(&mut self, partition: u32, progress: &Progress, now_us: i64) {
        self.reached(partition, progress);
        self.release(now_us);
        self.build();
    }

    /// A partition is halted.
    pub fn halted(&mut self, partition: u32) {
        self.gate.halted(partition);
        self.build();
    }

    /// Whether pages are shown.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.page.is_some()
    }

    /// Whether the ledger went back behind what is shown; then nothing is shown any more.
    pub fn close_if_restored(&mut self, ledger: &Ledger) -> bool {
        let is_other = |version| self.gate.is_restored(version, ledger.commit_of(version));
        if self.gate.version().is_some_and(is_other) {
            self.is_restored = true;
            self.build();
        }
        self.is_restored
    }

    /// A scrape: the page, if there is one of this version or a later one.
    pub fn scrape(&mut self, at_least: i64, now_us: i64) -> Option<Rc<Page>> {
        if self.release(now_us) {
            self.build();
        }
        let page = self.page.clone().filter(|_| self.version >= at_least);
        self.may_lack_shown &= page.is_none();
        let n_series = page.as_ref().map_or(0, |_| u32::try_from(self.numbers.len()).expect("few"));
        self.births.scraped(0, n_series, now_us);
        page
    }

    /// A scrape that got no page.
    pub fn asked_in_vain(&mut self, now_us: i64) {
        self.births.scraped(0, 0, now_us);
    }

    /// The series that are shown at zero.
    #[must_use]
    pub fn held(&self) -> BTreeSet<SeriesId> {
        let is_held = |(_, number): &(&SeriesId, &u32)| self.births.is_held(**number);
        self.numbers.iter().filter(is_held).map(|(id, _)| *id).collect()
    }

    /// Whether a series may be shown at its value whatever was fetched: it is that old.
    #[must_use]
    pub fn is_over(&self, id: &SeriesId, now_us: i64) -> bool {
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
        // What may have been shown before must not begin at zero again.
        if !self.may_lack_shown {
            self.births.born(number, now_us);
        }
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
    let others = [sum.conflicts, sum.lost_frames, sum.merged, sum.late_duplicate, sum.expired];
    let numbers = classes.into_iter().chain(others);
    for (idx, n) in (0..).zip(numbers) {
        page.insert(Series::Account(idx), n);
    }
}

/// A committed version as a page would show it.
#[must_use]
pub fn shown(ledger: &Ledger) -> Page {
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
