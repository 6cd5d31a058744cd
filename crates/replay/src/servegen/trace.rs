//! `chunk-N-trace.csv`: a client's requests in each ten minutes.
//!
//! Rows go in, the windows with requests come out in their order. A row that does not follow the
//! format is an error with file and line; nothing is guessed.

use std::path::Path;

use anyhow::{Context, bail};

use super::gaps::Gaps;
use crate::lines::Lines;

/// Length of a window in seconds.
pub const WINDOW_S: u64 = 600;
/// Last start of a window: a year is far beyond any trace.
const START_S_MAX: f64 = 366.0 * 86_400.0;
/// Most requests per second of one client; the data has 4.
const RATE_MAX: f64 = 10_000.0;

/// A window in which there were requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Seconds from the beginning of the trace.
    pub start_s: u64,
    /// Number of requests in the window.
    pub n_requests: usize,
    /// Distribution of the gaps between requests.
    pub gaps: Gaps,
}

/// The windows in which a client had requests.
///
/// # Errors
/// The file cannot be read, or a row is malformed.
pub fn read_trace(path: &Path) -> anyhow::Result<Vec<Load>> {
    let mut lines = Lines::open(path)?;
    let mut loads = Vec::new();
    let mut after_s: Option<u64> = None;
    while let Some(line) = lines.next()? {
        let row = read_row(line);
        let (start_s, load) =
            row.with_context(|| format!("{}: not a window of a trace", lines.place()))?;
        if after_s.is_some_and(|after| start_s <= after) {
            bail!("{}: the windows must be in the order of their starts", lines.place());
        }
        after_s = Some(start_s);
        loads.extend(load);
    }
    Ok(loads)
}

/// Start of a window and its load, if it has requests.
fn read_row(line: &str) -> anyhow::Result<(u64, Option<Load>)> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let &[start, rate, variation, family, shape, scale] = &cells[..] else {
        bail!("{} columns instead of 6", cells.len());
    };
    let number = |name: &str, text: &str, max: f64| -> anyhow::Result<f64> {
        match text.parse::<f64>() {
            Ok(number) if (0.0..=max).contains(&number) => Ok(number),
            _ => bail!("`{text}` is not a {name}: a number from 0 to {max}"),
        }
    };
    let start = number("start", start, START_S_MAX)?;
    if start % WINDOW_S as f64 != 0.0 {
        bail!("`{start}` is not a start: a window begins every {WINDOW_S} s");
    }
    let start_s = start as u64;
    let rate = number("rate", rate, RATE_MAX)?;
    number("coefficient of variation", variation, f64::MAX)?;
    let shape = number("shape", shape, f64::MAX)?;
    let scale = number("scale", scale, f64::MAX)?;
    let n_requests = (rate * WINDOW_S as f64).round() as usize;
    if n_requests == 0 {
        return Ok((start_s, None));
    }
    if shape <= 0.0 || scale <= 0.0 {
        bail!("shape and scale of a window with requests must be above 0");
    }
    let gaps = match family {
        "Gamma" => Gaps::Gamma { shape, scale },
        "Weibull" => Gaps::Weibull { shape, scale },
        _ => bail!("`{family}` is not a family: Gamma or Weibull"),
    };
    Ok((start_s, Some(Load { start_s, n_requests, gaps })))
}
