//! What a body holds: each item of it checked and put where it belongs.
//!
//! The readers of `native` bring the items in the body's order, as the fields that they have, and
//! `check` judges them. Every item is in exactly one list.

use std::borrow::Cow;

use super::check::Kind;
use super::fields::{Fault, Fields};
use super::item::Item;
use crate::event::{Connections, Event};
use crate::limits::{BATCH_EVENTS_MAX, ID_BYTES_MAX};
use crate::reject::Reject;

/// Few events take less as JSON: the room that a body is given at first.
const EVENT_BYTES_MIN: usize = 300;

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object, on one line or several.
    Object,
    /// An array of objects.
    Array,
    /// One object per line.
    Ndjson,
}

/// What a body holds. Each item of the body is in exactly one of the lists, in the body's order,
/// with its index there: the element of an array, the line of NDJSON (blank lines do not count).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Checked events.
    pub events: Vec<(usize, Event<'a>)>,
    /// Checked reports of open connections.
    pub connections: Vec<(usize, Connections<'a>)>,
    /// What was not accepted.
    pub rejects: Vec<Reject>,
    /// Items in all, at most `BATCH_EVENTS_MAX`.
    pub n_items: usize,
    /// How the body was recognised.
    pub form: Form,
}

impl<'a> Batch<'a> {
    /// A batch without items.
    pub(super) fn new(form: Form) -> Batch<'a> {
        Batch { events: Vec::new(), connections: Vec::new(), rejects: Vec::new(), n_items: 0, form }
    }

    /// A batch without items, with room for the events of a body of `n_bytes`.
    pub(super) fn with_room(form: Form, n_bytes: usize) -> Batch<'a> {
        let n_events = (n_bytes / EVENT_BYTES_MIN + 1).min(BATCH_EVENTS_MAX);
        Batch { events: Vec::with_capacity(n_events), ..Batch::new(form) }
    }

    /// Adds the next item: the fields of an object, or nothing for a value that is not one.
    pub(super) fn add(&mut self, item: Item<'a>) {
        match item {
            Item(Some(mut fields)) => self.add_object(&mut fields),
            Item(None) => self.reject(Fault::new("", "type", "must be an object")),
        }
    }

    /// Adds the next item, an object; takes the values out of its fields.
    pub(super) fn add_object(&mut self, fields: &mut Fields<'a>) {
        let id = fields.id_for_reject();
        let index = self.n_items;
        self.n_items += 1;
        if let Some(fault) = fields.fault() {
            return self.reject_at(index, id, fault);
        }
        let added = fields.kind().and_then(|kind| match kind {
            Kind::Event => fields.event(index, &mut self.events),
            Kind::Connections => {
                self.connections.push((index, fields.connections()?));
                Ok(())
            }
        });
        if let Err(fault) = added {
            self.reject_at(index, id, fault);
        }
    }

    /// Adds the next item as a reject.
    pub(super) fn reject(&mut self, fault: Fault) {
        let index = self.n_items;
        self.n_items += 1;
        self.reject_at(index, None, fault);
    }

    fn reject_at(&mut self, index: usize, id: Option<Cow<'a, str>>, fault: Fault) {
        let Fault { field, kind, reason } = fault;
        let id = id.map(|id| id[..id.floor_char_boundary(ID_BYTES_MAX)].to_owned());
        self.rejects.push(Reject { index, id, field, kind, reason });
    }
}
