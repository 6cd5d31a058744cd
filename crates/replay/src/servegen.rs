//! ServeGen: how each client of a served model asked over a day, as statistics; events are drawn
//! from them.
//!
//! The data is Alibaba's, recorded on Alibaba Cloud Model Studio: github.com/alibaba/ServeGen
//! (Apache-2.0), `data/reason/deepseek-r1`; described in Xiang et al., "ServeGen: Workload
//! Characterization and Generation of Large Language Model Serving in Production", NSDI 2026. What
//! the files hold was found by looking:
//!
//! - `chunk-N-trace.csv`, no header, one row for each ten minutes of the day (144 of them):
//!   second of the start, requests per second, coefficient of variation of the gaps between
//!   requests, `Gamma` or `Weibull`, its shape, its scale in seconds. Requests per second times 600
//!   is always a whole number, the requests of the window. Idle windows have rate 0 and no family.
//!   In half of the others the mean gap is far below 1 / rate: these were bursts that did not fill
//!   the window.
//! - `chunk-N-dataset.json`: for each six hours, by the second of their start, three empirical
//!   distributions, each a Python dict in a string, as in `{45: 0.0097, 46: 0.0117}`: tokens of
//!   prompts, tokens of answers, and the share of reasoning in the answer. Probabilities add up
//!   to 1; idle spans have `{}`.
//!
//! Each client is a namespace, `client-N`. A window has exactly the requests of its rate; their
//! gaps are drawn from its family, and the burst they make begins at a drawn place of the window,
//! or is shrunk if it would not fit. Every client and window has a generator of its own, so that a
//! window holds the same events whatever part of the trace is played. Status and latency are not
//! in the data: they are drawn row by row in time order, and must never change the tokens.

mod gaps;

mod dataset;

mod trace;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use event::Outcome;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::args::Window;
use crate::chunks::{Chunk, chunks};
use crate::draw::{CHAT, Draw, Fields, Usage, generator, milliseconds};
use crate::item::{Attempt, Effect, Facts, SECOND_US, Tokens};
use dataset::Dataset;
use trace::{Load, WINDOW_S, read_trace};

/// Most requests of one run, 24 bytes each.
const ROWS_MAX: usize = 50_000_000;
/// Where the data was recorded.
const UPSTREAM: &str = "bailian";
/// The generators of clients and windows begin behind those of sources and plan.
const STREAM_BASE: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    time_us: i64,
    client_idx: u32,
    input: u32,
    output: u32,
    reasoning: u32,
}

/// The drawn requests in time order and how far they are played.
pub struct ServeGen {
    rows: Vec<Row>,
    next: usize,
    namespaces: Vec<Arc<str>>,
    upstream: Arc<str>,
    model: Arc<str>,
    draw: Draw,
}

impl ServeGen {
    /// Reads the folder, draws the requests of `window`, or of the whole trace, and keeps the
    /// first `count` of them in time order.
    ///
    /// # Errors
    /// A file cannot be read or does not hold what it should, or there are more than 50 million
    /// requests.
    pub fn open(
        folder: &Path,
        window: Option<Window>,
        count: Option<u64>,
        seed: u64,
        draw: Draw,
    ) -> anyhow::Result<ServeGen> {
        let mut rows = Vec::new();
        let mut namespaces = Vec::new();
        for chunk in chunks(folder)? {
            let client_idx = u32::try_from(namespaces.len()).context("at most 65536 clients")?;
            namespaces.push(format!("client-{}", chunk.number).into());
            draw_client(&chunk, client_idx, window, seed, &mut rows)?;
        }
        // Stable: requests of one instant keep the order of the clients, so a run can be repeated.
        rows.sort_by_key(|row| row.time_us);
        if let Some(count) = count {
            rows.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        }
        let model = model_of(folder)?.into();
        Ok(ServeGen { rows, next: 0, namespaces, upstream: UPSTREAM.into(), model, draw })
    }

