//! The publisher: keeps the families at the committed ledger and one prebuilt page of them.
//!
//! It takes over from a snapshot, follows each commit, and serves nothing before every partition
//! has reached the log end that was seen at take-over. A page is built when something changed, not
//! when it is scraped, so that a scrape costs no more than sending it.
//!
//! It follows the versions of the ledger: a commit of this process is added if it is the next
//! version; what other processes committed in between is read from the ledger, as totals that
//! replace those that are shown. Which process is the publisher at all is decided by `lead`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use event::Outcome;
use ledger::account::Account;
use ledger::commit::{Commit, CommitId, Progress};
use ledger::exposure::{Births, Gate, Goals, Step};
use ledger::measures::Measures;
use ledger::safeguard::Safeguards;
use ledger::series::{FullLabels, SeriesId};
use service::status::Live;
use tokio::sync::Notify;

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
    /// Whether series that the snapshot lacks may have been shown before: by another process that
    /// read on, or because the ledger was put back.
    pub may_lack_shown: bool,
    /// Whether the ledger was put back: late events that were merged may not be merged again yet.
    pub waits_for_late: bool,
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

/// What was committed after the version that is shown, by any process.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Ledger version.
    pub version: i64,
    /// The commit that created it.
    pub commit: Option<CommitId>,
    /// Totals, as they are now, of every series that was added to.
    pub totals: Vec<(FullLabels, Measures)>,
    /// Each partition with its progress.
    pub partitions: Vec<(u32, Progress)>,
}

/// Who commits to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Committers {
    /// This process alone: it holds the lock of the data directory.
    #[default]
    Own,
    /// Other processes too.
    Any,
}

/// Maintains what is exposed.
#[derive(Debug)]
pub struct Publisher {
    started: Instant,
    committers: Committers,
    state: Mutex<State>,
    behind: Notify,
}

#[derive(Debug)]
struct State {
    exposition: Exposition,
    gate: Gate,
    accounts: BTreeMap<u32, Account>,
    version: i64,
    /// The totals that are shown, where others commit too: what is read of theirs replaces these.
    totals: Option<HashMap<SeriesId, Measures>>,
    live: Live,
    is_standby: bool,
    is_restored: bool,
    /// Whether series that are born now may have been shown before, until a page is served: such a
    /// counter must not begin at zero again.
    may_lack_shown: bool,
    /// Whether the late events of all that has to be counted first have to be decided, too.
    waits_for_late: bool,
    page: Option<Arc<Page>>,
}

/// Requester of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Prometheus, by its scrape header; the number identifies the server.
    Scrape(u64),
    /// Anybody else: does not count as having seen a zero.
    Other,
}

impl Default for State {
    /// Before a take-over nothing is exposed.
    fn default() -> State {
        State {
            exposition: Exposition::new(Births::new(Safeguards::default())),
            gate: Gate::closed(),
            accounts: BTreeMap::new(),
            version: 0,
            totals: None,
            live: Live::default(),
            is_standby: false,
            is_restored: false,
            may_lack_shown: false,
            waits_for_late: false,
            page: None,
        }
    }
}

impl Publisher {
    /// A publisher before its take-over, which exposes nothing.
    #[must_use]
    pub fn new(committers: Committers) -> Publisher {
        Publisher {
            started: Instant::now(),
            committers,
            state: Mutex::default(),
            behind: Notify::new(),
        }
    }

    /// Starts from a snapshot. Series in it are shown at their value from the first page on.
    pub fn take_over(&self, start: Start) {
        let mut exposition = Exposition::new(Births::new(Safeguards::default()));
        let mut live = Live::default();
        let mut totals = (self.committers == Committers::Any).then(HashMap::new);
        for namespace in &start.namespaces {
            exposition.configure(namespace, Born::Before);
        }
        for (labels, sums) in start.totals {
            let id = labels.id();
            exposition.add(id, &labels, &sums, Born::Before);
            add(&mut live, &labels, &sums);
            totals.as_mut().and_then(|totals| totals.insert(id, sums));
        }
        let seen = start.commit.map(|commit| (start.version, commit));
        let mut state = self.lock();
        *state = State {
            exposition,
            gate: Gate::take_over(seen, start.goals, Safeguards::default()),
            accounts: start.accounts,
            version: start.version,
            totals,
            live,
            may_lack_shown: start.may_lack_shown,
            waits_for_late: start.waits_for_late,
            ..State::default()
        };
        state.rebuild();
    }

    /// Another process is the publisher: this one shows nothing, and follows nothing.
    pub fn stand_by(&self) {
        *self.lock() = State { is_standby: true, ..State::default() };
    }

    /// This process is the publisher, and is about to take over.
    pub fn prepare(&self) {
        *self.lock() = State::default();
    }

    /// Shows a commit of this process that took effect, if it is the next version. Otherwise other
    /// processes have committed, and `follow_to` shows what they did and this too; where there are
    /// none, the ledger was restored, and the page is closed.
    pub fn committed(&self, commit: &Commit, version: i64) {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        if state.is_standby {
            return;
        }
        match (state.gate.step(version), self.committers) {
            (Step::Next, _) => state.add(commit, version, now_us),
            (Step::Early | Step::Back, Committers::Any) => return self.behind.notify_one(),
            (Step::Early | Step::Back, Committers::Own) => state.is_restored = true,
        }
        state.rebuild();
    }

