//! Any bytes as a body of events: the scanner and serde must read the same, and what they read must
//! survive a frame.
//!
//! The body goes through `event::native::parse` and through serde alone. Events, reports, rejects
//! and errors must be equal, and every item must be in exactly one list. The events then become a
//! frame, as the ingest would settle them with all names known, and are read from it again. Nothing
//! may panic. CONTRIBUTING.md says how to run it.

#![no_main]

use event::frame::{FrameBuilder, FrameReader, Stamp};
use event::limits::{BATCH_EVENTS_MAX, ID_BYTES_MAX};
use event::name::{NONE, OTHER, is_consumer, is_label};
use event::native::{Batch, parse, parse_by_serde};
use event::reject::REASONS;
use event::{Event, Facts, Key, Labels, Secret};
use libfuzzer_sys::fuzz_target;

const SECRET: Secret = Secret([7; 32]);
const STAMP: Stamp = Stamp { ingest_us: 5, tokenizer_version: 3, price_version: 9 };

fuzz_target!(|body: &[u8]| {
    let batch = parse(body);
    assert_eq!(batch, parse_by_serde(body), "the scanner and serde differ");
    if let Ok(batch) = batch {
        check_account(&batch);
        check_frame(&batch);
    }
});

/// Every item is in exactly one list, each in the order of the body; every reject has a known word.
fn check_account(batch: &Batch<'_>) {
    let events = batch.events.iter().map(|(index, _)| *index);
    let connections = batch.connections.iter().map(|(index, _)| *index);
    let rejects = batch.rejects.iter().map(|reject| reject.index);
    assert!(events.clone().is_sorted() && connections.clone().is_sorted());
    assert!(rejects.clone().is_sorted());
    let mut indexes: Vec<usize> = events.chain(connections).chain(rejects).collect();
    indexes.sort_unstable();
    assert!(indexes.into_iter().eq(0..batch.n_items), "an item is lost or doubled");
    assert!(batch.n_items <= BATCH_EVENTS_MAX);
    for reject in &batch.rejects {
        assert!(REASONS.contains(&reject.kind));
        assert!(reject.id.as_ref().is_none_or(|id| id.len() <= ID_BYTES_MAX));
    }
}

/// The frame of all events has the labels and facts of each.
fn check_frame(batch: &Batch<'_>) {
    let mut builder = FrameBuilder::default();
    for (_, event) in &batch.events {
        builder.push(&labels(event), &facts(event)).expect("a body has fewer events than a frame");
    }
    if builder.is_empty() {
        return;
    }
    let record = builder.encode(STAMP);
    let mut reader = FrameReader::default();
    let frame = reader.read(&record).expect("what was encoded is a frame");
    assert_eq!((frame.len(), frame.envelope().stamp), (batch.events.len(), STAMP));
    for (idx, (_, event)) in batch.events.iter().enumerate() {
        let found = frame.labels(idx).expect("settled labels decode");
        assert_eq!(found, labels(event));
        assert_eq!(frame.facts(idx, found.source), Some(facts(event)));
    }
}

/// The labels of an event if every name of it is registered.
fn labels<'a>(event: &'a Event<'_>) -> Labels<'a> {
    let label = |name: &'a str| if is_label(name) { name } else { OTHER };
    let consumer = |name: &'a str| if is_consumer(name) { name } else { OTHER };
    Labels {
        status: event.status,
        method: event.method,
        outcome: event.outcome(),
        service_tier: event.service_tier,
        source: event.usage_source(),
        is_final: event.is_final,
        namespace: &event.namespace,
        upstream: label(&event.upstream),
        model: event.counted_model().map_or(NONE, label),
        endpoint: label(&event.endpoint),
        limited_by: event.limited_by.as_deref().map(label),
        stream: event.stream,
        requested_model: event.requested_model.as_deref().map(label),
        consumer: event.consumer.as_deref().map(consumer),
    }
}

fn facts(event: &Event<'_>) -> Facts {
    Facts {
        key: Key::of(&SECRET, "default", &event.id),
        time_us: event.time_us,
        duration_us: event.duration_us,
        ttft_us: event.ttft_us,
        usage: event.usage,
        cost_nano: None,
        attempt: event.attempt,
        fingerprint: event.fingerprint(),
    }
}
