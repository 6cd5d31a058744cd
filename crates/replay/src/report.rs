//! The end of a run in figures: a table for people, JSON for scripts.
//!
//! An outcome goes in, text comes out. The names of the JSON are a promise to scripts: fields may
//! be added, none renamed. Nothing is computed here that decides on right or wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::drive::Outcome;
use crate::item::Tokens;
use crate::latency::Quantiles;
use crate::totals::{Events, NamespaceTotals, Undecided};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    run_id: &'a str,
    seed: u64,
    /// Nothing is unknown or undecided and ingest judged every event as expected: the receiver
    /// must show exactly these totals.
    exact: bool,
    /// The run came to its end.
    complete: bool,
    /// Why the run did not come to its end.
    stopped: Option<&'a str>,
    /// Events by class.
    events: Events,
    /// Final attempts: `namespace_requests_total` and `http_requests_total`.
    requests: u64,
    /// Counted attempts: `upstream_requests_total`.
    attempts: u64,
    tokens: Tokens,
    namespaces: &'a BTreeMap<Box<str>, NamespaceTotals>,
    /// Requests by HTTP status.
    status: &'a BTreeMap<u16, u64>,
    /// Requests by class of status: `2xx`, `4xx`, `5xx`..
    status_classes: BTreeMap<String, u64>,
    /// Each class may show up to this many more, because answers were lost on the way.
    extra_at_most: Events,
    /// The totals may be higher by up to this: events too close to a limit of time.
    undecided: Undecided,
    /// Events of batches without an answer.
    unknown: Events,
    unknown_batches: u64,
    /// Events that ingest judged otherwise than expected.
    surprises: u64,
    surprise_examples: &'a [String],
    /// Of the sends of this session.
    latency_ms: Quantiles,
    seconds: f64,
    events_per_second: f64,
    batches: u64,
    retries: u64,
    remark: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// The report on a run.
    pub fn new(run_id: &'a str, seed: u64, outcome: &'a Outcome) -> Report<'a> {
        let totals = &outcome.totals;
        let mut status_classes = BTreeMap::new();
        for (status, n_requests) in &totals.status {
            *status_classes.entry(format!("{}xx", status / 100)).or_insert(0) += n_requests;
        }
        let seconds = outcome.elapsed.as_secs_f64();
        Report {
            run_id,
            seed,
            exact: totals.is_exact(),
            complete: outcome.stopped.is_none(),
            stopped: outcome.stopped.as_deref(),
            events: totals.events,
            requests: totals.requests,
            attempts: totals.events.counted,
            tokens: totals.tokens,
            namespaces: &totals.namespaces,
            status: &totals.status,
            status_classes,
            extra_at_most: totals.extra_at_most,
            undecided: totals.undecided,
            unknown: totals.unknown,
            unknown_batches: totals.n_unknown_batches,
            surprises: totals.n_surprises,
            surprise_examples: &totals.surprises,
            latency_ms: outcome.latencies.quantiles(),
            seconds,
            events_per_second: outcome.n_events_answered as f64 / seconds.max(1e-6),
            batches: outcome.n_batches,
            retries: outcome.n_retries,
            remark: outcome.remark.as_deref(),
        }
    }

    /// Whether the run did all it should and every figure is certain.
    pub fn is_good(&self) -> bool {
        self.exact && self.complete
    }

    /// The report as a table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text).expect("a string takes every write");
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        let (events, tokens) = (&self.events, &self.tokens);
        let promise =
            if self.exact { "these totals must be shown" } else { "NOT EXACT, see below" };
        writeln!(text, "run {}, seed {}: {promise}", self.run_id, self.seed)?;
        if let Some(remark) = &self.remark {
            writeln!(text, "({remark})")?;
        }
        writeln!(text)?;
        let widest = self.namespaces.keys().map(|name| name.len()).max().unwrap_or(0).max(9);
        writeln!(
            text,
            "{:widest$} {:>12} {:>12} {:>12} {:>18} {:>18}",
            "namespace", "requests", "success", "error", "input tokens", "output tokens"
        )?;
        let mut sum = NamespaceTotals::default();
        for (name, own) in self.namespaces {
            write_namespace(text, widest, name, own)?;
            sum.success += own.success;
            sum.error += own.error;
        }
        sum.requests = self.requests;
        (sum.input, sum.output) = (tokens.input, tokens.output);
        write_namespace(text, widest, "all", &sum)?;
        writeln!(text)?;
        let classes = self.status_classes.iter();
        let classes: Vec<String> = classes
            .map(|(class, n_requests)| format!("{class} {}", grouped(*n_requests)))
            .collect();
        writeln!(text, "requests by status   {}", classes.join(", "))?;
        writeln!(
            text,
            "tokens within input  {} read from a cache, {} written to one",
            grouped(tokens.cache_read),
            grouped(tokens.cache_write)
        )?;
        writeln!(text, "tokens within output {} reasoning", grouped(tokens.reasoning))?;
        writeln!(text, "events by class      {}", classes_text(events))?;
        if self.extra_at_most.sum() > 0 {
            let extra = classes_text(&self.extra_at_most);
            writeln!(text, "answers were lost, so each class may show more, at most: {extra}")?;
        }
        self.write_run(text)
    }

    fn write_run(&self, text: &mut String) -> std::fmt::Result {
        let latency = &self.latency_ms;
        writeln!(
            text,
            "sends                {} batches, {} retries, {:.1} s{}",
            self.batches,
            self.retries,
            self.seconds,
            match self.events_per_second as u64 {
                0 => String::new(),
                speed => format!(", {} events/s", grouped(speed)),
            }
        )?;
        writeln!(
            text,
            "send latency         p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            latency.p50, latency.p95, latency.p99, latency.max
        )?;
        let undecided = &self.undecided;
        if undecided.events > 0 {
            writeln!(
                text,
                "UNDECIDED            {} events are within minutes of being late or of the future; \
                 if they are counted, the totals are higher by up to {} requests, {} input and {} \
                 output tokens (for exact totals: --times fit)",
                grouped(undecided.events),
                grouped(undecided.requests),
                grouped(undecided.tokens.input),
                grouped(undecided.tokens.output)
            )?;
        }
        if self.unknown_batches > 0 {
            writeln!(
                text,
                "UNKNOWN              {} batches have no answer and may or may not be counted: {}",
                self.unknown_batches,
                classes_text(&self.unknown)
            )?;
        }
        if self.surprises > 0 {
            writeln!(text, "UNEXPECTED           {} events, such as:", self.surprises)?;
            for example in self.surprise_examples {
                writeln!(text, "  {example}")?;
            }
        }
        if let Some(why) = self.stopped {
            writeln!(text, "STOPPED              {why}")?;
        }
        Ok(())
    }
}

fn write_namespace(
    text: &mut String,
    widest: usize,
    name: &str,
    own: &NamespaceTotals,
) -> std::fmt::Result {
    writeln!(
        text,
        "{name:widest$} {:>12} {:>12} {:>12} {:>18} {:>18}",
        grouped(own.requests),
        grouped(own.success),
        grouped(own.error),
        grouped(own.input),
        grouped(own.output)
    )
}

fn classes_text(events: &Events) -> String {
    let undecided = match events.undecided {
        0 => String::new(),
        n_events => format!(", {} undecided", grouped(n_events)),
    };
    format!(
        "{} counted, {} duplicate, {} late, {} future{undecided}, {} rejected",
        grouped(events.counted),
        grouped(events.duplicate),
        grouped(events.late),
        grouped(events.future),
        grouped(events.rejected)
    )
}

/// 40421844 as `40,421,844`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
