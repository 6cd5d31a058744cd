//! The publisher: keeps the families at the committed ledger and one prebuilt page of them.
//!
//! It takes over from a snapshot, follows each commit, and serves nothing before every partition
//! has reached the log end that was seen at take-over. A page is built when something changed, not
//! when it is scraped, so that a scrape costs no more than sending it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use event::Outcome;
use ledger::account::Account;
use ledger::commit::{Commit, CommitId};
use ledger::exposure::{Births, Gate, Goals, Step};
use ledger::measures::Measures;
use ledger::safeguard::Safeguards;
use ledger::series::FullLabels;
use service::status::Live;

use crate::expose::{Born, Exposition};
use crate::page::Page;

/// The committed snapshot that a take-over starts from.
#[derive(Debug, Default)]
pub struct Start {
    /// Ledger version.
    pub version: i64,
    /// The commit that created it; `None` before the first one.
    pub commit: Option<CommitId>,
    /// Totals of every full row.
    pub totals: Vec<(FullLabels, Measures)>,
    /// Accounting of each partition.
    pub accounts: BTreeMap<u32, Account>,
    /// Codes of the configured namespaces.
    pub namespaces: Vec<String>,
    /// Log end of each partition that has to be reached before the first page.
    pub goals: BTreeMap<u32, u64>,
}

/// Adds a series to the totals.
fn add(live: &mut Live, labels: &FullLabels, sums: &Measures) {
    if labels.is_final {
        live.requests = live.requests.saturating_add(sums.n);
        if labels.outcome != Outcome::Success {
            live.errors = live.errors.saturating_add(sums.n);
        }
    }
    let [uncached, read, write, text, reasoning] = sums.tokens;
    for tokens in [uncached, read, write] {
        live.input_tokens = live.input_tokens.saturating_add(tokens);
    }
    for tokens in [text, reasoning] {
        live.output_tokens = live.output_tokens.saturating_add(tokens);
    }
}

/// Maintains what is exposed.
#[derive(Debug)]
pub struct Publisher {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    exposition: Exposition,
    gate: Gate,
    accounts: BTreeMap<u32, Account>,
    version: i64,
    live: Live,
    is_restored: bool,
    /// Commits that came before one with a lower version, and since when.
    early: BTreeMap<i64, (Arc<Commit>, i64)>,
    page: Option<Arc<Page>>,
}

/// Most commits that wait for one before them: many seconds of many processes.
const EARLY_MAX: usize = 4_096;
/// How long a commit waits for those before it, microseconds. Longer than an unknown outcome takes
/// to be looked up; if the missing one was not made by this process, it takes over again.
const EARLY_US_MAX: i64 = 60 * 1_000_000;

/// Requester of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Prometheus, by its scrape header; the number identifies the server.
    Scrape(u64),
    /// Anybody else: does not count as having seen a zero.
    Other,
}

impl Default for Publisher {
    /// A publisher before its take-over, which exposes nothing.
    fn default() -> Publisher {
        let births = Births::new(Safeguards::default());
        Publisher {
            started: Instant::now(),
            state: Mutex::new(State {
                exposition: Exposition::new(births),
                gate: Gate::closed(),
                accounts: BTreeMap::new(),
                version: 0,
                live: Live::default(),
                is_restored: false,
                early: BTreeMap::new(),
                page: None,
            }),
        }
    }
}

impl Publisher {
    /// Starts from a snapshot. Series in it are shown at their value from the first page on.
    pub fn take_over(&self, start: Start) {
        let mut exposition = Exposition::new(Births::new(Safeguards::default()));
        let mut live = Live::default();
        for namespace in &start.namespaces {
            exposition.configure(namespace, Born::Before);
        }
        for (labels, sums) in &start.totals {
            exposition.add(labels.id(), labels, sums, Born::Before);
            add(&mut live, labels, sums);
        }
        let mut state = self.lock();
        state.exposition = exposition;
        let seen = start.commit.map(|commit| (start.version, commit));
        state.gate = Gate::take_over(seen, start.goals, Safeguards::default());
        state.accounts = start.accounts;
        state.version = start.version;
        state.live = live;
        state.rebuild();
    }

    /// Shows a commit that took effect, once all before it are shown. A commit whose version was
    /// exposed before means that the ledger was restored: the page is then closed.
    pub fn committed(&self, commit: &Arc<Commit>, version: i64) {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        match state.gate.step(version) {
            Step::Next => state.add(commit, version, now_us),
            Step::Early if state.early.len() < EARLY_MAX => {
                state.early.insert(version, (Arc::clone(commit), now_us));
                return;
            }
            Step::Early | Step::Back => state.is_restored = true,
        }
        while let Some(next) = state.early.first_entry() {
            let version = *next.key();
            if state.gate.step(version) == Step::Early {
                break;
            }
            let (commit, _) = state.early.remove(&version).expect("it is the first");
            state.add(&commit, version, now_us);
        }
        state.rebuild();
    }

