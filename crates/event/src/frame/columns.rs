//! Settled events in columns, with numbers in place of label texts.
//!
//! Whoever fills columns has a table of texts. Events of many requests are joined by copying
//! memory; label tuples are made once, when the frame is encoded.

use super::presence;
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
}

/// The labels of one event in columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub ids: LabelIds,
    /// Number of the requested model in the columns, from 1; 0 for none.
    pub requested: u32,
}

impl Row {
    /// All of the row, to be hashed.
    pub fn words(&self) -> [u64; 5] {
        let ids = &self.ids;
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let codes = [
            ids.method.code(),
            ids.outcome.code(),
            ids.service_tier.code(),
            ids.source.code(),
            u8::from(ids.is_final) | u8::from(ids.stream) << 1,
        ];
        let code =
            codes.iter().fold(u64::from(ids.status), |word, code| word << 8 | u64::from(*code));
        [
            code,
            pair(ids.namespace.0, ids.upstream.0),
            pair(ids.model.0, ids.endpoint.0),
            pair(ids.limited_by.0, ids.consumer.0),
            u64::from(self.requested),
        ]
    }
}

/// Distinct texts, mostly few, one behind the other.
#[derive(Clone, Debug, Default)]
struct Requested {
    texts: String,
    ends: Vec<u32>,
}

impl Requested {
    /// Number of a text, from 1. Recognises the text that was added last.
    fn add(&mut self, text: &str) -> u32 {
        let last = self.len();
        if last > 0 && self.text(last) == text {
            return last;
        }
        self.texts.push_str(text);
        self.ends.push(u32::try_from(self.texts.len()).expect("at most 128 bytes an event"));
        self.len()
    }

    fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("at most one an event")
    }

    fn text(&self, number: u32) -> &str {
        let at = number as usize;
        let begin = if at == 1 { 0 } else { self.ends[at - 2] as usize };
        &self.texts[begin..self.ends[at - 1] as usize]
    }
}

/// Events on their way into one frame. Their labels and facts have been settled and checked.
#[derive(Clone, Debug, Default)]
pub struct EventColumns {
    pub(super) rows: Vec<Row>,
    requested: Requested,
    pub(super) presence: Vec<u64>,
    /// time, duration, ttft, the five token counts, cost, attempt; 0 where absent.
    pub(super) numbers: [Vec<u64>; 10],
    pub(super) fingerprints: Vec<u8>,
    pub(super) keys: Vec<u8>,
}

impl EventColumns {
    /// Columns with room for `n` events.
    #[must_use]
    pub fn with_capacity(n: usize) -> EventColumns {
        EventColumns {
            rows: Vec::with_capacity(n),
            requested: Requested::default(),
            presence: Vec::with_capacity(n),
            numbers: std::array::from_fn(|_| Vec::with_capacity(n)),
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
        self.requested.texts.clear();
        self.requested.ends.clear();
        self.presence.clear();
        self.numbers.iter_mut().for_each(Vec::clear);
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
        facts: &Facts,
    ) -> Result<(), Full> {
        if self.len() >= FRAME_EVENTS_MAX {
            return Err(Full);
        }
        let requested = requested_model.map_or(0, |text| self.requested.add(text));
        self.rows.push(Row { ids: *ids, requested });
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
        if other.requested.len() == 0 {
            self.rows.extend_from_slice(&other.rows);
        } else {
            let (before, bytes) = (self.requested.len(), self.requested.texts.len());
            let bytes = u32::try_from(bytes).expect("at most 128 bytes an event");
            self.requested.texts.push_str(&other.requested.texts);
            self.requested.ends.extend(other.requested.ends.iter().map(|end| end + bytes));
            let moved = |row: &Row| match row.requested {
                0 => *row,
                number => Row { requested: number + before, ..*row },
            };
            self.rows.extend(other.rows.iter().map(moved));
        }
        self.presence.extend_from_slice(&other.presence);
        for (column, more) in self.numbers.iter_mut().zip(&other.numbers) {
            column.extend_from_slice(more);
        }
        self.fingerprints.extend_from_slice(&other.fingerprints);
        self.keys.extend_from_slice(&other.keys);
        Ok(())
    }

    /// How many requested models there are, equal ones counted again.
    pub(super) fn n_requested(&self) -> u32 {
        self.requested.len()
    }

    /// A requested model; `number` is from 1 to `n_requested`.
    pub(super) fn requested(&self, number: u32) -> &str {
        self.requested.text(number)
    }

    /// The labels of a row.
    pub(super) fn labels<'a>(&'a self, row: &Row, texts: &'a impl Texts) -> Labels<'a> {
        let ids = &row.ids;
        let some = |id: TextId| (id != TextId::ABSENT).then(|| texts.text(id));
        Labels {
            status: ids.status,
            method: ids.method,
            outcome: ids.outcome,
            service_tier: ids.service_tier,
            source: ids.source,
            is_final: ids.is_final,
            namespace: texts.text(ids.namespace),
            upstream: texts.text(ids.upstream),
            model: texts.text(ids.model),
            endpoint: texts.text(ids.endpoint),
            limited_by: some(ids.limited_by),
            stream: ids.stream,
            requested_model: (row.requested > 0).then(|| self.requested(row.requested)),
            consumer: some(ids.consumer),
        }
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
