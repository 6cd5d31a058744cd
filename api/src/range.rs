//! Time ranges: from the parameters of a query to the buckets of its answer.
//!
//! `Ask` is the range as requested. `Ask::window` resolves it against the clock, the calendar of a
//! time zone and the rows that the ledger retains, and returns the edges of the buckets, aligned to
//! the rows that the answer is read from. Local days are exact in any zone. The clock is never read
//! here.

mod calendar;
mod pieces;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use ledger::query::Buckets;
use ledger::window::QUARTER_MINUTES;
use serde::{Deserialize, Serialize};
use service::query::quoted;
use store::Rows;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{
    AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::pieces::Piece;

use crate::error::Error;
use crate::params::{Params, described, text};

/// Names of the parameters of a range.
pub(crate) const RANGE_PARAMS: [&str; 4] = ["timeRange", "from", "to", "tz"];

/// Most buckets of one answer: more than a screen has columns, few enough to be read quickly.
const BUCKETS_MAX: usize = 2_000;
/// How far back minute rows are relied on for `from` and `to`, microseconds: 48 hours.
const MINUTES_KEPT_US: i64 = 48 * 3_600 * SECOND_US;
const SECOND_US: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// A range with explicit ends that would have more buckets than this gets a longer step.
const BUCKETS_AIM: i64 = 500;

/// A named range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Minutes15,
    Hours1,
    Hours6,
    Hours24,
    Today,
    Yesterday,
    Week,
    Month,
    All,
}

/// Named ranges by their parameter value.
const NAMES: [(&str, Name); 9] = [
    ("15m", Name::Minutes15),
    ("1h", Name::Hours1),
    ("6h", Name::Hours6),
    ("24h", Name::Hours24),
    ("today", Name::Today),
    ("yesterday", Name::Yesterday),
    ("week", Name::Week),
    ("month", Name::Month),
    ("all", Name::All),
];

/// The step from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Minute,
    Minutes5,
    /// A quarter-hour.
    Quarter,
    /// An hour of absolute time.
    Hour,
    /// A local day.
    Day,
    /// A local month.
    Month,
}

/// Steps by length, without the month.
const STEPS: [Step; 5] = [Step::Minute, Step::Minutes5, Step::Quarter, Step::Hour, Step::Day];

/// The requested span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Named(Name),
    Between { from_us: i64, to_us: i64 },
}

/// A range as requested.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    span: Span,
    zone: TimeZone,
}

/// The rows that the ledger retains, in minutes and quarter-hours since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retained {
    /// The oldest minute that has a row.
    pub oldest_minute: Option<i64>,
    /// The oldest quarter-hour that has a row.
    pub oldest_quarter: Option<i64>,
}

/// A resolved range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// The rows that it is read from.
    pub rows: Rows,
    /// The step of its buckets; the first and the last may be shorter.
    pub step: Step,
    /// Edges of the buckets in microseconds, ascending and aligned to the rows; at least two.
    edges_us: Vec<i64>,
    zone: TimeZone,
}

/// The range of an answer, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Range)]
pub(crate) struct Cover {
    /// Where it begins; null if it is unbounded.
    #[schema(required, format = DateTime)]
    pub from: Option<String>,
    /// Where it ends, exclusive; null if it is unbounded.
    #[schema(required, format = DateTime)]
    pub to: Option<String>,
    /// IANA name of the time zone.
    pub timezone: String,
    /// Both ends are multiples of this, in seconds of the UTC epoch.
    pub aligned_to_seconds: i64,
}

/// The parameters of a range, as they are described.
pub(crate) struct RangeQuery;

impl IntoParams for RangeQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let [name, from, to, zone] = RANGE_PARAMS;
        let moment = described_moment();
        let words = text().enum_values(Some(NAMES.map(|(word, _)| word)));
        vec![
            described(name, "A named range. Not together with `from` and `to`.", words).build(),
            described(
                from,
                "Where the range begins: RFC 3339, or seconds, ms or us since the epoch by size. \
                 Only together with `to`, and before it.",
                moment.clone(),
            )
            .build(),
            described(to, "Where the range ends, exclusive. Only together with `from`.", moment)
                .build(),
            described(zone, "IANA time zone. Default: the setting `api.timezone`.", text())
                .example(Some("Asia/Shanghai".into()))
                .build(),
        ]
    }
}

