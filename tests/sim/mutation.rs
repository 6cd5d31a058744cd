//! What is switched off in a run, to see that the run notices.

use ledger::safeguard::{Safeguard, Safeguards};

/// One safeguard switched off, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The product as it is.
    None,
    /// A safeguard of the core, of the committer or of what is shown.
    Core(Safeguard),
    /// `HaltAtNewer`, noticed by a frame of another kind instead of a newer version.
    HaltAtKind,
    /// A commit takes effect whatever the row's offset is.
    BaseCheck,
    /// A commit takes effect whatever the row's owner is.
    OwnerCheck,
    /// A commit takes effect if its epoch is the row's, whatever its nonce.
    NonceCheck,
    /// A ledger of a newer format takes claims and commits of an older program.
    FormatCheck,
    /// Ingest is told to write frames that an owner does not know.
    OwnersKnow,
    /// The compare-and-swap of a commit's first member decides for all of them.
    EveryMember,
    /// A commit of unknown outcome is looked up in the row of its first member, not in the journal.
    JournalDecides,
    /// The step to the format with times per output token does not note where it was taken.
    TpotFrom,
    /// It notes that before the open transactions of programs of before have ended.
    NotedEarly,
    /// A publisher shows the commits of its own process only.
    FollowOthers,
    /// A publisher does not know that the ledger was put back.
    RestoreNoted,
    /// A commit takes effect whatever late events the row has decided.
    LateBaseCheck,
    /// A publisher does not wait for late events that are merged again after a restore.
    LateRestored,
    /// A publisher does not know that the one before may have shown series that it lacks.
    SuccessionNoted,
}

impl Mutation {
    /// Every mutant.
    pub const EACH: [Mutation; 44] = [
        Mutation::Core(Safeguard::UnknownOutcome),
        Mutation::Core(Safeguard::DropOnAbort),
        Mutation::Core(Safeguard::RunningMaximum),
        Mutation::Core(Safeguard::RenewMark),
        Mutation::Core(Safeguard::RebuildFromFloor),
        Mutation::Core(Safeguard::Contiguity),
        Mutation::Core(Safeguard::Routing),
        Mutation::Core(Safeguard::LogIdentity),
        Mutation::Core(Safeguard::LostFrames),
        Mutation::Core(Safeguard::CommittedOnly),
        Mutation::Core(Safeguard::CatchUp),
        Mutation::Core(Safeguard::BornAtZero),
        Mutation::Core(Safeguard::KeepLongEnough),
        Mutation::Core(Safeguard::ClaimTag),
        Mutation::Core(Safeguard::VersionOrder),
        Mutation::Core(Safeguard::ClockAhead),
        Mutation::Core(Safeguard::TwoZeros),
        Mutation::Core(Safeguard::HaltAtNewer),
        Mutation::Core(Safeguard::MembersOnly),
        Mutation::Core(Safeguard::ResolveFirst),
        Mutation::Core(Safeguard::OneCommit),
        Mutation::Core(Safeguard::AcceptOnce),
        Mutation::Core(Safeguard::LeaseIsRead),
        Mutation::Core(Safeguard::Silence),
        Mutation::Core(Safeguard::SilenceEnds),
        Mutation::HaltAtKind,
        Mutation::BaseCheck,
        Mutation::OwnerCheck,
        Mutation::NonceCheck,
        Mutation::FormatCheck,
        Mutation::OwnersKnow,
        Mutation::EveryMember,
        Mutation::JournalDecides,
        Mutation::TpotFrom,
        Mutation::NotedEarly,
        Mutation::FollowOthers,
        Mutation::RestoreNoted,
        Mutation::SuccessionNoted,
        Mutation::LateBaseCheck,
        Mutation::LateRestored,
        Mutation::Core(Safeguard::LateNext),
        Mutation::Core(Safeguard::LateWindow),
        Mutation::Core(Safeguard::LateWhole),
        Mutation::Core(Safeguard::LateOnce),
    ];

    /// The switches of the core.
    #[must_use]
    pub fn safeguards(self) -> Safeguards {
        match self {
            Mutation::Core(safeguard) => Safeguards::without(safeguard),
            Mutation::HaltAtKind => Safeguards::without(Safeguard::HaltAtNewer),
            _ => Safeguards::default(),
        }
    }

    /// Whether a safeguard of the core is on.
    #[must_use]
    pub fn is_on(self, safeguard: Safeguard) -> bool {
        self.safeguards().on(safeguard)
    }
}
