//! Wall time, and the only place that reads it.
//!
//! A process has two kinds of time, and each has a type. Wall time is a date: it is stored and
//! compared between machines, and it may jump when somebody sets the clock. It is [`Wall`].
//! Monotonic time measures how long something takes and never goes back. It is
//! `std::time::Instant`, which already cannot be mixed up with a date, so it needs no wrapper here.
//!
//! Whoever reads the clock holds a `Wall`; pure code takes the integer, as `now_us`, so that tests
//! and the simulation set it. tests/tidy keeps other readers of wall time out of the house. The
//! one exception is the clock guard of the queue, which reads wall clock and boot clock together.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment of wall time, in whole microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(i64);

impl Wall {
    /// Now. A clock before 1970 reads 0 and one past the year 294,000 the largest `i64`: both are
    /// wrong anyway, and so no reader has to handle an error.
    #[must_use]
    pub fn now() -> Wall {
        Wall::of(SystemTime::now())
    }

    fn of(time: SystemTime) -> Wall {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// The moment this many microseconds after the epoch, or before it if negative.
    #[must_use]
    pub const fn from_us(us: i64) -> Wall {
        Wall(us)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_us(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