    /// Number of requests of the run.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// First and last time, microseconds from the begin of the trace.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        Some((self.rows.first()?.time_us, self.rows.last()?.time_us))
    }

    /// The next request as an event.
    pub fn next(&mut self) -> Option<Facts> {
        let row = *self.rows.get(self.next)?;
        self.next += 1;
        let tokens = Tokens {
            input: row.input.into(),
            output: row.output.into(),
            reasoning: row.reasoning.into(),
            ..Tokens::default()
        };
        let namespace = Arc::clone(self.namespaces.get(row.client_idx as usize)?);
        let status = self.draw.status();
        let (first_us, whole_us) = self.draw.latency_us(tokens);
        let is_stream = self.draw.chance(60);
        let fields = Fields {
            namespace: &namespace,
            upstream: &self.upstream,
            model: Some(&self.model),
            requested_model: None,
            method: "POST",
            endpoint: CHAT,
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
            upstream: Arc::clone(&self.upstream),
            model: Some(Arc::clone(&self.model)),
            status,
            outcome: Outcome::of(status, None),
            attempt: Attempt::Final,
            tokens: Some(tokens),
        });
        Some(Facts { id: None, recorded_us: row.time_us, effect, fields, link: String::new() })
    }
}

/// The folder's name is that of the model.
fn model_of(folder: &Path) -> anyhow::Result<String> {
    let whole = std::path::absolute(folder)?;
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if name.is_empty() || !name.chars().all(known) {
        bail!("{}: the folder's name becomes the model: letters, digits, `-_.:`", whole.display());
    }
    Ok(name.into_owned())
}

/// Draws the requests of one client.
fn draw_client(
    chunk: &Chunk,
    client_idx: u32,
    window: Option<Window>,
    seed: u64,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let dataset = Dataset::read(&chunk.dataset)?;
    for load in read_trace(&chunk.trace)? {
        if window.is_some_and(|window| !window.holds(load.start_s)) {
            continue;
        }
        if rows.len().saturating_add(load.n_requests) > ROWS_MAX {
            bail!("more than {ROWS_MAX} requests: play a part of the trace with --window");
        }
        let lengths = dataset.lengths(load.start_s)?;
        let window_idx = load.start_s / WINDOW_S;
        let stream = STREAM_BASE + (u64::from(chunk.number) << 32) + window_idx;
        let mut rng = generator(seed, stream);
        for offset_us in draw_offsets_us(&load, &mut rng) {
            let start_us = i64::try_from(load.start_s).context("a trace of a year")? * SECOND_US;
            let output = lengths.output.draw(&mut rng);
            let share = lengths.reasoning.as_ref().map_or(0.0, |share| share.draw(&mut rng));
            rows.push(Row {
                time_us: start_us + offset_us,
                client_idx,
                input: lengths.input.draw(&mut rng) as u32,
                output: output as u32,
                reasoning: (output * share) as u32,
            });
        }
    }
    Ok(())
}

/// When in its window each request comes in, microseconds from the window's start, rising.
fn draw_offsets_us(load: &Load, rng: &mut ChaCha8Rng) -> Vec<i64> {
    let window_us = WINDOW_S as f64 * SECOND_US as f64;
    let mut length_us = 0.0;
    let mut offsets = Vec::with_capacity(load.n_requests);
    for request_idx in 0..load.n_requests {
        if request_idx > 0 {
            length_us += load.gaps.draw_s(rng) * SECOND_US as f64;
        }
        offsets.push(length_us);
    }
    let shrink = if length_us > window_us { window_us / length_us } else { 1.0 };
    let begin_us = rng.random::<f64>() * (window_us - length_us * shrink);
    let place = |offset: &f64| (begin_us + offset * shrink).min(window_us - 1.0) as i64;
    offsets.iter().map(place).collect()
}

#[cfg(test)]
mod tests;
