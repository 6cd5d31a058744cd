//! `chunk-N-dataset.json`: how long the prompts and answers of a client were.
//!
//! The file is read whole because it is one object; its distributions are Python dicts in strings
//! and are parsed here. Anything else is an error with file and line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use event::limits::TOKENS_MAX;
use flate2::read::MultiGzDecoder;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

/// Largest file in bytes; the largest of the data has one million.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The distributions of one client.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    /// By the second of the start; `None` where the client was idle.
    spans: BTreeMap<u64, Option<Lengths>>,
}

/// How long requests are in one span.
#[derive(Debug)]
pub struct Lengths {
    /// Input tokens of a request.
    pub input: Empirical,
    /// Output tokens of a request.
    pub output: Empirical,
    /// Reasoning as a share of the answer, from 0 to 1; only models that reason have it.
    pub reasoning: Option<Empirical>,
}

/// Values with their weights, as they were met.
#[derive(Debug)]
pub struct Empirical {
    values: Vec<f64>,
    /// Running sum of the weights, so that a value is found by halving.
    weights: Vec<f64>,
}

#[derive(Deserialize)]
struct Span<'a> {
    #[serde(borrow)]
    input_tokens: &'a str,
    output_tokens: &'a str,
    reason_ratio: Option<&'a str>,
}

impl Dataset {
    /// Reads a file, unpacked if its name ends in `.gz`.
    ///
    /// # Errors
    /// It cannot be read, or does not hold distributions.
    pub fn read(path: &Path) -> anyhow::Result<Dataset> {
        let shown = path.display();
        let text = read_text(path).with_context(|| format!("cannot read {shown}"))?;
        let found: BTreeMap<String, Span> =
            serde_json::from_str(&text).map_err(|error| match error.line() {
                0 => anyhow::anyhow!("{shown}: not a dataset: {error}"),
                line => anyhow::anyhow!("{shown} line {line}: not a dataset: {error}"),
            })?;
        let mut spans = BTreeMap::new();
        for (start, span) in found {
            let start_s = start.parse().with_context(|| {
                format!("{shown}: `{start}` is not the start of a span, in seconds")
            })?;
            let read = |part: &str, max: f64, what: What| {
                let line = line_of(&text, part);
                Empirical::read(part, max, what)
                    .with_context(|| format!("{shown} line {line}: not a distribution"))
            };
            let lengths = (
                read(span.input_tokens, TOKENS_MAX as f64, What::Tokens)?,
                read(span.output_tokens, TOKENS_MAX as f64, What::Tokens)?,
                span.reason_ratio.map(|part| read(part, 1.0, What::Share)).transpose()?.flatten(),
            );
            let lengths = match lengths {
                (Some(input), Some(output), reasoning) => {
                    Some(Lengths { input, output, reasoning })
                }
                _ => None,
            };
            spans.insert(start_s, lengths);
        }
        Ok(Dataset { path: path.to_path_buf(), spans })
    }

    /// The distributions of the span in which a window begins.
    ///
    /// # Errors
    /// The span has no distributions, although the trace has requests in it.
    pub fn lengths(&self, start_s: u64) -> anyhow::Result<&Lengths> {
        let span = self.spans.range(..=start_s).next_back();
        let lengths = span.and_then(|(_, lengths)| lengths.as_ref());
        lengths.with_context(|| {
            format!(
                "{}: no token counts for second {start_s}, though the trace has requests there",
                self.path.display()
            )
        })
    }
}

/// What the values of a distribution are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Numbers of tokens, whole.
    Tokens,
    /// Shares, from 0 to 1.
    Share,
}

impl Empirical {
    /// Reads `{45: 0.0097, 46: 0.0117}`; `{}` is empty.
    fn read(text: &str, max: f64, what: What) -> anyhow::Result<Option<Empirical>> {
        let inside = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let inside = inside.context("it must be in braces")?.trim();
        let mut found = Empirical { values: Vec::new(), weights: Vec::new() };
        let mut sum = 0.0;
        for pair in inside.split(',').filter(|_| !inside.is_empty()) {
            let numbers = pair.split_once(':').and_then(|(value, weight)| {
                Some((value.trim().parse::<f64>().ok()?, weight.trim().parse::<f64>().ok()?))
            });
            let Some((value, weight)) = numbers else {
                bail!("`{}` is not a value with its probability", pair.trim());
            };
            let is_value =
                (0.0..=max).contains(&value) && (what == What::Share || value.fract() == 0.0);
            if !is_value {
                bail!(
                    "`{value}` is not a {}",
                    if what == What::Tokens { "token count" } else { "share" }
                );
            }
            if !(0.0..=1.0).contains(&weight) {
                bail!("`{weight}` is not a probability");
            }
            sum += weight;
            found.values.push(value);
            found.weights.push(sum);
        }
        if found.values.is_empty() {
            return Ok(None);
        }
        if sum <= 0.0 {
            bail!("all probabilities are 0");
        }
        Ok(Some(found))
    }

    /// Draws a value by weight.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        let sum = self.weights.last().copied().unwrap_or_default();
        let point = rng.random::<f64>() * sum;
        let value_idx = self.weights.partition_point(|&weight| weight <= point);
        self.values[value_idx.min(self.values.len() - 1)]
    }

    /// The mean of the distribution.
    #[cfg(test)]
    pub fn mean(&self) -> f64 {
        let mut before = 0.0;
        let mut mean = 0.0;
        for (value, upto) in self.values.iter().zip(&self.weights) {
            mean += value * (upto - before);
            before = *upto;
        }
        mean / before
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut text = String::new();
    let n_bytes = if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?
    } else {
        (&mut file).take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?
    };
    if n_bytes as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The line of `whole` in which `part`, a piece of it, begins.
fn line_of(whole: &str, part: &str) -> usize {
    let at = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let before = whole.as_bytes().get(..at).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
