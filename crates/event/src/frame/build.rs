//! Builds a frame from labels as texts, for whoever has few events and no table of texts.

use std::collections::HashMap;

use super::columns::{EventColumns, Full, LabelIds, TextId, Texts};
use super::encode::FrameEncoder;
use super::envelope::{Stamp, Version};
use crate::labels::{Facts, Labels};

/// Events on their way into one frame, with a table of their own texts.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    version: Version,
    table: Table,
    columns: EventColumns,
}

impl FrameBuilder {
    /// A builder of frames of a version.
    #[must_use]
    pub fn new(version: Version) -> FrameBuilder {
        FrameBuilder { version, ..FrameBuilder::default() }
    }

    /// A frame of one event, whose labels and facts have been settled and checked.
    ///
    /// # Panics
    /// Never: a new frame has room.
    #[must_use]
    pub fn alone(version: Version, stamp: Stamp, labels: &Labels<'_>, facts: &Facts) -> Vec<u8> {
        let mut builder = FrameBuilder::new(version);
        builder.push(labels, facts).expect("a new frame has room");
        builder.encode(stamp)
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Adds an event. The labels and facts have been settled and checked.
    ///
    /// # Errors
    /// `Full` when the frame has 4,096 events.
    pub fn push(&mut self, labels: &Labels<'_>, facts: &Facts) -> Result<(), Full> {
        let mut some = |text: Option<&str>| text.map_or(TextId::ABSENT, |text| self.table.id(text));
        let ids = LabelIds {
            namespace: some(Some(labels.namespace)),
            upstream: some(Some(labels.upstream)),
            model: some(Some(labels.model)),
            endpoint: some(Some(labels.endpoint)),
            limited_by: some(labels.limited_by),
            consumer: some(labels.consumer),
            ..LabelIds::without_texts(labels)
        };
        self.columns.push(&ids, labels.requested_model, None, facts)
    }

    /// The frame of at least one event as bytes.
    #[must_use]
    pub fn encode(&self, stamp: Stamp) -> Vec<u8> {
        FrameEncoder::default().encode(&self.columns, &self.table, stamp, self.version)
    }
}

/// Texts in order of their numbers, from 1.
#[derive(Debug, Default)]
struct Table {
    ids: HashMap<Box<str>, TextId>,
    texts: Vec<Box<str>>,
}

impl Table {
    fn id(&mut self, text: &str) -> TextId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        self.texts.push(text.into());
        let id = TextId(u32::try_from(self.texts.len()).expect("at most seven an event"));
        self.ids.insert(text.into(), id);
        id
    }
}

impl Texts for Table {
    fn text(&self, id: TextId) -> &str {
        match id {
            TextId::ABSENT => "",
            TextId(number) => &self.texts[number as usize - 1],
        }
    }
}
