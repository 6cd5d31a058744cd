//! Claims and parts of commits: what one partition asks of the ledger, and what the answer means.
//!
//! While a part is offered nothing more is read. If it is lost, marks and counts are dropped and
//! the partition is claimed again: marks that outlive their commit would lose events.

use std::sync::Arc;

use super::{Core, Effect, Halt, LogView, Reclaim, State};
use crate::classify::Clock;
use crate::commit::{Claim, LatePart, Owner, Part, Progress, Settled};
use crate::dedup::Dedup;
use crate::invariants::{i1_exact, i2_conserved, i8_fence};
use crate::safeguard::Safeguard;
use crate::state::Pending;

impl Core {
    /// Checks that the log is the one that was counted, and begins to rebuild the window.
    pub(super) fn on_claimed(&mut self, claim: Claim, log: LogView) -> Vec<Effect> {
        let Claim { owner, progress } = claim;
        assert!(i2_conserved(&progress.account), "I2: every event is in one class");
        assert!(progress.floor <= progress.next, "the floor is not above the next offset");
        self.drop_state();
        self.owner = Some(owner);
        self.committed = progress;
        self.letter_hour = progress.letter_hour;
        self.letter_rows = progress.letter_rows;
        if self.options.safeguards.on(Safeguard::LogIdentity) {
            if log.high < progress.next || log.high < progress.floor {
                return self.halt(Halt::Truncated { high: log.high, next: progress.next });
            }
            if let (Some(seen), Some(counted)) = (log.last_print, progress.last_print)
                && seen != counted
            {
                return self.halt(Halt::Replaced { offset: progress.next.saturating_sub(1) });
            }
            if log.is_remade && progress.next > 0 {
                return self.halt(Halt::Remade { next: progress.next });
            }
        }
        self.state = State::Running;
        if !self.options.safeguards.on(Safeguard::RebuildFromFloor) {
            self.start_at(progress.next, progress.clock_us, &progress);
            return Vec::new();
        }
        self.start_at(progress.floor, progress.floor_clock_us, &progress);
        if log.low > self.position {
            return self.on_gap(owner.nonce, log.low);
        }
        Vec::new()
    }

    /// Moves to an offset with the clock stored for it.
    pub(super) fn start_at(&mut self, offset: u64, clock_us: Option<i64>, progress: &Progress) {
        self.position = offset;
        self.rebuilt_from = offset;
        self.window_is_whole = true;
        self.clock = Clock::at(clock_us);
        self.last_print = progress.last_print;
    }

    /// Offers what was read since the last commit, if anything was.
    pub(super) fn on_due(&mut self) -> Vec<Effect> {
        let Some(owner) = self.owner.filter(|_| self.is_dirty()) else { return Vec::new() };
        let part = self.make_part(owner);
        self.offer(part)
    }

    /// Turns the pending sums into a part and clears them.
    fn make_part(&mut self, owner: Owner) -> Part {
        if self.position > self.committed.next {
            self.pending.sums.last_clock_us = self.clock.us();
        }
        let rows = Arc::new(self.pending.fold(&self.rows));
        let mut account = self.committed.account;
        account.merge(&self.pending.account);
        let (sums, letters) = (self.pending.sums, std::mem::take(&mut self.pending.letters));
        let (floor, floor_clock_us) = match self.entries.front() {
            Some(entry) => (entry.offset, Some(entry.clock_us)),
            None if self.lowest > self.committed.floor => (self.lowest, self.clock.us()),
            None => (self.committed.floor, self.committed.floor_clock_us),
        };
        let late_next = self.late_next();
        let late = std::mem::take(&mut self.pending.late);
        let late =
            LatePart { base: self.committed.late_next, merged: late.merged, tokens: late.tokens };
        self.pending.clear();
        self.rows.trim();
        Part {
            owner,
            base: self.committed.next,
            progress: Progress {
                next: self.position,
                floor: floor.max(self.committed.floor),
                floor_clock_us,
                clock_us: self.clock.us(),
                last_print: self.last_print,
                account,
                letter_hour: self.letter_hour,
                letter_rows: self.letter_rows,
                late_next,
            },
            rows,
            letters,
            sums,
            is_shortened: std::mem::take(&mut self.is_shortened),
            accepted: None,
            late,
        }
    }

    /// Up to where late events are decided with the next part. Where none is left undecided there
    /// is nothing for a second pass to do.
    fn late_next(&self) -> u64 {
        let undecided = self.committed.account.undecided() + self.pending.account.undecided();
        match self.pending.late.next {
            _ if undecided == 0 => self.position,
            Some(next) => next,
            None => self.committed.late_next,
        }
    }

    /// Hands a part to the shell.
    pub(super) fn offer(&mut self, part: Part) -> Vec<Effect> {
        let part = Arc::new(part);
        assert!(i1_exact(&part), "I1: rows add up to the range");
        assert!(i2_conserved(&part.progress.account), "I2: every event is in one class");
        assert!(i8_fence(&part, &self.committed), "I8: a part moves forward from its base");
        self.state = State::Committing(Arc::clone(&part));
        vec![Effect::Offer(part)]
    }

    /// The part that was offered took effect, and counting continues after it; or it never will.
    pub(super) fn on_settled(&mut self, settled: Settled) -> Vec<Effect> {
        let State::Committing(part) = &self.state else { return Vec::new() };
        match settled {
            Settled::Committed => {
                let part = Arc::clone(part);
                self.committed = part.progress;
                self.state = State::Running;
                vec![Effect::Committed(part)]
            }
            Settled::Refused => self.reclaim(Reclaim::Refused),
            Settled::Fenced => self.reclaim(Reclaim::Fenced),
        }
    }

    /// Drops the claim.
    fn reclaim(&mut self, why: Reclaim) -> Vec<Effect> {
        self.drop_state();
        vec![Effect::Reclaim(why)]
    }

    /// Drops marks, counts and clock: they belong to a claim that is over.
    fn drop_state(&mut self) {
        self.state = State::Idle;
        self.owner = None;
        self.drop_marks();
        if self.options.safeguards.on(Safeguard::DropOnAbort) {
            self.dedup = Dedup::default();
        }
    }

    /// Drops all but the dedup set that was learned by reading.
    pub(super) fn drop_marks(&mut self) {
        self.pending = Pending::default();
        self.entries.clear();
        self.lowest = 0;
        self.is_shortened = false;
        self.clock = Clock::default();
        self.last_print = None;
    }
}
