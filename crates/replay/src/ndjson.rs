//! Recorded native events, one JSON object a line.
//!
//! A line is read only as far as the totals need it (id, time, namespace, status, kind of error,
//! usage); all its other fields go out as they came in. Reports of connections are no events and
//! are left out. A line that cannot be an event stops the run with its number: a recording that
//! ingest has accepted has none.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use event::{ErrorType, Outcome};
use serde_json::{Map, Value};

use crate::item::{Attempt, Effect, Facts, Tokens};
use crate::lines::Lines;

/// Two to the 53rd: below it every whole number is a float.
const WHOLE_BEYOND: f64 = 9_007_199_254_740_992.0;

/// Whether ids stay as recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Ids {
    /// The receiver gets exactly the recorded events.
    Kept,
    /// Times are rewritten, so these are new events: the run id goes in front of every id.
    Prefixed(String),
}

/// The recorded events of several files, one file after the other.
pub struct Ndjson {
    files: Vec<PathBuf>,
    next_file: usize,
    lines: Option<Lines>,
    ids: Ids,
    n_skipped: u64,
}

impl Ndjson {
    /// Gets ready to read `files`.
    pub fn new(files: &[PathBuf], ids: Ids) -> Ndjson {
        Ndjson { files: files.to_vec(), next_file: 0, lines: None, ids, n_skipped: 0 }
    }

    /// Reports of connections left out so far.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// The next event.
    ///
    /// # Errors
    /// A file cannot be read or a line is not an event.
    pub fn next(&mut self) -> anyhow::Result<Option<Facts>> {
        loop {
            let Some(lines) = &mut self.lines else {
                let Some(file) = self.files.get(self.next_file) else { return Ok(None) };
                self.lines = Some(Lines::open(file)?);
                self.next_file += 1;
                continue;
            };
            let Some(line) = lines.next()? else {
                self.lines = None;
                continue;
            };
            let parsed = facts(line, &self.ids);
            match parsed.with_context(|| format!("{}: not an event", lines.place()))? {
                Some(facts) => return Ok(Some(facts)),
                None => self.n_skipped += 1,
            }
        }
    }
}

fn facts(line: &str, ids: &Ids) -> anyhow::Result<Option<Facts>> {
    let mut members: Map<String, Value> = serde_json::from_str(line)?;
    if members.get("kind").and_then(Value::as_str) == Some("connections") {
        return Ok(None);
    }
    let id = text(&members, "id")?.to_string();
    let recorded_us =
        members.get("time").and_then(event_time_us).context("`time` is not a time")?;
    let effect = Arc::new(effect(&members)?);
    members.remove("id");
    members.remove("time");
    let mut link = String::new();
    for name in ["request_id", "attempt", "final"] {
        if let Some(value) = members.remove(name) {
            let value = match (&value, name, ids) {
                (Value::String(own), "request_id", Ids::Prefixed(run_id)) => {
                    Value::from(format!("{run_id}-{own}"))
                }
                _ => value,
            };
            link.push_str(&format!(",\"{name}\":{value}"));
        }
    }
    let id = match ids {
        Ids::Kept => id,
        Ids::Prefixed(run_id) => format!("{run_id}-{id}"),
    };
    if id.len() > event::limits::ID_BYTES_MAX {
        bail!("the id has {} bytes, more than an event may have: {id}", id.len());
    }
    let object = serde_json::to_string(&members)?;
    let fields = object[1..object.len() - 1].to_string();
    Ok(Some(Facts { id: Some(id), recorded_us, effect, fields, link }))
}

fn effect(members: &Map<String, Value>) -> anyhow::Result<Effect> {
    let status = members.get("status").and_then(whole);
    let status = status.and_then(|status| u16::try_from(status).ok());
    let status = status.context("`status` is not a number from 100 to 599")?;
    let is_final = match members.get("final") {
        None | Some(Value::Null) => true,
        Some(value) => value.as_bool().context("`final` is neither true nor false")?,
    };
    let tokens = match members.get("usage") {
        None | Some(Value::Null) => None,
        Some(Value::Object(usage)) => Some(Tokens {
            input: count(usage, "input_tokens")?,
            output: count(usage, "output_tokens")?,
            cache_read: count(usage, "cache_read_tokens")?,
            cache_write: count(usage, "cache_write_tokens")?,
            reasoning: count(usage, "reasoning_tokens")?,
        }),
        Some(_) => bail!("`usage` is not an object"),
    };
    let error_type =
        members.get("error_type").and_then(Value::as_str).and_then(ErrorType::from_word);
    Ok(Effect {
        namespace: text(members, "namespace")?.into(),
        upstream: text(members, "upstream")?.into(),
        model: members.get("model").and_then(Value::as_str).map(Arc::from),
        status,
        outcome: Outcome::of(status, error_type),
        attempt: if is_final { Attempt::Final } else { Attempt::Retried },
        tokens,
    })
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> anyhow::Result<&'a str> {
    let value = members.get(name).and_then(Value::as_str);
    value.with_context(|| format!("`{name}` is not a string"))
}

fn count(usage: &Map<String, Value>, name: &str) -> anyhow::Result<u64> {
    match usage.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => whole(value).with_context(|| format!("`{name}` is not a count")),
    }
}

/// A whole number, also one written as `12.0` or `1.2e1`, which ingest takes as well.
fn whole(value: &Value) -> Option<u64> {
    let float = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        (0.0..WHOLE_BEYOND).contains(&number).then_some(number as u64)
    };
    value.as_u64().or_else(float)
}

/// RFC 3339, or an epoch number: seconds below 10^11, milliseconds below 10^14, else
/// microseconds; a fraction is rounded to the nearest microsecond.
fn event_time_us(value: &Value) -> Option<i64> {
    if let Some(text) = value.as_str() {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        let nanos = timestamp.as_nanosecond();
        return i64::try_from((nanos + 500).div_euclid(1_000)).ok();
    }
    let (seconds_below, milliseconds_below) = (100_000_000_000, 100_000_000_000_000);
    if let Some(number) = value.as_i64() {
        return match number {
            number if number < 0 => None,
            number if number < seconds_below => number.checked_mul(1_000_000),
            number if number < milliseconds_below => number.checked_mul(1_000),
            number => Some(number),
        };
    }
    let number = value.as_f64().filter(|number| *number >= 0.0)?;
    let micros = match number {
        number if number < seconds_below as f64 => number * 1e6,
        number if number < milliseconds_below as f64 => number * 1e3,
        number => number,
    };
    (micros < 9.0e18).then(|| micros.round() as i64)
}

#[cfg(test)]
mod tests;
