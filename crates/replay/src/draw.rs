//! What a source cannot know is drawn here: namespace, model, upstream, status, latency.
//!
//! A `Draw` holds one seeded generator and hands out parts of an event in the order in which a
//! source asks for them; the same seed and the same questions give the same answers on every
//! machine, so floats are only multiplied, divided and compared, never put through `ln` or `pow`.
//! It must never look at a clock.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::item::Tokens;

/// The generator of everything a source draws.
pub const SOURCE_STREAM: u64 = 1;
/// The generator for what the plan mixes in; separate, so that the good events stay the same
/// whatever is mixed in.
pub const PLAN_STREAM: u64 = 2;

/// Statuses with their weights; the weights add up to `STATUS_WEIGHT_SUM`.
const STATUSES: [(u16, u32); 12] = [
    (200, 945),
    (429, 20),
    (400, 8),
    (401, 2),
    (403, 1),
    (404, 2),
    (408, 2),
    (499, 5),
    (500, 5),
    (502, 4),
    (503, 3),
    (504, 3),
];
const STATUS_WEIGHT_SUM: u32 = 1_000;
const NAMES: [&str; 12] = [
    "wechat",
    "search",
    "support",
    "checkout",
    "docs",
    "mobile",
    "ads",
    "risk",
    "lab",
    "billing",
    "translate",
    "archive",
];

/// Whether a model spends output tokens on reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// The model never reasons.
    Never,
    /// In half of its answers.
    Often,
}

/// A model where it is served.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Provider.
    pub upstream: Arc<str>,
    /// Model that answers.
    pub model: Arc<str>,
    /// Route template.
    pub endpoint: &'static str,
    /// Whether it reasons.
    pub thinking: Thinking,
}

/// The route of chats, which most requests are.
pub const CHAT: &str = "/v1/chat/completions";
const OFFERS: [(&str, &str, &str, Thinking); 8] = [
    ("openai", "gpt-4o", CHAT, Thinking::Never),
    ("azure-openai", "gpt-4o", CHAT, Thinking::Never),
    ("anthropic", "claude-sonnet-4", "/v1/messages", Thinking::Often),
    ("bedrock", "claude-sonnet-4", "/v1/messages", Thinking::Often),
    ("openai", "o3-mini", "/v1/responses", Thinking::Often),
    ("deepseek", "deepseek-chat", CHAT, Thinking::Never),
    ("vllm", "qwen2.5-72b-instruct", CHAT, Thinking::Never),
    ("vllm", "llama-3.1-8b", "/v1/completions", Thinking::Never),
];

/// The JSON members of an event beside id, time and request.
#[derive(Serialize)]
pub struct Fields<'a> {
    /// Tenant.
    pub namespace: &'a str,
    /// Provider.
    pub upstream: &'a str,
    /// Model that answered, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// Model that was asked for, where another answered or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_model: Option<&'a str>,
    /// HTTP method.
    pub method: &'a str,
    /// Route template.
    pub endpoint: &'a str,
    /// HTTP status.
    pub status: u16,
    /// Length of the attempt in milliseconds.
    pub duration_ms: f64,
    /// Time to first token in milliseconds, for streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<f64>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Token counts, where reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What went wrong, where the status does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<&'a str>,
    /// User alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Price tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'a str>,
    /// Policy that refused the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<&'a str>,
}

/// The JSON form of token counts.
#[derive(Serialize)]
pub struct Usage {
    input_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_read_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    reasoning_tokens: u64,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Usage {
        Usage {
            input_tokens: tokens.input,
            cache_read_tokens: tokens.cache_read,
            cache_write_tokens: tokens.cache_write,
            output_tokens: tokens.output,
            reasoning_tokens: tokens.reasoning,
        }
    }
}

impl Fields<'_> {
    /// The members as JSON without the braces around them.
    pub fn members(&self) -> String {
        let text = serde_json::to_string(self).expect("plain fields always serialise");
        text[1..text.len() - 1].to_string()
    }
}

/// A seeded stream of drawn facts.
pub struct Draw {
    rng: ChaCha8Rng,
    namespaces: Vec<Arc<str>>,
    /// Running sum of the Zipf weights 1, 1/2, 1/3..
    weights: Vec<f64>,
    offers: Vec<Offer>,
}

impl Draw {
    /// A stream for sources over `n_namespaces` namespaces, at least one.
    pub fn new(seed: u64, n_namespaces: usize) -> Draw {
        let mut weights = Vec::with_capacity(n_namespaces);
        let mut sum = 0.0;
        for rank in 1..=n_namespaces.max(1) {
            sum += 1.0 / rank as f64;
            weights.push(sum);
        }
        let namespaces = (0..weights.len()).map(namespace_name).collect();
        let offers = OFFERS
            .iter()
            .map(|&(upstream, model, endpoint, thinking)| Offer {
                upstream: upstream.into(),
                model: model.into(),
                endpoint,
                thinking,
            })
            .collect();
        Draw { rng: generator(seed, SOURCE_STREAM), namespaces, weights, offers }
    }

    /// A namespace, the first ones far more often.
    pub fn namespace(&mut self) -> Arc<str> {
        let sum = *self.weights.last().expect("there is at least one namespace");
        let point = self.rng.random::<f64>() * sum;
        let rank = self.weights.partition_point(|&weight| weight <= point);
        Arc::clone(&self.namespaces[rank.min(self.namespaces.len() - 1)])
    }

    /// A model and where it is served.
    pub fn offer(&mut self) -> Offer {
        let place = self.heavy(0, self.offers.len() as u64) as usize;
        self.offers[place.min(self.offers.len() - 1)].clone()
    }

    /// An HTTP status, mostly 200.
    pub fn status(&mut self) -> u16 {
        let mut point = self.rng.random_range(0..STATUS_WEIGHT_SUM);
        for (status, weight) in STATUSES {
            if point < weight {
                return status;
            }
            point -= weight;
        }
        unreachable!("the weights add up to their sum")
    }

    /// True in `percent` of all calls.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// A part of `whole`, anything between none and all of it.
    pub fn part(&mut self, whole: u64) -> u64 {
        self.rng.random_range(0..=whole)
    }

    /// A number in `low..high` with a heavy tail: half of them in the lowest sixteenth.
    pub fn heavy(&mut self, low: u64, high: u64) -> u64 {
        let unit = self.rng.random::<f64>();
        let square = unit * unit;
        low + (square * square * (high - low) as f64) as u64
    }

    /// Time to first token and whole length of an attempt, microseconds.
    pub fn latency_us(&mut self, tokens: Tokens) -> (u64, u64) {
        let first = 30_000 + tokens.input * 20 + self.heavy(0, 900_000);
        let per_token = self.rng.random_range(8_000..25_000);
        (first, first + tokens.output * per_token)
    }
}

/// The generator number `stream` of a seed.
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Microseconds as the milliseconds of the native event.
pub fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

fn namespace_name(rank: usize) -> Arc<str> {
    match NAMES.get(rank) {
        Some(name) => (*name).into(),
        None => format!("tenant-{:04}", rank + 1).into(),
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
