//! The worker's own numbers: per process, they may reset.
//!
//! Lag, commit age, dedup size and log size are read when the process section is asked for, never
//! counted per event. What waits to be committed is seen from the ends of the log, whatever state
//! its worker is in: one that waits for the ledger, for its claim or for a person says nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger::commit::Commit;
use ledger::core::Core;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec};
use queue::Queue;
use service::metrics::ProcessMetrics;
use store::Store;

/// What is behind on one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Frames in the log that are not committed.
    pub frames: u64,
    /// Microseconds for which something has been waiting to be committed, without a commit; 0 if
    /// nothing waits, or the partition is not ours.
    pub commit_age_us: u64,
    /// Why the partition is halted, if it is.
    pub halted: Option<Halted>,
    /// Offset behind the last committed frame.
    pub next: u64,
    /// Lowest offset that the counting still needs.
    pub floor: u64,
}

/// A partition that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// Why.
    pub reason: String,
    /// Offset at which it goes on if what was lost is accepted.
    pub resumes_at: u64,
}

/// Where one partition stands.
#[derive(Clone, Debug, Default)]
struct Place {
    is_ours: bool,
    next: u64,
    floor: u64,
    waits_since: Option<Instant>,
    halted: Option<Halted>,
}

impl Place {
    /// Looks at the end of the log. A commit may leave something that waits, but not for long yet.
    fn look(&mut self, high: u64) {
        // A log that was made anew may end below what is counted of the one before.
        let waits = high > self.next || (self.halted.is_some() && high > 0);
        self.waits_since = match (self.is_ours && waits, self.waits_since) {
            (false, _) => None,
            (true, since) => Some(since.unwrap_or_else(Instant::now)),
        };
    }
}

/// The numbers of all partitions.
#[derive(Debug)]
pub struct Gauges {
    places: Mutex<BTreeMap<u32, Place>>,
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
            places: Mutex::default(),
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

    /// A commit took effect.
    pub fn committed(&self, partition: u32, commit: &Commit) {
        let mut places = self.lock();
        let place = places.entry(partition).or_default();
        place.next = commit.progress.next;
        place.floor = commit.progress.floor;
        place.waits_since = None;
    }

    /// What the ledger says at the start.
    pub fn known(&self, partition: u32, next: u64) {
        self.lock().entry(partition).or_default().next = next;
    }

    /// The partition is ours to count.
    pub fn taken(&self, partition: u32) {
        self.lock().entry(partition).or_default().is_ours = true;
    }

    /// The partition is not ours: what waits there is told by whoever counts it.
    pub fn released(&self, partition: u32) {
        let mut places = self.lock();
        let place = places.entry(partition).or_default();
        place.is_ours = false;
        place.waits_since = None;
    }

    /// A partition was halted, or goes on.
    pub fn halted(&self, partition: u32, halted: Option<Halted>) {
        self.lock().entry(partition).or_default().halted = halted;
    }

    /// Takes the place of a partition from its worker, once it has claimed it.
    pub fn claimed(&self, partition: u32, core: &Core) {
        let mut places = self.lock();
        let place = places.entry(partition).or_default();
        place.next = core.committed().next;
        place.floor = core.committed().floor;
    }

    /// Takes the numbers of a worker after each round.
    pub fn measured(&self, partition: u32, core: &Core, marks: u64) {
        let label = partition.to_string();
        self.dedup_events.with_label_values(&[&label]).set(whole(marks));
        self.dedup_bytes.with_label_values(&[&label]).set(whole(core.dedup_bytes() as u64));
    }

    /// What is behind, per partition. Whatever is seen to wait here first begins to wait now, so
    /// that somebody should ask about once a second.
    #[must_use]
    pub fn lag(&self, queue: &Queue) -> BTreeMap<u32, Lag> {
        let mut places = self.lock();
        (0..queue.partitions())
            .map(|partition| {
                let high = queue.high(partition);
                let place = places.entry(partition).or_default();
                place.look(high);
                let place = place.clone();
                let age = place.waits_since.map_or(0, |since| since.elapsed().as_micros());
                let lag = Lag {
                    frames: high.saturating_sub(place.next),
                    commit_age_us: u64::try_from(age).unwrap_or(u64::MAX),
                    halted: place.halted,
                    next: place.next,
                    floor: place.floor,
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Place>> {
        self.places.lock().expect("no holder panics")
    }
}

/// A gauge's number; what does not fit is shown as the largest.
fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The wall clock, microseconds since the epoch.
#[must_use]
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
