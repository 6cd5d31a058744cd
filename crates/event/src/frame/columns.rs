//! Settled events in columns, with numbers in place of label texts.
//!
//! Whoever fills columns has a table of texts. Events of many requests are joined by copying
//! memory; what a frame says of labels is made once, when it is encoded.

use super::decoded::{N_NUMBERS, row_codes};
use super::presence;
use super::producer::Numbered;
use super::strings::Strings;
use crate::code::{Method, Outcome, ServiceTier, UsageSource};
use crate::labels::{Facts, Labels};
use crate::limits::FRAME_EVENTS_MAX;

/// The frame has its 4,096 events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame is full")]
pub struct Full;

/// Number of a text in a table of texts. For one label, equal texts have equal numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u32);

impl TextId {
    /// An absent label: the empty text of every table.
    pub const ABSENT: TextId = TextId(0);
}

/// A table of texts.
pub trait Texts {
    /// The text of a number that this table has given out; empty for `TextId::ABSENT`.
    fn text(&self, id: TextId) -> &str;
}

/// `Labels` with numbers for texts. The requested model is apart: it needs no budget, so that no
/// table can hold all of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelIds {
    /// HTTP status, 100..=599.
    pub status: u16,
    /// HTTP method.
    pub method: Method,
    /// Success or kind of error; passes `Outcome::fits` beside the status.
    pub outcome: Outcome,
    /// Price tier.
    pub service_tier: ServiceTier,
    /// Where the token counts come from.
    pub source: UsageSource,
    /// Whether this is the attempt that the client saw.
    pub is_final: bool,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Tenant.
    pub namespace: TextId,
    /// Provider.
    pub upstream: TextId,
    /// Model that the event is counted under.
    pub model: TextId,
    /// Route template.
    pub endpoint: TextId,
    /// Policy that refused the request.
    pub limited_by: TextId,
    /// Key or user alias.
    pub consumer: TextId,
}

impl LabelIds {
    /// What of labels is no text; every text is absent.
    #[must_use]
    pub fn without_texts(labels: &Labels<'_>) -> LabelIds {
        LabelIds {
            status: labels.status,
            method: labels.method,
            outcome: labels.outcome,
            service_tier: labels.service_tier,
            source: labels.source,
            is_final: labels.is_final,
            stream: labels.stream,
            namespace: TextId::ABSENT,
            upstream: TextId::ABSENT,
            model: TextId::ABSENT,
            endpoint: TextId::ABSENT,
            limited_by: TextId::ABSENT,
            consumer: TextId::ABSENT,
        }
    }

    /// What chooses the row, but for `limited_by`, to be hashed.
    pub(super) fn row_words(&self) -> [u64; 3] {
        let pair = |high: TextId, low: TextId| u64::from(high.0) << 32 | u64::from(low.0);
        let LabelIds { status, method, outcome, service_tier, source, is_final, .. } = *self;
        let codes = row_codes(status, method, outcome, service_tier, source, is_final);
        [codes, pair(self.namespace, self.upstream), pair(self.model, self.endpoint)]
    }
}

/// The labels of one event in columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub ids: LabelIds,
    /// Number of the requested model in the columns, from 1; 0 for none.
    pub requested: u32,
    /// Number of the producer in the columns, from 1; 0 for none.
    pub producer: u32,
}

/// Events on their way into one frame. Their labels and facts have been settled and checked.
#[derive(Clone, Debug, Default)]
pub struct EventColumns {
    pub(super) rows: Vec<Row>,
    pub(super) requested: Strings,
    pub(super) producers: Strings,
    pub(super) presence: Vec<u64>,
    /// time, duration, ttft, the five token counts, cost, attempt; 0 where absent.
    pub(super) numbers: [Vec<u64>; N_NUMBERS],
    /// Numbers of the events that have a producer.
    pub(super) seqs: Vec<u64>,
    pub(super) fingerprints: Vec<u8>,
    pub(super) keys: Vec<u8>,
}