/// A moment, as [`moment`] parses it.
pub(crate) fn described_moment() -> Schema {
    let date = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    AnyOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::String).format(Some(date)))
        .item(ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)))
        .into()
}

impl Ask {
    /// Parses the parameters. Without any, this is `default` in `zone`.
    pub fn of(params: &Params, default: Name, zone: &TimeZone) -> Result<Ask, Error> {
        let zone = params.get("tz").map_or_else(|| Ok(zone.clone()), named_zone)?;
        let span = match (params.get("timeRange"), params.get("from"), params.get("to")) {
            (None, None, None) => Span::Named(default),
            (Some(word), None, None) => Span::Named(Name::of(word)?),
            (None, Some(from), Some(to)) => {
                let (from_us, to_us) = (moment("from", from)?, moment("to", to)?);
                if from_us >= to_us {
                    return Err(Error::Request("from must be before to".to_owned()));
                }
                Span::Between { from_us, to_us }
            }
            (None, _, _) => {
                return Err(Error::Request("from and to must be given together".to_owned()));
            }
            (Some(_), _, _) => {
                let message = "give either timeRange or from and to, not both";
                return Err(Error::Request(message.to_owned()));
            }
        };
        Ok(Ask { span, zone })
    }

    /// Resolves the range at `now_us`, microseconds since the epoch.
    pub fn window(&self, now_us: i64, retained: Retained) -> Result<Window, Error> {
        let zone = &self.zone;
        let (rows, step, edges_us) = match self.span {
            Span::Named(Name::Minutes15) => (Rows::Minutes, Step::Minute, recent(now_us, 15, 60)),
            Span::Named(Name::Hours1) => (Rows::Minutes, Step::Minute, recent(now_us, 60, 60)),
            Span::Named(Name::Hours6) => (Rows::Minutes, Step::Minutes5, recent(now_us, 72, 300)),
            Span::Named(Name::Hours24) => (Rows::Quarters, Step::Quarter, recent(now_us, 96, 900)),
            Span::Named(Name::Today) => {
                (Rows::Quarters, Step::Hour, calendar::today(zone, now_us)?)
            }
            Span::Named(Name::Yesterday) => {
                (Rows::Quarters, Step::Hour, calendar::yesterday(zone, now_us)?)
            }
            Span::Named(Name::Week) => (Rows::Quarters, Step::Day, calendar::week(zone, now_us)?),
            Span::Named(Name::Month) => (Rows::Quarters, Step::Day, calendar::month(zone, now_us)?),
            Span::Named(Name::All) => (Rows::Totals, Step::Month, all(zone, now_us, retained)?),
            Span::Between { from_us, to_us } => between(zone, from_us, to_us, now_us, retained)?,
        };
        Window::new(rows, step, edges_us, zone.clone())
    }
}

impl Name {
    fn of(word: &str) -> Result<Name, Error> {
        let found = NAMES.iter().find(|(known, _)| *known == word);
        found.map(|(_, name)| *name).ok_or_else(|| {
            let words: Vec<&str> = NAMES.iter().map(|(word, _)| *word).collect();
            let (words, word) = (words.join(", "), quoted(word));
            Error::Request(format!("timeRange must be one of {words}, not {word}"))
        })
    }
}

impl Step {
    /// The shortest step with which these rows have at most `BUCKETS_AIM` buckets over a length, or
    /// a month.
    pub fn fitting(rows: Rows, length_us: i64) -> Step {
        let steps = match rows {
            Rows::Minutes => &STEPS[..],
            Rows::Quarters | Rows::Totals => &STEPS[2..],
        };
        let fits = |step: &&Step| length_us <= BUCKETS_AIM * step.longest_us();
        steps.iter().find(fits).copied().unwrap_or(Step::Month)
    }