    /// Waits until a commit was not the next version.
    pub async fn is_behind(&self) {
        self.behind.notified().await;
    }

    /// Shows what was committed since, by any process. Of what this process has shown meanwhile
    /// nothing goes back.
    pub fn follow_to(&self, ahead: Ahead) {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        if state.is_standby || state.totals.is_none() {
            return;
        }
        let before = (state.version, state.is_open());
        if ahead.version > state.version {
            state.follow_to(&ahead, now_us);
        }
        // A partition that had nothing to count makes no version.
        for (partition, progress) in &ahead.partitions {
            state.progress(*partition, progress);
        }
        if before != (state.version, state.is_open()) {
            state.rebuild();
        }
    }

    /// Sets what is committed of a partition; needed once after a claim, since a partition with
    /// nothing to count commits nothing.
    pub fn progress(&self, partition: u32, progress: &Progress) {
        let mut state = self.lock();
        if !state.gate.is_open() {
            state.progress(partition, progress);
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
        if state.gate.is_restored(version, commit) {
            state.is_restored = true;
            state.rebuild();
        }
        state.is_restored
    }

    /// Closes the page for good: the ledger went back.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_restored = true;
        state.rebuild();
    }

    /// Updates what no commit carries: new namespaces, open connections, and series whose zero has
    /// been scraped often enough.
    pub fn follow(&self, namespaces: &[String], connections: Option<&[(String, i64)]>) {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        let born = state.born(now_us);
        for namespace in namespaces {
            state.exposition.configure(namespace, born);
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

    /// The current page, if it is of this version or a later one.
    ///
    /// # Errors
    /// Why there is no page yet; a human-readable sentence.
    pub fn page(&self, reader: Reader, at_least: i64) -> Result<Arc<Page>, String> {
        let now_us = self.elapsed_us();
        let mut state = self.lock();
        let page = state.page.clone().filter(|_| state.version >= at_least);
        if page.is_some() {
            state.may_lack_shown = false;
        }
        if let Reader::Scrape(scraper) = reader {
            // Counts even without a page: series born now must begin at 0.
            let n_series = page.as_ref().map_or(0, |page| page.n_series);
            state.exposition.scraped(scraper, n_series, now_us);
        }
        page.ok_or_else(|| match state.is_open() {
            true => format!("no page: waiting for version {at_least} of the ledger"),
            false => state.closed(),
        })
    }

    /// The sums of the current page; `None` before the first page.
    #[must_use]
    pub fn live(&self) -> Option<Live> {
        let state = self.lock();
        state.is_open().then_some(Live { version: state.version, ..state.live })
    }

    /// Whether pages are served, here or by another process, or why not.
    ///
    /// # Errors
    /// As for `page`.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        if state.is_standby || state.is_open() { Ok(()) } else { Err(state.closed()) }
    }

    /// Monotonic time since the publisher was made: what was shown for how long depends on no date.
    pub fn elapsed_us(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics: sums are checked before they are shown")
    }
}

impl State {
    /// Adds a commit that follows what is shown.
    fn add(&mut self, commit: &Commit, version: i64, now_us: i64) {
        let born = self.born(now_us);
        for (id, labels, sums) in &commit.rows.totals {
            self.exposition.add(*id, labels, sums, born);
            add(&mut self.live, labels, sums);
            if let Some(totals) = &mut self.totals
                && totals.entry(*id).or_default().add(sums).is_none()
            {
                // What does not fit the ledger does not hold either: this is another one.
                self.is_restored = true;
            }
        }
        self.version = version;
        self.gate.shown(version, commit.id);
        for part in &commit.parts {
            self.accounts.insert(part.owner.partition, part.progress.account);
            self.progress(part.owner.partition, &part.progress);
        }
        self.exposition.release(now_us);
    }

    /// A partition is counted this far.
    fn progress(&mut self, partition: u32, progress: &Progress) {
        let reached = if self.waits_for_late { progress.late_next } else { progress.next };
        self.gate.progress(partition, reached);
    }

    /// When series that are new to the page are born.
    fn born(&self, now_us: i64) -> Born {
        if self.may_lack_shown { Born::Before } else { Born::Now(now_us) }
    }

    /// Replaces totals by those of a later version. One that fell means that the ledger went back.
    fn follow_to(&mut self, ahead: &Ahead, now_us: i64) {
        let born = self.born(now_us);
        for (labels, sums) in &ahead.totals {
            let id = labels.id();
            let shown = self.totals.get_or_insert_default().entry(id).or_default();
            let Some(more) = sums.since(shown) else {
                self.is_restored = true;
                return;
            };
            shown.clone_from(sums);
            self.exposition.add(id, labels, &more, born);
            add(&mut self.live, labels, &more);
        }
        self.version = ahead.version;
        if let Some(commit) = ahead.commit {
            self.gate.shown(ahead.version, commit);
        }
        for (partition, progress) in &ahead.partitions {
            self.accounts.insert(*partition, progress.account);
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
