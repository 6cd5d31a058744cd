//! What lies behind the envelope of version 2: texts, producers and rows by number, and columns
//! that leave out what an event does not have.
//!
//! Dictionary and columns go in, the events come out, or `None` if the payload is bad as a whole:
//! bytes that end early or go on, and numbers that refer to nothing. A row, a consumer or a
//! requested model that breaks a rule makes its own events poison and no others.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Event, Labels, Numbers, PRESENCE_BITS, event, identities, number, take, values};
use crate::labels::{Consumer, Parts, Row, is_requested_model};

/// The longest value and the longest base of a column, bytes.
const WIDTH_MAX: usize = 8;
/// As many rows as there can be events.
const ROWS_MAX: usize = 4_096;
/// The longest producer: its texts with their lengths, and its epoch.
const PRODUCER_BYTES_MAX: usize = 128;
/// Bit of presence: the answer was a stream. It decides nothing.
const STREAM: u64 = 128;

/// Texts by number, from the empty one on; `None` for bytes that are not UTF-8.
type Texts<'a> = Vec<Option<&'a str>>;

struct Dictionary<'a> {
    texts: Texts<'a>,
    n_producers: u64,
    /// A row that breaks a rule is `None`.
    rows: Vec<Option<Rc<Row>>>,
}

/// Reads the events of a frame.
pub fn events(dictionary: &[u8], columns: &[u8], n: usize) -> Option<Vec<Option<Event>>> {
    let Dictionary { texts, n_producers, rows } = Dictionary::read(dictionary)?;
    let mut rest = columns;
    let [row, consumer, requested_model, producer, presence, time, duration, attempt] =
        dense(&mut rest, n)?;
    let mut present = Vec::new();
    for bit in 0..PRESENCE_BITS {
        present.push(sparse(&mut rest, &presence, |presence| presence >> bit & 1 == 1)?);
    }
    // The numbers of a producer's events are the delivery's own: they only have to be there.
    sparse(&mut rest, &producer, |producer| producer != 0)?;
    let mut known: HashMap<(u64, u64), Option<Labels>> = HashMap::new();
    let mut events = Vec::new();
    for (idx, identity) in identities(rest, n)?.into_iter().enumerate() {
        if producer[idx] > n_producers {
            return None;
        }
        let own_row = at(&rows, row[idx])?;
        let own_consumer = *at(&texts, consumer[idx])?;
        let own_model = *at(&texts, requested_model[idx])?;
        let pair = known
            .entry((row[idx], consumer[idx]))
            .or_insert_with(|| pair_of(own_row.as_ref()?, own_consumer?));
        let numbers = Numbers {
            presence: presence[idx] & !STREAM,
            time: time[idx],
            duration: duration[idx],
            attempt: attempt[idx],
            present: std::array::from_fn(|bit| present[bit][idx]),
        };
        let labels = pair.as_ref().filter(|_| own_model.is_some_and(is_requested_model));
        events.push(labels.and_then(|labels| event(labels, &numbers, identity)));
    }
    Some(events)
}

/// Row and consumer, or `None` if the text is no consumer.
fn pair_of(row: &Rc<Row>, consumer: &str) -> Option<Labels> {
    Some((Rc::clone(row), Rc::new(Consumer::of(row, consumer)?)))
}

impl Dictionary<'_> {
    fn read(bytes: &[u8]) -> Option<Dictionary<'_>> {
        let mut rest = bytes;
        let texts = texts(&mut rest)?;
        let n_producers = number(take(&mut rest, 2)?);
        for _ in 0..n_producers {
            producer(&mut rest)?;
        }
        let rows = rows(&mut rest, &texts)?;
        rest.is_empty().then_some(Dictionary { texts, n_producers, rows })
    }
}

/// Takes the texts. Whether one is valid depends on where it stands, so that none is refused here.
fn texts<'a>(rest: &mut &'a [u8]) -> Option<Texts<'a>> {
    let n = usize::try_from(number(take(rest, 2)?)).ok()?;
    let mut texts = vec![Some("")];
    for length in take(rest, n)? {
        texts.push(str::from_utf8(take(rest, usize::from(*length))?).ok());
    }
    Some(texts)
}

/// Steps over a producer: its texts and its epoch decide nothing about an event.
fn producer(rest: &mut &[u8]) -> Option<()> {
    let before = rest.len();
    for _ in ["source", "producer"] {
        let length = usize::try_from(number(take(rest, 1)?)).ok()?;
        take(rest, length)?;
    }
    take(rest, 8)?;
    (before - rest.len() <= PRODUCER_BYTES_MAX).then_some(())
}

/// Takes the rows; one that breaks a rule is `None`, and its events are poison. `None` for all if
/// one refers to a text that is not there, whether it has events or not.
fn rows(rest: &mut &[u8], texts: &Texts<'_>) -> Option<Vec<Option<Rc<Row>>>> {
    let n = usize::try_from(number(take(rest, 2)?)).ok().filter(|n| (1..=ROWS_MAX).contains(n))?;
    let [
        namespace,
        upstream,
        model,
        endpoint,
        limited_by,
        status,
        method,
        outcome,
        tier,
        source,
        is_final,
    ] = dense(rest, n)?;
    let mut rows = Vec::new();
    for idx in 0..n {
        let text = |column: &[u64]| at(texts, column[idx]).copied();
        let own_namespace = text(&namespace)?;
        let own_upstream = text(&upstream)?;
        let own_model = text(&model)?;
        let own_endpoint = text(&endpoint)?;
        let own_limited_by = text(&limited_by)?;
        let row = || {
            Row::of(&Parts {
                status: status[idx],
                method: method[idx],
                outcome: outcome[idx],
                tier: tier[idx],
                source: source[idx],
                is_final: is_final[idx],
                namespace: own_namespace?,
                upstream: own_upstream?,
                model: own_model?,
                endpoint: own_endpoint?,
                limited_by: own_limited_by?,
            })
        };
        rows.push(row().map(Rc::new));
    }
    Some(rows)
}

/// Takes columns of `n` numbers each.
fn dense<const COLUMNS: usize>(rest: &mut &[u8], n: usize) -> Option<[Vec<u64>; COLUMNS]> {
    let mut columns = Vec::new();
    for _ in 0..COLUMNS {
        columns.push(column(rest, n)?);
    }
    columns.try_into().ok()
}

/// Takes a column of those events only whose number in another column says that they have one.
fn sparse(
    rest: &mut &[u8],
    decides: &[u64],
    has: impl Fn(u64) -> bool,
) -> Option<Vec<Option<u64>>> {
    let n = decides.iter().filter(|number| has(**number)).count();
    let mut values = column(rest, n)?.into_iter();
    let value = |number: &u64| if has(*number) { values.next() } else { None };
    Some(decides.iter().map(value).collect())
}

/// Takes a column of `n` numbers.
fn column(rest: &mut &[u8], n: usize) -> Option<Vec<u64>> {
    let head = take(rest, 1)?[0];
    let width = usize::from(head & 15);
    let base_bytes = usize::from(head >> 4);
    if width > WIDTH_MAX || base_bytes > WIDTH_MAX {
        return None;
    }
    let base = number(take(rest, base_bytes)?);
    values(rest, base, width, n)
}

/// What a number refers to, if it is there.
fn at<T>(items: &[T], number: u64) -> Option<&T> {
    items.get(usize::try_from(number).ok()?)
}
