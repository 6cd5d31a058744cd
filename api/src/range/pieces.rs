//! Hours, days and months of a time zone, as the ledger groups rows by them; and the period before
//! a range.
//!
//! A piece is named by its start, whatever part of it a range covers: a day by its date, an hour by
//! the moment at which it begins. Hours begin with the local day and are absolute time, as in the
//! ranges of a day.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ledger::window::QUARTER_US;
use store::usage::Run;

use super::{Ask, Name, Rows, Span, Step, Window, calendar, show};
use crate::error::Error;

/// How far rows may be ahead of this clock, microseconds: whatever the clocks of two machines show.
const AHEAD_US: i64 = 7 * 86_400 * 1_000_000;
/// Quarter-hours of an hour.
const HOUR: i64 = 4;

/// Pieces of local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Hour,
    Day,
    Month,
}

impl Piece {
    /// The pieces of a window of quarter-hours, from its first row on. The oldest row that is kept
    /// bounds them.
    pub fn runs(
        self,
        window: &Window,
        oldest_quarter: Option<i64>,
        now_us: i64,
    ) -> Result<Vec<Run>, Error> {
        let newest_us = now_us.saturating_add(AHEAD_US);
        let [start, end] = window.ends();
        let oldest_us = oldest_quarter.map_or(newest_us, |at| at.saturating_mul(QUARTER_US));
        let from_us = start.max(oldest_us.min(newest_us)).min(end - QUARTER_US);
        let to_us = end.min(newest_us).max(from_us + QUARTER_US);
        let step = if self == Piece::Month { Step::Month } else { Step::Day };
        let edges_us = calendar::whole(&window.zone, step, from_us, to_us)?;
        let mut edges: Vec<i64> = edges_us.iter().map(|us| us.div_euclid(QUARTER_US)).collect();
        edges.dedup();
        Ok(if self == Piece::Hour { hours(&edges) } else { same(&edges) })
    }

    /// The name of the piece that begins at this quarter-hour.
    pub fn name(self, zone: &TimeZone, quarter: i64) -> String {
        let us = quarter.saturating_mul(QUARTER_US);
        if self == Piece::Hour {
            return show(us, zone);
        }
        let moment = Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
        let date = zone.to_datetime(moment).date();
        match self {
            Piece::Month => date.strftime("%Y-%m").to_string(),
            _ => date.to_string(),
        }
    }
}

/// Days of these edges cut into hours; the last one of a day may be shorter.
fn hours(edges: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for from in &edges[..edges.len() - 1] {
        if runs.last().is_none_or(|run| (from - run.from) % HOUR != 0) {
            runs.push(Run { from: *from, step: HOUR });
        }
    }
    runs
}

/// Neighbours of the same length in one run.
fn same(edges: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for pair in edges.windows(2) {
        let step = pair[1] - pair[0];
        if runs.last().is_none_or(|run| run.step != step) {
            runs.push(Run { from: pair[0], step });
        }
    }
    runs
}

impl Ask {
    /// The period before this range, up to its start: of a calendar range the one before, of others
    /// as many local days if both ends are local midnights, else as much time.
    pub fn before(&self, window: &Window) -> Result<Window, Error> {
        let zone = &self.zone;
        let [start, end] = window.ends();
        let from_us = match self.span {
            Span::Named(Name::Today | Name::Yesterday) => calendar::day_before(zone, start)?,
            Span::Named(Name::Week) => calendar::days_before(zone, start, 7)?,
            Span::Named(Name::Month) => calendar::month_before(zone, start)?,
            Span::Named(_) => start - (end - start),
            Span::Between { from_us, to_us } => match calendar::days(zone, from_us, to_us)? {
                Some(n) => calendar::days_before(zone, start, n)?,
                None => start - (end - start),
            },
        };
        Window::new(Rows::Quarters, window.step, vec![from_us, start], zone.clone())
    }

    /// Whether the range is all time, which nothing is before.
    pub fn is_all(&self) -> bool {
        self.span == Span::Named(Name::All)
    }

    /// The time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

#[cfg(test)]
mod tests;
