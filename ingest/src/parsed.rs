//! Texts as they are received, and what they hold.

use std::sync::Arc;

use bytes::Bytes;
use event::limits::{BATCH_EVENTS_MAX, FRAME_EVENTS_MAX};
use event::native::{BodyError, Rest, n_events_likely, parse_onto};
use event::{Connections, Event};
use queue::{RawBatch, RawMessage};

/// Texts of one source, each JSON in one of the forms of `event::native`.
#[derive(Clone, Debug)]
pub struct Texts {
    bytes: Bytes,
    /// The messages that the texts are; `None` for a single text.
    messages: Option<Arc<[RawMessage]>>,
    /// Event ids are unique within a source.
    source: Arc<str>,
}

impl Texts {
    /// A single text.
    pub fn one(bytes: Bytes, source: Arc<str>) -> Texts {
        Texts { bytes, messages: None, source }
    }

    /// The messages of a batch.
    pub fn of_messages(batch: &RawBatch, source: Arc<str>) -> Texts {
        let messages = Some(Arc::clone(&batch.messages));
        Texts { bytes: batch.bytes.clone(), messages, source }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.messages.as_ref().map_or(1, |messages| messages.len())
    }

    /// Bytes of all texts.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The texts from the `from`th on.
    fn skip(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let end = |n: usize| match &self.messages {
            Some(messages) => messages[n].end,
            None => self.bytes.len(),
        };
        (from..self.len()).map(move |n| &self.bytes[n.checked_sub(1).map_or(0, end)..end(n)])
    }
}

/// What a text holds apart from its events.
pub struct ParsedText<'a> {
    pub source: &'a str,
    pub rest: Result<Rest<'a>, BodyError>,
}

/// Parsed texts whose events fit one frame.
pub struct Parsed<'a> {
    /// The events of all texts, each with its index in its text: one list, because a text is often
    /// a single event.
    events: Vec<(usize, Event<'a>)>,
    texts: Vec<ParsedText<'a>>,
}

impl<'a> Parsed<'a> {
    /// Parses texts from the `from`th of all on, as many as are certain to fit one frame.
    pub fn of(all: &'a [Texts], mut from: usize) -> Parsed<'a> {
        let n_bytes = all.iter().map(Texts::n_bytes).sum();
        let mut events = Vec::with_capacity(n_events_likely(n_bytes));
        let mut parsed = Vec::new();
        for texts in all {
            if from >= texts.len() {
                from -= texts.len();
                continue;
            }
            for text in texts.skip(std::mem::take(&mut from)) {
                if events.len() + BATCH_EVENTS_MAX > FRAME_EVENTS_MAX {
                    return Parsed { events, texts: parsed };
                }
                let rest = parse_onto(text, &mut events);
                parsed.push(ParsedText { source: &texts.source, rest });
            }
        }
        Parsed { events, texts: parsed }
    }

    /// The events of all texts, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event<'a>> + Clone {
        self.events.iter().map(|(_, event)| event)
    }

    /// The reports of open connections of all texts.
    pub fn connections(&self) -> impl Iterator<Item = &Connections<'a>> + Clone {
        let rests = self.texts.iter().filter_map(|text| text.rest.as_ref().ok());
        rests.flat_map(|rest| rest.connections.iter().map(|(_, report)| report))
    }

    /// The events of all texts, each with its index in its text, and the texts.
    pub fn into_parts(self) -> (Vec<(usize, Event<'a>)>, Vec<ParsedText<'a>>) {
        (self.events, self.texts)
    }
}

#[cfg(test)]
pub(crate) mod tests;
