//! Azure's LLM traces: time, prompt tokens and answer tokens of real requests.
//!
//! The files are read whole, since several are merged by time and scaled into a window; a row
//! takes 24 bytes. Namespace, upstream, model, status and latency are not in the trace: they are
//! drawn, row by row in time order. The trace's tokens must never be changed by what is drawn.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use event::Outcome;

use crate::draw::{Draw, Fields, Usage, milliseconds};
use crate::item::{Attempt, Effect, Facts, Tokens};
use crate::lines::Lines;

/// Most rows of one run, 24 bytes each: the largest published trace has 44 million.
const ROWS_MAX: usize = 50_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    time_us: i64,
    input: u64,
    output: u64,
}

/// The merged rows and how far they are played.
pub struct Azure {
    rows: Vec<Row>,
    next: usize,
    draw: Draw,
}

impl Azure {
    /// Reads the files and keeps the first `count` rows in time order.
    ///
    /// # Errors
    /// A file cannot be read, its header is not that of a trace, a row is malformed or there are
    /// more than 50 million of them.
    pub fn open(files: &[PathBuf], count: Option<u64>, draw: Draw) -> anyhow::Result<Azure> {
        let mut rows = Vec::new();
        for file in files {
            let mut lines = Lines::open(file)?;
            let header = lines.next()?.unwrap_or_default().to_string();
            let columns = Columns::find(&header).with_context(|| {
                format!(
                    "{}: a trace begins with TIMESTAMP,ContextTokens,GeneratedTokens",
                    lines.place()
                )
            })?;
            while let Some(line) = lines.next()? {
                let row = columns.row(line);
                rows.push(row.with_context(|| format!("{}: not a row", lines.place()))?);
                if rows.len() > ROWS_MAX {
                    bail!("more than {ROWS_MAX} rows: play fewer files at once");
                }
            }
        }
        // Stable: rows of one instant keep the order of the files, so a run can be repeated.
        rows.sort_by_key(|row| row.time_us);
        if let Some(count) = count {
            rows.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        }
        Ok(Azure { rows, next: 0, draw })
    }

    /// Number of rows of the run.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// First and last recorded time, microseconds.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        Some((self.rows.first()?.time_us, self.rows.last()?.time_us))
    }

    /// The next row as an event.
    pub fn next(&mut self) -> Option<Facts> {
        let row = *self.rows.get(self.next)?;
        self.next += 1;
        let tokens = Tokens { input: row.input, output: row.output, ..Tokens::default() };
        let namespace = self.draw.namespace();
        let offer = self.draw.offer();
        let status = self.draw.status();
        let (first_us, whole_us) = self.draw.latency_us(tokens);
        let is_stream = self.draw.chance(60);
        let fields = Fields {
            namespace: &namespace,
            upstream: &offer.upstream,
            model: Some(&offer.model),
            requested_model: None,
            method: "POST",
            endpoint: offer.endpoint,
            status,
            duration_ms: milliseconds(whole_us),
            ttft_ms: is_stream.then_some(milliseconds(first_us)),
            stream: is_stream,
            usage: Some(Usage::from(tokens)),
            consumer: None,
            service_tier: None,
            error_type: None,
            limited_by: None,
        }
        .members();
        let effect = Arc::new(Effect {
            namespace,
            upstream: offer.upstream,
            model: Some(offer.model),
            status,
            outcome: Outcome::of(status, None),
            attempt: Attempt::Final,
            tokens: Some(tokens),
        });
        Some(Facts { id: None, recorded_us: row.time_us, effect, fields, link: String::new() })
    }
}

struct Columns {
    time: usize,
    input: usize,
    output: usize,
}

impl Columns {
    fn find(header: &str) -> Option<Columns> {
        let place = |name: &str| {
            header.split(',').position(|column| column.trim().eq_ignore_ascii_case(name))
        };
        Some(Columns {
            time: place("TIMESTAMP")?,
            input: place("ContextTokens")?,
            output: place("GeneratedTokens")?,
        })
    }

    fn row(&self, line: &str) -> anyhow::Result<Row> {
        let cell = |place: usize| {
            line.split(',').nth(place).map(str::trim).context("the row has too few columns")
        };
        let tokens = |place: usize| -> anyhow::Result<u64> {
            let text = cell(place)?;
            text.parse().with_context(|| format!("`{text}` is not a token count"))
        };
        Ok(Row {
            time_us: trace_time_us(cell(self.time)?)?,
            input: tokens(self.input)?,
            output: tokens(self.output)?,
        })
    }
}

/// `2023-11-16 18:17:03.9799600`, UTC where no offset is given.
fn trace_time_us(text: &str) -> anyhow::Result<i64> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.as_microsecond());
    }
    let civil: jiff::civil::DateTime =
        text.parse().with_context(|| format!("`{text}` is not a time"))?;
    let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(civil)?;
    Ok(timestamp.as_microsecond())
}

#[cfg(test)]
mod tests;
