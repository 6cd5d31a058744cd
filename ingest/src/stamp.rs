//! Turns a parsed body into columns: settled labels, keys, fingerprints.
//!
//! Everything that depends on configuration is decided here and written down, so that a recount of
//! the log needs nothing else. A namespace is never merged into another: one that is not
//! registered rejects its event, any other label becomes `other`.

use std::time::Instant;

use event::frame::FrameBuilder;
use event::name::{NONE, OTHER, is_label};
use event::{Connections, Event, Facts, Key, Labels, Reject, Usage, UsageSource};
use store::{ConnectionsRow, Generation, LabelKind};

use crate::gateways::{GATEWAYS_PER_NAMESPACE_MAX, Gateways};
use crate::label::Known;

/// The source of every event that comes in over HTTP, until keys have sources of their own.
pub const SOURCE: &str = "default";

/// A body, ready for the log.
#[derive(Debug, Default)]
pub struct Stamped {
    /// Number of events that go into the log.
    pub n_events: usize,
    /// The events, by partition.
    pub builders: Vec<(u32, FrameBuilder)>,
    /// Reports of connections, which do not enter the log.
    pub connections: Vec<ConnectionsRow>,
    /// What was not accepted, by index.
    pub rejects: Vec<Reject>,
    /// Indexes of accepted events that will not be counted because they are too old.
    pub late: Vec<usize>,
    /// Indexes of accepted events that will not be counted because they are too far ahead.
    pub future: Vec<usize>,
}

/// Stamps the events of a body, with the estimates of those that have one, and adds them to what is
/// stamped already. All together are at most as many as fit one frame: bodies are bounded below
/// that, and whoever adds several watches it.
pub fn stamp(
    events: &[(usize, Event<'_>)],
    estimates: &[Option<Usage>],
    known: &Known,
    generation: &Generation,
    source: &str,
    now_us: i64,
    stamped: &mut Stamped,
) {
    let window = &generation.window;
    for (at, (index, event)) in events.iter().enumerate() {
        let estimate = estimates.get(at).copied().flatten();
        let Some(mut labels) = settle(event, known) else {
            stamped.rejects.push(not_registered(*index, Some(&event.id)));
            continue;
        };
        if estimate.is_some() {
            labels.source = UsageSource::Estimated;
        }
        let key = Key::of(&generation.secret, source, &event.id);
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
        let partition = key.partition(generation.partitions);
        builder(&mut stamped.builders, partition)
            .push(&labels, &facts)
            .expect("a body has fewer events than a frame");
        stamped.n_events += 1;
        if event.time_us < now_us - window.past_us {
            stamped.late.push(*index);
        } else if event.time_us > now_us + window.ahead_us {
            stamped.future.push(*index);
        }
    }
}

/// The builder of a partition, made when it is first needed.
pub fn builder(builders: &mut Vec<(u32, FrameBuilder)>, partition: u32) -> &mut FrameBuilder {
    let at = builders.iter().position(|(other, _)| *other == partition);
    let at = at.unwrap_or_else(|| {
        builders.push((partition, FrameBuilder::default()));
        builders.len() - 1
    });
    &mut builders[at].1
}

/// The labels of an event, or nothing if its namespace is not registered.
fn settle<'e>(event: &'e Event<'_>, known: &Known) -> Option<Labels<'e>> {
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
        // Part of no row: it needs no budget, only letters that are allowed.
        requested_model: event
            .requested_model
            .as_deref()
            .map(|name| if is_label(name) { name } else { OTHER }),
        consumer,
    })
}

/// The labels of an event that was stamped before, as names are known now; nothing if its namespace
/// is not registered.
pub fn settle_again<'e>(labels: &Labels<'e>, known: &Known) -> Option<Labels<'e>> {
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

/// Keeps the reports of connections of registered namespaces, of so many gateways each. A report
/// from the future counts as one of now, or it would be shown until then.
pub fn stamp_connections(
    reports: Vec<(usize, Connections<'_>)>,
    known: &Known,
    gateways: &Gateways,
    now_us: i64,
    stamped: &mut Stamped,
) {
    let now = Instant::now();
    for (index, report) in reports {
        if !known.has(LabelKind::Namespace, "", &report.namespace) {
            stamped.rejects.push(not_registered(index, None));
            continue;
        }
        if !gateways.admit(&report.namespace, &report.gateway, now) {
            stamped.rejects.push(too_many_gateways(index));
            continue;
        }
        stamped.connections.push(ConnectionsRow {
            gateway: report.gateway.into_owned(),
            namespace: report.namespace.into_owned(),
            active: i64::try_from(report.active).unwrap_or(i64::MAX),
            seen_us: report.time_us.min(now_us),
        });
    }
}

/// The reject of a report of one gateway too many.
fn too_many_gateways(index: usize) -> Reject {
    let max = GATEWAYS_PER_NAMESPACE_MAX;
    Reject {
        index,
        id: None,
        field: "gateway",
        kind: "gateways",
        reason: format!("is one more than the {max} gateways that may report for a namespace")
            .into(),
    }
}

/// The reject of an item whose namespace is not registered.
fn not_registered(index: usize, id: Option<&str>) -> Reject {
    Reject {
        index,
        id: id.map(str::to_owned),
        field: "namespace",
        kind: "namespace_not_registered",
        reason: "namespace_not_registered: no more namespaces are registered by themselves".into(),
    }
}
