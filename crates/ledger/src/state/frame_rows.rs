//! The rows of the frame at hand: each of its texts is looked up once, however many events refer to
//! it.

use event::Facts;
use event::frame::FrameView;
use event::name::is_label;

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
}

/// What of its labels an event is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Whether it is the attempt that the client saw.
    pub(super) is_final: bool,
    /// Number of its full row.
    pub(super) row: u32,
    /// Origin of its consumer row, see `Consumers::origin`.
    pub(super) origin: u32,
    /// Number of its consumer's name.
    pub(super) consumer_name: u32,
}

impl FrameRows {
    /// Looks up the rows of a frame; the events of one that is not good are poison.
    pub fn load(&mut self, view: &FrameView<'_>, rows: &mut Rows) {
        let FrameRows { rows: of_frame, names, models } = self;
        of_frame.clear();
        of_frame.extend(view.rows().iter().map(|row| {
            let row = row.as_ref()?;
            rows.find(row, row.texts.map(|number| view.text(number as usize)))
        }));
        names.clear();
        names.resize(view.n_texts() + 1, UNREAD);
        models.clear();
        models.resize(view.n_texts() + 1, None);
    }

    /// The facts of an event and what it is counted by, or `None` if it is poison.
    #[inline]
    pub fn facts(
        &mut self,
        view: &FrameView<'_>,
        idx: usize,
        rows: &mut Rows,
    ) -> Option<(Facts, EventRow)> {
        let RowKind { row, source, is_final, origin } = self.rows[view.row(idx)]?;
        let consumer_name = self.name(view, view.consumer(idx), rows)?;
        if !self.may_be_model(view, view.requested_model(idx)) {
            return None;
        }
        let facts = view.facts(idx, source)?;
        Some((facts, EventRow { is_final, row, origin, consumer_name }))
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
