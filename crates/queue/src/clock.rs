//! The clock of the writer, and the guard that holds it against the boot clock.
//! The writer takes one reading per group commit and asks the guard before it uses the wall
//! time as append time. The guard is pure: numbers in, verdict out, so that it is tested
//! without touching a clock. It never corrects a time: a time is used as it is, or not at all.

use crate::limits::{
    CLOCK_ALARM_US, CLOCK_ANCHOR_US, CLOCK_BACK_US_MAX, CLOCK_FORWARD_US_MAX, SECOND_US,
};

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Wall clock, in microseconds since the Unix epoch.
    pub wall_us: i64,
    /// Time since boot in microseconds; goes on while the machine sleeps, so that a laptop's
    /// sleep is no jump.
    pub boot_us: i64,
}

/// Where readings come from.
#[derive(Debug, Clone)]
pub(crate) enum ClockSource {
    /// The clocks of the system.
    System,
    /// A reading that a test sets.
    #[cfg(test)]
    Fixed(std::sync::Arc<std::sync::Mutex<Reading>>),
}

impl ClockSource {
    pub(crate) fn read(&self) -> Reading {
        match self {
            ClockSource::System => Reading {
                wall_us: system_us(rustix::time::ClockId::Realtime),
                boot_us: system_us(rustix::time::ClockId::Boottime),
            },
            #[cfg(test)]
            ClockSource::Fixed(reading) => *reading.lock().expect("no test panics under it"),
        }
    }
}

fn system_us(id: rustix::time::ClockId) -> i64 {
    let now = rustix::time::clock_gettime(id);
    now.tv_sec * SECOND_US + now.tv_nsec / 1_000
}

/// Whether the wall clock found at start is accepted whatever the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockPolicy {
    /// Check it against the last append.
    Check,
    /// An operator has confirmed it.
    Accept,
}

/// The guard's verdict on a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The wall time may be used.
    Steady,
    /// It may be used, but the wall clock was set by this many microseconds since the last
    /// steady reading or alarm: a person should look.
    Alarm {
        /// The step, negative if the clock went back.
        step_us: i64,
    },
    /// It must not be used.
    Refused(Refusal),
}

/// Why the wall clock is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the wall clock showed.
    pub wall_us: i64,
    /// What was expected.
    pub expected_us: i64,
}

/// Holds the wall clock against the boot clock.
#[derive(Debug)]
pub(crate) struct ClockGuard {
    anchor: Reading,
    drift_seen_us: i64,
    refusal: Option<Refusal>,
}

impl ClockGuard {
    /// Pairs the clocks as they are at start. Refuses at once if the wall clock is earlier than
    /// the last append by more than F and no operator has accepted it.
    pub(crate) fn open(
        now: Reading,
        last_append_us: Option<i64>,
        policy: ClockPolicy,
    ) -> ClockGuard {
        let refusal = match (policy, last_append_us) {
            (ClockPolicy::Check, Some(last_us))
                if last_us.saturating_sub(now.wall_us) > CLOCK_BACK_US_MAX =>
            {
                Some(Refusal { wall_us: now.wall_us, expected_us: last_us })
            }
            _ => None,
        };
        ClockGuard { anchor: now, drift_seen_us: 0, refusal }
    }

    /// The refusal in force, if there is one.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Judges a reading. A refusal stays until the queue is opened again: a clock that jumps back
    /// and forth is not to be trusted in between.
    pub(crate) fn check(&mut self, now: Reading) -> Verdict {
        if let Some(refusal) = self.refusal {
            return Verdict::Refused(refusal);
        }
        let passed_us = now.boot_us.saturating_sub(self.anchor.boot_us);
        let expected_us = self.anchor.wall_us.saturating_add(passed_us);
        let drift_us = now.wall_us.saturating_sub(expected_us);
        if !(-CLOCK_BACK_US_MAX..=CLOCK_FORWARD_US_MAX).contains(&drift_us) {
            let refusal = Refusal { wall_us: now.wall_us, expected_us };
            self.refusal = Some(refusal);
            return Verdict::Refused(refusal);
        }
        let step_us = drift_us - self.drift_seen_us;
        if step_us.abs() > CLOCK_ALARM_US {
            self.drift_seen_us = drift_us;
            return Verdict::Alarm { step_us };
        }
        if passed_us > CLOCK_ANCHOR_US && drift_us.abs() <= CLOCK_ALARM_US {
            self.anchor = now;
            self.drift_seen_us = 0;
        }
        Verdict::Steady
    }
}

#[cfg(test)]
mod tests;
