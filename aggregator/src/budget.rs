//! The memory of all dedup sets of a process, held against one budget.
//!
//! Each worker notes what the set of its partition holds; the sum decides. At 80 % a warning, at
//! 100 % `pressure` is set, and ingest answers 503 until there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::warn;

/// The budget, and what each partition holds of it.
#[derive(Debug)]
pub struct Budget {
    bytes_max: u64,
    /// Bytes by partition.
    held: Vec<AtomicU64>,
    has_warned: AtomicBool,
    pressure: Arc<AtomicBool>,
}

impl Budget {
    /// A budget of `bytes_max` for as many partitions, of which nothing is held yet.
    #[must_use]
    pub fn new(bytes_max: u64, n_partitions: u32, pressure: Arc<AtomicBool>) -> Budget {
        let held = (0..n_partitions).map(|_| AtomicU64::new(0)).collect();
        Budget { bytes_max, held, has_warned: AtomicBool::new(false), pressure }
    }

    /// Notes what a partition holds now. Partitions that the budget was not made for are ignored.
    pub fn note(&self, partition: u32, bytes: u64) {
        let Some(held) = self.held.get(partition as usize) else { return };
        held.store(bytes, Ordering::Relaxed);
        let bytes = self.held.iter().map(|held| held.load(Ordering::Relaxed)).sum::<u64>();
        let budget = self.bytes_max;
        let is_over_warning = bytes >= budget / 5 * 4;
        if !self.has_warned.swap(is_over_warning, Ordering::Relaxed) && is_over_warning {
            warn!(partition, bytes, budget, "dedup sets at 80 % of their budget");
        }
        self.pressure.store(bytes >= budget, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