    /// Sets a partition's committed offset; needed once after a claim, since a partition with
    /// nothing to count commits nothing.
    pub fn progress(&self, partition: u32, next: u64) {
        let mut state = self.lock();
        if !state.gate.is_open() {
            state.gate.progress(partition, next);
            state.rebuild();
        }
    }

    /// A partition is halted: the pages of the others go on.
    pub fn halted(&self, partition: u32) {
        let mut state = self.lock();
        state.gate.halted(partition);
        state.rebuild();
    }

    /// The exposed version; `None` before the first commit.
    #[must_use]
    pub fn version(&self) -> Option<i64> {
        self.lock().gate.version()
    }

    /// Closes the page for good if the ledger went back, by the commit that it has at a version
    /// that was shown: the process has to take over again. Returns whether it is closed.
    pub fn close_if_restored(&self, version: i64, commit: Option<CommitId>) -> bool {
        let mut state = self.lock();
        let now_us = self.elapsed_us();
        let waits_in_vain = |(_, since): &(Arc<Commit>, i64)| now_us - since > EARLY_US_MAX;
        if state.gate.is_restored(version, commit) || state.early.values().any(waits_in_vain) {
            state.is_restored = true;
            state.rebuild();
        }
        state.is_restored
    }

    /// Updates what no commit carries: new namespaces, open connections, and series whose zero has
    /// been scraped often enough.
    pub fn follow(&self, namespaces: &[String], connections: Option<&[(String, i64)]>) {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        for namespace in namespaces {
            state.exposition.configure(namespace, Born::Now(now_us));
        }
        if let Some(rows) = connections {
            state.exposition.connections(rows);
        }
        let is_released = state.exposition.release(now_us);
        if is_released || !namespaces.is_empty() || connections.is_some() {
            state.rebuild();
        }
    }

    /// Records a request that got no page for a reason outside the publisher: it still counts as a
    /// scrape, so that series born now begin at 0.
    pub fn asked_in_vain(&self, reader: Reader) {
        if let Reader::Scrape(scraper) = reader {
            let now_us = self.elapsed_us();
            self.lock().exposition.scraped(scraper, 0, now_us);
        }
    }

    /// The current page.
    ///
    /// # Errors
    /// Why there is no page yet; a human-readable sentence.
    pub fn page(&self, reader: Reader) -> Result<Arc<Page>, String> {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        let page = state.page.clone();
        if let Reader::Scrape(scraper) = reader {
            // Counts even without a page: series born now must begin at 0.
            let n_series = page.as_ref().map_or(0, |page| page.n_series);
            state.exposition.scraped(scraper, n_series, now_us);
        }
        page.ok_or_else(|| state.closed())
    }

    /// The sums of the current page; `None` before the first page.
    #[must_use]
    pub fn live(&self) -> Option<Live> {
        let state = self.lock();
        state.is_open().then_some(Live { version: state.version, ..state.live })
    }

    /// Whether pages are served, or why not.
    ///
    /// # Errors
    /// As for `page`.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        if state.is_open() { Ok(()) } else { Err(state.closed()) }
    }

    /// Monotonic time since the publisher was made: what was shown for how long depends on no date.
    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics: sums are checked before they are shown")
    }
}

impl State {
    /// Adds a commit that follows what is shown.
    fn add(&mut self, commit: &Commit, version: i64, now_us: i64) {
        for (id, labels, sums) in &commit.rows.totals {
            self.exposition.add(*id, labels, sums, Born::Now(now_us));
            add(&mut self.live, labels, sums);
        }
        self.version = version;
        self.gate.shown(version, commit.id);
        for part in &commit.parts {
            self.accounts.insert(part.owner.partition, part.progress.account);
            self.gate.progress(part.owner.partition, part.progress.next);
        }
        self.exposition.release(now_us);
    }

    /// Rebuilds the page, or removes it while the gate is closed.
    fn rebuild(&mut self) {
        if !self.is_open() {
            self.page = None;
            return;
        }
        let mut sum = Account::default();
        for account in self.accounts.values() {
            sum.merge(account);
        }
        self.exposition.account(&sum, self.version);
        let room = self.page.as_ref().map_or(4_096, |page| page.text.len() + 4_096);
        let mut text = Vec::with_capacity(room);
        self.exposition.write(&mut text);
        self.page = Some(Arc::new(Page::new(text, self.exposition.n_series())));
    }

    fn is_open(&self) -> bool {
        self.gate.is_open() && !self.is_restored
    }

    fn closed(&self) -> String {
        if self.is_restored {
            return "no page: the ledger was restored to an earlier state".to_owned();
        }
        let waits = match self.gate.waits_for() {
            Goals::Unknown => "the ledger to be read".to_owned(),
            Goals::Ends(ends) => {
                let wait = |(partition, end): (&u32, &u64)| {
                    format!("partition {partition} to be counted up to offset {end}")
                };
                ends.iter().map(wait).collect::<Vec<_>>().join(", ")
            }
        };
        format!("no page before the log is caught up: waiting for {waits}")
    }
}
