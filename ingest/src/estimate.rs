//! Estimates the tokens of events whose upstream reported no usage, or only one side of it, from
//! their text. A reported side keeps its numbers; the event as a whole is marked as an estimate.
//!
//! Texts are copied out of the body, counted on a blocking thread, one batch at a time, and then
//! dropped. A batch waits a bounded time for the counter and then has a bounded time to count; the
//! rest is estimated by length, so that a hostile text costs its own batch a second and others next
//! to nothing. No part of a text is stored or returned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event::limits::TOKENS_MAX;
use event::text::N_PARTS;
use event::{Event, Part, Usage};
use prometheus::IntCounterVec;
use serde_json::Value;
use tokens::{COUNT_TIME_MAX, Content, Counted, Encoding, Gap, by_length_of_json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Longest wait of a batch for the counter, before its texts are estimated by length.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Longest text of an event that is parsed, bytes of JSON over the parts that are needed: a parsed
/// list of small numbers takes many times its size in memory.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// One entry per event of a batch, in order; empty if no event has a text.
pub type Estimates = Vec<Option<Usage>>;

/// Counts tokens, one batch at a time. Clones share the limit.
#[derive(Clone, Debug)]
pub struct Estimator {
    permit: Arc<Semaphore>,
    /// Estimated events, by basis.
    n_events: IntCounterVec,
}

/// An event whose text is to be counted.
struct Job {
    /// Position in the batch.
    at: usize,
    encoding: Encoding,
    /// Usage that the upstream reported: none, or one side.
    reported: Usage,
    /// Texts of the side that was not reported.
    parts: Vec<(Part, String)>,
}

impl Estimator {
    /// `n_events` counts the estimated events by basis.
    pub fn new(n_events: IntCounterVec) -> Estimator {
        for basis in ["tokenizer", "length"] {
            n_events.with_label_values(&[basis]).inc_by(0);
        }
        Estimator { permit: Arc::new(Semaphore::new(1)), n_events }
    }

    /// Counts the texts of events.
    pub async fn estimate<'e, 'a: 'e>(
        &self,
        events: impl Iterator<Item = &'e Event<'a>> + Clone,
    ) -> Estimates {
        let jobs: Vec<Job> = events
            .clone()
            .enumerate()
            .filter_map(|(at, event)| {
                let parts = event.text?.parts().map(|(part, json)| (part, json.to_owned()));
                let parts = parts.collect();
                let model = event.model.as_deref().or(event.requested_model.as_deref());
                let encoding = Encoding::of_model(model.unwrap_or_default()).0;
                Some(Job { at, encoding, reported: event.usage, parts })
            })
            .collect();
        if jobs.is_empty() {
            return Vec::new();
        }
        let n_events = events.count();
        let permit = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.permit).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok);
        let counter = self.n_events.clone();
        let counting = spawn_blocking(move || {
            let limit = if permit.is_some() { COUNT_TIME_MAX } else { Duration::ZERO };
            count_all(&jobs, n_events, limit, &counter)
        });
        match counting.await {
            Ok(estimates) => estimates,
            // Panics of the tokenizer are caught in `tokens`; any other one is a bug.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn count_all(jobs: &[Job], n_events: usize, limit: Duration, counter: &IntCounterVec) -> Estimates {
    let end = Instant::now() + limit;
    let mut estimates = vec![None; n_events];
    let (mut n_counted, mut n_guessed) = (0, 0);
    for job in jobs {
        let counted = count(job, end.saturating_duration_since(Instant::now()));
        let Some(usage) = completed(job.reported, &counted) else { continue };
        estimates[job.at] = Some(usage);
        *(if counted.is_exact() { &mut n_counted } else { &mut n_guessed }) += 1;
    }
    counter.with_label_values(&["tokenizer"]).inc_by(n_counted);
    counter.with_label_values(&["length"]).inc_by(n_guessed);
    estimates
}

/// Fills in the side that was not reported. Returns `None` if the count adds nothing.
fn completed(reported: Usage, counted: &Counted) -> Option<Usage> {
    let mut usage = reported;
    if usage.input.is_none() {
        usage.input = counted.input.map(bounded);
    }
    if usage.output.is_none() {
        usage.output = counted.output.map(bounded);
        usage.reasoning = counted.reasoning.map(bounded).or(usage.reasoning);
    }
    (usage != reported).then_some(usage)
}

fn bounded(n_tokens: u64) -> u32 {
    u32::try_from(n_tokens.min(TOKENS_MAX)).expect("TOKENS_MAX fits 32 bits")
}

fn count(job: &Job, limit: Duration) -> Counted {
    let n_bytes: usize = job.parts.iter().map(|(_, json)| json.len()).sum();
    // No time to count means no time to parse either.
    let is_parsed = n_bytes <= TEXT_BYTES_MAX && !limit.is_zero();
    let mut values: [Option<Value>; N_PARTS] = Default::default();
    let mut guessed = Counted::default();
    for (part, json) in &job.parts {
        match is_parsed.then(|| serde_json::from_str(json).ok()).flatten() {
            Some(value) => values[*part as usize] = Some(value),
            None => guess(*part, json, &mut guessed),
        }
    }
    let given = |part: Part| values[part as usize].as_ref();
    let content = Content {
        messages: given(Part::Messages),
        input: given(Part::Input),
        system: given(Part::System),
        instructions: given(Part::Instructions),
        tools: given(Part::Tools),
        response_format: given(Part::ResponseFormat),
        output: given(Part::Output),
        reasoning: given(Part::Reasoning),
        tool_calls: given(Part::ToolCalls),
    };
    let counted = tokens::count(content, job.encoding, limit);
    let sum = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(a + b.unwrap_or(0)));
    let mut gaps = counted.gaps;
    if guessed != Counted::default() {
        gaps.add(Gap::Length);
    }
    Counted {
        input: sum(counted.input, guessed.input),
        output: sum(counted.output, guessed.output),
        reasoning: sum(counted.reasoning, guessed.reasoning),
        gaps,
    }
}

/// Adds an estimate of a part by its length. That includes field names and JSON syntax: rather too
/// many tokens than too few.
fn guess(part: Part, json: &str, guessed: &mut Counted) {
    // A request option rather than text, as in `tokens::Content`.
    if part == Part::Reasoning && json.starts_with('{') {
        return;
    }
    let n_tokens = by_length_of_json(json);
    let side = if part.is_sent() { &mut guessed.input } else { &mut guessed.output };
    *side.get_or_insert(0) += n_tokens;
    if part == Part::Reasoning {
        guessed.reasoning = Some(n_tokens);
    }
}

#[cfg(test)]
mod tests;
