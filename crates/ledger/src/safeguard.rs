//! The safeguards that the simulation switches off one by one.
//!
//! In every build but the simulation's they are all on and cost nothing: `on` is a constant there.

/// One safeguard of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Safeguard {
    /// An unknown COMMIT outcome is resolved before anything else happens.
    UnknownOutcome = 0,
    /// Marks and counts are dropped when a commit did not take effect.
    DropOnAbort = 1,
    /// The log's clock is the running maximum, not the last frame's.
    RunningMaximum = 2,
    /// Each copy of an event renews its mark.
    RenewMark = 3,
    /// The dedup set is rebuilt from the floor after a claim.
    RebuildFromFloor = 4,
    /// Only the offset that comes next is taken.
    Contiguity = 5,
    /// A key of another partition is not counted.
    Routing = 6,
    /// A log that is shorter than what was counted, or another log, halts the partition.
    LogIdentity = 7,
    /// A gap in the log is accounted as lost frames.
    LostFrames = 8,
    /// A page shows committed numbers only.
    CommittedOnly = 9,
    /// No page before the log end that was seen at take-over is counted.
    CatchUp = 10,
    /// A new series shows zero first.
    BornAtZero = 11,
    /// Marks live as long as a copy can be admissible: keep >= past + ahead.
    KeepLongEnough = 12,
    /// Records of an earlier claim are ignored.
    ClaimTag = 13,
    /// Commits are shown in the order of their versions, and none that does not follow.
    VersionOrder = 14,
    /// When a loss is accepted, the log's clock is set beyond all that may have been counted.
    ClockAhead = 15,
    /// A new series shows zero until two scrapes have fetched it.
    TwoZeros = 16,
    /// A frame that only a newer program can count halts the partition.
    HaltAtNewer = 17,
    /// The rows of a commit are those of its members: a refused member's sums leave with it.
    MembersOnly = 18,
    /// No member of a commit of unknown outcome joins another before it is resolved.
    ResolveFirst = 19,
    /// A part is a member of one commit at a time.
    OneCommit = 20,
    /// A part that accepts a loss is not committed again after an unknown outcome: its partition is
    /// claimed first.
    AcceptOnce = 21,
    /// The lease is read for each request: believing to be the publisher shows nothing.
    LeaseIsRead = 22,
    /// A new publisher is silent until whoever asked the one before has given up.
    Silence = 23,
    /// After its silence a new publisher shows nothing older than the ledger is by then.
    SilenceEnds = 24,
    /// Verdicts on late events are taken once, in the order of the log.
    LateNext = 25,
    /// The second pass reads every frame in which a copy may have been counted.
    LateWindow = 26,
    /// A late event is merged only if every such frame can be read.
    LateWhole = 27,
    /// Of late copies of one event one is merged.
    LateOnce = 28,
}

/// Which safeguards are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Safeguards {
    #[cfg(feature = "sim")]
    off: u32,
}

impl Safeguards {
    /// Every safeguard but one.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn without(safeguard: Safeguard) -> Safeguards {
        Safeguards { off: 1 << safeguard as u32 }
    }

    /// Whether a safeguard is on: always, but in the simulation.
    #[inline]
    #[must_use]
    pub fn on(self, safeguard: Safeguard) -> bool {
        #[cfg(feature = "sim")]
        return self.off & (1 << safeguard as u32) == 0;
        #[cfg(not(feature = "sim"))]
        {
            let _ = safeguard;
            true
        }
    }
}
