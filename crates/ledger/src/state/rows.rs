//! Rows by number, found by the numbers of their texts.
//!
//! Every text has one number for as long as it is remembered, so that a row is found by a few
//! numbers and no text is hashed more than once per frame. Only good texts of rows and consumers
//! are remembered, of which there are budgets, and only rows whose labels are good.

use std::sync::Arc;

use event::frame::FrameRow;
use event::name::{check_namespace, is_consumer, is_label};
use event::{Labels, UsageSource};
use hashbrown::{DefaultHashBuilder, HashMap};

use super::consumers::Consumers;
use super::interner::Interner;
use crate::series::{FullLabels, SeriesId, ShortLabels};

/// Maximum number of cached rows or texts between commits; beyond it the cache starts over.
const ROWS_MAX: usize = 1_000_000;

/// A full row and the minute row that it is part of.
#[derive(Debug)]
pub(super) struct Row {
    pub id: SeriesId,
    pub labels: Arc<FullLabels>,
    pub short: (SeriesId, Arc<ShortLabels>),
}

/// What counting an event needs of its full row. Apart from the labels, which are large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowKind {
    pub row: u32,
    pub source: UsageSource,
    pub is_final: bool,
    /// Number of the part of the labels that chooses the consumer row, see `Consumers::origin`.
    pub origin: u32,
}

/// What chooses a row: its codes and the numbers of its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct RowKey {
    codes: u64,
    texts: [u32; 5],
}

/// What a text can be.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    namespace: bool,
    label: bool,
    consumer: bool,
}

impl Uses {
    fn of(text: &[u8]) -> Uses {
        let Ok(text) = std::str::from_utf8(text) else {
            return Uses::default();
        };
        Uses {
            namespace: check_namespace(text).is_ok(),
            label: is_label(text),
            consumer: text.is_empty() || is_consumer(text),
        }
    }
}

/// Rows and texts by number.
#[derive(Debug, Default)]
pub struct Rows {
    texts: Interner,
    uses: Vec<Uses>,
    kinds: HashMap<RowKey, RowKind, DefaultHashBuilder>,
    rows: Vec<Row>,
    consumers: Consumers,
}

impl Rows {
    /// The number of a text and what it can be; `None` if nothing.
    #[inline]
    fn text(&mut self, text: &[u8]) -> Option<(u32, Uses)> {
        if let Some(number) = self.texts.find(text) {
            return Some((number, self.uses[number as usize]));
        }
        let uses = Uses::of(text);
        (uses.namespace || uses.label || uses.consumer).then(|| {
            self.uses.push(uses);
            (self.texts.number(text), uses)
        })
    }

    /// The number of a consumer's name, empty for none; `None` if no consumer can have it.
    pub(super) fn consumer_name(&mut self, name: &[u8]) -> Option<u32> {
        let (number, uses) = self.text(name)?;
        uses.consumer.then_some(number)
    }

    /// The row of a frame whose texts are given; `None` if one is not good in its place.
    pub(super) fn find(&mut self, row: &FrameRow, texts: [&[u8]; 5]) -> Option<RowKind> {
        let mut found = [(0, Uses::default()); 5];
        for (found, text) in found.iter_mut().zip(texts) {
            *found = self.text(text)?;
        }
        let key = RowKey { codes: row.codes(), texts: found.map(|(number, _)| number) };
        if let Some(kind) = self.kinds.get(&key) {
            return Some(*kind);
        }
        let uses = found.map(|(_, uses)| uses);
        let [namespace, upstream, model, endpoint, limited_by] = texts;
        let is_good = uses[0].namespace
            && uses[1..4].iter().all(|uses| uses.label)
            && (uses[4].label || limited_by.is_empty());
        let text = |text| std::str::from_utf8(text).ok();
        let labels = Labels {
            status: row.status,
            method: row.method,
            outcome: row.outcome,
            service_tier: row.service_tier,
            source: row.source,
            is_final: row.is_final,
            namespace: text(namespace).filter(|_| is_good)?,
            upstream: text(upstream)?,
            model: text(model)?,
            endpoint: text(endpoint)?,
            limited_by: text(limited_by).filter(|text| !text.is_empty()),
            stream: false,
            requested_model: None,
            consumer: None,
        };
        Some(self.add(key, &labels))
    }

    #[cold]
    fn add(&mut self, key: RowKey, labels: &Labels<'_>) -> RowKind {
        let [namespace, _, model, ..] = key.texts;
        let kind = RowKind {
            row: u32::try_from(self.rows.len()).expect("rows are bounded"),
            source: labels.source,
            is_final: labels.is_final,
            origin: self.consumers.origin(namespace, model),
        };
        let full = FullLabels::of(labels);
        let short = full.short();
        let short = (short.id(), Arc::new(short));
        self.rows.push(Row { id: full.id(), short, labels: Arc::new(full) });
        self.kinds.insert(key, kind);
        kind
    }

    /// Number of the consumer row of a row, its origin and the number of the consumer's name.
    #[inline]
    pub(super) fn consumer(&mut self, row: u32, origin: u32, name: u32) -> u32 {
        if let Some(number) = self.consumers.find(origin, name) {
            return number;
        }
        let text = std::str::from_utf8(self.texts.string(name)).unwrap_or_default();
        let labels = self.rows[row as usize].labels.labels();
        let consumer = Some(text).filter(|text| !text.is_empty());
        self.consumers.add(origin, name, &Labels { consumer, ..labels })
    }

    /// A row; its number was given by this cache since it was trimmed.
    pub(super) fn row(&self, number: u32) -> &Row {
        &self.rows[number as usize]
    }

    pub(super) fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// Clears the cache if it is too large. Only between commits: slots refer to numbers.
    pub fn trim(&mut self) {
        let n = self.rows.len().max(self.consumers.len()).max(self.uses.len());
        if n > ROWS_MAX {
            *self = Rows::default();
        }
    }
}
