//! Programs that know one version of the frame and programs that know two, and ingests that write
//! either.
//!
//! Old programs own partitions until a new one opens the ledger. Ingest writes version 2 once an
//! operator says so, and notices it late. A ledger that is put back may let an old program in
//! while the log holds frames that it does not know: it halts, and a newer one goes on.

use event::frame::Version;
use rand::RngExt as _;

use crate::world::World;

impl World {
    /// The version that the next frame is written in.
    pub(crate) fn ingest(&mut self) -> Version {
        let which = self.rng.random_range(0..self.ingests.len());
        let wanted = if self.sql.ledger.wants_v2 { Version::V2 } else { Version::V1 };
        let is_new_process = self.rng.random_bool(0.02);
        let version = &mut self.ingests[which];
        // A running one looks now and then, and never goes back.
        if is_new_process || self.rng.random_bool(0.3) && wanted > *version {
            *version = wanted;
        }
        *version
    }

    /// An operator starts another program than the one that runs.
    pub(crate) fn switch_program(&mut self) {
        self.program = if self.rng.random_bool(0.7) { Version::V2 } else { Version::V1 };
        let program = self.program;
        if program == Version::V2 && !self.sql.ledger.is_newer {
            // As an operator does before an upgrade.
            self.sql.back_up();
        }
        self.note(|| format!("a program starts that knows {program:?}"));
        if self.rng.random_bool(0.5) {
            self.crash();
        } else {
            self.pause();
        }
    }

    /// An operator asks for frames of version 2.
    pub(crate) fn raise(&mut self) {
        let is_raised = self.sql.raise();
        self.note(|| format!("frames of version 2 are asked for: {is_raised}"));
    }

    /// With an old ledger, the program of its time may be put back too.
    pub(crate) fn maybe_restore_program(&mut self) {
        if !self.sql.ledger.is_newer && self.rng.random_bool(0.7) {
            self.program = Version::V1;
            self.note(|| "the old program is put back with the ledger".to_owned());
            self.crash();
        }
    }

    /// An old program that the ledger refuses ends, and an operator starts a newer one.
    pub(crate) fn replace_if_refused(&mut self) {
        if self.program == Version::V1 && !self.sql.is_open_to(self.program) {
            self.note(|| "the ledger refuses the old program".to_owned());
            self.upgrade();
        }
    }

    /// A program that knows all versions takes over.
    pub(crate) fn upgrade(&mut self) {
        self.program = Version::V2;
        self.crash();
    }

    /// No owner meets a frame that it does not know, unless an earlier ledger was put back.
    pub(crate) fn check_versions(&self) -> Result<(), String> {
        let zombies = self.zombie.iter().flat_map(|zombie| &zombie.shells);
        let mut shells = self.current.shells.iter().chain(zombies);
        match !self.went_back && shells.any(|shell| shell.met_newer(&self.sql)) {
            true => Err("I10: an owner met a frame of a version that it does not know".to_owned()),
            false => Ok(()),
        }
    }
}
