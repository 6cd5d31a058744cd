//! Turns a parsed batch into columns: resolved labels, keys, fingerprints.
//!
//! Everything that depends on configuration is decided here and recorded in the log, so that a
//! recount needs nothing else. Namespaces must never be merged: an unregistered one rejects its
//! event, whereas any other unregistered label becomes `other`.

use std::time::Instant;

use event::frame::FrameBuilder;
use event::limits::{BATCH_EVENTS_MAX, FRAME_EVENTS_MAX};
use event::name::{NONE, OTHER, is_label};
use event::native::Batch;
use event::{Connections, Event, Facts, Key, Labels, Reject, Usage, UsageSource};
use store::{ConnectionsRow, Generation, LabelKind};

use crate::gateways::{GATEWAYS_PER_NAMESPACE_MAX, Gateways};
use crate::label::KnownNames;

/// The source of every event received over HTTP, until keys have sources of their own.
pub const SOURCE: &str = "default";

/// Columns of events by partition, in total at most as many as fit one frame.
#[derive(Debug, Default)]
pub struct Columns {
    n_events: usize,
    builders: Vec<(u32, FrameBuilder)>,
}

impl Columns {
    /// Whether the largest batch still fits.
    pub fn have_room(&self) -> bool {
        self.n_events + BATCH_EVENTS_MAX <= FRAME_EVENTS_MAX
    }

    /// Adds an event to the columns of its partition.
    pub fn push(&mut self, partition: u32, labels: &Labels<'_>, facts: &Facts) {
        let at = self.builders.iter().position(|(other, _)| *other == partition);
        let at = at.unwrap_or_else(|| {
            self.builders.push((partition, FrameBuilder::default()));
            self.builders.len() - 1
        });
        self.builders[at].1.push(labels, facts).expect("there is room for the batch");
        self.n_events += 1;
    }

    /// Adds an event that was stamped before, its labels resolved against the names known now.
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
        let labels = resolve_again(labels, known).ok_or("its namespace is not registered")?;
        self.push(facts.key.partition(generation.partitions), &labels, facts);
        Ok(())
    }

    pub fn into_builders(self) -> Vec<(u32, FrameBuilder)> {
        self.builders
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

/// Stamps batches.
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
    /// Stamps a batch under a source and adds its events to the columns, which must have room for
    /// it. `estimates` has an entry per event, or is empty.
    pub fn stamp(
        &self,
        batch: Batch<'_>,
        estimates: &[Option<Usage>],
        source: &str,
        columns: &mut Columns,
    ) -> Stamped {
        let mut stamped = Stamped { rejects: batch.rejects, ..Stamped::default() };
        for (at, (index, event)) in batch.events.iter().enumerate() {
            let estimate = estimates.get(at).copied().flatten();
            self.event(*index, event, estimate, source, &mut stamped, columns);
        }
        let now = Instant::now();
        for (index, report) in batch.connections {
            match self.report(index, report, now) {
                Ok(row) => stamped.connections.push(row),
                Err(reject) => stamped.rejects.push(reject),
            }
        }
        stamped.rejects.sort_by_key(|reject| reject.index);
        stamped
    }

    fn event(
        &self,
        index: usize,
        event: &Event<'_>,
        estimate: Option<Usage>,
        source: &str,
        stamped: &mut Stamped,
        columns: &mut Columns,
    ) {
        let Some(mut labels) = resolve(event, self.known) else {
            stamped.rejects.push(not_registered(index, Some(&event.id)));
            return;
        };
        if estimate.is_some() {
            labels.source = UsageSource::Estimated;
        }
        let key = Key::of(&self.generation.secret, source, &event.id);
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
        columns.push(key.partition(self.generation.partitions), &labels, &facts);
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
        if !self.known.has(LabelKind::Namespace, "", &report.namespace) {
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

/// The labels of an event. Returns `None` if its namespace is not registered.
fn resolve<'e>(event: &'e Event<'_>, known: &KnownNames) -> Option<Labels<'e>> {
    let namespace = event.namespace.as_ref();
    if !known.has(LabelKind::Namespace, "", namespace) {
        return None;
    }
    let settled = |kind: LabelKind, name: &'e str| {
        if known.has(kind, "", name) { name } else { OTHER }
    };
    let model = match event.counted_model() {
        Some(name) if known.has(LabelKind::Model, "", name) => name,
        Some(_) if event.may_bring_model() => OTHER,
        _ => NONE,
    };
    let consumer = event
        .consumer
        .as_deref()
        .map(|name| if known.has(LabelKind::Consumer, namespace, name) { name } else { OTHER });
    Some(Labels {
        status: event.status,
        method: event.method,
        outcome: event.outcome(),
        service_tier: event.service_tier,
        source: event.usage_source(),
        is_final: event.is_final,
        namespace,
        upstream: settled(LabelKind::Upstream, &event.upstream),
        model,
        endpoint: settled(LabelKind::Endpoint, &event.endpoint),
        limited_by: event.limited_by.as_deref().map(|name| settled(LabelKind::Policy, name)),
        stream: event.stream,
        // Not part of any row, so it needs no budget, only valid characters.
        requested_model: event
            .requested_model
            .as_deref()
            .map(|name| if is_label(name) { name } else { OTHER }),
        consumer,
    })
}

/// The labels of an event that was stamped before. Returns `None` if its namespace is not
/// registered.
fn resolve_again<'e>(labels: &Labels<'e>, known: &KnownNames) -> Option<Labels<'e>> {
    let namespace = labels.namespace;
    if !known.has(LabelKind::Namespace, "", namespace) {
        return None;
    }
    let settled = |kind: LabelKind, scope: &str, name: &'e str| {
        let is_word = name == NONE || name == OTHER;
        if is_word || known.has(kind, scope, name) { name } else { OTHER }
    };
    Some(Labels {
        upstream: settled(LabelKind::Upstream, "", labels.upstream),
        model: settled(LabelKind::Model, "", labels.model),
        endpoint: settled(LabelKind::Endpoint, "", labels.endpoint),
        limited_by: labels.limited_by.map(|name| settled(LabelKind::Policy, "", name)),
        consumer: labels.consumer.map(|name| settled(LabelKind::Consumer, namespace, name)),
        ..*labels
    })
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