impl EventColumns {
    /// Columns with room for `n` events.
    #[must_use]
    pub fn with_capacity(n: usize) -> EventColumns {
        EventColumns {
            rows: Vec::with_capacity(n),
            requested: Strings::default(),
            producers: Strings::default(),
            presence: Vec::with_capacity(n),
            numbers: std::array::from_fn(|_| Vec::with_capacity(n)),
            seqs: Vec::new(),
            fingerprints: Vec::with_capacity(8 * n),
            keys: Vec::with_capacity(16 * n),
        }
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Removes all events and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.requested.clear();
        self.producers.clear();
        self.presence.clear();
        self.numbers.iter_mut().for_each(Vec::clear);
        self.seqs.clear();
        self.fingerprints.clear();
        self.keys.clear();
    }

    /// Adds an event.
    ///
    /// # Errors
    /// `Full` when there are 4,096 events.
    pub fn push(
        &mut self,
        ids: &LabelIds,
        requested_model: Option<&str>,
        numbered: Option<Numbered<'_>>,
        facts: &Facts,
    ) -> Result<(), Full> {
        if self.len() >= FRAME_EVENTS_MAX {
            return Err(Full);
        }
        let requested = requested_model.map_or(0, |text| self.requested.add(text.as_bytes()));
        let producer = numbered.map_or(0, |Numbered { producer, seq }| {
            self.seqs.push(seq);
            self.producers.add(producer.as_bytes())
        });
        self.rows.push(Row { ids: *ids, requested, producer });
        self.presence.push(present(facts));
        let usage = &facts.usage;
        let count = |count: Option<u32>| u64::from(count.unwrap_or(0));
        let values = [
            facts.time_us.cast_unsigned(),
            facts.duration_us,
            facts.ttft_us.unwrap_or(0),
            count(usage.input),
            count(usage.cache_read),
            count(usage.cache_write),
            count(usage.output),
            count(usage.reasoning),
            facts.cost_nano.unwrap_or(0).cast_unsigned(),
            u64::from(facts.attempt),
        ];
        for (column, value) in self.numbers.iter_mut().zip(values) {
            column.push(value);
        }
        self.fingerprints.extend_from_slice(&facts.fingerprint.to_le_bytes());
        self.keys.extend_from_slice(&facts.key.0);
        Ok(())
    }

    /// Adds all events of other columns, whose numbers are of the same table, or none.
    ///
    /// # Errors
    /// `Full` when both together have more than 4,096 events.
    pub fn append(&mut self, other: &EventColumns) -> Result<(), Full> {
        if self.len() + other.len() > FRAME_EVENTS_MAX {
            return Err(Full);
        }
        if other.requested.len() == 0 && other.producers.len() == 0 {
            self.rows.extend_from_slice(&other.rows);
        } else {
            let requested = self.requested.append(&other.requested);
            let producers = self.producers.append(&other.producers);
            let moved = |number: u32, by: u32| if number == 0 { 0 } else { number + by };
            self.rows.extend(other.rows.iter().map(|row| Row {
                ids: row.ids,
                requested: moved(row.requested, requested),
                producer: moved(row.producer, producers),
            }));
        }
        self.presence.extend_from_slice(&other.presence);
        for (column, more) in self.numbers.iter_mut().zip(&other.numbers) {
            column.extend_from_slice(more);
        }
        self.seqs.extend_from_slice(&other.seqs);
        self.fingerprints.extend_from_slice(&other.fingerprints);
        self.keys.extend_from_slice(&other.keys);
        Ok(())
    }
}

/// The presence bits of an event.
fn present(facts: &Facts) -> u64 {
    let usage = &facts.usage;
    let bit = |is_present: bool, bit: u64| if is_present { bit } else { 0 };
    bit(facts.ttft_us.is_some(), presence::TTFT)
        | bit(usage.input.is_some(), presence::INPUT)
        | bit(usage.cache_read.is_some(), presence::CACHE_READ)
        | bit(usage.cache_write.is_some(), presence::CACHE_WRITE)
        | bit(usage.output.is_some(), presence::OUTPUT)
        | bit(usage.reasoning.is_some(), presence::REASONING)
        | bit(facts.cost_nano.is_some(), presence::COST)
}
