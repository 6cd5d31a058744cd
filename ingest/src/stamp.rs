//! Turns a parsed batch into columns: settled labels, keys, fingerprints.
//!
//! Everything that depends on configuration is decided by now and recorded in the log, so that a
//! recount needs nothing else.

use std::time::Instant;

use event::frame::{EventColumns, LabelIds, Numbered};
use event::limits::FRAME_EVENTS_MAX;
use event::name::{OTHER, is_label};
use event::native::Rest;
use event::{Connections, Event, Facts, Key, Labels, Reject, Usage, UsageSource};
use store::{ConnectionsRow, Generation};

use crate::gateways::{GATEWAYS_PER_NAMESPACE_MAX, Gateways};
use crate::names::KnownNames;
use crate::producers::Numbering;
use crate::settle::settle_again;

/// The source of every event received over HTTP, until keys have sources of their own.
pub const SOURCE: &str = "default";

/// Columns of events by partition, in total at most as many as fit one frame.
#[derive(Debug)]
pub struct Columns {
    /// Events that each partition has room for at first.
    capacity: usize,
    by_partition: Vec<(u32, EventColumns)>,
}

impl Columns {
    /// Columns for about `n_events` over `n_partitions`, at least one.
    pub fn with_capacity(n_events: usize, n_partitions: u32) -> Columns {
        let each = n_events.min(FRAME_EVENTS_MAX) / n_partitions as usize;
        // Shares differ by chance: an eighth and a little more is rarely too small.
        Columns { capacity: each + each / 8 + 8, by_partition: Vec::new() }
    }

    /// Adds an event to the columns of its partition.
    fn push_event(
        &mut self,
        partition: u32,
        event: &Event<'_>,
        mut labels: LabelIds,
        key: Key,
        estimate: Option<Usage>,
        numbered: Option<Numbered<'_>>,
    ) {
        if estimate.is_some() {
            labels.source = UsageSource::Estimated;
        }
        let facts = Facts {
            key,
            time_us: event.time_us,
            duration_us: event.duration_us,
            ttft_us: event.ttft_us,
            usage: estimate.unwrap_or(event.usage),
            cost_nano: None,
            attempt: event.attempt,
            fingerprint: event.fingerprint(),
        };
        // Not part of any row, so it needs no budget, only valid characters.
        let requested = event.requested_model.as_deref();
        let requested = requested.map(|name| if is_label(name) { name } else { OTHER });
        self.push(partition, &labels, requested, numbered, &facts);
    }

    /// Adds labels and facts to the columns of a partition.
    fn push(
        &mut self,
        partition: u32,
        labels: &LabelIds,
        requested_model: Option<&str>,
        numbered: Option<Numbered<'_>>,
        facts: &Facts,
    ) {
        let at = self.by_partition.iter().position(|(other, _)| *other == partition);
        let at = at.unwrap_or_else(|| {
            self.by_partition.push((partition, EventColumns::with_capacity(self.capacity)));
            self.by_partition.len() - 1
        });
        let columns = &mut self.by_partition[at].1;
        columns.push(labels, requested_model, numbered, facts).expect("the events fit one frame");
    }

    /// Adds an event that was stamped before, its labels settled against the names known now.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn push_again(
        &mut self,
        labels: &Labels<'_>,
        facts: &Facts,
        known: &KnownNames,
        generation: &Generation,
        now_us: i64,
    ) -> Result<(), &'static str> {
        if facts.time_us < now_us - generation.window.past_us {
            return Err("it is too old to be counted by now");
        }
        if facts.time_us > now_us + generation.window.ahead_us {
            return Err("it is still too far ahead to be counted");
        }
        let ids = settle_again(labels, known).ok_or("its namespace is not registered")?;
        let partition = facts.key.partition(generation.partitions);
        self.push(partition, &ids, labels.requested_model, None, facts);
        Ok(())
    }

    pub fn into_partitions(self) -> Vec<(u32, EventColumns)> {
        self.by_partition
    }
}

/// The outcome of a batch, apart from its columns.
#[derive(Debug, Default)]
pub struct Stamped {
    /// Events added to the columns.
    pub n_events: usize,
    /// Reports of connections, which do not enter the log.
    pub connections: Vec<ConnectionsRow>,
    /// What was not accepted, sorted by index.
    pub rejects: Vec<Reject>,
    /// Indexes of accepted events too old to be counted.
    pub late: Vec<usize>,
    /// Indexes of accepted events too far ahead to be counted.
    pub future: Vec<usize>,
}

