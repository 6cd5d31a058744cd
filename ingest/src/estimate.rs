//! Counts tokens of events whose upstream reported none, from the text that came with them.
//!
//! Texts leave the body here, are counted on a thread of their own, one batch at a time, and are
//! gone when the counts come back. A batch waits a bounded time for its turn and has a bounded
//! time to count; what is left over then is estimated by its length, so that a hostile text costs
//! its own batch a second and others next to nothing. Nothing of a text is stored or shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event::limits::TOKENS_MAX;
use event::{Event, Usage};
use prometheus::IntCounterVec;
use serde_json::Value;
use tokens::{COUNT_TIME_MAX, Content, Counted, Encoding, by_length};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Longest wait of a batch for its turn, before its texts are estimated by their length.
const TURN_MAX: Duration = Duration::from_millis(500);
/// Longest text of an event that is parsed, bytes of JSON: lists of small numbers take many times
/// their size in memory.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Estimates of a batch: one for each event, in their order.
pub type Estimates = Vec<Option<Usage>>;

/// What counts, one batch at a time.
#[derive(Clone, Debug)]
pub struct Estimator {
    turn: Arc<Semaphore>,
    /// Estimated events, by basis.
    n_events: IntCounterVec,
}

/// A text that is to be counted.
struct Job {
    at: usize,
    encoding: Encoding,
    text: String,
}

impl Estimator {
    /// An estimator that notes what it did in this counter.
    pub fn new(n_events: IntCounterVec) -> Estimator {
        for basis in ["tokenizer", "length"] {
            n_events.with_label_values(&[basis]).inc_by(0);
        }
        Estimator { turn: Arc::new(Semaphore::new(1)), n_events }
    }

    /// Counts the texts of a batch. Empty if there are none.
    pub async fn estimate(&self, events: &[(usize, Event<'_>)]) -> Estimates {
        let jobs: Vec<Job> = events
            .iter()
            .enumerate()
            .filter_map(|(at, (_, event))| {
                let text = event.text?.to_owned();
                let model = event.model.as_deref().or(event.requested_model.as_deref());
                let encoding = Encoding::of_model(model.unwrap_or_default()).0;
                Some(Job { at, encoding, text })
            })
            .collect();
        if jobs.is_empty() {
            return Vec::new();
        }
        let n_events = events.len();
        let turn = tokio::time::timeout(TURN_MAX, Arc::clone(&self.turn).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok);
        let counter = self.n_events.clone();
        let counting = spawn_blocking(move || {
            let limit = if turn.is_some() { COUNT_TIME_MAX } else { Duration::ZERO };
            count_all(&jobs, n_events, limit, &counter)
        });
        match counting.await {
            Ok(estimates) => estimates,
            // It catches what the tokenizer does; anything else is a defect.
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
        let usage = Usage {
            input: counted.input.map(bounded),
            output: counted.output.map(bounded),
            ..Usage::default()
        };
        if !usage.is_present() {
            continue;
        }
        estimates[job.at] = Some(usage);
        *(if counted.is_exact { &mut n_counted } else { &mut n_guessed }) += 1;
    }
    counter.with_label_values(&["tokenizer"]).inc_by(n_counted);
    counter.with_label_values(&["length"]).inc_by(n_guessed);
    estimates
}

fn bounded(n_tokens: u64) -> u32 {
    u32::try_from(n_tokens.min(TOKENS_MAX)).expect("TOKENS_MAX fits 32 bits")
}

fn count(job: &Job, limit: Duration) -> Counted {
    let parsed = match job.text.len() {
        // Without time to count there is none to parse either.
        ..=TEXT_BYTES_MAX if !limit.is_zero() => serde_json::from_str::<Value>(&job.text).ok(),
        _ => None,
    };
    let Some(text) = parsed else {
        // The names of fields and the signs of JSON are in it: too many, rather than too few.
        return Counted { input: Some(by_length(&job.text)), output: None, is_exact: false };
    };
    let given = |name: &str| text.get(name).filter(|value| !value.is_null());
    let content = Content {
        messages: given("messages"),
        tools: given("tools"),
        input: given("input").or_else(|| given("prompt")),
        output: given("output"),
    };
    tokens::count(content, job.encoding, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> Job {
        Job { at: 0, encoding: Encoding::O200kBase, text: text.to_owned() }
    }

    #[track_caller]
    fn check(text: &str, input: Option<u64>, output: Option<u64>, is_exact: bool) {
        let counted = count(&job(text), COUNT_TIME_MAX);
        assert_eq!(counted, Counted { input, output, is_exact }, "{text:.60}");
    }

    #[test]
    fn prompts_and_answers_are_counted_and_absence_stays_absent() {
        check(r#"{"input":"hello world","output":"hello"}"#, Some(2), Some(1), true);
        check(r#"{"prompt":"hello world","output":null}"#, Some(2), None, true);
        check(r#"{"messages":[{"role":"user","content":"hello world"}]}"#, Some(9), None, true);
        check(r#"{"output":""}"#, None, Some(0), true);
        check(r#"{"other":"hello"}"#, None, None, true);
    }

    #[test]
    fn what_cannot_be_parsed_in_time_or_at_all_is_guessed() {
        let broken = r#"{"input":"\ud83d"}"#;
        check(broken, Some(by_length(broken)), None, false);
        let large = format!("{{\"input\":\"{}\"}}", "x".repeat(TEXT_BYTES_MAX));
        check(&large, Some(by_length(&large)), None, false);
        let guessed = count(&job(r#"{"input":"hello"}"#), Duration::ZERO);
        assert!(!guessed.is_exact && guessed.input.is_some());
    }
}
