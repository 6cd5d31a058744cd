//! The end of a broken log: an operator accepts the loss, counting goes on, and nothing that was
//! counted before is counted again, by any owner.

use std::collections::HashSet;

use rand::RngExt as _;

use crate::producer::{Made, PARTITIONS};
use crate::quiesce::ROUNDS;
use crate::reference::Classes;
use crate::world::{SECOND_US, World};

/// Frames within which a log that was cut has grown beyond what was counted.
const GROWTH_MAX: usize = 4_000;
/// How often an operator tries: after an unknown outcome it is to be accepted again, and what is
/// accepted stays so, and is accepted once.
const TRIES_MAX: usize = 12;
/// Frames that an operator says are lost: any number would do.
const LOST: u64 = 2;

impl World {
    /// Accepts the loss of every broken log.
    pub(crate) fn accept_losses(&mut self) -> Result<(), String> {
        for partition in 0..PARTITIONS as usize {
            if self.logs[partition].is_broken {
                self.accept_loss(partition)?;
            }
        }
        Ok(())
    }

    fn accept_loss(&mut self, partition: usize) -> Result<(), String> {
        let before = self.sql.ledger.rows[partition].progress;
        for _ in 0..GROWTH_MAX {
            if self.logs[partition].high() >= before.next {
                break;
            }
            self.produce();
        }
        self.note(|| format!("the loss of log {partition} is accepted at {}", before.next));
        // Who is halted may not be the owner any more: then it is refused, and claims first.
        for _ in 0..TRIES_MAX {
            self.settle(partition)?;
            self.with(partition, true, |shell, place| shell.accept(LOST, place));
            self.hear_out(partition);
            self.sql.arrive(&mut self.rng);
            self.check()?;
        }
        self.logs[partition].accept_loss(before.next, before.clock_us);
        for _ in 0..self.rng.random_range(2..5) {
            for _ in 0..self.rng.random_range(0..12) {
                self.produce();
            }
            self.now_us += self.rng.random_range(0..400) * SECOND_US;
            if self.rng.random_bool(0.3) {
                self.crash();
            }
            self.settle(partition)?;
        }
        self.scrape()?;
        self.check_behind_loss(partition, &before)
    }

    /// Counts a partition to its end, or until it is halted.
    pub(crate) fn settle(&mut self, partition: usize) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let is_done = self.settle_one(partition);
            self.check()?;
            if is_done {
                return Ok(());
            }
        }
        Err(format!("I10: log {partition} is not counted to its end"))
    }

    fn check_behind_loss(
        &self,
        partition: usize,
        before: &ledger::commit::Progress,
    ) -> Result<(), String> {
        let (log, row) = (&self.logs[partition], &self.sql.ledger.rows[partition].progress);
        let mut expected = Classes::of(&before.account);
        let mut counted: Vec<&Made> = Vec::new();
        for delta in log.deltas(before.next, log.high()) {
            expected.add(&delta.classes);
            counted.extend(&delta.counted);
        }
        let found = Classes::of(&row.account);
        if found != expected || row.next != log.high() {
            return Err(format!("I1: behind a loss: {expected:?} expected, {found:?} accounted"));
        }
        if row.account.lost_frames != before.account.lost_frames + LOST.cast_signed() {
            return Err(format!("I4: {} frames are recorded as lost", row.account.lost_frames));
        }
        let known: HashSet<[u8; 16]> = log.counted_before.iter().map(Made::identity).collect();
        let merged = self.late_merged(partition);
        let merged = merged.filter(|(offset, _)| *offset >= before.next).map(|(_, made)| made);
        counted.extend(merged);
        match counted.iter().any(|made| known.contains(&made.identity())) {
            true => Err("I3: an event is counted again behind a loss".to_owned()),
            false => Ok(()),
        }
    }
}
