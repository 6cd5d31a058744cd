//! A halted partition resumes because an operator accepts the loss.
//!
//! The log that was counted is gone, all of it or in part, and the marks of its events cannot be
//! read again. An event that was counted is ahead of the log's clock by F at most. So the clock is
//! set forward beyond A and F: whatever could have been counted before is late from now on, is kept
//! as a dead letter and never counted twice. Offsets never go back: where the log is shorter than
//! what was counted, it has to grow beyond that first.

use super::{Core, Effect, Halt, LogView, State};
use crate::commit::{AcceptedLoss, LatePart, Part, Progress};
use crate::dedup::Dedup;
use crate::safeguard::Safeguard;

impl Core {
    /// The offset at which a halted partition resumes if the loss is accepted; `None` if nothing is
    /// lost and a newer program goes on.
    #[must_use]
    pub fn resumes_at(&self) -> Option<u64> {
        match self.state {
            State::Halted(Halt::Hole { next, .. }) => Some(next),
            State::Halted(Halt::Newer { .. } | Halt::Kind { .. }) => None,
            State::Halted(_) => Some(self.committed.next),
            _ => None,
        }
    }

    /// Commits that the loss is accepted; once it took effect, reading resumes after it. No effect
    /// if the partition is not halted, or the log does not reach the offset.
    pub(super) fn on_accepted(&mut self, log: LogView, lost: u64) -> Vec<Effect> {
        let (State::Halted(halt), Some(owner), Some(next)) =
            (&self.state, self.owner, self.resumes_at().filter(|next| log.high >= *next))
        else {
            return Vec::new();
        };
        let frames = match *halt {
            Halt::Hole { offset, next } => next - offset,
            _ => lost,
        };
        let frames = i64::try_from(frames).unwrap_or(i64::MAX);
        let accepted = AcceptedLoss { reason: halt.to_string(), frames };
        let window = &self.options.window;
        // The oldest event that is not late is newer than all that were not of the future.
        let ahead_us = match self.options.safeguards.on(Safeguard::ClockAhead) {
            true => window.past_us.saturating_add(window.ahead_us).saturating_add(1),
            false => 0,
        };
        let clock_us = self.committed.clock_us.map(|us| us.saturating_add(ahead_us));
        let mut account = self.committed.account;
        account.lost_frames = account.lost_frames.saturating_add(frames);
        // What was counted at their time cannot be read again.
        account.expired += account.undecided();
        let progress = Progress {
            next,
            floor: next,
            floor_clock_us: clock_us,
            clock_us,
            last_print: log.last_print,
            account,
            letter_hour: self.letter_hour,
            letter_rows: self.letter_rows,
            late_next: next,
        };
        self.drop_marks();
        self.dedup = Dedup::default();
        self.start_at(next, clock_us, &progress);
        self.offer(Part {
            is_shortened: true,
            accepted: Some(accepted),
            late: LatePart { base: self.committed.late_next, ..LatePart::default() },
            ..Part::without_rows(owner, self.committed.next, progress)
        })
    }
}
