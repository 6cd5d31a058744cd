//! Adds late events to the sums, as the second pass has decided.
//!
//! The verdicts of one batch wait with everything else for the next commit, which moves `late_next`
//! over their range. If that commit is lost, they are dropped with all that was pending, and the
//! second pass begins again from what the ledger says.

use event::frame::FrameReader;

use super::{Core, Effect, State};
use crate::late::{Decided, LateEvent};
use crate::safeguard::Safeguard;

impl Core {
    /// Whether verdicts that begin at the committed `late_next` would be taken now.
    #[must_use]
    pub fn takes_verdicts(&self) -> bool {
        matches!(self.state, State::Running)
            && self.position >= self.committed.next
            && self.pending.late.next.is_none()
    }

    /// Takes verdicts on the late events that come next, made under this claim; anything else
    /// belongs to an earlier one.
    pub(super) fn on_decided(&mut self, decided: &Decided<'_>) -> Vec<Effect> {
        let Some(owner) = self.owner.filter(|_| self.takes_verdicts()) else { return Vec::new() };
        let verdicts = decided.verdicts;
        let is_ours = decided.nonce == owner.nonce && verdicts.from == self.committed.late_next
            || !self.options.safeguards.on(Safeguard::LateNext);
        if !is_ours || verdicts.to <= verdicts.from || verdicts.to > self.committed.next {
            return Vec::new();
        }
        let mut reader = std::mem::take(&mut self.reader);
        for late in &verdicts.merged {
            self.merge(late, &mut reader);
        }
        self.reader = reader;
        self.pending.account.late_duplicate += verdicts.duplicate;
        self.pending.account.expired += verdicts.expired;
        self.pending.late.next = Some(verdicts.to);
        Vec::new()
    }

    fn merge(&mut self, late: &LateEvent, reader: &mut FrameReader) {
        let mut rows = std::mem::take(&mut self.frame_rows);
        let found = reader.read(&late.frame).ok().and_then(|view| {
            rows.load(&view, &mut self.rows);
            rows.find(&view, 0..1, &mut self.rows, true);
            rows.facts(&view, 0)
        });
        self.frame_rows = rows;
        match found {
            Some((facts, event)) => {
                let slots = self.pending.slots(event, facts.time_us);
                self.pending.merge(slots, &facts, late.offset);
                self.pending.account.merged += 1;
            }
            // Nobody can read what was decided.
            None => self.pending.account.expired += 1,
        }
    }
}
