//! One attempt at an LLM request, parsed and validated, with labels as the producer wrote them.
//!
//! `native` makes it from JSON; the ingest settles it into `Labels` and `Facts`. It borrows from
//! the body where it can. Prompt text is only ever borrowed, and goes with the body.

use std::borrow::Cow;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::code::{ErrorType, Method, Outcome, ServiceTier, UsageSource};
use crate::joined::Joined;
use crate::text::Text;
use crate::usage::Usage;

/// Bytes of a fingerprint's input that are hashed in one call; an event with longer texts takes a
/// hasher.
const JOINED_BYTES: usize = 512;

/// A checked event. Label texts other than the namespace are as the producer wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// 1 to 128 bytes; unique per attempt, the same on every retry of the delivery.
    pub id: Cow<'a, str>,
    /// When the attempt ended, microseconds since the epoch, 0 ..= `TIME_US_MAX`.
    pub time_us: i64,
    /// Tenant code; passes `name::check_namespace`.
    pub namespace: Cow<'a, str>,
    /// Provider.
    pub upstream: Cow<'a, str>,
    /// Model that answered.
    pub model: Option<Cow<'a, str>>,
    /// Model that was asked for, if it differs or none answered.
    pub requested_model: Option<Cow<'a, str>>,
    /// HTTP method.
    pub method: Method,
    /// Route template.
    pub endpoint: Cow<'a, str>,
    /// HTTP status that the client saw, 100..=599.
    pub status: u16,
    /// Whole attempt, microseconds, at most `DURATION_US_MAX`.
    pub duration_us: u64,
    /// Time to first token, microseconds, at most `DURATION_US_MAX`.
    pub ttft_us: Option<u64>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Reported token counts; passes `Usage::check`.
    pub usage: Usage,
    /// The request that this is an attempt at; the id if absent.
    pub request_id: Option<Cow<'a, str>>,
    /// Number of the attempt, from 0.
    pub attempt: u16,
    /// Whether this is the attempt that the client saw.
    pub is_final: bool,
    /// The producer's `error_type`, if it is a known one. It makes the attempt an error whatever
    /// the status.
    pub error_type: Option<ErrorType>,
    /// Key or user alias; never a metric label.
    pub consumer: Option<Cow<'a, str>>,
    /// Price tier.
    pub service_tier: ServiceTier,
    /// Worker of the producer, which numbers its events.
    pub producer: Option<Cow<'a, str>>,
    /// When the worker began to number, in a unit of its own.
    pub epoch: Option<u64>,
    /// Number in the worker's sequence, from 1; 0 for none.
    pub seq: Option<u64>,
    /// Policy that refused the request.
    pub limited_by: Option<Cow<'a, str>>,
    /// Parts of prompt and answer, from which the tokens of an unreported side can be counted.
    /// Never to be stored or shown.
    pub text: Option<Text<'a>>,
}

impl Event<'_> {
    /// How the attempt ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.status, self.error_type)
    }

    /// The name of the model that it is counted under: the one that answered, else the one that
    /// was asked for.
    #[must_use]
    pub fn counted_model(&self) -> Option<&str> {
        self.model.as_deref().or(self.requested_model.as_deref())
    }

    /// Whether that name may be new. A client can ask for any model: a name that no answer gave
    /// may be registered only by an attempt that an upstream took.
    #[must_use]
    pub fn may_bring_model(&self) -> bool {
        self.model.is_some() || self.status < 400
    }

    /// Where the token counts come from.
    #[must_use]
    pub fn usage_source(&self) -> UsageSource {
        if self.usage.is_present() { UsageSource::Reported } else { UsageSource::None }
    }

    /// 64 bits over the producer's own facts: two deliveries of one event agree on it, and an id
    /// that is used for something else does not. Labels are taken as written, before budgets, and
    /// the delivery's own numbers (`producer`, `epoch`, `seq`) are left out. XXH3-64 over
    /// length-prefixed fields; docs/format.md lists their order.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut joined = Joined::<JOINED_BYTES>::new();
        self.own_facts(|part| joined.put(part));
        match joined.bytes() {
            Some(bytes) => xxh3_64(bytes),
            None => {
                let mut hasher = Xxh3::new();
                self.own_facts(|part| hasher.update(part));
                hasher.digest()
            }
        }
    }

    /// The bytes that the fingerprint is over, part by part.
    #[inline]
    fn own_facts(&self, mut put: impl FnMut(&[u8])) {
        let texts = [
            Some(self.namespace.as_ref()),
            Some(self.upstream.as_ref()),
            self.model.as_deref(),
            self.requested_model.as_deref(),
            Some(self.endpoint.as_ref()),
            self.request_id.as_deref(),
            self.consumer.as_deref(),
            self.limited_by.as_deref(),
        ];
        for text in texts {
            match text {
                Some(text) => {
                    put(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                    put(text.as_bytes());
                }
                None => put(&u32::MAX.to_le_bytes()),
            }
        }
        put(&self.time_us.to_le_bytes());
        put(&self.duration_us.to_le_bytes());
        put(&self.ttft_us.unwrap_or(u64::MAX).to_le_bytes());
        let usage = &self.usage;
        for count in [usage.input, usage.cache_read, usage.cache_write, usage.output] {
            put(&count.unwrap_or(u32::MAX).to_le_bytes());
        }
        put(&usage.reasoning.unwrap_or(u32::MAX).to_le_bytes());
        put(&self.status.to_le_bytes());
        put(&self.attempt.to_le_bytes());
        put(&[
            self.method.code(),
            self.error_type.map_or(0, ErrorType::code),
            self.service_tier.code(),
            u8::from(self.stream),
            u8::from(self.is_final),
        ]);
    }
}

/// How many connections a gateway has open for a namespace: a gauge that never enters the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections<'a> {
    /// Tenant code; passes `name::check_namespace`.
    pub namespace: Cow<'a, str>,
    /// The gateway that reports; 1 to 128 bytes, well formed as a label.
    pub gateway: Cow<'a, str>,
    /// Open connections.
    pub active: u64,
    /// When it was measured, microseconds since the epoch.
    pub time_us: i64,
}

#[cfg(test)]
mod tests;
