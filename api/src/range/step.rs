//! Units of the rows and steps of the buckets.

/// Which rows a range is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Minute rows.
    Minutes,
    /// Quarter-hours.
    Quarters,
    /// Counter totals, with quarter-hours for the buckets.
    Totals,
}

/// The step from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A minute.
    Minute,
    /// Five minutes.
    Minutes5,
    /// Fifteen minutes.
    Quarter,
    /// An hour of absolute time.
    Hour,
    /// A local day.
    Day,
    /// A local month.
    Month,
}

const SECOND_US: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Buckets that a range by its ends gets at most before a longer step is taken.
const BUCKETS_AIM: i64 = 500;

impl Rows {
    /// Length of a row, microseconds.
    pub fn unit_us(self) -> i64 {
        match self {
            Rows::Minutes => 60 * SECOND_US,
            Rows::Quarters | Rows::Totals => 900 * SECOND_US,
        }
    }

    /// Start of the row that a moment lies in, microseconds.
    pub fn floor(self, us: i64) -> i64 {
        us - us.rem_euclid(self.unit_us())
    }
}

impl Step {
    /// The shortest step that cuts a length of these rows into a number of buckets that is easy to
    /// look at; else a month.
    pub fn fitting(rows: Rows, length_us: i64) -> Step {
        let steps = match rows {
            Rows::Minutes => &STEPS[..],
            Rows::Quarters | Rows::Totals => &STEPS[2..],
        };
        let fits = |step: &&Step| length_us <= BUCKETS_AIM * step.longest_us();
        steps.iter().find(fits).copied().unwrap_or(Step::Month)
    }

    /// Length in seconds; that of a day is the usual one, and a month has none.
    pub fn seconds(self) -> Option<i64> {
        match self {
            Step::Minute => Some(60),
            Step::Minutes5 => Some(300),
            Step::Quarter => Some(900),
            Step::Hour => Some(3_600),
            Step::Day => Some(DAY_SECONDS),
            Step::Month => None,
        }
    }

    /// The usual length, or that of the longest month, microseconds.
    pub fn longest_us(self) -> i64 {
        self.seconds().unwrap_or(31 * DAY_SECONDS) * SECOND_US
    }

    /// As an answer names it.
    pub fn word(self) -> &'static str {
        match self {
            Step::Minute => "minute",
            Step::Minutes5 => "5 minutes",
            Step::Quarter => "15 minutes",
            Step::Hour => "hour",
            Step::Day => "day",
            Step::Month => "month",
        }
    }
}

/// Steps by length, without the month.
const STEPS: [Step; 5] = [Step::Minute, Step::Minutes5, Step::Quarter, Step::Hour, Step::Day];
