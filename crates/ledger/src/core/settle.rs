//! Claims and commits: requests to the ledger, and the meaning of each answer.
//!
//! A commit that certainly had no effect is retried unchanged. One whose outcome is unknown is
//! looked up before anything else happens. After anything else, marks and counts are dropped and
//! the partition is claimed again: marks that outlive their commit would lose events.

use std::sync::Arc;

use super::{Core, Effect, Halt, LogView, Reclaim, State};
use crate::classify::Clock;
use crate::commit::{Claim, Commit, CommitId, Outcome, Owner, Progress, Resolution};
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

    /// Commits what was read since the last commit, if anything was.
    pub(super) fn on_due(&mut self) -> Vec<Effect> {
        let Some(owner) = self.owner.filter(|_| self.is_dirty()) else { return Vec::new() };
        let commit = self.make_commit(owner);
        self.propose(commit)
    }

    /// Turns the pending sums into a commit and clears them.
    fn make_commit(&mut self, owner: Owner) -> Commit {
        let mut pending = std::mem::take(&mut self.pending);
        pending.journal.last_clock_us = self.clock.us();
        let folded = pending.fold(&self.rows);
        self.rows.trim();
        let mut account = self.committed.account;
        account.merge(&pending.account);
        let (floor, floor_clock_us) = match self.entries.front() {
            Some(entry) => (entry.offset, Some(entry.clock_us)),
            None if self.lowest > self.committed.floor => (self.lowest, self.clock.us()),
            None => (self.committed.floor, self.committed.floor_clock_us),
        };
        Commit {
            id: self.next_id(owner),
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
            },
            totals: folded.totals,
            quarters: folded.quarters,
            shorts: folded.shorts,
            minutes: folded.minutes,
            consumers: folded.consumers,
            used: folded.used,
            letters: pending.letters,
            journal: pending.journal,
            is_shortened: std::mem::take(&mut self.is_shortened),
            accepted: None,
        }
    }

    /// Identity of the next commit of a claim.
    pub(super) fn next_id(&mut self, owner: Owner) -> CommitId {
        self.n_commits += 1;
        let mut id = owner.nonce;
        id[8..].copy_from_slice(&self.n_commits.to_le_bytes());
        CommitId(id)
    }

    /// Hands a commit to the shell.
    pub(super) fn propose(&mut self, commit: Commit) -> Vec<Effect> {
        let commit = Arc::new(commit);
        assert!(i1_exact(&commit), "I1: rows add up to the journal");
        assert!(i2_conserved(&commit.progress.account), "I2: every event is in one class");
        assert!(i8_fence(&commit, &self.committed), "I8: a commit moves forward from its base");
        self.state = State::Committing(Arc::clone(&commit));
        vec![Effect::Commit(commit)]
    }

    /// Handles the outcome of a commit.
    pub(super) fn on_ended(&mut self, outcome: Outcome) -> Vec<Effect> {
        let State::Committing(commit) = &self.state else { return Vec::new() };
        let commit = Arc::clone(commit);
        match outcome {
            Outcome::Committed { version } => self.took_effect(commit, version),
            Outcome::Aborted => vec![Effect::Commit(commit)],
            Outcome::Refused => self.reclaim(Reclaim::Refused),
            Outcome::Unknown if self.options.safeguards.on(Safeguard::UnknownOutcome) => {
                self.state = State::Unsure(Arc::clone(&commit));
                vec![Effect::Resolve(commit)]
            }
            Outcome::Unknown => self.took_effect(commit, 0),
        }
    }

    /// An unknown outcome was looked up.
    pub(super) fn on_resolved(&mut self, resolution: Resolution) -> Vec<Effect> {
        let State::Unsure(commit) = &self.state else { return Vec::new() };
        let commit = Arc::clone(commit);
        match resolution {
            Resolution::Committed { version } => self.took_effect(commit, version),
            Resolution::Base => {
                self.state = State::Committing(Arc::clone(&commit));
                vec![Effect::Commit(commit)]
            }
            Resolution::Fenced => self.reclaim(Reclaim::Fenced),
        }
    }

    /// A commit took effect: counting continues after it.
    fn took_effect(&mut self, commit: Arc<Commit>, version: i64) -> Vec<Effect> {
        self.committed = commit.progress;
        self.state = State::Running;
        vec![Effect::Publish { commit, version }]
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
