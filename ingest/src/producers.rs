//! Limits how many producers that number their events the log may name.
//!
//! Each of them is a place in which a later reader looks for gaps, so an endless stream of made-up
//! names must not get one. An event whose producer gets no place is counted all the same, without
//! its number. A producer that sends nothing for an hour makes room for another. The limit is per
//! process: it keeps a flood out, it is not a quota.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use event::Event;
use event::frame::{Numbered, Producer};
use prometheus::IntCounter;

/// Most producers at a time: a thousand gateways with ten workers each, in a few megabytes.
const PRODUCERS_MAX: usize = 10_000;
/// How long a producer keeps its place after its last event.
const PLACE_TTL: Duration = Duration::from_secs(3_600);
/// How often places are looked through for those to give away, at most: a flood must not cost more
/// than it would without a limit.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Producers that numbered events lately.
#[derive(Debug, Default)]
pub struct Producers {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// The last event of each producer.
    last: HashMap<Producer, Instant>,
    /// When they were looked through last.
    swept: Option<Instant>,
}

impl Producers {
    /// Whether the log may name a producer. If so, this takes or renews its place.
    fn admit(&self, producer: &Producer, now: Instant) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { last, swept } = &mut *places;
        if let Some(last) = last.get_mut(producer) {
            *last = now;
            return true;
        }
        let is_due = swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY);
        if last.len() >= PRODUCERS_MAX && is_due {
            last.retain(|_, last| now.duration_since(*last) < PLACE_TTL);
            *swept = Some(now);
        }
        let has_room = last.len() < PRODUCERS_MAX;
        if has_room {
            last.insert(*producer, now);
        }
        has_room
    }
}

/// Finds the producers of the events of some texts. Neighbours mostly have the same one, which is
/// then looked up once.
#[derive(Debug)]
pub struct Numbering<'a> {
    producers: &'a Producers,
    /// Counts the events that go without their number.
    unnumbered: &'a IntCounter,
    now: Instant,
    last: Option<Last<'a>>,
}

/// The producer that was looked up last; `None` in place of one that got no place.
#[derive(Debug)]
struct Last<'a> {
    source: &'a str,
    name: &'a str,
    epoch: u64,
    producer: Option<Producer>,
}

impl<'a> Numbering<'a> {
    pub fn new(producers: &'a Producers, unnumbered: &'a IntCounter, now: Instant) -> Self {
        Numbering { producers, unnumbered, now, last: None }
    }

    /// The number of an event, if it has one and its producer has a place.
    pub fn of(&mut self, source: &'a str, event: &'a Event<'_>) -> Option<Numbered<'_>> {
        let name = event.producer.as_deref()?;
        let seq = event.seq.filter(|seq| *seq > 0)?;
        let epoch = event.epoch.unwrap_or(0);
        let is_same =
            |last: &Last<'_>| (last.source, last.name, last.epoch) == (source, name, epoch);
        if !self.last.as_ref().is_some_and(is_same) {
            let producer = Producer::of(source, name, epoch);
            let producer = producer.filter(|producer| self.producers.admit(producer, self.now));
            self.last = Some(Last { source, name, epoch, producer });
        }
        let producer = self.last.as_ref().and_then(|last| last.producer.as_ref());
        if producer.is_none() {
            self.unnumbered.inc();
        }
        producer.map(|producer| Numbered { producer, seq })
    }
}

#[cfg(test)]
mod tests;