    /// Length in seconds: the usual one for a day, and `None` for a month.
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

    /// Length in microseconds: the usual one for a day, the longest one for a month.
    pub fn longest_us(self) -> i64 {
        self.seconds().unwrap_or(31 * DAY_SECONDS) * SECOND_US
    }

    /// The names of all steps, as they are described.
    pub fn words() -> ObjectBuilder {
        let words = STEPS.into_iter().chain([Step::Month]).map(Step::word);
        text().enum_values(Some(words)).description(Some("The step from bucket to bucket."))
    }

    /// The name in an answer.
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

impl Window {
    /// Aligns the edges downward to the rows. The inner ones are aligned already, except in a few
    /// zones in the first years of the epoch.
    fn new(
        rows: Rows,
        step: Step,
        mut edges_us: Vec<i64>,
        zone: TimeZone,
    ) -> Result<Window, Error> {
        for edge in &mut edges_us {
            *edge -= edge.rem_euclid(rows.unit_us());
        }
        edges_us.dedup();
        if edges_us.len() > BUCKETS_MAX + 1 {
            return Err(too_long());
        }
        for edge in &edges_us {
            Timestamp::from_microsecond(*edge).map_err(|_| calendar::beyond())?;
        }
        Ok(Window { rows, step, edges_us, zone })
    }

    /// The buckets in units of the rows: minutes or quarter-hours since the epoch. The last bucket
    /// of an unbounded range has no end.
    pub fn buckets(&self) -> Buckets {
        let mut edges: Vec<i64> =
            self.edges_us.iter().map(|edge| edge.div_euclid(self.rows.unit_us())).collect();
        if self.rows == Rows::Totals {
            *edges.last_mut().expect("there are two edges") = i64::MAX;
        }
        Buckets::new(edges).expect("aligned edges rise by a unit at least")
    }

    /// The same range as one bucket of quarter-hours, aligned outward. An unbounded range begins at
    /// the oldest retained row and ends with the newest possible one.
    pub fn in_quarters(self, oldest: Option<i64>) -> Result<Window, Error> {
        let rows = Rows::Quarters;
        let [mut start, end] = self.ends();
        if let (Rows::Totals, Some(oldest)) = (self.rows, oldest) {
            start = start.max(oldest.saturating_mul(rows.unit_us()));
        }
        let edges_us = vec![rows.floor(start), rows.floor(end + rows.unit_us() - 1)];
        Window::new(rows, self.step, edges_us, self.zone)
    }

    /// The same buckets of quarter-hours, both ends aligned outward and shorter steps made longer;
    /// itself if it does not read minutes.
    pub fn without_minutes(mut self) -> Result<Window, Error> {
        if self.rows != Rows::Minutes {
            return Ok(self);
        }
        let rows = Rows::Quarters;
        let end = self.edges_us.last_mut().expect("there are two edges");
        *end = rows.floor(*end + rows.unit_us() - 1);
        let step = match self.step {
            Step::Minute | Step::Minutes5 => Step::Quarter,
            step => step,
        };
        Window::new(rows, step, self.edges_us, self.zone)
    }

    /// Start and end, microseconds.
    fn ends(&self) -> [i64; 2] {
        [self.edges_us[0], *self.edges_us.last().expect("there are two edges")]
    }

    /// Starts of the buckets, RFC 3339 with the offset of the zone at that time.
    pub fn labels(&self) -> Vec<String> {
        let starts = &self.edges_us[..self.edges_us.len() - 1];
        starts.iter().map(|edge| self.shown(*edge)).collect()
    }

