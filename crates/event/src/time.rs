//! Times of events: RFC 3339 text and epoch numbers become whole microseconds since 1970.
//!
//! `native` gives it the text or the number as it stood in the body. The same input always gives
//! the same microsecond: two deliveries of one event must agree on its time. It never reads a
//! clock and never clamps: what cannot be an event time is an error.

use crate::limits::{EPOCH_MS_BELOW, EPOCH_S_BELOW, TIME_US_MAX};

const US_PER_S: i64 = 1_000_000;
const S_PER_DAY: i64 = 86_400;

/// Why a value is not an event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text is not `2026-01-31T12:34:56Z` or a variant that RFC 3339 allows.
    #[error("must be RFC 3339 with an offset, such as 2026-01-31T12:34:56.789Z, or epoch seconds")]
    Format,
    /// Month, day, hour, minute, second or offset does not exist.
    #[error("names a date or an hour that does not exist")]
    Calendar,
    /// Second 60 anywhere but at the end of a UTC day.
    #[error("has a leap second that is not 23:59:60 UTC")]
    LeapSecond,
    /// Before 1970, after the year 9999, or not a finite number.
    #[error("must be between 1970-01-01T00:00:00Z and the end of the year 9999")]
    Range,
}

/// The time of an RFC 3339 text, in microseconds since the epoch, 0 ..= `TIME_US_MAX`.
///
/// `t`, `z` and a space before the hour are accepted as RFC 3339 allows. More than six digits of
/// a fraction are rounded to the nearest microsecond, half up. A leap second counts as the first
/// second of the next day, as on every POSIX clock.
///
/// # Errors
/// `Format`, `Calendar`, `LeapSecond` or `Range`.
pub fn from_text(text: &str) -> Result<i64, TimeError> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    sign(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    sign(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    sign(&mut rest, b"Tt ")?;
    let hour = digits(&mut rest, 2)?;
    sign(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    sign(&mut rest, b":")?;
    let second = digits(&mut rest, 2)?;
    let fraction_us = fraction(&mut rest)?;
    let offset_s = offset(&mut rest)?;
    if !rest.is_empty() {
        return Err(TimeError::Format);
    }
    if !(1..=12).contains(&month) || day == 0 || day > days_of_month(year, month) {
        return Err(TimeError::Calendar);
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err(TimeError::Calendar);
    }
    let epoch_s =
        days_since_epoch(year, month, day) * S_PER_DAY + (hour * 60 + minute) * 60 + second
            - offset_s;
    if second == 60 && epoch_s.rem_euclid(S_PER_DAY) != 0 {
        return Err(TimeError::LeapSecond);
    }
    in_range(epoch_s * US_PER_S + fraction_us)
}

/// The time of a whole epoch number: seconds below 10^11, milliseconds below 10^14, else
/// microseconds. Exact.
///
/// # Errors
/// `Range`.
pub fn from_whole(number: u64) -> Result<i64, TimeError> {
    // Every u64 near the two bounds has an exact float, so the comparison is exact.
    let us = number.checked_mul(us_per_unit(number as f64)).ok_or(TimeError::Range)?;
    in_range(i64::try_from(us).map_err(|_| TimeError::Range)?)
}

/// The time of an epoch number with a fraction, rounded to the nearest microsecond, half up.
/// Units as for `from_whole`. Seconds with up to six decimals are exact until the year 2242 (2^33).
///
/// # Errors
/// `Range`, also for infinities and NaN.
pub fn from_float(number: f64) -> Result<i64, TimeError> {
    let us = scaled(number, us_per_unit(number)).ok_or(TimeError::Range)?;
    in_range(i64::try_from(us).map_err(|_| TimeError::Range)?)
}

/// A number of units as the nearest whole number of microseconds, half up, or `None` if it is
/// negative, not finite or beyond 2^63. Whole part and fraction are scaled apart, so that a large
/// whole part costs the fraction no more digits than the float itself did.
#[expect(clippy::float_arithmetic, reason = "a number of JSON becomes an integer here")]
#[must_use]
pub fn scaled(number: f64, us_per_unit: u64) -> Option<u64> {
    let whole = number.trunc();
    if !(number >= 0.0 && whole < 9.2e18) {
        return None;
    }
    let fraction_us = ((number - whole) * us_per_unit as f64).round();
    (whole as u64).checked_mul(us_per_unit)?.checked_add(fraction_us as u64)
}

/// How many microseconds the unit of an epoch number of this size has.
fn us_per_unit(number: f64) -> u64 {
    if number < EPOCH_S_BELOW {
        1_000_000
    } else if number < EPOCH_MS_BELOW {
        1_000
    } else {
        1
    }
}

fn in_range(us: i64) -> Result<i64, TimeError> {
    if (0..=TIME_US_MAX).contains(&us) { Ok(us) } else { Err(TimeError::Range) }
}

/// Takes a number of exactly `n` decimal digits.
fn digits(rest: &mut &[u8], n: usize) -> Result<i64, TimeError> {
    let (head, tail) = rest.split_at_checked(n).ok_or(TimeError::Format)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return Err(TimeError::Format);
    }
    *rest = tail;
    Ok(head.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// Takes one of the allowed signs.
fn sign(rest: &mut &[u8], allowed: &[u8]) -> Result<u8, TimeError> {
    let (first, tail) = rest.split_first().ok_or(TimeError::Format)?;
    if !allowed.contains(first) {
        return Err(TimeError::Format);
    }
    *rest = tail;
    Ok(*first)
}

/// Takes an optional fraction of a second and rounds it to microseconds, 0 ..= 1,000,000.
fn fraction(rest: &mut &[u8]) -> Result<i64, TimeError> {
    let Some(tail) = rest.strip_prefix(b".") else { return Ok(0) };
    let n = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if n == 0 {
        return Err(TimeError::Format);
    }
    let (head, tail) = tail.split_at(n);
    *rest = tail;
    let digit = |i: usize| head.get(i).map_or(0, |digit| i64::from(digit - b'0'));
    let us = (0..6).fold(0, |us, i| us * 10 + digit(i));
    Ok(us + i64::from(digit(6) >= 5))
}

/// Takes the offset from UTC, in seconds east.
fn offset(rest: &mut &[u8]) -> Result<i64, TimeError> {
    let direction = match sign(rest, b"Zz+-")? {
        b'+' => 1,
        b'-' => -1,
        _ => return Ok(0),
    };
    let hours = digits(rest, 2)?;
    sign(rest, b":")?;
    let minutes = digits(rest, 2)?;
    if hours > 23 || minutes > 59 {
        return Err(TimeError::Calendar);
    }
    Ok(direction * (hours * 60 + minutes) * 60)
}

fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month > 2 { year } else { year - 1 };
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let leap_days =
        march_year.div_euclid(4) - march_year.div_euclid(100) + march_year.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    march_year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests;
