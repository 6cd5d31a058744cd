//! Which process shows the business section, and from what: the loop that keeps the lease, takes
//! over and follows the ledger.
//!
//! Where the ledger is a server, several aggregators share one lease (`ledger::lease`): its holder
//! loads the totals after it got it, and reads what the others commit. Each of them watches that
//! the ledger never goes back. A directory of one's own has no others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clock::Wall;
use ledger::commit::CommitId;
use ledger::lease::{Answer, Lease, LeaseRow, Next, Nonce, Standing};
use ledger::safeguard::Safeguards;
use service::chain;
use service::shutdown::{Phase, Shutdown};
use store::{PartitionRow, Reader, Snapshot, StoreError};
use tracing::{info, warn};

use crate::metrics::Gauges;
use crate::parts::{AggregatorError, Parts};
use crate::publisher::{Ahead, Publisher, Start};
use crate::report::halts;

/// Interval at which the ledger is read.
const ROUND_EVERY: Duration = Duration::from_millis(500);
/// Least pause between two rounds while others commit.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Interval at which the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long giving the lease back may take at the end.
const GIVE_BACK_MAX: Duration = Duration::from_secs(1);
/// Timeout of a request that does not say one, microseconds: the default of Prometheus.
pub const TIMEOUT_US: i64 = 10 * 1_000_000;
/// How long a gateway's report of open connections is shown, microseconds.
const CONNECTIONS_TTL_US: i64 = 60 * 1_000_000;

/// Reason for 503 while the publisher of before may still be answering.
pub const SILENT: &str = "no page: the publisher of before may still be answering";
/// Reason for 503 while no process was seen to show the section.
pub const NOBODY: &str = "no page: waiting for the publisher lease";

/// The lease as this process sees it, for the loop and for those who answer requests.
#[derive(Debug)]
pub struct Leadership(Mutex<Lease>);

impl Leadership {
    /// A lease that this process does not hold.
    #[must_use]
    pub fn new(me: Nonce) -> Leadership {
        Leadership(Mutex::new(Lease::new(me, Safeguards::default())))
    }

    /// What a request gets, by the lease and the version of the ledger as they were read after the
    /// request came. Times are those of the publisher.
    pub fn answer(
        &self,
        (row, version): &(LeaseRow, i64),
        came_us: i64,
        timeout_us: i64,
    ) -> Answer {
        self.lock().answer(row, *version, came_us, timeout_us)
    }

    /// Whether this process or another one shows the business section, or why not.
    ///
    /// # Errors
    /// A human-readable sentence.
    pub fn ready(&self, now_us: i64) -> Result<(), &'static str> {
        match self.lock().standing(now_us, TIMEOUT_US) {
            Standing::Publisher | Standing::Standby => Ok(()),
            Standing::Silent => Err(SILENT),
            Standing::Nobody => Err(NOBODY),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lease> {
        self.0.lock().expect("no holder panics")
    }
}

/// The loop.
#[derive(Debug)]
pub struct Lead {
    parts: Parts,
    publisher: Arc<Publisher>,
    gauges: Arc<Gauges>,
    /// `None` where nobody else can reach the ledger.
    leadership: Option<Arc<Leadership>>,
    renewed_at: Option<Instant>,
    must_take_over: bool,
    /// Whether the ledger says that it was put back, and the page is not open since.
    is_restored: bool,
    /// The newest version that was read, and the commit that created it; `None` where nobody else
    /// can reach the ledger.
    seen: Option<(i64, CommitId)>,
    /// The newest namespace that is shown.
    last_namespace: i64,
    connections: Vec<(String, i64)>,
}

impl Lead {
    /// A loop that has not begun.
    #[must_use]
    pub fn new(
        parts: Parts,
        publisher: Arc<Publisher>,
        gauges: Arc<Gauges>,
        leadership: Option<Arc<Leadership>>,
    ) -> Lead {
        Lead {
            parts,
            publisher,
            gauges,
            leadership,
            renewed_at: None,
            must_take_over: false,
            is_restored: false,
            seen: None,
            last_namespace: 0,
            connections: Vec::new(),
        }
    }

    /// Takes over if nobody else is the publisher, before anything is counted. Where log and ledger
    /// are servers, one that fails for a moment is asked again by `run`.
    ///
    /// # Errors
    /// Log or ledger of a directory cannot be read; `Restored` if the ledger went back.
    pub async fn begin(&mut self) -> Result<(), AggregatorError> {
        if self.leadership.is_none() {
            self.must_take_over = true;
            return self.round().await;
        }
        self.publisher.stand_by();
        match self.round().await {
            Err(error) if !matches!(error, AggregatorError::Restored) => {
                warn!(error = chain(&error), "log or ledger did not answer, asking again");
                Ok(())
            }
            ended => ended,
        }
    }

