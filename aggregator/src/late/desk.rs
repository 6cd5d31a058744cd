//! What a worker and the second pass tell each other about one partition.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::commit::Progress;
use ledger::late::Verdicts;

/// What is committed of a partition, as far as its late events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Nonce of the claim.
    pub nonce: [u8; 16],
    /// Offset of the first frame that is not counted.
    pub next: u64,
    /// Late events before this offset are decided.
    pub late_next: u64,
    /// Late events that are not decided.
    pub undecided: i64,
}

/// The desk of one partition.
#[derive(Debug, Default)]
pub struct LateDesk(Mutex<Papers>);

#[derive(Debug, Default)]
struct Papers {
    standing: Option<Standing>,
    verdicts: Option<([u8; 16], Verdicts)>,
}

impl LateDesk {
    /// The worker says what is committed, or, without a claim, that nothing can be decided.
    pub fn put(&self, claim: Option<([u8; 16], &Progress)>) {
        let standing = claim.map(|(nonce, progress)| Standing {
            nonce,
            next: progress.next,
            late_next: progress.late_next,
            undecided: progress.account.undecided(),
        });
        let mut papers = self.lock();
        papers.standing = standing;
        if standing.is_none() {
            papers.verdicts = None;
        }
    }

    /// The worker takes verdicts, with the nonce of the claim that they were made for.
    pub fn take(&self) -> Option<([u8; 16], Verdicts)> {
        self.lock().verdicts.take()
    }

    /// What is committed.
    pub fn standing(&self) -> Option<Standing> {
        self.lock().standing
    }

    /// The pass hands verdicts over.
    pub fn hand_over(&self, nonce: [u8; 16], verdicts: Verdicts) {
        self.lock().verdicts = Some((nonce, verdicts));
    }

    fn lock(&self) -> MutexGuard<'_, Papers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
