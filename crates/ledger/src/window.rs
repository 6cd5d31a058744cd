//! The window in which events are admissible and in which copies are recognised.
//!
//! "Within the window" is arithmetic on 5-minute bucket numbers, the same for marks, floor and
//! recount. The window belongs to a generation of the log: it is never changed within one.

/// Width of a dedup bucket in microseconds: 5 minutes.
pub const BUCKET_US: i64 = 5 * 60 * 1_000_000;
/// Width of a minute row in microseconds.
pub const MINUTE_US: i64 = 60 * 1_000_000;
/// Minutes in a quarter-hour row.
pub const QUARTER_MINUTES: i64 = 15;
/// Width of a quarter-hour row in microseconds.
pub const QUARTER_US: i64 = QUARTER_MINUTES * MINUTE_US;
/// Width of the hours over which dead letters are capped.
pub const HOUR_US: i64 = 60 * MINUTE_US;

/// Admission and memory of one generation, all in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// A: an event older than the log's clock by more than this is late.
    pub past_us: i64,
    /// F: an event ahead of the log's clock by more than this is from the future.
    pub ahead_us: i64,
    /// W: how long a mark is kept; at least A + F.
    pub keep_us: i64,
}

impl Default for Window {
    /// A = 60 minutes, F = 5 minutes, W = A + F.
    fn default() -> Window {
        Window { past_us: 60 * MINUTE_US, ahead_us: 5 * MINUTE_US, keep_us: 65 * MINUTE_US }
    }
}

impl Window {
    /// Whether copies of one event meet: W >= A + F, in whole buckets.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.past_us >= 0
            && self.ahead_us >= 0
            && self.keep_us % BUCKET_US == 0
            && self.keep_us >= self.past_us.saturating_add(self.ahead_us)
    }

    /// Number of the 5-minute bucket of a time of the log's clock.
    #[must_use]
    pub fn bucket(clock_us: i64) -> i64 {
        clock_us.div_euclid(BUCKET_US)
    }

    /// The oldest bucket whose marks still hold when the log's clock is in `bucket`.
    #[must_use]
    pub fn oldest(&self, bucket: i64) -> i64 {
        bucket.saturating_sub(self.keep_us / BUCKET_US)
    }
}