/// A parsed text.
#[derive(Debug)]
pub struct Text<'e, 'a> {
    /// Event ids are unique within it.
    pub source: &'e str,
    /// Its events, each with its index.
    pub events: &'e [(usize, Event<'a>)],
    /// What else it holds.
    pub rest: Rest<'a>,
}

/// Stamps texts.
#[derive(Debug)]
pub struct Stamper<'a> {
    pub known: &'a KnownNames,
    /// Limits who may report connections.
    pub gateways: &'a Gateways,
    /// Generation of the log.
    pub generation: &'a Generation,
    /// Now, microseconds since the epoch.
    pub now_us: i64,
}

impl Stamper<'_> {
    /// Stamps a text and adds its events to the columns, which have room for them. `settled` yields
    /// the labels of each event; `estimates` a count of each, or nothing at all.
    pub fn stamp<'e>(
        &self,
        text: Text<'e, '_>,
        settled: &mut impl Iterator<Item = Option<LabelIds>>,
        estimates: &mut impl Iterator<Item = Option<Usage>>,
        numbering: &mut Numbering<'e>,
        columns: &mut Columns,
    ) -> Stamped {
        let Text { source, events, rest } = text;
        let mut stamped = Stamped { rejects: rest.rejects, ..Stamped::default() };
        for (index, event) in events {
            let estimate = estimates.next().flatten();
            match settled.next().expect("one entry per event") {
                Some(labels) => {
                    let key = Key::of(&self.generation.secret, source, &event.id);
                    let numbered = numbering.of(source, event);
                    let partition = key.partition(self.generation.partitions);
                    columns.push_event(partition, event, labels, key, estimate, numbered);
                    self.note_window(*index, event, &mut stamped);
                }
                None => stamped.rejects.push(not_registered(*index, Some(&event.id))),
            }
        }
        let now = Instant::now();
        for (index, report) in rest.connections {
            match self.report(index, report, now) {
                Ok(row) => stamped.connections.push(row),
                Err(reject) => stamped.rejects.push(reject),
            }
        }
        stamped.rejects.sort_by_key(|reject| reject.index);
        stamped
    }

    /// Counts an accepted event, and notes it if it is outside the window.
    fn note_window(&self, index: usize, event: &Event<'_>, stamped: &mut Stamped) {
        stamped.n_events += 1;
        let window = &self.generation.window;
        if event.time_us < self.now_us - window.past_us {
            stamped.late.push(index);
        } else if event.time_us > self.now_us + window.ahead_us {
            stamped.future.push(index);
        }
    }

    /// The row of a connection report, if its namespace is registered and its gateway within the
    /// limit. A report from the future is dated now, or it would be shown until then.
    fn report(
        &self,
        index: usize,
        report: Connections<'_>,
        now: Instant,
    ) -> Result<ConnectionsRow, Reject> {
        if self.known.namespace(&report.namespace).is_none() {
            return Err(not_registered(index, None));
        }
        if !self.gateways.admit(&report.namespace, &report.gateway, now) {
            return Err(too_many_gateways(index));
        }
        Ok(ConnectionsRow {
            gateway: report.gateway.into_owned(),
            namespace: report.namespace.into_owned(),
            active: i64::try_from(report.active).unwrap_or(i64::MAX),
            seen_us: report.time_us.min(self.now_us),
        })
    }
}

/// The reject of a connection report above the limit of gateways.
fn too_many_gateways(index: usize) -> Reject {
    let max = GATEWAYS_PER_NAMESPACE_MAX;
    Reject {
        index,
        id: None,
        field: "gateway",
        kind: "gateways",
        reason: format!("is above the limit of {max} reporting gateways for a namespace").into(),
    }
}

/// The reject of an item whose namespace is not registered.
fn not_registered(index: usize, id: Option<&str>) -> Reject {
    Reject {
        index,
        id: id.map(str::to_owned),
        field: "namespace",
        kind: "namespace_not_registered",
        reason: "namespace_not_registered: automatic registration is off or at its limit".into(),
    }
}
