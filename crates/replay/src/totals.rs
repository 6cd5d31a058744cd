//! The exact totals that the receiver must show after the run.
//!
//! Every answered batch is folded in once: requests by final attempts, tokens by attempts, each
//! event in its class. What the answers leave open is kept apart and never added. Sums do not
//! depend on the order of the answers.

use std::collections::BTreeMap;

use event::Outcome;
use serde::Serialize;

use crate::answer::{Answer, Verdict};
use crate::item::{Attempt, Batch, Class, Effect, Item, Tokens};

/// Surprising answers that are kept word for word; the rest is only counted.
const SURPRISES_KEPT_MAX: usize = 10;

/// Events by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// See [`Class::Counted`].
    pub counted: u64,
    /// See [`Class::Duplicate`].
    pub duplicate: u64,
    /// See [`Class::Late`].
    pub late: u64,
    /// See [`Class::Future`].
    pub future: u64,
    /// See [`Class::Undecided`].
    pub undecided: u64,
    /// See [`Class::Rejected`].
    pub rejected: u64,
}

impl Events {
    fn add(&mut self, class: Class, n_events: u64) {
        let slot = match class {
            Class::Counted => &mut self.counted,
            Class::Duplicate => &mut self.duplicate,
            Class::Late | Class::LateCopy => &mut self.late,
            Class::Future => &mut self.future,
            Class::Undecided => &mut self.undecided,
            Class::Rejected => &mut self.rejected,
        };
        *slot += n_events;
    }

    /// Events of all classes.
    pub fn sum(&self) -> u64 {
        let in_log = self.counted + self.duplicate + self.late + self.future + self.undecided;
        in_log + self.rejected
    }
}

/// What one namespace must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamespaceTotals {
    /// Final attempts.
    pub requests: u64,
    /// Requests that succeeded: a status below 400 without an `error_type`.
    pub success: u64,
    /// Requests that failed.
    pub error: u64,
    /// Input tokens of all attempts.
    pub input: u64,
    /// Output tokens of all attempts.
    pub output: u64,
}

/// What undecided events add to the totals if they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// Events.
    pub events: u64,
    /// Final attempts among them.
    pub requests: u64,
    /// Tokens of the undecided events.
    pub tokens: Tokens,
}

/// What the receiver must show, and what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events by class, of answered batches.
    pub events: Events,
    /// Final attempts counted, late ones among them.
    pub requests: u64,
    /// Tokens of all counted attempts.
    pub tokens: Tokens,
    /// Totals by namespace.
    pub namespaces: BTreeMap<Box<str>, NamespaceTotals>,
    /// Requests by HTTP status.
    pub status: BTreeMap<u16, u64>,
    /// Deliveries whose answer was lost may be in the log as well: each class but `counted` may
    /// show up to this many more.
    pub extra_at_most: Events,
    /// The totals may be higher by up to this much: events too close to a limit of time.
    pub undecided: Undecided,
    /// Events of batches without an answer, by their intended class: unknown whether counted.
    pub unknown: Events,
    /// Batches without an answer.
    pub n_unknown_batches: u64,
    /// Events that ingest judged otherwise than expected.
    pub n_surprises: u64,
    /// The first of them in words.
    pub surprises: Vec<String>,
}

impl Totals {
    /// Folds in a batch and its answer. `n_unsure` earlier deliveries of it may have been taken
    /// although their answer never came.
    pub fn fold(&mut self, batch: &Batch, answer: &Answer, n_unsure: u64) {
        for (item, verdict) in batch.items.iter().zip(answer.verdicts(batch.items.len())) {
            let Some(class) = self.class(item, verdict, answer.sent_us) else { continue };
            self.events.add(class, 1);
            // The receiver makes a copy of what it has counted already a duplicate.
            let again = if class == Class::Counted { Class::Duplicate } else { class };
            self.extra_at_most.add(again, n_unsure);
            match class {
                Class::Counted | Class::Late => self.count(&item.effect),
                Class::Undecided => self.undecided.add(&item.effect),
                _ => {}
            }
        }
    }

    /// The class of an answered event: ingest's verdict where that is not what was expected, which
    /// is a surprise. `None` for one that should have been refused: its effect is unknown.
    fn class(&mut self, item: &Item, verdict: Verdict<'_>, sent_us: i64) -> Option<Class> {
        let expected = item.class_at(sent_us);
        let (class, what) = match (expected, verdict) {
            (Class::Rejected, Verdict::Rejected(_)) => return Some(expected),
            (_, Verdict::Rejected(reject)) => {
                let field = reject.field.as_deref().unwrap_or_default();
                (Some(Class::Rejected), format!("rejected: {field} {}", reject.reason))
            }
            (Class::Rejected, _) => (None, "accepted, though malformed".to_string()),
            (Class::Undecided, _) | (_, Verdict::Accepted) => return Some(expected),
            (Class::Late | Class::LateCopy, Verdict::Late) | (Class::Future, Verdict::Future) => {
                return Some(expected);
            }
            (Class::Counted | Class::Duplicate, Verdict::InTime) => return Some(expected),
            (_, Verdict::Late) => {
                (Some(Class::Late), format!("late by ingest's clock, not {}", expected.word()))
            }
            (_, Verdict::Future) => {
                let what = format!("of the future by ingest's clock, not {}", expected.word());
                (Some(Class::Future), what)
            }
            (Class::Late | Class::LateCopy | Class::Future, Verdict::InTime) => {
                let what = format!("in time by ingest's clock, not {}", expected.word());
                (Some(Class::Undecided), what)
            }
        };
        self.surprise(format!("{} {what}", item.id));
        class
    }

    /// Records a batch whose outcome is unknown.
    fn fold_unknown(&mut self, batch: &Batch) {
        self.n_unknown_batches += 1;
        for item in &batch.items {
            self.unknown.add(item.class, 1);
        }
    }

    /// Records a batch that ended without an answer: its outcome is unknown if any of its sends may
    /// have been taken, otherwise it is not in the totals.
    pub fn fold_failed(&mut self, batch: &Batch, n_unsure: u64) {
        if n_unsure > 0 {
            self.fold_unknown(batch);
        }
    }

    /// Whether the receiver must show exactly these totals.
    pub fn is_exact(&self) -> bool {
        self.n_unknown_batches == 0 && self.n_surprises == 0 && self.undecided.events == 0
    }

    fn count(&mut self, effect: &Effect) {
        if !self.namespaces.contains_key(&*effect.namespace) {
            self.namespaces.insert(effect.namespace.as_ref().into(), NamespaceTotals::default());
        }
        let namespace = self.namespaces.get_mut(&*effect.namespace).expect("it was just put there");
        if let Some(tokens) = &effect.tokens {
            self.tokens.add(tokens);
            namespace.input += tokens.input;
            namespace.output += tokens.output;
        }
        if effect.attempt == Attempt::Retried {
            return;
        }
        self.requests += 1;
        namespace.requests += 1;
        match effect.outcome {
            Outcome::Success => namespace.success += 1,
            _ => namespace.error += 1,
        }
        *self.status.entry(effect.status).or_default() += 1;
    }

    fn surprise(&mut self, text: String) {
        self.n_surprises += 1;
        if self.surprises.len() < SURPRISES_KEPT_MAX {
            self.surprises.push(text);
        }
    }
}

impl Undecided {
    fn add(&mut self, effect: &Effect) {
        self.events += 1;
        self.requests += u64::from(effect.attempt == Attempt::Final);
        if let Some(tokens) = &effect.tokens {
            self.tokens.add(tokens);
        }
    }
}
