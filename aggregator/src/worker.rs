//! The shell around `ledger::core` for one partition: executes its effects and returns their
//! results to it.
//!
//! claim -> read -> count -> offer a part to the committer about once a second, for as long as the
//! partition is assigned to this process. All waiting happens here; all decisions are made in the
//! core. How a part ended is always awaited: only that determines what may be counted next.

mod decide;
mod identity;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use clock::Wall;
use ledger::commit::Part;
use ledger::core::{Core, Effect, Input, LogView, Options, Record};
use ledger::late::Decided;
use ledger::safeguard::Safeguards;
use queue::{Queue, QueueError};
use service::chain;
use service::shutdown::{Phase, Shutdown};
use service::status::Halted;
use store::{Generation, Store, StoreError};
use tracing::{error, info, warn};

use crate::accept::Requests;
use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::committer::Commits;
use crate::frames::FRAMES_KNOWN;
use crate::late::LateDesk;
use crate::metrics::Gauges;
use crate::publisher::Publisher;

/// Maximum payload of one read, bytes: large enough to amortise it, small enough that a commit is
/// never late by more than a few milliseconds.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows and letters of all partitions that wait to be committed; beyond its share of it, a
/// partition commits early.
const PENDING_MAX: usize = 200_000;
/// How long the last commit may take once shutdown has begun: the whole process has to be gone
/// within 10 s, and most of that belongs to requests in flight. What is given up is still in the
/// log and is counted at the next start.
pub const FINISH_MAX: Duration = Duration::from_millis(1_500);

/// Dependencies of a worker.
#[derive(Clone, Debug)]
pub struct WorkerParts {
    /// The log that is counted.
    pub queue: Arc<Queue>,
    /// The ledger that the counts are committed to.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Commits the parts of all partitions.
    pub commits: Commits,
    /// Exposes committed counts.
    pub publisher: Arc<Publisher>,
    /// Gauges of the process.
    pub gauges: Arc<Gauges>,
    /// What the dedup sets of all partitions may hold.
    pub budget: Arc<Budget>,
    /// Time between commits.
    pub commit_interval: Duration,
    /// Most dead letters with content per hour of the log's clock.
    pub letter_rows_per_hour: i64,
    /// Where the second pass over late events hands verdicts over, by partition.
    pub desks: Vec<Arc<LateDesk>>,
}

