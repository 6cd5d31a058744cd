//! Edges of buckets in the calendar of a time zone.
//!
//! A local day begins at midnight: at the first one if it occurs twice, and where the clock resumes
//! if the zone skips it. Hours within a day are absolute time, so that a day has 23, 24 or 25 of
//! them, or half an hour more or less. All times are microseconds since the UTC epoch; none is read
//! from a clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Unit};

use crate::error::Error;
use crate::range::Step;

/// The hours of the local day.
pub(super) fn today(zone: &TimeZone, now_us: i64) -> Result<Vec<i64>, Error> {
    let date = local_date(zone, now_us)?;
    let end = midnight(zone, date.tomorrow().map_err(|_| beyond())?)?;
    walk(zone, Step::Hour, midnight(zone, date)?, end)
}

/// The hours of the previous local day: the day of the moment before midnight, which is not always
/// the previous date. Apia had no 30 December 2011.
pub(super) fn yesterday(zone: &TimeZone, now_us: i64) -> Result<Vec<i64>, Error> {
    let end = midnight(zone, local_date(zone, now_us)?)?;
    walk(zone, Step::Hour, midnight(zone, local_date(zone, end - 1)?)?, end)
}

/// The days of the local week, from Monday.
pub(super) fn week(zone: &TimeZone, now_us: i64) -> Result<Vec<i64>, Error> {
    let date = local_date(zone, now_us)?;
    let since_monday = i64::from(date.weekday().to_monday_zero_offset());
    let monday = date.checked_sub(since_monday.days()).map_err(|_| beyond())?;
    let next = monday.checked_add(7.days()).map_err(|_| beyond())?;
    walk(zone, Step::Day, midnight(zone, monday)?, midnight(zone, next)?)
}

/// The days of the local month.
pub(super) fn month(zone: &TimeZone, now_us: i64) -> Result<Vec<i64>, Error> {
    let first = local_date(zone, now_us)?.first_of_month();
    walk(zone, Step::Day, midnight(zone, first)?, midnight(zone, next_month(first)?)?)
}

/// The local months from that of `first_us` to that of `last_us`, both included.
pub(super) fn months(zone: &TimeZone, first_us: i64, last_us: i64) -> Result<Vec<i64>, Error> {
    let first = local_date(zone, first_us)?.first_of_month();
    let last = local_date(zone, last_us)?.first_of_month();
    walk(zone, Step::Month, midnight(zone, first)?, midnight(zone, next_month(last)?)?)
}

/// Both ends, and every step in between: by the calendar for days and months, else a fixed time
/// apart.
pub(super) fn walk(
    zone: &TimeZone,
    step: Step,
    from_us: i64,
    to_us: i64,
) -> Result<Vec<i64>, Error> {
    let mut edges = vec![from_us];
    let mut date = match step {
        Step::Month => local_date(zone, from_us)?.first_of_month(),
        _ => local_date(zone, from_us)?,
    };
    let mut edge = from_us;
    loop {
        edge = match step {
            Step::Day => {
                date = date.tomorrow().map_err(|_| beyond())?;
                midnight(zone, date)?
            }
            Step::Month => {
                date = next_month(date)?;
                midnight(zone, date)?
            }
            _ => edge + step.longest_us(),
        };
        if edge >= to_us {
            break;
        }
        // A day that the zone skips begins where the next one does, and has no bucket.
        if edges.last().is_some_and(|last| *last < edge) {
            edges.push(edge);
        }
    }
    edges.push(to_us);
    Ok(edges)
}

/// The edges of whole days or months: from the start of the one that `from_us` lies in to `to_us`.
pub(super) fn whole(
    zone: &TimeZone,
    step: Step,
    from_us: i64,
    to_us: i64,
) -> Result<Vec<i64>, Error> {
    let date = local_date(zone, from_us)?;
    let first = if step == Step::Month { date.first_of_month() } else { date };
    walk(zone, step, midnight(zone, first)?.min(from_us), to_us)
}

/// Where the local day before this moment begins.
pub(super) fn day_before(zone: &TimeZone, us: i64) -> Result<i64, Error> {
    midnight(zone, local_date(zone, us - 1)?)
}

/// The local midnight this many dates before that of a moment.
pub(super) fn days_before(zone: &TimeZone, us: i64, n: i64) -> Result<i64, Error> {
    let n = Span::new().try_days(n).map_err(|_| beyond())?;
    midnight(zone, local_date(zone, us)?.checked_sub(n).map_err(|_| beyond())?)
}

/// Where the local month before that of a moment begins.
pub(super) fn month_before(zone: &TimeZone, us: i64) -> Result<i64, Error> {
    let first = local_date(zone, us)?.first_of_month();
    midnight(zone, first.checked_sub(1.month()).map_err(|_| beyond())?)
}

/// How many local days lie between two moments; `None` unless both are local midnights.
pub(super) fn days(zone: &TimeZone, from_us: i64, to_us: i64) -> Result<Option<i64>, Error> {
    let (first, last) = (local_date(zone, from_us)?, local_date(zone, to_us)?);
    if (midnight(zone, first)?, midnight(zone, last)?) != (from_us, to_us) {
        return Ok(None);
    }
    let n = first.until((Unit::Day, last)).map_err(|_| beyond())?.get_days();
    Ok(Some(i64::from(n)))
}

/// The range is outside the calendar.
pub(super) fn beyond() -> Error {
    Error::Request("the range reaches beyond the years that can be shown".to_owned())
}

fn local_date(zone: &TimeZone, us: i64) -> Result<Date, Error> {
    let moment = Timestamp::from_microsecond(us).map_err(|_| beyond())?;
    Ok(zone.to_datetime(moment).date())
}

fn midnight(zone: &TimeZone, date: Date) -> Result<i64, Error> {
    let moment = zone.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| beyond())?;
    Ok(moment.as_microsecond())
}

fn next_month(first: Date) -> Result<Date, Error> {
    first.checked_add(1.month()).map_err(|_| beyond())
}
