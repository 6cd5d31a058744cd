//! One batch of the second pass: what is late, what was counted at its time, and the verdicts.

use ledger::late::{Batch, BatchOptions, Verdicts};
use ledger::safeguard::Safeguards;
use queue::{QueueError, QueueReader};
use store::{Generation, RangeRow, Store, StoreError};
use tracing::{error, warn};

use super::desk::Standing;
use super::walk::walk;

/// Ranges with late events that are looked up at once.
const RANGES_MAX: u32 = 1_000;
/// Ranges that are read without a look at how full the batch is.
const TOGETHER: usize = 32;

/// Why a batch could not be decided. The next look tries again.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The ledger did not answer.
    #[error("ledger failed")]
    Store(#[from] StoreError),
    /// The log could not be read, or began later than a moment before.
    #[error("log failed")]
    Queue(#[from] QueueError),
}

/// One batch.
#[derive(Debug)]
pub struct Round<'a> {
    /// A reader of its own.
    pub log: &'a QueueReader,
    /// The ledger.
    pub store: &'a Store,
    /// Generation of the log.
    pub generation: &'a Generation,
    /// The partition.
    pub partition: u32,
    /// What is committed of it.
    pub standing: Standing,
}

impl Round<'_> {
    /// Decides.
    ///
    /// # Errors
    /// See [`RoundError`].
    pub async fn decide(&self) -> Result<Verdicts, RoundError> {
        let place = (self.generation.generation, self.partition);
        let low = self.log.watermarks(self.partition).await?.low;
        let mut reader = self.store.read().await?;
        let unread_us = reader.unread_us(place, low).await?;
        let from = self.standing.late_next;
        let mut ranges = reader.late_ranges(place, from, RANGES_MAX).await?;
        drop(reader);
        let are_all = ranges.len() < RANGES_MAX as usize;
        ranges.retain(|range| range.next <= self.standing.next);
        let options = BatchOptions {
            window: self.generation.window,
            partition: self.partition,
            n_partitions: self.generation.partitions,
            unread_us,
            safeguards: Safeguards::default(),
        };
        let mut batch = Batch::new(options, from);
        let mut n_found = 0;
        for ranges in ranges.chunks(TOGETHER) {
            if batch.is_full() {
                break;
            }
            self.take(&mut batch, ranges, low).await?;
            n_found += ranges.iter().map(|range| range.sums.late).sum::<i64>();
        }
        if !batch.is_full() && are_all {
            batch.move_to(self.standing.next);
            let rest = self.standing.undecided - n_found;
            if rest > 0 {
                // A journal that lost them, or that was not kept yet.
                warn!(partition = self.partition, rest, "late events are in no range, they expire");
                batch.give_up(rest, self.standing.next);
            }
        }
        self.look(&mut batch).await?;
        let merged = self.store.read().await?.merged_times(place, &batch.keys()).await?;
        Ok(batch.decide(&merged))
    }

    /// Takes the late events of ranges; those of frames that are gone expire.
    async fn take(
        &self,
        batch: &mut Batch,
        ranges: &[RangeRow],
        low: u64,
    ) -> Result<(), RoundError> {
        let Some(next) = ranges.last().map(|range| range.next) else { return Ok(()) };
        let n_gone = ranges.partition_point(|range| range.base < low);
        let sum = |ranges: &[RangeRow]| ranges.iter().map(|range| range.sums.late).sum::<i64>();
        let (gone, there) = ranges.split_at(n_gone);
        batch.give_up(sum(gone), gone.last().map_or(0, |range| range.next));
        let mut n_late = 0;
        walk(self.log, self.partition, &self.generation.window, there, |record, clock| {
            n_late += batch.take(record.offset, &record.bytes, clock);
        })
        .await?;
        batch.move_to(next);
        let missing = sum(there) - n_late;
        if missing != 0 {
            let partition = self.partition;
            error!(partition, next, missing, "late events are not those that were counted as late");
            batch.give_up(missing.max(0), next);
        }
        Ok(())
    }

    /// Looks for copies of the batch's events in all frames in which one may have been counted.
    async fn look(&self, batch: &mut Batch) -> Result<(), RoundError> {
        let place = (self.generation.generation, self.partition);
        for stretch in batch.windows() {
            let ranges = self.store.read().await?.ranges_within(place, &stretch).await?;
            walk(self.log, self.partition, &self.generation.window, &ranges, |record, clock| {
                if clock.us().is_some_and(|us| stretch.contains(&us)) {
                    batch.look(&record.bytes, clock);
                }
            })
            .await?;
        }
        Ok(())
    }
}
