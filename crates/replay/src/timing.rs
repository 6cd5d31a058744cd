//! From recorded times to event times.
//!
//! A recorded time and the clock of the batch go in, the event time comes out. The clock is always
//! handed in, so that a tape can repeat it; nothing here reads one but `now_us`.

use crate::args::Times;
use crate::item::{LATE_AFTER_US, MARGIN_US};

/// How event times are made in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The clock of the batch.
    Now,
    /// `first_us..=last_us` scaled onto the window that ends at `base_us`.
    Fit {
        /// End of the window.
        base_us: i64,
        /// Length of the window.
        window_us: i64,
        /// First recorded time.
        first_us: i64,
        /// Last recorded time.
        last_us: i64,
    },
    /// Recorded times stay.
    Keep,
}

impl Timing {
    /// The timing of a run whose recorded times lie in `span_us`; an empty source has none.
    pub fn new(times: Times, base_us: i64, span_us: Option<(i64, i64)>) -> Timing {
        match times {
            Times::Now => Timing::Now,
            Times::Keep => Timing::Keep,
            Times::Fit { window_us } => {
                let (first_us, last_us) = span_us.unwrap_or((0, 0));
                Timing::Fit { base_us, window_us, first_us, last_us }
            }
        }
    }

    /// Event time of an event recorded at `recorded_us`, in a batch made at `at_us`.
    pub fn event_time_us(&self, recorded_us: i64, at_us: i64) -> i64 {
        match *self {
            Timing::Now => at_us,
            Timing::Keep => recorded_us,
            Timing::Fit { base_us, window_us, first_us, last_us } => {
                let span = i128::from(last_us) - i128::from(first_us);
                if span <= 0 {
                    return base_us;
                }
                let to_end = i128::from(last_us) - i128::from(recorded_us);
                let back = to_end * i128::from(window_us) / span;
                base_us - i64::try_from(back).expect("within the window, which is below an hour")
            }
        }
    }

    /// When the oldest event of the window gets too close to being late; other timings have no
    /// such moment for the run as a whole.
    pub fn run_deadline_us(&self) -> Option<i64> {
        match *self {
            Timing::Fit { base_us, window_us, .. } => {
                Some(base_us - window_us + LATE_AFTER_US - MARGIN_US)
            }
            Timing::Now | Timing::Keep => None,
        }
    }
}

/// A time, human-readable.
pub fn show_us(time_us: i64) -> String {
    match jiff::Timestamp::from_microsecond(time_us) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => format!("{time_us} us"),
    }
}

#[cfg(test)]
mod tests;
