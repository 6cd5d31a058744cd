//! Accounting of events by class: every event that is read gets exactly one.

/// The verdict on an event, in the order in which the rules are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Undecodable or out of range.
    Poison = 1,
    /// Its key belongs to another partition.
    Misrouted = 2,
    /// Older than the log's clock by more than A.
    Late = 3,
    /// Ahead of the log's clock by more than F.
    Future = 4,
    /// A copy of an event that was counted within W.
    Duplicate = 5,
    /// Counted.
    Counted = 6,
}

impl Class {
    /// Every class, as `gatemeter_events_total` lists them.
    pub const EACH: [Class; 6] = [
        Class::Counted,
        Class::Duplicate,
        Class::Late,
        Class::Future,
        Class::Poison,
        Class::Misrouted,
    ];

    /// Its name in metrics and the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Class::Poison => "poison",
            Class::Misrouted => "misrouted",
            Class::Late => "late",
            Class::Future => "future",
            Class::Duplicate => "duplicate",
            Class::Counted => "counted",
        }
    }
}

/// What the second pass decides about a late event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LateVerdict {
    /// No copy was counted: it is added to the sums, at its own time.
    Merged,
    /// A copy was counted or merged.
    Duplicate,
    /// What was counted at its time has left the log: nobody can tell.
    Expired,
}

impl LateVerdict {
    /// Every verdict, as `gatemeter_late_events_total` lists them.
    pub const EACH: [LateVerdict; 3] =
        [LateVerdict::Merged, LateVerdict::Duplicate, LateVerdict::Expired];

    /// Its name in metrics and the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            LateVerdict::Merged => "merged",
            LateVerdict::Duplicate => "duplicate",
            LateVerdict::Expired => "expired",
        }
    }
}

/// How many events of a partition ended in each class, and what else is accounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Events in all frames before the next offset.
    pub events: i64,
    /// Events of the class of this name; likewise for the next five.
    pub counted: i64,
    /// Duplicates.
    pub duplicate: i64,
    /// Too old to be counted.
    pub late: i64,
    /// Too far in the future to be counted.
    pub future: i64,
    /// Unreadable.
    pub poison: i64,
    /// Of another partition.
    pub misrouted: i64,
    /// Duplicates whose facts differ from those of the copy before. Part of `duplicate`.
    pub conflicts: i64,
    /// Frames that left the log before they were read. Their events are unknown.
    pub lost_frames: i64,
    /// Late events that the second pass has added to the sums, since no copy was counted. Part of
    /// `late`, as are the next two.
    pub merged: i64,
    /// Late events of which a copy was counted or merged.
    pub late_duplicate: i64,
    /// Late events that nobody can decide any more: what was counted at their time has left the
    /// log.
    pub expired: i64,
}

impl Account {
    /// Adds events of one class.
    pub fn add(&mut self, class: Class, n: i64) {
        self.events += n;
        *self.of_mut(class) += n;
    }

    /// Number of events of one class.
    #[must_use]
    pub fn of(&self, class: Class) -> i64 {
        match class {
            Class::Poison => self.poison,
            Class::Misrouted => self.misrouted,
            Class::Late => self.late,
            Class::Future => self.future,
            Class::Duplicate => self.duplicate,
            Class::Counted => self.counted,
        }
    }

    fn of_mut(&mut self, class: Class) -> &mut i64 {
        match class {
            Class::Poison => &mut self.poison,
            Class::Misrouted => &mut self.misrouted,
            Class::Late => &mut self.late,
            Class::Future => &mut self.future,
            Class::Duplicate => &mut self.duplicate,
            Class::Counted => &mut self.counted,
        }
    }

    /// Late events that the second pass has not decided yet.
    #[must_use]
    pub fn undecided(&self) -> i64 {
        self.late - self.merged - self.late_duplicate - self.expired
    }

    /// Number of late events with a verdict of the second pass.
    #[must_use]
    pub fn of_late(&self, verdict: LateVerdict) -> i64 {
        match verdict {
            LateVerdict::Merged => self.merged,
            LateVerdict::Duplicate => self.late_duplicate,
            LateVerdict::Expired => self.expired,
        }
    }

    /// Adds the numbers of another partition.
    pub fn merge(&mut self, other: &Account) {
        self.events += other.events;
        for class in Class::EACH {
            *self.of_mut(class) += other.of(class);
        }
        self.conflicts += other.conflicts;
        self.lost_frames += other.lost_frames;
        self.merged += other.merged;
        self.late_duplicate += other.late_duplicate;
        self.expired += other.expired;
    }
}
