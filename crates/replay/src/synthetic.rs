//! Events out of nothing: requests with retries to other upstreams, streams that fail inside,
//! caches, reasoning, refusals, some without usage or without a model that answered.
//!
//! A request is drawn as a whole and its attempts are handed out one by one. The generator never
//! starts an attempt that would be cut off by the end of the run, so every request has its final
//! attempt.

use std::collections::VecDeque;
use std::sync::Arc;

use event::{ErrorType, Outcome};

use crate::draw::{Draw, Fields, Offer, Thinking, Usage, milliseconds};
use crate::item::{Attempt, Effect, Facts, Tokens};

/// A gateway tries at most this many upstreams for one request.
const ATTEMPTS_MAX: u32 = 3;

/// The seeded stream of synthetic attempts.
pub struct Synthetic {
    draw: Draw,
    run_id: String,
    n_requests: u64,
    n_attempts: u64,
    ready: VecDeque<Facts>,
}

impl Synthetic {
    /// Starts the stream of `draw`; request ids begin with `run_id`.
    pub fn new(draw: Draw, run_id: &str) -> Synthetic {
        let run_id = run_id.to_string();
        Synthetic { draw, run_id, n_requests: 0, n_attempts: 0, ready: VecDeque::new() }
    }

    /// The next attempt of a run that still takes `n_left` of them, at least one.
    pub fn next(&mut self, n_left: u64) -> Facts {
        if self.ready.is_empty() {
            self.draw_request(n_left);
        }
        self.ready.pop_front().expect("a request has at least one attempt")
    }

    fn draw_request(&mut self, n_left: u64) {
        self.n_requests += 1;
        let namespace = self.draw.namespace();
        let consumer = format!("user-{:03}", self.draw.heavy(1, 200));
        for attempt in 0..ATTEMPTS_MAX {
            let status = self.draw.status();
            let may_retry = attempt + 1 < ATTEMPTS_MAX && u64::from(attempt) + 1 < n_left;
            let retriable = matches!(status, 429 | 500 | 502 | 503 | 504);
            let is_retried = retriable && may_retry && self.draw.chance(60);
            let kind = if is_retried { Attempt::Retried } else { Attempt::Final };
            let link = match (attempt, kind) {
                // A request of one attempt leaves these to their defaults.
                (0, Attempt::Final) => String::new(),
                _ => format!(
                    r#","request_id":"{}-q{}","attempt":{attempt},"final":{}"#,
                    self.run_id, self.n_requests, !is_retried
                ),
            };
            let facts = self.draw_attempt(Arc::clone(&namespace), &consumer, status, kind, link);
            self.ready.push_back(facts);
            if kind == Attempt::Final {
                break;
            }
        }
    }

    fn draw_attempt(
        &mut self,
        namespace: Arc<str>,
        consumer: &str,
        status: u16,
        attempt: Attempt,
        link: String,
    ) -> Facts {
        let offer = self.draw.offer();
        let tokens = self.draw_tokens(status, &offer);
        let (first_us, whole_us) = self.draw.latency_us(tokens.unwrap_or_default());
        let is_stream = self.draw.chance(60);
        let requested_model = self.draw.chance(5).then_some("auto");
        let has_consumer = self.draw.chance(80);
        let service_tier = match self.draw.part(19) {
            0 => Some("batch"),
            1 => Some("priority"),
            _ => None,
        };
        let shape = self.draw.part(99);
        let error_type =
            (is_stream && status == 200 && shape == 0).then_some(ErrorType::ServerError);
        let (model, requested_model) = match status {
            400.. if shape < 30 => (None, Some(&*offer.model)),
            _ => (Some(&*offer.model), requested_model),
        };
        let limited_by = (status == 429 && self.draw.chance(50)).then_some("token_limit");
        let fields = Fields {
            namespace: &namespace,
            upstream: &offer.upstream,
            model,
            requested_model,
            method: "POST",
            endpoint: offer.endpoint,
            status,
            duration_ms: milliseconds(whole_us),
            ttft_ms: (is_stream && status == 200).then_some(milliseconds(first_us)),
            stream: is_stream,
            usage: tokens.map(Usage::from),
            error_type: error_type.map(ErrorType::word),
            consumer: has_consumer.then(|| consumer.to_string()),
            service_tier,
            limited_by,
        }
        .members();
        let recorded_us = i64::try_from(self.n_attempts).expect("a run has at most 10^9 events");
        self.n_attempts += 1;
        let effect = Arc::new(Effect {
            namespace,
            upstream: offer.upstream,
            model: model.map(Arc::from),
            status,
            outcome: Outcome::of(status, error_type),
            attempt,
            tokens,
        });
        Facts { id: None, recorded_us, effect, fields, link }
    }

    fn draw_tokens(&mut self, status: u16, offer: &Offer) -> Option<Tokens> {
        let without_usage = if status == 200 { 5 } else { 80 };
        if self.draw.chance(without_usage) {
            return None;
        }
        let input = self.draw.heavy(20, 32_000);
        if status != 200 {
            return Some(Tokens { input, ..Tokens::default() });
        }
        let output = self.draw.heavy(1, 4_000);
        let cache_read = if self.draw.chance(40) { self.draw.part(input) } else { 0 };
        let cache_write = if self.draw.chance(10) { self.draw.part(input - cache_read) } else { 0 };
        let thinks = offer.thinking == Thinking::Often && self.draw.chance(50);
        let reasoning = if thinks { self.draw.part(output) } else { 0 };
        Some(Tokens { input, output, cache_read, cache_write, reasoning })
    }
}

#[cfg(test)]
mod tests;
