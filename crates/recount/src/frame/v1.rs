//! What lies behind the envelope of version 1: a dictionary of whole tuples, and dense columns.
//!
//! Dictionary and columns go in, the events come out, or `None` if the payload is bad as a whole.
//! A tuple that breaks a rule makes its own events poison and no others.

use std::array;
use std::rc::Rc;

use super::{Event, Labels, Numbers, event, identities, number, take, values};
use crate::labels::{Consumer, Parts, Row, flag, is_requested_model};

/// Columns of whole numbers: tuple, presence, time, duration, first token, five token counts,
/// cost, attempt.
const N_COLUMNS: usize = 12;
/// The first of the columns that the bits of presence speak of.
const FIRST_PRESENT: usize = 4;
/// `policy`; what came later stands in frames of version 2 only.
const OUTCOME_MAX: u64 = 8;

/// Reads the events of a frame.
pub fn events(dictionary: &[u8], columns: &[u8], n: usize) -> Option<Vec<Option<Event>>> {
    let tuples = tuples(dictionary)?;
    let mut rest = columns;
    let mut numbers = Vec::new();
    for _ in 0..N_COLUMNS {
        numbers.push(column(&mut rest, n)?);
    }
    let mut events = Vec::new();
    for (idx, identity) in identities(rest, n)?.into_iter().enumerate() {
        let value = |column: usize| numbers[column][idx];
        let labels = tuples.get(usize::try_from(value(0)).ok()?)?;
        let is_present = |bit: usize| value(1) >> bit & 1 == 1;
        let own = Numbers {
            presence: value(1),
            time: value(2),
            duration: value(3),
            attempt: value(11),
            present: array::from_fn(|bit| is_present(bit).then(|| value(FIRST_PRESENT + bit))),
        };
        events.push(labels.as_ref().and_then(|labels| event(labels, &own, identity)));
    }
    Some(events)
}

/// Reads the dictionary; a tuple that breaks a rule is `None`, and its events are poison.
fn tuples(dictionary: &[u8]) -> Option<Vec<Option<Labels>>> {
    let mut rest = dictionary;
    let mut tuples = Vec::new();
    for _ in 0..number(take(&mut rest, 2)?) {
        let length = usize::try_from(number(take(&mut rest, 2)?)).ok()?;
        let labels = tuple(take(&mut rest, length)?);
        tuples.push(labels.map(|(row, consumer)| (Rc::new(row), Rc::new(consumer))));
    }
    rest.is_empty().then_some(tuples)
}

/// Reads a tuple, or `None` if it breaks a rule.
pub fn tuple(bytes: &[u8]) -> Option<(Row, Consumer)> {
    let mut rest = bytes;
    let parts = Parts {
        status: number(take(&mut rest, 2)?),
        method: number(take(&mut rest, 1)?),
        outcome: number(take(&mut rest, 1)?),
        tier: number(take(&mut rest, 1)?),
        source: number(take(&mut rest, 1)?),
        is_final: number(take(&mut rest, 1)?),
        namespace: text(&mut rest)?,
        upstream: text(&mut rest)?,
        model: text(&mut rest)?,
        endpoint: text(&mut rest)?,
        limited_by: text(&mut rest)?,
    };
    flag(number(take(&mut rest, 1)?))?;
    let requested_model = text(&mut rest)?;
    let consumer = text(&mut rest)?;
    if !rest.is_empty() || parts.outcome > OUTCOME_MAX || !is_requested_model(requested_model) {
        return None;
    }
    let row = Row::of(&parts)?;
    let consumer = Consumer::of(&row, consumer)?;
    Some((row, consumer))
}

/// Takes a text behind its length.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(number(take(rest, 1)?)).ok()?;
    str::from_utf8(take(rest, length)?).ok()
}

/// Takes a column of `n` numbers.
fn column(rest: &mut &[u8], n: usize) -> Option<Vec<u64>> {
    let width = usize::try_from(number(take(rest, 1)?)).ok()?;
    if ![0, 1, 2, 4, 8].contains(&width) {
        return None;
    }
    let base = number(take(rest, 8)?);
    values(rest, base, width, n)
}
