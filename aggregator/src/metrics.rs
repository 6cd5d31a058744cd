//! The worker's own numbers: per process, they may reset.
//!
//! Lag, commit age, dedup size and log size are read when the process section is requested, never
//! counted per event. Lag is measured from the ends of the log and not reported by workers: one
//! that is blocked on the ledger, on its claim or on an operator would report nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ledger::commit::Part;
use ledger::core::Core;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec};
use queue::Queue;
use service::metrics::ProcessMetrics;
use service::status::{Halted, Lag};
use store::{OwnerRow, Store};

/// The position of one partition.
#[derive(Clone, Debug, Default)]
struct Partition {
    is_ours: bool,
    /// Number of the newest claim of this process.
    epoch: i64,
    next: u64,
    floor: u64,
    waits_since: Option<Instant>,
    halted: Option<Halted>,
}

impl Partition {
    /// Takes the end of the log. What is still there after a commit starts to wait anew.
    fn observe(&mut self, high: u64) {
        // A log that was made anew may end below what is counted of the one before.
        let waits = high > self.next || (self.halted.is_some() && high > 0);
        self.waits_since = match (self.is_ours && waits, self.waits_since) {
            (false, _) => None,
            (true, since) => Some(since.unwrap_or_else(Instant::now)),
        };
    }
}

/// Gauges of all partitions.
#[derive(Debug)]
pub struct Gauges {
    partitions: Mutex<BTreeMap<u32, Partition>>,
    /// Halted partitions of other processes, as these told the ledger.
    elsewhere: Mutex<BTreeMap<u32, Halted>>,
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
            partitions: Mutex::default(),
            elsewhere: Mutex::default(),
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

    /// Adds a part that took effect.
    pub fn committed(&self, partition: u32, part: &Part) {
        let mut partitions = self.lock();
        let entry = partitions.entry(partition).or_default();
        entry.next = part.progress.next;
        entry.floor = part.progress.floor;
        entry.waits_since = None;
    }

    /// Sets the offset that the ledger holds, unless this process owns the partition and has set
    /// one of its own.
    pub fn known(&self, partition: u32, next: u64) {
        let mut partitions = self.lock();
        let entry = partitions.entry(partition).or_default();
        if !entry.is_ours {
            entry.next = next;
        }
    }

    /// This process owns the partition from now on.
    pub fn taken(&self, partition: u32) {
        self.lock().entry(partition).or_default().is_ours = true;
    }

    /// This process has claimed the partition.
    pub fn claimed_as(&self, partition: u32, epoch: i64) {
        self.lock().entry(partition).or_default().epoch = epoch;
    }

    /// What this process can say of the partitions that it owns. Without times.
    #[must_use]
    pub fn owners(&self, generation: u32, process: [u8; 16]) -> Vec<OwnerRow> {
        let partitions = self.lock();
        let ours = partitions.iter().filter(|(_, entry)| entry.is_ours && entry.epoch > 0);
        let row = |(partition, entry): (&u32, &Partition)| OwnerRow {
            generation,
            partition: *partition,
            process,
            epoch: entry.epoch,
            halted: entry.halted.as_ref().map(|halted| halted.reason.clone()),
            resumes_at: entry.halted.as_ref().and_then(|halted| halted.resumes_at),
            seen_us: 0,
        };
        ours.map(row).collect()
    }

    /// Another process owns the partition, and reports what waits there.
    pub fn released(&self, partition: u32) {
        let mut partitions = self.lock();
        let entry = partitions.entry(partition).or_default();
        entry.is_ours = false;
        entry.waits_since = None;
    }

    /// A partition was halted, or resumes with `None`.
    pub fn halted(&self, partition: u32, halted: Option<Halted>) {
        self.lock().entry(partition).or_default().halted = halted;
    }

    /// Sets which partitions the ledger says are halted. Of its own this process knows better.
    pub fn halted_elsewhere(&self, halted: BTreeMap<u32, Halted>) {
        *self.elsewhere() = halted;
    }

    /// The partitions that this process owns.
    #[must_use]
    pub fn owned(&self) -> BTreeSet<u32> {
        let partitions = self.lock();
        let ours = partitions.iter().filter(|(_, entry)| entry.is_ours);
        ours.map(|(partition, _)| *partition).collect()
    }

    /// The halted partitions, whoever owns them.
    #[must_use]
    pub fn halted_partitions(&self) -> Vec<u32> {
        let (partitions, elsewhere) = (self.lock(), self.elsewhere());
        let ours = partitions.iter().filter(|(_, entry)| entry.is_ours && entry.halted.is_some());
        let is_foreign =
            |partition: &u32| partitions.get(partition).is_none_or(|entry| !entry.is_ours);
        let others = elsewhere.keys().filter(|partition| is_foreign(partition));
        ours.map(|(partition, _)| *partition).chain(others.copied()).collect()
    }

    /// Sets the offsets of a partition that its worker has claimed.
    pub fn claimed(&self, partition: u32, core: &Core) {
        let mut partitions = self.lock();
        let entry = partitions.entry(partition).or_default();
        entry.next = core.committed().next;
        entry.floor = core.committed().floor;
    }

    /// Updates the gauges of the dedup set, after each round of a worker.
    pub fn measured(&self, partition: u32, core: &Core, marks: u64) {
        let label = partition.to_string();
        self.dedup_events.with_label_values(&[&label]).set(whole(marks));
        self.dedup_bytes.with_label_values(&[&label]).set(whole(core.dedup_bytes() as u64));
    }

    /// The lag of every partition. The age of what waits runs from the first call that finds it
    /// waiting, so this must be called about once a second.
    #[must_use]
    pub fn lag(&self, queue: &Queue) -> Vec<Lag> {
        let (mut partitions, elsewhere) = (self.lock(), self.elsewhere());
        let lag = |partition| {
            let high = queue.high(partition);
            let entry = partitions.entry(partition).or_default();
            entry.observe(high);
            let age = entry.waits_since.map_or(0, |since| since.elapsed().as_micros());
            Lag {
                partition,
                next: entry.next,
                frames: high.saturating_sub(entry.next),
                commit_age_us: u64::try_from(age).unwrap_or(u64::MAX),
                halted: match entry.is_ours {
                    true => entry.halted.clone(),
                    false => elsewhere.get(&partition).cloned(),
                },
            }
        };
        (0..queue.partitions()).map(lag).collect()
    }

    /// The lowest offset that counting still needs, for every partition that is not halted.
    #[must_use]
    pub fn floors(&self) -> Vec<(u32, u64)> {
        let partitions = self.lock();
        let running = partitions.iter().filter(|(_, entry)| entry.halted.is_none());
        running.map(|(partition, entry)| (*partition, entry.floor)).collect()
    }

    /// Brings the gauges up to date before they are written.
    pub fn refresh(&self, queue: &Queue, store: &Store) {
        for lag in self.lag(queue) {
            let label = lag.partition.to_string();
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Partition>> {
        self.partitions.lock().expect("no holder panics")
    }

    /// Locked after the partitions.
    fn elsewhere(&self) -> MutexGuard<'_, BTreeMap<u32, Halted>> {
        self.elsewhere.lock().expect("no holder panics")
    }
}

/// A gauge's number; what does not fit is shown as the largest.
fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
