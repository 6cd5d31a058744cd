//! State of a run according to its tape.
//!
//! The lines go in from the first to the last whole one; out comes the setup and, per batch, its
//! clock, its digest, how often it was sent and what was answered. The events themselves are not
//! kept: the plan makes them again, and the digest proves that they are the same.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};

use crate::answer::{Answer, Reject};
use crate::setup::Setup;
use crate::tape::{Line, TAPE_VERSION, Tape};

/// Longest line in bytes: a full batch of the longest ids and labels stays below it.
const TAPE_LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A run as recorded on its tape.
#[derive(Debug)]
pub struct Past {
    /// What shapes the run.
    pub setup: Setup,
    /// Target URL, if the tape has it.
    pub to: Option<String>,
    /// URL of the second way, if there was one.
    pub also: Option<String>,
    /// The batches that were sent; number 1 first.
    pub batches: Vec<PastBatch>,
}

/// A batch that was sent.
#[derive(Debug)]
pub struct PastBatch {
    /// Clock of the batch.
    pub at_us: i64,
    /// Digest of its body.
    pub digest: String,
    /// Sends whose outcome is unknown, without the answered one.
    pub n_unsure: u64,
    /// The answer, if there is one.
    pub answer: Option<Answer>,
}

impl Past {
    /// Reads a tape and opens it for going on.
    ///
    /// # Errors
    /// It cannot be read, is in use, or a line other than the last is damaged.
    pub fn open(path: &Path) -> anyhow::Result<(Tape, Past)> {
        Tape::reopen(path, |reader| read(reader))
    }

    fn batch(&mut self, number: u64) -> anyhow::Result<&mut PastBatch> {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let batch = place.and_then(|place| self.batches.get_mut(place));
        batch.with_context(|| format!("batch {number} is not on the tape"))
    }

    fn add(&mut self, line: Line) -> anyhow::Result<()> {
        match line {
            Line::Run { .. } => bail!("a second header line"),
            Line::Batch { batch, at, digest, .. } => {
                if batch != self.batches.len() as u64 + 1 {
                    bail!("batch {batch} out of order");
                }
                self.batches.push(PastBatch { at_us: at, digest, n_unsure: 1, answer: None });
            }
            Line::Send { batch } => self.batch(batch)?.n_unsure += 1,
            Line::Refused { batch, .. } => {
                let batch = self.batch(batch)?;
                batch.n_unsure = batch.n_unsure.saturating_sub(1);
            }
            Line::Answer { batch, accepted, rejected, late, future, sent } => {
                let batch = self.batch(batch)?;
                batch.n_unsure = batch.n_unsure.saturating_sub(1);
                let reject = |index| Reject { index, ..Reject::default() };
                let rejected = rejected.into_iter().map(reject).collect();
                batch.answer = Some(Answer { accepted, rejected, late, future, sent_us: sent });
            }
        }
        Ok(())
    }
}

/// Reads the whole lines; returns how many bytes they take.
fn read(reader: &mut dyn Read) -> anyhow::Result<(Past, u64)> {
    let mut reader = BufReader::new(reader);
    let mut past: Option<Past> = None;
    let mut n_bytes_whole = 0;
    let mut text = Vec::new();
    for n_lines in 1_u64.. {
        text.clear();
        let n_bytes = (&mut reader).take(TAPE_LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            if n_bytes as u64 == TAPE_LINE_BYTES_MAX {
                bail!("line {n_lines} is too long");
            }
            break;
        }
        let line: Line =
            serde_json::from_slice(&text).with_context(|| format!("line {n_lines} is damaged"))?;
        match (&mut past, line) {
            (Some(past), line) => past.add(line).with_context(|| format!("line {n_lines}"))?,
            (None, Line::Run { tape: TAPE_VERSION, setup, to, also }) => {
                past = Some(Past { setup, to, also, batches: Vec::new() });
            }
            (None, _) => bail!("line 1 is not the header of a tape that this version can read"),
        }
        n_bytes_whole += n_bytes as u64;
    }
    let past = past.context("the tape is empty: nothing was sent")?;
    Ok((past, n_bytes_whole))
}
