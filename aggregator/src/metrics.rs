//! The worker's own numbers: per process, they may reset.
//!
//! Lag, commit age, dedup size and log size are read when the process section is asked for, never
//! counted per event. What waits to be committed is derived from the high watermarks of the log,
//! whatever state the worker is in: one that is blocked on the ledger, a claim or an operator
//! cannot report it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ledger::commit::Commit;
use ledger::core::Core;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec};
use queue::Queue;
use service::metrics::ProcessMetrics;
use store::Store;

/// Lag of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Frames in the log that are not committed.
    pub frames: u64,
    /// Microseconds for which something has been waiting to be committed, without a commit; 0 if
    /// nothing waits, or this process does not own the partition.
    pub commit_age_us: u64,
    /// Why the partition is halted, if it is.
    pub halted: Option<Halted>,
    /// Offset after the last committed frame.
    pub next: u64,
    /// Lowest offset that a rebuild of the dedup set needs.
    pub floor: u64,
}

/// A halted partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// Reason of the halt.
    pub reason: String,
    /// Offset at which it resumes if the loss is accepted.
    pub resumes_at: u64,
}

/// State of one partition.
#[derive(Clone, Debug, Default)]
struct PartitionState {
    is_owned: bool,
    next: u64,
    floor: u64,
    waits_since: Option<Instant>,
    halted: Option<Halted>,
}

impl PartitionState {
    /// Updates the wait from the high watermark. What a commit leaves uncommitted starts a new
    /// wait.
    fn look(&mut self, high: u64) {
        // A recreated log may end below the counted offset.
        let waits = high > self.next || (self.halted.is_some() && high > 0);
        self.waits_since = match (self.is_owned && waits, self.waits_since) {
            (false, _) => None,
            (true, since) => Some(since.unwrap_or_else(Instant::now)),
        };
    }
}

/// Gauges of all partitions.
#[derive(Debug)]
pub struct Gauges {
    states: Mutex<BTreeMap<u32, PartitionState>>,
    lag_frames: IntGaugeVec,
    commit_age_seconds: GaugeVec,
    halted: IntGaugeVec,
    dedup_events: IntGaugeVec,
    dedup_bytes: IntGaugeVec,
    committed_offset: IntGaugeVec,
    queue_bytes: IntGauge,
    queue_wal_bytes: IntGauge,
    ledger_wal_bytes: IntGauge,
}

impl Gauges {
    /// Registers the gauges.
    ///
    /// # Errors
    /// If a name is taken in the registry.
    pub fn new(metrics: &ProcessMetrics) -> Result<Arc<Gauges>, service::Error> {
        let per_partition = |name, help| metrics.gauge_vec(name, help, &["partition"]);
        Ok(Arc::new(Gauges {
            states: Mutex::default(),
            lag_frames: per_partition(
                "gatemeter_lag_frames",
                "Frames in the log that are not committed.",
            )?,
            commit_age_seconds: metrics.gauge_float_vec(
                "gatemeter_commit_age_seconds",
                "Seconds since something waits to be committed, 0 if nothing does.",
                &["partition"],
            )?,
            halted: per_partition(
                "gatemeter_partition_halted",
                "1 while a partition is halted and a person must act.",
            )?,
            dedup_events: per_partition(
                "gatemeter_dedup_events",
                "Event ids that a copy would still be recognised by.",
            )?,
            dedup_bytes: per_partition("gatemeter_dedup_bytes", "Bytes of the dedup set.")?,
            committed_offset: per_partition(
                "gatemeter_committed_offset",
                "Offset in the log behind the last committed frame.",
            )?,
            queue_bytes: metrics.gauge("gatemeter_queue_bytes", "Bytes of the log.")?,
            queue_wal_bytes: metrics
                .gauge("gatemeter_queue_wal_bytes", "Bytes of the log's write-ahead log.")?,
            ledger_wal_bytes: metrics
                .gauge("gatemeter_ledger_wal_bytes", "Bytes of the ledger's write-ahead log.")?,
        }))
    }

    /// Adds a commit that took effect.
    pub fn committed(&self, partition: u32, commit: &Commit) {
        let mut states = self.lock();
        let state = states.entry(partition).or_default();
        state.next = commit.progress.next;
        state.floor = commit.progress.floor;
        state.waits_since = None;
    }

    /// Sets the offset that the ledger has at startup.
    pub fn known(&self, partition: u32, next: u64) {
        self.lock().entry(partition).or_default().next = next;
    }

    /// This process owns the partition.
    pub fn taken(&self, partition: u32) {
        self.lock().entry(partition).or_default().is_owned = true;
    }

    /// This process does not own the partition: its owner reports the lag.
    pub fn released(&self, partition: u32) {
        let mut states = self.lock();
        let state = states.entry(partition).or_default();
        state.is_owned = false;
        state.waits_since = None;
    }

    /// A partition was halted, or resumed.
    pub fn halted(&self, partition: u32, halted: Option<Halted>) {
        self.lock().entry(partition).or_default().halted = halted;
    }

    /// Takes over the offsets of a claimed partition from its worker.
    pub fn claimed(&self, partition: u32, core: &Core) {
        let mut states = self.lock();
        let state = states.entry(partition).or_default();
        state.next = core.committed().next;
        state.floor = core.committed().floor;
    }

    /// Updates the dedup gauges after each round of a worker.
    pub fn measured(&self, partition: u32, core: &Core, marks: u64) {
        let label = partition.to_string();
        self.dedup_events.with_label_values(&[&label]).set(whole(marks));
        self.dedup_bytes.with_label_values(&[&label]).set(whole(core.dedup_bytes() as u64));
    }

    /// Lag per partition. A wait starts when this call first sees it, so it should be called about
    /// once a second.
    #[must_use]
    pub fn lag(&self, queue: &Queue) -> BTreeMap<u32, Lag> {
        let mut states = self.lock();
        (0..queue.partitions())
            .map(|partition| {
                let high = queue.high(partition);
                let state = states.entry(partition).or_default();
                state.look(high);
                let state = state.clone();
                let age = state.waits_since.map_or(0, |since| since.elapsed().as_micros());
                let lag = Lag {
                    frames: high.saturating_sub(state.next),
                    commit_age_us: u64::try_from(age).unwrap_or(u64::MAX),
                    halted: state.halted,
                    next: state.next,
                    floor: state.floor,
                };
                (partition, lag)
            })
            .collect()
    }

    /// Brings the gauges up to date before they are written.
    pub fn refresh(&self, queue: &Queue, store: &Store) {
        for (partition, lag) in self.lag(queue) {
            let label = partition.to_string();
            self.lag_frames.with_label_values(&[&label]).set(whole(lag.frames));
            let age = Duration::from_micros(lag.commit_age_us);
            self.commit_age_seconds.with_label_values(&[&label]).set(age.as_secs_f64());
            self.halted.with_label_values(&[&label]).set(i64::from(lag.halted.is_some()));
            self.committed_offset.with_label_values(&[&label]).set(whole(lag.next));
        }
        self.queue_bytes.set(whole(queue.bytes()));
        self.queue_wal_bytes.set(whole(queue.wal_bytes()));
        self.ledger_wal_bytes.set(whole(store.wal_bytes()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, PartitionState>> {
        self.states.lock().expect("no holder panics")
    }
}

/// A gauge's number; what does not fit is shown as the largest.
fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