/// Why a worker failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The ledger failed.
    #[error("ledger failed")]
    Store(#[from] StoreError),
    /// The log failed.
    #[error("log failed")]
    Queue(#[from] QueueError),
}

/// A core that knows nothing of its partition yet.
fn core_of(parts: &WorkerParts) -> Core {
    Core::new(Options {
        window: parts.generation.window,
        n_partitions: parts.generation.partitions,
        letter_rows_per_hour: parts.letter_rows_per_hour,
        newest: event::frame::Version::NEWEST,
        safeguards: Safeguards::default(),
    })
}

/// Owner of one partition.
#[derive(Debug)]
pub struct Worker {
    parts: WorkerParts,
    partition: u32,
    core: Core,
    requests: Requests,
    shutdown: Shutdown,
    effects: VecDeque<Effect>,
    nonce: Option<[u8; 16]>,
    /// Whether the committer asks this partition for its part.
    is_member: bool,
    backoff: Backoff,
}

impl Worker {
    /// An owner that has not claimed yet.
    #[must_use]
    pub fn new(
        parts: WorkerParts,
        partition: u32,
        requests: Requests,
        shutdown: Shutdown,
    ) -> Worker {
        let core = core_of(&parts);
        Worker {
            parts,
            partition,
            core,
            requests,
            backoff: Backoff::new(shutdown.clone()),
            shutdown,
            effects: VecDeque::new(),
            nonce: None,
            is_member: false,
        }
    }

    /// Counts until shutdown, then commits what is pending, within a bound. A commit that is under
    /// way then goes on in a task of its own; whether it takes effect or not, nothing is lost.
    ///
    /// # Errors
    /// A storage failure after which the process must exit.
    pub async fn run(self) -> Result<(), WorkerError> {
        let (partition, shutdown) = (self.partition, self.shutdown.clone());
        tokio::select! {
            ended = self.work() => ended,
            () = async {
                shutdown.requested().await;
                tokio::time::sleep(FINISH_MAX).await;
            } => {
                warn!(partition, "last commit was abandoned, the next start counts those frames");
                Ok(())
            }
        }
    }

    async fn work(mut self) -> Result<(), WorkerError> {
        while self.shutdown.phase() == Phase::Running {
            self.carry_out().await;
            self.tell_membership().await;
            if self.core.halted().is_some() {
                self.parts.desks[self.partition as usize].put(None);
                self.decide().await?;
                continue;
            }
            match self.nonce {
                None => self.claim().await?,
                Some(nonce) => self.read(nonce).await?,
            }
            self.take_verdicts();
            if self.parts.commits.is_asked() {
                self.answer().await;
            } else if self.is_due() {
                self.effects.extend(self.core.on(Input::Due));
            }
            self.measure();
        }
        self.finish().await
    }

    /// Tells the committer whether this partition is to be asked: nobody waits for one that has no
    /// claim, rebuilds or is halted.
    async fn tell_membership(&mut self) {
        let counts =
            self.nonce.is_some() && self.core.halted().is_none() && !self.core.is_rebuilding();
        match (self.is_member, counts) {
            (false, true) => self.parts.commits.join(self.partition).await,
            (true, false) => self.parts.commits.leave(self.partition).await,
            _ => {}
        }
        self.is_member = counts;
    }

    /// Takes verdicts of the second pass, and tells it what is committed.
    fn take_verdicts(&mut self) {
        let desk = &self.parts.desks[self.partition as usize];
        let claim = self.nonce.filter(|_| self.core.takes_verdicts());
        if claim.is_some()
            && let Some((nonce, verdicts)) = desk.take()
        {
            let decided = Decided { nonce, verdicts: &verdicts };
            self.effects.extend(self.core.on(Input::Decided(decided)));
        }
        desk.put(claim.map(|nonce| (nonce, self.core.committed())));
    }

    /// The committer asks for what was counted.
    async fn answer(&mut self) {
        let effects = self.core.on(Input::Due);
        if effects.is_empty() && self.effects.is_empty() {
            self.parts.commits.pass(self.partition).await;
        }
        self.effects.extend(effects);
    }

    /// Commits what is pending, once, and executes the effects.
    async fn finish(mut self) -> Result<(), WorkerError> {
        self.effects.extend(self.core.on(Input::Due));
        self.carry_out().await;
        self.parts.commits.leave(self.partition).await;
        let (partition, next) = (self.partition, self.core.committed().next);
        info!(partition, next, "partition committed and released");
        Ok(())
    }

    /// Whether a commit is due.
    fn is_due(&self) -> bool {
        if !self.core.is_dirty() {
            return false;
        }
        let n_partitions = self.parts.generation.partitions.max(1) as usize;
        self.parts.commits.last().is_none_or(|at| at.elapsed() >= self.parts.commit_interval)
            || self.core.n_pending() > PENDING_MAX / n_partitions
    }

    /// Claims the partition, once it is assigned, and gives the core the watermarks of the log.
    async fn claim(&mut self) -> Result<(), WorkerError> {
        if !self.is_assigned().await {
            return Ok(());
        }
        let mut nonce = [0; 16];
        if let Err(error) = getrandom::fill(&mut nonce) {
            error!(%error, "random number generator failed, cannot claim");
            self.backoff.wait().await;
            return Ok(());
        }
        let (generation, partition) = (self.parts.generation.generation, self.partition);
        let claim = match self.parts.store.claim(generation, partition, nonce, FRAMES_KNOWN).await {
            Ok(claim) => claim,
            Err(error) => return self.handle(error).await,
        };
        let next = claim.progress.next;
        let looked = match self.look(next).await {
            Ok(log) => self.is_remade(next).await.map(|is_remade| LogView { is_remade, ..log }),
            Err(error) => Err(error.into()),
        };
        match looked {
            Ok(log) => {
                self.nonce = Some(nonce);
                self.parts.gauges.claimed_as(partition, claim.owner.epoch);
                info!(partition, epoch = claim.owner.epoch, next, high = log.high, "claimed");
                self.effects.extend(self.core.on(Input::Claimed { claim, log }));
                if self.core.halted().is_none() {
                    self.parts.publisher.progress(partition, &claim.progress);
                }
            }
            Err(error) => self.failed(error).await?,
        }
        Ok(())
    }

    /// Waits until the partition is assigned: claiming it earlier would only fence its current
    /// owner. False if shutdown begins first, or the assignment is unknown.
    async fn is_assigned(&mut self) -> bool {
        let is_pending = tokio::select! {
            biased;
            _ = self.parts.queue.assigned(self.partition) => false,
            () = std::future::ready(()) => true,
        };
        if is_pending {
            self.release();
        }
        let assigned = tokio::select! {
            biased;
            assigned = self.parts.queue.assigned(self.partition) => assigned,
            () = self.shutdown.requested() => return false,
        };
        match assigned {
            Ok(()) => {
                self.parts.gauges.taken(self.partition);
                true
            }
            Err(error) => {
                self.note_queue_error(&error).await;
                false
            }
        }
    }

    /// Another process has the partition, and reports what waits there. Its marks are dropped: here
    /// they would fill the budget of those that are counted, for as long as it stays away.
    fn release(&mut self) {
        self.core = core_of(&self.parts);
        self.parts.gauges.released(self.partition);
        self.parts.gauges.measured(self.partition, &self.core, 0);
        self.parts.budget.note(self.partition, 0);
    }

    /// Watermarks of the log, and the fingerprint of the record before `next`, if it exists.
    async fn look(&self, next: u64) -> Result<LogView, QueueError> {
        let marks = self.parts.queue.watermarks(self.partition).await?;
        let before = next.checked_sub(1).filter(|at| (marks.low..marks.high).contains(at));
        let last_print = match before {
            Some(at) => {
                match self.parts.queue.read(self.partition, at, 1).await {
                    Ok(records) => records.first().map(|record| Core::print(&record.bytes)),
                    // A hole that was accepted, or a topic that the next read halts at.
                    Err(QueueError::Hole { .. } | QueueError::Remade { .. }) => None,
                    Err(error) => return Err(error),
                }
            }
            None => None,
        };
        Ok(LogView { low: marks.low, high: marks.high, last_print, is_remade: false })
    }

    /// Reads what comes next and counts it, or waits until there is something.
    async fn read(&mut self, nonce: [u8; 16]) -> Result<(), WorkerError> {
        let from = self.core.position();
        match self.parts.queue.read(self.partition, from, READ_BYTES_MAX).await {
            Ok(records) if records.is_empty() => self.wait_for_more(from).await,
            Ok(records) => {
                self.backoff.reset();
                for record in &records {
                    self.effects.extend(self.core.on(Input::Record(Record {
                        nonce,
                        offset: record.offset,
                        append_time_us: record.append_time_us,
                        intact: record.intact,
                        bytes: &record.bytes,
                    })));
                }
            }
            Err(QueueError::Gap { low, .. }) => {
                self.effects.extend(self.core.on(Input::Gap { nonce, low }));
            }
            Err(QueueError::NotAssigned { partition }) => {
                // What was read is committed unless the next owner has claimed already; either way
                // it is counted once. Then the claim is released until the next assignment.
                info!(partition, "partition revoked, committing what is pending");
                self.effects.extend(self.core.on(Input::Due));
                self.nonce = None;
            }
            Err(QueueError::Hole { offset, next }) => {
                self.effects.extend(self.core.on(Input::Hole { nonce, offset, next }));
            }
            // A window that is read again from the first offset has been counted.
            Err(QueueError::Remade { .. })
                if self.core.position() == 0 && self.core.committed().next == 0 =>
            {
                warn!(
                    partition = self.partition,
                    "topic was recreated before anything was counted"
                );
                match self.adopt().await {
                    Ok(()) => self.parts.queue.trust(self.partition),
                    Err(error) => self.failed(error).await?,
                }
            }
            Err(QueueError::Remade { .. }) => {
                self.effects.extend(self.core.on(Input::Remade { nonce }));
            }
            Err(error @ QueueError::PastEnd { .. }) => {
                // What was read so far is committed; then the claim reads the watermarks again.
                self.note_queue_error(&error).await;
                self.nonce = self.nonce.filter(|_| self.core.is_dirty());
                self.effects.extend(self.core.on(Input::Due));
            }
            Err(error) if error.is_storage() => return Err(error.into()),
            Err(error) => self.note_queue_error(&error).await,
        }
        Ok(())
    }

    /// Waits for an append, the next commit, the committer or shutdown.
    async fn wait_for_more(&mut self, from: u64) {
        let mut high = self.parts.queue.subscribe(self.partition);
        let until_commit = match self.parts.commits.last() {
            Some(at) if self.core.is_dirty() => {
                self.parts.commit_interval.saturating_sub(at.elapsed())
            }
            _ => self.parts.commit_interval,
        };
        tokio::select! {
            _ = high.wait_for(|high| *high > from) => {}
            () = tokio::time::sleep(until_commit) => {}
            () = self.parts.commits.asked() => {}
            () = self.shutdown.requested() => {}
        }
    }

    /// Executes the effects of the core, in order, and those that follow from them.
    async fn carry_out(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Offer(part) => self.offer(part).await,
                Effect::Committed(part) => self.committed(&part),
                Effect::Reclaim(why) => {
                    warn!(partition = self.partition, ?why, "claim lost, claiming again");
                    self.nonce = None;
                }
                Effect::Halt(halt) => {
                    let reason = halt.to_string();
                    error!(partition = self.partition, reason, "partition halted");
                    self.parts.publisher.halted(self.partition);
                    let resumes_at = self.core.resumes_at();
                    let halted = Halted { reason, resumes_at };
                    self.parts.gauges.halted(self.partition, Some(halted));
                }
                Effect::Notice(notice) => {
                    warn!(partition = self.partition, ?notice, "log notice");
                }
            }
        }
    }

    /// Hands a part to the committer, and how it ended to the core.
    async fn offer(&mut self, part: Arc<Part>) {
        match self.parts.commits.offer(part).await {
            Some(settled) => self.effects.extend(self.core.on(Input::Settled(settled))),
            // The committer has failed and reports why.
            None => self.shutdown.requested().await,
        }
    }

    /// What was read is committed.
    fn committed(&mut self, part: &Part) {
        self.backoff.reset();
        self.parts.queue.commit_offset(self.partition, part.progress.next);
        self.parts.gauges.committed(self.partition, part);
    }

    /// Backs off after a transient failure; returns a permanent one.
    async fn handle(&mut self, error: StoreError) -> Result<(), WorkerError> {
        if error.is_fatal() {
            return Err(error.into());
        }
        let error = chain(&error);
        warn!(partition = self.partition, error, "ledger did not answer, retrying");
        self.backoff.wait().await;
        Ok(())
    }

    /// Backs off after a transient failure of log or ledger; returns a permanent one.
    async fn failed(&mut self, error: WorkerError) -> Result<(), WorkerError> {
        match error {
            WorkerError::Store(error) => self.handle(error).await,
            WorkerError::Queue(error) if error.is_storage() => Err(error.into()),
            WorkerError::Queue(error) => {
                self.note_queue_error(&error).await;
                Ok(())
            }
        }
    }

    /// Logs that the log could not be read, and backs off.
    async fn note_queue_error(&mut self, error: &QueueError) {
        let error = chain(error);
        warn!(partition = self.partition, error, "log could not be read, retrying");
        self.backoff.wait().await;
    }

    /// Publishes the worker's own numbers, and what the dedup set holds of its budget. What has
    /// expired by the wall clock does not count: the log's clock frees it with the next frame, and
    /// stands still while ingest refuses.
    fn measure(&mut self) {
        let now_us = Wall::now().as_us();
        let marks = self.core.dedup_len_at(now_us);
        self.parts.budget.note(self.partition, self.core.dedup_bytes_at(now_us) as u64);
        if self.nonce.is_some() {
            self.parts.gauges.claimed(self.partition, &self.core);
        }
        self.parts.gauges.measured(self.partition, &self.core, marks);
    }
}
