//! Who used the tokens: what one consumer of a tenant asked of one model.
//!
//! A consumer is the alias of a key or of a user. It is never a label of a metric, for a tenant may
//! have ten thousand of them; its rows are kept per quarter-hour and answer questions only. Events
//! without a consumer have a row as well, so that the rows of a range add up to all its tokens.

use event::usage::{N_INPUT_CLASSES, N_TOKEN_CLASSES, TOKEN_CLASSES};
use event::{Facts, Labels};

use crate::series::{SeriesId, hash};

/// Labels of a consumer row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerLabels {
    /// Tenant.
    pub namespace: Box<str>,
    /// Alias of a key or user, 1 to 128 bytes; `None` if the gateway named none.
    pub consumer: Option<Box<str>>,
    /// Model that answered, or `none`.
    pub model: Box<str>,
}

/// Leads the hash of a consumer row, so that it never equals one of another kind.
const KIND_CONSUMER: u8 = 3;

impl ConsumerLabels {
    /// The row of an event's labels.
    #[must_use]
    pub fn of(labels: &Labels<'_>) -> ConsumerLabels {
        ConsumerLabels {
            namespace: labels.namespace.into(),
            consumer: labels.consumer.map(Into::into),
            model: labels.model.into(),
        }
    }

    /// Appends what the identity of the row of an event's labels is the hash of.
    pub fn encode(labels: &Labels<'_>, bytes: &mut Vec<u8>) {
        bytes.push(KIND_CONSUMER);
        for text in [labels.namespace, labels.consumer.unwrap_or(""), labels.model] {
            bytes.push(u8::try_from(text.len()).expect("labels are at most 128 bytes"));
            bytes.extend_from_slice(text.as_bytes());
        }
    }

    /// Identity of the row that `encode` wrote these bytes for.
    #[must_use]
    pub fn id_of(bytes: &[u8]) -> SeriesId {
        hash(bytes)
    }
}

/// Sums of a consumer row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerSums {
    /// Requests: final attempts.
    pub requests: i64,
    /// Tokens of all attempts per additive class, in the order of `event::usage::TOKEN_CLASSES`.
    pub tokens: [i64; N_TOKEN_CLASSES],
    /// Cost of all attempts, nano-dollars.
    pub cost_nano: i64,
}

/// Number of whole numbers in a `ConsumerSums`.
pub const N_CONSUMER_SUMS: usize = 2 + N_TOKEN_CLASSES;

impl ConsumerSums {
    /// Adds one event.
    #[inline]
    pub fn add_event(&mut self, facts: &Facts, is_final: bool) {
        self.requests += i64::from(is_final);
        for (sum, tokens) in self.tokens.iter_mut().zip(facts.usage.classes()) {
            *sum += i64::from(tokens);
        }
        self.cost_nano += facts.cost_nano.unwrap_or(0);
    }

    /// Adds another row's sums; `None` if a sum would overflow, and then the row is spoiled.
    #[must_use]
    pub fn add(&mut self, other: &ConsumerSums) -> Option<()> {
        let mut sums = self.to_array();
        for (sum, more) in sums.iter_mut().zip(other.to_array()) {
            *sum = sum.checked_add(more)?;
        }
        *self = ConsumerSums::from_array(&sums);
        Some(())
    }

    /// Input tokens, with those of the cache.
    #[must_use]
    pub fn input(&self) -> i64 {
        self.tokens[..N_INPUT_CLASSES].iter().sum()
    }

    /// Output tokens, with those of reasoning.
    #[must_use]
    pub fn output(&self) -> i64 {
        self.tokens[N_INPUT_CLASSES..].iter().sum()
    }

    /// The sums in the order of the SQL columns: requests, tokens, `cost_nano`.
    #[must_use]
    pub fn to_array(&self) -> [i64; N_CONSUMER_SUMS] {
        let mut sums = [0; N_CONSUMER_SUMS];
        sums[0] = self.requests;
        sums[1..=N_TOKEN_CLASSES].copy_from_slice(&self.tokens);
        sums[N_CONSUMER_SUMS - 1] = self.cost_nano;
        sums
    }

    /// The inverse of `to_array`.
    #[must_use]
    pub fn from_array(sums: &[i64; N_CONSUMER_SUMS]) -> ConsumerSums {
        let mut row = ConsumerSums {
            requests: sums[0],
            cost_nano: sums[N_CONSUMER_SUMS - 1],
            ..ConsumerSums::default()
        };
        row.tokens.copy_from_slice(&sums[1..=N_TOKEN_CLASSES]);
        row
    }

    /// Names of the SQL columns in the order of `to_array`.
    #[must_use]
    pub fn columns() -> Vec<String> {
        let mut names = vec!["requests".to_owned()];
        names.extend(TOKEN_CLASSES.iter().map(|class| (*class).to_owned()));
        names.push("cost_nano".to_owned());
        names
    }
}

#[cfg(test)]
mod tests;
