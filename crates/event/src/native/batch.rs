//! What a body holds: each item of it checked and put where it belongs.
//!
//! The readers of `native` bring the items in the body's order, as the fields that they have, and
//! `check` judges them. Every item is in exactly one list.

use std::borrow::Cow;

use super::check::Kind;
use super::error::BodyError;
use super::fields::{Fault, Fields};
use super::item::Item;
use crate::event::{Connections, Event};
use crate::limits::{BATCH_EVENTS_MAX, ID_BYTES_MAX};
use crate::reject::Reject;

/// Few events take less as JSON; sets how many events there is room for at first.
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
    /// A batch of the events of a body and the rest of it.
    pub(super) fn new(events: Vec<(usize, Event<'a>)>, rest: Rest<'a>) -> Batch<'a> {
        let Rest { n_events: _, connections, rejects, n_items, form } = rest;
        Batch { events, connections, rejects, n_items, form }
    }
}

/// What a body holds apart from its events, each with its index as in [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest<'a> {
    /// Number of checked events, which the caller's list has at its end.
    pub n_events: usize,
    /// Checked reports of open connections.
    pub connections: Vec<(usize, Connections<'a>)>,
    /// What was not accepted.
    pub rejects: Vec<Reject>,
    /// Items in all, at most `BATCH_EVENTS_MAX`.
    pub n_items: usize,
    /// How the body was recognised.
    pub form: Form,
}

impl Rest<'_> {
    /// The rest of a body without items.
    fn new(form: Form) -> Self {
        let (connections, rejects) = (Vec::new(), Vec::new());
        Rest { n_events: 0, connections, rejects, n_items: 0, form }
    }
}

/// Takes the items of one body from a reader, and what was read so far back if the reader gives
/// up.
pub(super) struct Sink<'s, 'a> {
    /// The events of bodies before this one, and then its own.
    events: &'s mut Vec<(usize, Event<'a>)>,
    /// Number of events of bodies before this one.
    n_before: usize,
    rest: Rest<'a>,
}

impl<'s, 'a> Sink<'s, 'a> {
    /// A sink that appends to a list of events.
    pub(super) fn new(events: &'s mut Vec<(usize, Event<'a>)>) -> Sink<'s, 'a> {
        Sink { n_before: events.len(), events, rest: Rest::new(Form::Object) }
    }

    /// Begins the body, or begins it again without the items it had.
    pub(super) fn begin(&mut self, form: Form) {
        self.events.truncate(self.n_before);
        self.rest = Rest::new(form);
    }

    /// Begins as `begin` does, and makes room for the events of a body of `n_bytes`.
    pub(super) fn begin_with_room(&mut self, form: Form, n_bytes: usize) {
        self.begin(form);
        self.events.reserve(n_events_likely(n_bytes));
    }

    /// Items so far.
    pub(super) fn n_items(&self) -> usize {
        self.rest.n_items
    }

    /// Corrects the form that the body was begun with.
    pub(super) fn set_form(&mut self, form: Form) {
        self.rest.form = form;
    }

    /// The body's items apart from its events, which stay in the list; if it could not be read,
    /// none does.
    pub(super) fn finish(mut self, read: Result<(), BodyError>) -> Result<Rest<'a>, BodyError> {
        if let Err(error) = read {
            self.events.truncate(self.n_before);
            return Err(error);
        }
        self.rest.n_events = self.events.len() - self.n_before;
        Ok(self.rest)
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
        let index = self.next_index();
        if let Some(fault) = fields.fault() {
            return self.reject_at(index, id, fault);
        }
        let added = fields.kind().and_then(|kind| match kind {
            Kind::Event => fields.event(index, self.events),
            Kind::Connections => {
                self.rest.connections.push((index, fields.connections()?));
                Ok(())
            }
        });
        if let Err(fault) = added {
            self.reject_at(index, id, fault);
        }
    }

    /// Adds the next item as a reject.
    pub(super) fn reject(&mut self, fault: Fault) {
        let index = self.next_index();
        self.reject_at(index, None, fault);
    }

    fn next_index(&mut self) -> usize {
        self.rest.n_items += 1;
        self.rest.n_items - 1
    }

    fn reject_at(&mut self, index: usize, id: Option<Cow<'a, str>>, fault: Fault) {
        let Fault { field, kind, reason } = fault;
        let id = id.map(|id| id[..id.floor_char_boundary(ID_BYTES_MAX)].to_owned());
        self.rest.rejects.push(Reject { index, id, field, kind, reason });
    }
}

/// Number of events to make room for before bodies of `n_bytes` in all are read.
pub fn n_events_likely(n_bytes: usize) -> usize {
    (n_bytes / EVENT_BYTES_MIN + 1).min(BATCH_EVENTS_MAX)
}
