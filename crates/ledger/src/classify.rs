//! The rules that give an event its class, and the log's clock that they read.
//!
//! The rules are tried in the order of `Class`; poison and misrouting are seen while a frame is
//! decoded, copies by the dedup set. Only bytes of the log and the window decide: neither wall
//! clock nor arrival order outside the log.

use event::frame::Envelope;
use event::limits::TIME_US_MAX;

use crate::account::Class;
use crate::safeguard::{Safeguard, Safeguards};
use crate::window::Window;

/// The log's clock M: the running maximum of the frames' times, microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    us: Option<i64>,
}

impl Clock {
    /// Restores a clock from its stored value.
    #[must_use]
    pub fn at(us: Option<i64>) -> Clock {
        Clock { us }
    }

    /// Current value, microseconds; `None` before the first frame.
    #[must_use]
    pub fn us(self) -> Option<i64> {
        self.us
    }

    /// Moves the clock by a frame's time; it never goes back.
    pub fn observe(&mut self, time_us: i64, safeguards: Safeguards) {
        self.us = match self.us {
            Some(us) if safeguards.on(Safeguard::RunningMaximum) => Some(us.max(time_us)),
            _ => Some(time_us),
        };
    }

    /// Moves the clock by an intact record that is read again, if that has an envelope.
    pub fn observe_record(
        &mut self,
        append_time_us: i64,
        bytes: &[u8],
        window: &Window,
        safeguards: Safeguards,
    ) {
        if let Ok(envelope) = Envelope::decode(bytes) {
            let time_us = frame_time(append_time_us, envelope.stamp.ingest_us, window);
            self.observe(time_us, safeguards);
        }
    }

    /// Bucket of the clock, 0 before the first frame. Times are clamped to 0 ..= `TIME_US_MAX`
    /// when a frame's time is made, so that the number always fits.
    #[must_use]
    pub fn bucket(self) -> u32 {
        u32::try_from(Window::bucket(self.us.unwrap_or(0))).expect("times are clamped")
    }
}

/// The time of a frame: the earlier of its append time and the ingest's stamp plus F, so that
/// neither clock alone can make other events late.
#[must_use]
pub fn frame_time(append_time_us: i64, ingest_us: i64, window: &Window) -> i64 {
    append_time_us.min(ingest_us.saturating_add(window.ahead_us)).clamp(0, TIME_US_MAX)
}

/// Late or future, or `None` if an event of this time is admissible.
#[must_use]
pub fn out_of_window(time_us: i64, clock: Clock, window: &Window) -> Option<Class> {
    let clock_us = clock.us()?;
    if time_us < clock_us.saturating_sub(window.past_us) {
        return Some(Class::Late);
    }
    (time_us > clock_us.saturating_add(window.ahead_us)).then_some(Class::Future)
}

#[cfg(test)]
mod tests;