    /// Leads or stands by until shutdown, then gives the lease back: no request is answered any
    /// more.
    ///
    /// # Errors
    /// `Restored` if the ledger went back.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), AggregatorError> {
        while self.pause(&shutdown).await == Phase::Running {
            match self.round().await {
                Ok(()) => {}
                Err(error @ AggregatorError::Restored) => return Err(error),
                Err(error) => {
                    warn!(error = chain(&error), "ledger did not answer, page is not updated");
                }
            }
        }
        match tokio::time::timeout(GIVE_BACK_MAX, self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = chain(&error), "publisher lease was not given back"),
            Err(_) => warn!("publisher lease was not given back in time"),
        }
        Ok(())
    }

    /// Waits for the next round: it is early if others have committed.
    async fn pause(&self, shutdown: &Shutdown) -> Phase {
        let phase = shutdown.sleep(PAUSE_MIN).await;
        if phase != Phase::Running {
            return phase;
        }
        tokio::select! {
            phase = shutdown.sleep(ROUND_EVERY.saturating_sub(PAUSE_MIN)) => phase,
            () = self.publisher.is_behind() => shutdown.phase(),
        }
    }

    /// Reads the ledger once and acts on it.
    async fn round(&mut self) -> Result<(), AggregatorError> {
        // Before the snapshot, which has it then.
        let shown = self.publisher.version();
        let mut reader = self.parts.store.read().await?;
        self.check_not_restored(&mut reader, shown).await?;
        let mut rows = Vec::new();
        if let Some(leadership) = self.leadership.clone() {
            rows = self.look_at_others(&mut reader).await?;
            let row = reader.lease().await?;
            if !self.keep_lease(&leadership, row).await? {
                return Ok(());
            }
        }
        if self.must_take_over {
            drop(reader);
            return self.take_over().await;
        }
        if self.leadership.is_some() && !self.catch_up(&mut reader, &rows).await? {
            return Ok(());
        }
        self.follow(&mut reader).await?;
        if self.is_restored && self.publisher.ready().is_ok() {
            self.parts.store.note_caught_up().await?;
            self.is_restored = false;
        }
        Ok(())
    }

    /// What other processes count, and where they are halted.
    async fn look_at_others(
        &mut self,
        reader: &mut Reader,
    ) -> Result<Vec<PartitionRow>, StoreError> {
        let generation = self.parts.generation.generation;
        let mut rows = reader.partitions().await?;
        rows.retain(|row| row.generation == generation);
        for row in &rows {
            self.gauges.known(row.partition, row.progress.next);
        }
        let owners = reader.owners(generation).await?;
        self.gauges.halted_elsewhere(halts(owners));
        Ok(rows)
    }

    /// Compares the ledger with what was read of it, and with what is shown. If it went back, that
    /// is noted for whoever takes over.
    async fn check_not_restored(
        &mut self,
        reader: &mut Reader,
        shown: Option<i64>,
    ) -> Result<(), AggregatorError> {
        let mut went_back = false;
        if let Some(version) = shown {
            let commit = reader.certain_commit_of(version).await?;
            went_back |= self.publisher.close_if_restored(version, commit);
        }
        if let Some((version, commit)) = self.seen {
            went_back |= reader.certain_commit_of(version).await? != Some(commit);
        }
        if went_back {
            self.publisher.close();
            self.parts.store.note_restored().await?;
            return Err(AggregatorError::Restored);
        }
        // Where nobody else commits, what is shown is all there is.
        let version = reader.as_of().version;
        if self.leadership.is_some()
            && let Some(commit) = reader.commit_of(version).await?
        {
            self.seen = Some((version, commit));
        }
        Ok(())
    }

    /// Acts on the lease as it was just read. Returns whether this process is the publisher.
    async fn keep_lease(
        &mut self,
        leadership: &Leadership,
        row: LeaseRow,
    ) -> Result<bool, StoreError> {
        let store = &self.parts.store;
        let next = leadership.lock().observe(row, self.publisher.elapsed_us());
        match next {
            Next::Wait => Ok(false),
            Next::Lost => {
                self.lost(row);
                Ok(false)
            }
            Next::Renew(row) => {
                if self.renewed_at.is_none_or(|at| at.elapsed() >= RENEW_EVERY)
                    && store.renew_lease(row).await?
                {
                    self.renewed_at = Some(Instant::now());
                }
                Ok(true)
            }
            Next::Acquire(row) => {
                let me = leadership.lock().me();
                if !store.acquire_lease(row, me).await? {
                    return Ok(false);
                }
                self.publisher.prepare();
                leadership.lock().acquired(row, self.publisher.elapsed_us());
                info!(term = row.term + 1, "this process is the publisher");
                self.renewed_at = Some(Instant::now());
                self.must_take_over = true;
                Ok(true)
            }
        }
    }

    /// Loads one snapshot of the ledger, and the log ends to reach before the first page.
    async fn take_over(&mut self) -> Result<(), AggregatorError> {
        let follows_another =
            self.leadership.as_ref().is_some_and(|leadership| leadership.lock().follows_another());
        let Some((snapshot, goals)) = self.while_held(self.read_all()).await? else {
            return Ok(());
        };
        let generation = self.parts.generation.generation;
        let mut partitions = snapshot.partitions;
        partitions.retain(|row| row.generation == generation);
        for row in &partitions {
            self.gauges.known(row.partition, row.progress.next);
        }
        self.last_namespace = snapshot.namespaces.iter().map(|row| row.id).max().unwrap_or(0);
        self.connections.clear();
        self.publisher.take_over(Start {
            version: snapshot.version,
            commit: snapshot.commit,
            totals: snapshot.totals,
            accounts: partitions.iter().map(|row| (row.partition, row.progress.account)).collect(),
            namespaces: snapshot.namespaces.into_iter().map(|row| row.code).collect(),
            goals,
            may_lack_shown: snapshot.is_restored || follows_another,
            waits_for_late: snapshot.is_restored,
        });
        self.is_restored = snapshot.is_restored;
        self.must_take_over = false;
        Ok(())
    }

    /// Everything that is committed, and the ends of the log.
    async fn read_all(&self) -> Result<(Snapshot, BTreeMap<u32, u64>), AggregatorError> {
        let snapshot = self.parts.store.snapshot().await?;
        let mut ends = BTreeMap::new();
        for partition in 0..self.parts.generation.partitions {
            ends.insert(partition, self.parts.queue.watermarks(partition).await?.high);
        }
        Ok((snapshot, ends))
    }

    /// Reads what may take longer than a lease lasts: it is renewed meanwhile. `None` if another
    /// process has taken it over.
    async fn while_held<T, E>(
        &self,
        reading: impl Future<Output = Result<T, E>>,
    ) -> Result<Option<T>, E> {
        let Some(leadership) = &self.leadership else { return reading.await.map(Some) };
        tokio::select! {
            read = reading => read.map(Some),
            () = self.keep_renewed(leadership) => Ok(None),
        }
    }

    /// Renews the lease until another process has taken it over. Reads of the ledger that fail are
    /// left to whoever reads it beside.
    async fn keep_renewed(&self, leadership: &Leadership) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match self.renew(leadership).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    warn!(error = chain(&error), "publisher lease was not renewed, trying again");
                }
            }
        }
    }

    /// Renews the lease once. Returns whether this process still holds it.
    async fn renew(&self, leadership: &Leadership) -> Result<bool, StoreError> {
        let row = self.parts.store.read().await?.lease().await?;
        let next = leadership.lock().observe(row, self.publisher.elapsed_us());
        match next {
            // If somebody was faster, the next look shows it.
            Next::Renew(row) => self.parts.store.renew_lease(row).await.map(|_| true),
            Next::Lost => {
                self.lost(row);
                Ok(false)
            }
            Next::Wait | Next::Acquire(_) => Ok(false),
        }
    }

    /// Another process is the publisher.
    fn lost(&self, row: LeaseRow) {
        info!(term = row.term, "another process is the publisher");
        self.publisher.stand_by();
    }

    /// Shows what other processes have committed. Returns whether this process is the publisher
    /// still.
    async fn catch_up(
        &mut self,
        reader: &mut Reader,
        rows: &[PartitionRow],
    ) -> Result<bool, StoreError> {
        let shown = self.publisher.version().unwrap_or(0);
        let version = reader.as_of().version;
        let (commit, totals) = if version > shown {
            let changed = async {
                match reader.totals_after(shown).await? {
                    Some(totals) => Ok(totals),
                    None => reader.total_rows(None).await,
                }
            };
            let Some(totals) = self.while_held(changed).await? else { return Ok(false) };
            (self.seen.map(|(_, commit)| commit), totals)
        } else {
            (None, Vec::new())
        };
        let partitions = rows.iter().map(|row| (row.partition, row.progress)).collect();
        self.publisher.follow_to(Ahead { version, commit, totals, partitions });
        if self.publisher.ready().is_err() {
            for partition in self.gauges.halted_partitions() {
                self.publisher.halted(partition);
            }
        }
        Ok(true)
    }

    /// Updates the page with new namespaces and changed connections.
    async fn follow(&mut self, reader: &mut Reader) -> Result<(), AggregatorError> {
        let rows = reader.namespaces_after(self.last_namespace).await?;
        let connections = reader.connections(Wall::now().as_us() - CONNECTIONS_TTL_US).await?;
        // Only now, so that after an error the next round reads the rows again.
        self.last_namespace = rows.iter().map(|row| row.id).fold(self.last_namespace, i64::max);
        let codes: Vec<String> = rows.into_iter().map(|row| row.code).collect();
        let has_changed = connections != self.connections;
        self.publisher.follow(&codes, has_changed.then_some(connections.as_slice()));
        self.connections = connections;
        Ok(())
    }

    /// The next publisher need not wait for this process, which answers nothing any more.
    async fn give_back(&mut self) -> Result<(), StoreError> {
        let Some(leadership) = &self.leadership else { return Ok(()) };
        let row = self.parts.store.read().await?.lease().await?;
        let next = leadership.lock().observe(row, self.publisher.elapsed_us());
        if let Next::Renew(row) = next
            && self.parts.store.give_lease_back(row).await?
        {
            info!(term = row.term, "publisher lease given back");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
