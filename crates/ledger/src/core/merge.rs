//! Adds late events to the sums, as the second pass has decided.
//!
//! The verdicts of one batch wait with everything else for the next commit, which moves `late_next`
//! over their range. If that commit is lost, they are dropped with all that was pending, and the
//! second pass begins again from what the ledger says.

use event::frame::{FrameReader, FrameView};

use super::{Core, Effect, State};
use crate::late::{Decided, DecidedFrame};
use crate::safeguard::Safeguard;
use crate::state::FrameRows;

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
        for frame in &verdicts.frames {
            self.merge_frame(frame, &mut reader);
        }
        self.reader = reader;
        self.pending.account.late_duplicate += verdicts.duplicate;
        self.pending.account.expired += verdicts.expired;
        self.pending.late.next = Some(verdicts.to);
        Vec::new()
    }

    fn merge_frame(&mut self, frame: &DecidedFrame, reader: &mut FrameReader) {
        let Ok(view) = reader.read(&frame.bytes) else {
            // Nobody can read what was decided.
            self.pending.account.expired += i64::try_from(frame.merged.len()).unwrap_or(i64::MAX);
            return;
        };
        let mut rows = std::mem::take(&mut self.frame_rows);
        rows.load(&view, &mut self.rows);
        for idx in &frame.merged {
            let idx = *idx as usize;
            rows.find(&view, idx..idx + 1, &mut self.rows, true);
            self.merge(&view, &rows, idx, frame.offset);
        }
        self.frame_rows = rows;
    }

    fn merge(&mut self, view: &FrameView<'_>, rows: &FrameRows, idx: usize, offset: u64) {
        match rows.facts(view, idx) {
            Some((facts, event)) => {
                let slots = self.pending.slots(event, facts.time_us);
                self.pending.merge(slots, &facts, offset);
                self.pending.account.merged += 1;
            }
            None => self.pending.account.expired += 1,
        }
    }
}
