//! The types of a replay: the facts of an event, the class that the receiver must give it, and what
//! it adds.
//!
//! A source yields `Facts`; the plan gives them an id, a time and a class and so makes an `Item`;
//! items travel in a `Batch`. Nothing here reads a clock or draws a number, and an item never
//! changes once it is made: every retry sends the same bytes.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use event::Outcome;
use serde::{Deserialize, Serialize};

/// Seconds and minutes in the unit of every time here, microseconds since 1970.
pub const SECOND_US: i64 = 1_000_000;
/// One minute in microseconds.
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// An event older than this, seen from the receiver's clock, is late.
pub const LATE_AFTER_US: i64 = 60 * MINUTE_US;
/// An event further ahead than this is of the future.
pub const FUTURE_AFTER_US: i64 = 5 * MINUTE_US;
/// How far an event keeps away from both limits, so that a clock that is a little off and a slow
/// answer cannot move it into another class.
pub const MARGIN_US: i64 = MINUTE_US;

/// What the receiver must make of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Adds to the totals.
    Counted,
    /// A copy of an event that is counted elsewhere in the run.
    Duplicate,
    /// So old that it is counted at its own time later, by the second pass.
    Late,
    /// A copy of such an event.
    LateCopy,
    /// Too far ahead to be counted.
    Future,
    /// So close to a limit of time that a moment decides whether it is counted.
    Undecided,
    /// Malformed: never gets past ingest.
    Rejected,
}

impl Class {
    /// Its name in reports.
    pub fn word(self) -> &'static str {
        match self {
            Class::Counted => "counted",
            Class::Duplicate => "duplicate",
            Class::Late | Class::LateCopy => "late",
            Class::Future => "future",
            Class::Undecided => "undecided",
            Class::Rejected => "rejected",
        }
    }
}

/// Whether an attempt ends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The client saw its answer: the request counts here.
    Final,
    /// Another attempt of the same request follows.
    Retried,
}

/// The token counts of one attempt, or a sum of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt, cache included.
    pub input: u64,
    /// Answer, reasoning included.
    pub output: u64,
    /// The part of `input` read from a cache.
    pub cache_read: u64,
    /// The part of `input` written to a cache.
    pub cache_write: u64,
    /// The part of `output` spent on reasoning.
    pub reasoning: u64,
}

impl Tokens {
    /// Adds `other`; a sum of 10^9 events of 10^9 tokens still fits.
    pub fn add(&mut self, other: &Tokens) {
        self.input += other.input;
        self.output += other.output;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.reasoning += other.reasoning;
    }
}

/// What an event adds when it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Tenant.
    pub namespace: Arc<str>,
    /// Provider.
    pub upstream: Arc<str>,
    /// Model that answered.
    pub model: Option<Arc<str>>,
    /// HTTP status, 100..=599.
    pub status: u16,
    /// Whether the attempt succeeded.
    pub outcome: Outcome,
    /// Whether the request is counted with this attempt.
    pub attempt: Attempt,
    /// `None` when the event reports no usage.
    pub tokens: Option<Tokens>,
}

/// One event as its source knows it, before the run gives it id, time and class.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The recorded id, for sources that have one; else the plan numbers the event.
    pub id: Option<String>,
    /// Recorded time in microseconds, or the event's position where a source has no times.
    pub recorded_us: i64,
    /// What the event adds.
    pub effect: Arc<Effect>,
    /// JSON members without id, time and request, as in `"namespace":"a","status":200`.
    pub fields: String,
    /// JSON members that tie attempts together, each with its comma in front, or nothing.
    pub link: String,
}

impl Facts {
    /// The whole event as a JSON object.
    pub fn render(&self, id: &str, time_us: i64) -> String {
        render(id, time_us, &[&self.fields, &self.link])
    }

    /// The event without its request; a late or future event is made from it.
    pub fn render_alone(&self, id: &str, time_us: i64) -> String {
        render(id, time_us, &[&self.fields])
    }
}

/// One event on its way, the same bytes at every delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The id the tape knows it by; a malformed event may lack it on the wire.
    pub id: Arc<str>,
    /// Event time, microseconds since 1970.
    pub time_us: i64,
    /// The verdict that the receiver must reach.
    pub class: Class,
    /// What it adds when counted, or would have added.
    pub effect: Arc<Effect>,
    /// The JSON object.
    pub body: Arc<str>,
}

impl Item {
    /// The last moment at which this item may be sent and still meet its class.
    fn deadline_us(&self) -> i64 {
        match self.class {
            Class::Counted | Class::Duplicate => self.time_us + LATE_AFTER_US - MARGIN_US,
            Class::Future => self.time_us - FUTURE_AFTER_US - MARGIN_US,
            Class::Late | Class::LateCopy | Class::Undecided | Class::Rejected => i64::MAX,
        }
    }

    /// The class that is certain for a send at `sent_us`: behind the deadline none is.
    pub fn class_at(&self, sent_us: i64) -> Class {
        if sent_us > self.deadline_us() { Class::Undecided } else { self.class }
    }
}

/// What one request carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// 1, 2, 3.. within the run.
    pub number: u64,
    /// Which way it goes: 0, or 1 for the second one.
    pub way: usize,
    /// The clock when it was made; "now", late and future are relative to it.
    pub at_us: i64,
    /// The events in the order of the body.
    pub items: Vec<Item>,
    /// The body, a JSON array.
    pub body: Bytes,
}

impl Batch {
    /// Puts the bodies of `items` into one array.
    pub fn new(number: u64, way: usize, at_us: i64, items: Vec<Item>) -> Batch {
        let n_bytes: usize = items.iter().map(|item| item.body.len() + 1).sum();
        let mut body = String::with_capacity(n_bytes + 2);
        body.push('[');
        for (event_idx, item) in items.iter().enumerate() {
            if event_idx > 0 {
                body.push(',');
            }
            body.push_str(&item.body);
        }
        body.push(']');
        Batch { number, way, at_us, items, body: Bytes::from(body) }
    }

    /// The last moment at which every event still meets its class.
    pub fn deadline_us(&self) -> i64 {
        self.items.iter().map(Item::deadline_us).min().unwrap_or(i64::MAX)
    }

    /// The first 128 bits of the body's BLAKE3 as hex: the tape recognises the batch by it.
    pub fn digest(&self) -> String {
        blake3::hash(&self.body).to_hex()[..32].to_string()
    }
}

fn render(id: &str, time_us: i64, parts: &[&str]) -> String {
    let n_bytes: usize = parts.iter().map(|part| part.len()).sum();
    let mut text = String::with_capacity(n_bytes + id.len() + 40);
    let quoted = serde_json::Value::from(id);
    write!(text, "{{\"id\":{quoted},\"time\":{time_us},").expect("a string takes every write");
    for part in parts {
        text.push_str(part);
    }
    text.push('}');
    text
}