    /// IANA name of the zone.
    pub fn timezone(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    /// The range that the answer covers.
    pub fn cover(&self) -> Cover {
        let [start, end] = self.ends();
        let is_bounded = self.rows != Rows::Totals;
        Cover {
            from: is_bounded.then(|| self.shown(start)),
            to: is_bounded.then(|| self.shown(end)),
            timezone: self.timezone(),
            aligned_to_seconds: self.rows.unit_us() / SECOND_US,
        }
    }

    fn shown(&self, us: i64) -> String {
        show(us, &self.zone)
    }
}

fn show(us: i64, zone: &TimeZone) -> String {
    let moment = Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
    let offset: Offset = zone.to_offset(moment);
    moment.display_with_offset(offset).to_string()
}

/// A zone by its IANA name.
fn named_zone(name: &str) -> Result<TimeZone, Error> {
    let found = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        let name = quoted(name);
        Error::Request(format!("tz must be an IANA time zone such as Asia/Shanghai, not {name}"))
    })
}

/// Parses RFC 3339 or an epoch number into microseconds since the epoch.
pub(crate) fn moment(name: &str, text: &str) -> Result<i64, Error> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let found = match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(whole), _) => event::time::from_whole(whole),
        (Err(_), Ok(number)) if is_number => event::time::from_float(number),
        // The plus sign of an offset decodes to a space if it was not escaped in the URL.
        _ => event::time::from_text(text).or_else(|error| match text.rsplit_once(' ') {
            Some((local, offset)) => event::time::from_text(&format!("{local}+{offset}")),
            None => Err(error),
        }),
    };
    found.map_err(|error| Error::Request(format!("{name} {error}, not {}", quoted(text))))
}

/// `n` buckets of a fixed step, the last of which is the current one.
fn recent(now_us: i64, n: i64, step_seconds: i64) -> Vec<i64> {
    let step_us = step_seconds * SECOND_US;
    let end = (now_us.div_euclid(step_us) + 1) * step_us;
    (0..=n).map(|idx| end - (n - idx) * step_us).collect()
}

/// Months from the oldest row to the newest possible one: that of an event ahead of the clock.
fn all(zone: &TimeZone, now_us: i64, retained: Retained) -> Result<Vec<i64>, Error> {
    let newest_us = now_us.saturating_add(ledger::window::Window::default().ahead_us);
    let oldest =
        retained.oldest_quarter.map(|quarter| quarter.saturating_mul(Rows::Totals.unit_us()));
    let oldest_us = oldest.unwrap_or(newest_us).min(newest_us);
    calendar::months(zone, oldest_us, newest_us)
}

/// Buckets of a range with explicit ends: aligned outward to the rows, in the shortest step that
/// fits.
fn between(
    zone: &TimeZone,
    from_us: i64,
    to_us: i64,
    now_us: i64,
    retained: Retained,
) -> Result<(Rows, Step, Vec<i64>), Error> {
    let minute = Rows::Minutes;
    let has_minutes = from_us >= now_us - MINUTES_KEPT_US
        && minute.floor(from_us) / minute.unit_us() >= retained.minutes_complete_from();
    let rows = if has_minutes { minute } else { Rows::Quarters };
    let (from_us, to_us) = (rows.floor(from_us), rows.floor(to_us + rows.unit_us() - 1));
    let step = Step::fitting(rows, to_us - from_us);
    // Bounds the walk itself, whatever the calendar yields.
    if (to_us - from_us) / step.longest_us() > BUCKETS_MAX as i64 {
        return Err(too_long());
    }
    Ok((rows, step, calendar::walk(zone, step, from_us, to_us)?))
}

/// The range has too many buckets even in months, the longest step.
fn too_long() -> Error {
    Error::Request(format!(
        "from and to are more than {BUCKETS_MAX} months apart, which is the limit"
    ))
}

impl Retained {
    /// The first minute from which on no minute row is missing. Retention deletes the oldest rows
    /// first, so the oldest minute may be deleted in part; if it lies in the oldest quarter-hour,
    /// nothing was deleted yet.
    fn minutes_complete_from(self) -> i64 {
        match (self.oldest_minute, self.oldest_quarter) {
            (_, None) => i64::MIN,
            (None, Some(_)) => i64::MAX,
            (Some(minute), Some(quarter)) if minute.div_euclid(QUARTER_MINUTES) <= quarter => {
                i64::MIN
            }
            (Some(minute), Some(_)) => minute + 1,
        }
    }
}
