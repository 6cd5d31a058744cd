//! The very end of a log: an ingest of a program to come writes a frame of another kind. Its owner
//! commits everything before it, halts, and counts nothing after it, while the others go on.

use ledger::core::Halt;
use ledger::safeguard::Safeguard;
use rand::RngExt as _;

use crate::mutation::Mutation;
use crate::producer::{OTHER_KIND, PARTITIONS};
use crate::world::World;

impl World {
    /// Writes the frame into a log that is whole.
    pub(crate) fn meet_other_kind(&mut self) -> Result<(), String> {
        let partition = self.rng.random_range(0..PARTITIONS as usize);
        // The switch is the same as for newer versions, which a mutant has to meet for itself.
        let is_apart = self.mutation == Mutation::Core(Safeguard::HaltAtNewer);
        if self.logs[partition].is_broken || is_apart {
            return Ok(());
        }
        for _ in 0..self.rng.random_range(0..4) {
            self.produce();
        }
        let offset = self.logs[partition].high();
        self.produce_other_kind(partition);
        self.note(|| format!("frame {partition}/{offset} is of another kind"));
        for _ in 0..self.rng.random_range(2..4) {
            for _ in 0..self.rng.random_range(0..8) {
                self.produce();
            }
            if self.rng.random_bool(0.3) {
                self.crash();
            }
            for each in 0..PARTITIONS as usize {
                self.settle(each)?;
            }
            self.check_halted(partition, offset)?;
        }
        self.scrape()
    }

    fn check_halted(&self, partition: usize, offset: u64) -> Result<(), String> {
        let core = &self.current.shells[partition].core;
        let next = self.sql.ledger.rows[partition].progress.next;
        match core.halted() {
            _ if next != offset => {
                Err(format!("I4: counted up to {next}, a frame at {offset} is of another kind"))
            }
            Some(Halt::Kind { offset: at, kind: OTHER_KIND }) if at == offset => {
                match core.resumes_at() {
                    None => Ok(()),
                    Some(at) => Err(format!("I4: a frame that is not lost is given up at {at}")),
                }
            }
            halted => Err(format!("I10: halted at a frame of another kind: {halted:?}")),
        }
    }
}
