//! What ingest answered to one batch.
//!
//! Parsed from the body of a 200 or 422; held against the batch by `totals`. An answer that does
//! not add up is refused: the receiver is not an ingest.

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::item::{Batch, Class};

/// The part of the contract's answer that a replay needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// Events that are durable now.
    pub accepted: u64,
    /// Events that were refused one by one.
    pub rejected: Vec<Reject>,
    /// Places of accepted events that are too old to be counted, if the receiver reports them.
    #[serde(default)]
    pub late: Option<Vec<usize>>,
    /// Places of accepted events that are too far ahead to be counted, if the receiver reports
    /// them.
    #[serde(default)]
    pub future: Option<Vec<usize>>,
    /// When the answered send went out, microseconds; 0 where it is not known.
    #[serde(skip)]
    pub sent_us: i64,
}

/// Verdict of an answer on one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Accepted, without a verdict on single events.
    Accepted,
    /// Accepted, and neither late nor of the future.
    InTime,
    /// Accepted, but too old.
    Late,
    /// Accepted, but too far ahead.
    Future,
    /// Refused.
    Rejected(&'a Reject),
}

/// One refused event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Reject {
    /// Place in the batch, from 0.
    pub index: usize,
    /// The field at fault.
    #[serde(default)]
    pub field: Option<String>,
    /// Reason, human-readable.
    #[serde(default)]
    pub reason: String,
}

impl Answer {
    /// The verdicts expected of ingest, for a way without answers.
    pub fn as_expected(batch: &Batch) -> Answer {
        let refused = batch.items.iter().enumerate().filter(|(_, i)| i.class == Class::Rejected);
        let rejected: Vec<Reject> =
            refused.map(|(index, _)| Reject { index, ..Reject::default() }).collect();
        let accepted = (batch.items.len() - rejected.len()) as u64;
        Answer { accepted, rejected, ..Answer::default() }
    }

    /// Reads the answer to a batch of `n_items`.
    ///
    /// # Errors
    /// The body is not the contract's answer, or not to this batch.
    pub fn read(body: &[u8], n_items: usize) -> anyhow::Result<Answer> {
        let answer: Answer =
            serde_json::from_slice(body).context("the response is not one of ingest")?;
        let mut indexes: Vec<usize> = answer.rejected.iter().map(|reject| reject.index).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let adds_up = answer.accepted + indexes.len() as u64 == n_items as u64
            && indexes.len() == answer.rejected.len()
            && indexes.last().is_none_or(|last| *last < n_items);
        if !adds_up {
            bail!(
                "the response is inconsistent: {} accepted and {} rejected of {n_items}",
                answer.accepted,
                answer.rejected.len()
            );
        }
        Ok(answer)
    }

    /// The verdict on each of `n_items` events.
    pub fn verdicts(&self, n_items: usize) -> Vec<Verdict<'_>> {
        let says_times = self.late.is_some() && self.future.is_some();
        let mut verdicts =
            vec![if says_times { Verdict::InTime } else { Verdict::Accepted }; n_items];
        let late = self.late.iter().flatten().map(|index| (*index, Verdict::Late));
        let future = self.future.iter().flatten().map(|index| (*index, Verdict::Future));
        let rejected = self.rejected.iter().map(|reject| (reject.index, Verdict::Rejected(reject)));
        for (index, verdict) in late.chain(future).chain(rejected) {
            if let Some(slot) = verdicts.get_mut(index) {
                *slot = verdict;
            }
        }
        verdicts
    }
}

#[cfg(test)]
mod tests;
