//! Which of several aggregators shows the business section: the holder of the `publisher` lease.
//!
//! The lease is a row of the ledger. Its holder renews it about once a second; who sees it stand
//! still for long enough takes it over. That needs no clock that two machines agree on: each one
//! measures how long it has seen the same row itself, and takes over by compare-and-swap.
//!
//! Two processes may believe to hold it, so belief shows nothing. Each request is answered by the
//! row as it is read after the request came: who is not the holder then shows nothing. A holder of
//! before may still be answering, with a version that it read late. Whoever asked it asked before
//! the take-over and gives up after its timeout: until then the new holder is silent, and then it
//! shows nothing older than the ledger is by that time. Series that are born before its first page
//! may have been shown by the other one and do not begin at zero. docs/counting.md.
//!
//! Times are microseconds of a clock that never goes back; the caller reads it.

use crate::safeguard::{Safeguard, Safeguards};

/// How long a lease has to stand still before it is taken over: several times the pause between two
/// renewals, so that one slow answer of the ledger moves nothing.
pub const EXPIRES_US: i64 = 6 * 1_000_000;
/// Identifies a process for as long as it runs.
pub type Nonce = [u8; 16];

/// The lease as the ledger has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseRow {
    /// How often it was taken over.
    pub term: i64,
    /// Its holder; `None` if nobody ever was, or the last one gave it back.
    pub holder: Option<Nonce>,
    /// How often the holder has renewed it.
    pub beat: i64,
}

/// What follows from the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Somebody else holds it.
    Wait,
    /// This process holds it: renew it if the row is still this one.
    Renew(LeaseRow),
    /// Take it over if the row is still this one.
    Acquire(LeaseRow),
    /// This process held it and does not any more: drop whatever is shown.
    Lost,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the page, if it is of this version or a later one.
    Page {
        /// The version.
        at_least: i64,
    },
    /// With nothing yet: 503.
    Silence,
    /// Without a business section: another process shows it.
    Standby,
    /// With nothing: no other process was seen to show it yet.
    Nobody,
}

/// Who shows the business section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This process.
    Publisher,
    /// This process, once whoever asked the one before has given up.
    Silent,
    /// Another process, which was seen to be alive.
    Standby,
    /// Another process that was not seen to be alive, or nobody.
    Nobody,
}

/// A lease that this process took over.
#[derive(Clone, Copy, Debug)]
struct Held {
    term: i64,
    /// When it was known to be held.
    since_us: i64,
    /// Whether its holder of before may still be answering.
    must_be_silent: bool,
    /// Longest timeout of those who have asked, microseconds: for so long it is silent.
    silence_us: i64,
    /// A version of the ledger from after the silence.
    at_least: Option<i64>,
}

/// The lease as one process sees it.
#[derive(Clone, Debug)]
pub struct Lease {
    me: Nonce,
    held: Option<Held>,
    /// The row of another holder, and since when it stands still.
    seen: Option<(LeaseRow, i64)>,
    /// Whether that holder was seen to renew it.
    is_renewed: bool,
    safeguards: Safeguards,
}

impl Lease {
    /// A lease that this process does not hold.
    #[must_use]
    pub fn new(me: Nonce, safeguards: Safeguards) -> Lease {
        Lease { me, held: None, seen: None, is_renewed: false, safeguards }
    }

    /// This process.
    #[must_use]
    pub fn me(&self) -> Nonce {
        self.me
    }

    /// Whether this process believes to hold it. Not enough to show anything.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Takes in a row that was read by `now_us`.
    pub fn observe(&mut self, row: LeaseRow, now_us: i64) -> Next {
        if self.is_mine(&row) {
            return Next::Renew(row);
        }
        let before = self.seen.map(|(before, _)| before);
        if before != Some(row) {
            let is_same_holder = |before: LeaseRow| before.holder == row.holder;
            self.is_renewed = before.is_some_and(is_same_holder);
        }
        if self.held.take().is_some() {
            self.seen = Some((row, now_us));
            return Next::Lost;
        }
        match self.seen {
            _ if row.holder.is_none() => Next::Acquire(row),
            Some((before, since_us)) if before == row => {
                if now_us - since_us >= EXPIRES_US {
                    Next::Acquire(row)
                } else {
                    Next::Wait
                }
            }
            _ => {
                self.seen = Some((row, now_us));
                Next::Wait
            }
        }
    }

    /// This process has taken over from `before`; that was known at `now_us`.
    pub fn acquired(&mut self, before: LeaseRow, now_us: i64) {
        self.held = Some(Held {
            term: before.term + 1,
            since_us: now_us,
            must_be_silent: before.holder.is_some(),
            silence_us: 0,
            at_least: None,
        });
        self.seen = None;
        self.is_renewed = false;
    }

    /// What a request gets that came at `came_us` and is given up after `timeout_us`, by the row
    /// and the version of the ledger as they were read after it came.
    #[must_use]
    pub fn answer(
        &mut self,
        row: &LeaseRow,
        version: i64,
        came_us: i64,
        timeout_us: i64,
    ) -> Answer {
        let safeguards = self.safeguards;
        let is_mine = self.is_mine(row) || !safeguards.on(Safeguard::LeaseIsRead);
        let held = match &mut self.held {
            Some(held) if is_mine => held,
            // Somebody has taken it over.
            Some(_) => return Answer::Standby,
            None if self.is_renewed => return Answer::Standby,
            None => return Answer::Nobody,
        };
        if held.must_be_silent && timeout_us > held.silence_us && safeguards.on(Safeguard::Silence)
        {
            held.silence_us = timeout_us;
            held.at_least = None;
        }
        // One that came before the take-over may be older than what the holder of before showed.
        if came_us < held.since_us.saturating_add(held.silence_us) {
            return Answer::Silence;
        }
        if !held.must_be_silent || !safeguards.on(Safeguard::SilenceEnds) {
            return Answer::Page { at_least: 0 };
        }
        Answer::Page { at_least: *held.at_least.get_or_insert(version) }
    }

    /// Who shows the business section, as far as can be told, if requests are given up after
    /// `timeout_us`.
    #[must_use]
    pub fn standing(&self, now_us: i64, timeout_us: i64) -> Standing {
        match self.held {
            None if self.is_renewed => Standing::Standby,
            None => Standing::Nobody,
            Some(held) => {
                let silence_us = held.silence_us.max(timeout_us);
                let is_silent = held.must_be_silent && now_us < held.since_us + silence_us;
                if is_silent { Standing::Silent } else { Standing::Publisher }
            }
        }
    }

    /// Whether another process may have shown what this one has not read yet.
    #[must_use]
    pub fn follows_another(&self) -> bool {
        self.held.is_some_and(|held| held.must_be_silent)
    }

    fn is_mine(&self, row: &LeaseRow) -> bool {
        self.held.is_some_and(|held| held.term == row.term) && row.holder == Some(self.me)
    }
}

#[cfg(test)]
mod tests;
