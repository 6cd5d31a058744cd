//! The rows of the frame at hand: each of its texts is looked up once, however many events refer to
//! it.

use std::ops::Range;

use event::frame::FrameView;
use event::name::is_label;
use event::{Facts, UsageSource};

use super::rows::{RowKind, Rows};

/// Stands for a text that was not looked up as a consumer's name yet.
const UNREAD: u32 = u32::MAX;
/// Stands for a text that no consumer can have as its name. Numbers of texts never reach it.
const BAD: u32 = u32::MAX - 1;

/// Rows and texts of a frame.
#[derive(Debug, Default)]
pub struct FrameRows {
    rows: Vec<Option<RowKind>>,
    /// Number of each text as a consumer's name, or `UNREAD`, or `BAD`.
    names: Vec<u32>,
    /// Whether each text can be the model that was asked for, where that is known.
    models: Vec<Option<bool>>,
    /// First event of the group at hand, and what each of its events is counted by; `None` for
    /// poison.
    first: usize,
    group: Vec<Option<EventRow>>,
}

/// What of its labels an event is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub(super) source: UsageSource,
    /// Whether it is the attempt that the client saw.
    pub(super) is_final: bool,
    /// Number of its full row.
    pub(super) row: u32,
    /// Number of its consumer row; `NO_CONSUMER` if it was not looked up.
    pub(super) consumer: u32,
}

/// Stands for a consumer row that was not looked up, because the event is not counted.
const NO_CONSUMER: u32 = u32::MAX;

impl FrameRows {
    /// Looks up the rows of a frame; the events of one that is not good are poison.
    pub fn load(&mut self, view: &FrameView<'_>, rows: &mut Rows) {
        let FrameRows { rows: of_frame, names, models, group, .. } = self;
        of_frame.clear();
        of_frame.extend(view.rows().iter().map(|row| {
            let row = row.as_ref()?;
            rows.find(row, row.texts.map(|number| view.text(number as usize)))
        }));
        names.clear();
        names.resize(view.n_texts() + 1, UNREAD);
        models.clear();
        models.resize(view.n_texts() + 1, None);
        group.clear();
    }

    /// Looks up a group of events, with their consumer rows if they may be counted. In a loop of
    /// its own the look-ups wait for memory together, and not each at its event.
    pub fn find(
        &mut self,
        view: &FrameView<'_>,
        group: Range<usize>,
        rows: &mut Rows,
        may_count: bool,
    ) {
        self.first = group.start;
        let mut events = std::mem::take(&mut self.group);
        events.clear();
        events.extend(group.map(|idx| self.event(view, idx, rows, may_count)));
        self.group = events;
    }

    /// Consumer rows of the events of the group.
    pub(super) fn consumers(&self) -> impl Iterator<Item = u32> {
        self.group.iter().flatten().map(|event| event.consumer)
    }

    /// The facts of an event of the group and what it is counted by, or `None` if it is poison.
    #[inline]
    #[must_use]
    pub fn facts(&self, view: &FrameView<'_>, idx: usize) -> Option<(Facts, EventRow)> {
        let event = self.group[idx - self.first]?;
        Some((view.facts(idx, event.source)?, event))
    }

    #[inline]
    fn event(
        &mut self,
        view: &FrameView<'_>,
        idx: usize,
        rows: &mut Rows,
        may_count: bool,
    ) -> Option<EventRow> {
        let RowKind { row, source, is_final, origin } = self.rows[view.row(idx)]?;
        let name = self.name(view, view.consumer(idx), rows)?;
        if !self.may_be_model(view, view.requested_model(idx)) {
            return None;
        }
        let consumer = if may_count { rows.consumer(row, origin, name) } else { NO_CONSUMER };
        Some(EventRow { source, is_final, row, consumer })
    }

    /// Number of a text as a consumer's name.
    #[inline]
    fn name(&mut self, view: &FrameView<'_>, text: usize, rows: &mut Rows) -> Option<u32> {
        let name = &mut self.names[text];
        if *name == UNREAD {
            *name = rows.consumer_name(view.text(text)).unwrap_or(BAD);
        }
        (*name != BAD).then_some(*name)
    }

    /// Whether a text can be the model that was asked for. Not remembered from frame to frame:
    /// clients make up models, and nothing bounds how many.
    #[inline]
    fn may_be_model(&mut self, view: &FrameView<'_>, text: usize) -> bool {
        *self.models[text].get_or_insert_with(|| {
            let bytes = view.text(text);
            bytes.is_empty() || std::str::from_utf8(bytes).is_ok_and(is_label)
        })
    }
}
