//! What settling and stamping a batch of known names allocates: room for its events in the columns
//! of each partition, and nothing per event.

use std::time::Instant;

use event::Secret;
use ledger::window::Window;
use store::{Generation, LabelKind, LabelName};

use crate::gateways::Gateways;
use crate::names::KnownNames;
use crate::parsed::{Parsed, Texts};
use crate::settle::Settler;
use crate::stamp::{Columns, SOURCE, Stamper};

const N_EVENTS: usize = 500;
const N_PARTITIONS: u32 = 6;
const NOW_US: i64 = 1_769_862_896_000_000;

/// A body of events of a few names.
fn body() -> String {
    let event = |n: usize| {
        format!(
            r#"{{"id":"evt-{n:016x}","time":{NOW_US},"namespace":"team-{}","upstream":"openai",
              "model":"model-{}","method":"POST","endpoint":"/v1/chat/completions","status":200,
              "duration_ms":1534.2,"usage":{{"input_tokens":1500,"output_tokens":300}},
              "request_id":"req-{n:016x}","consumer":"key-{}","limited_by":"budget"}}"#,
            n % 3,
            n % 8,
            n % 50,
        )
    };
    format!("[{}]", (0..N_EVENTS).map(event).collect::<Vec<_>>().join(","))
}

/// All names of the body.
fn known() -> KnownNames {
    let mut known = KnownNames::default();
    let mut insert = |kind, scope: &str, name: String| {
        known.insert(&LabelName { kind, scope: scope.to_owned(), name });
    };
    insert(LabelKind::Upstream, "", "openai".to_owned());
    insert(LabelKind::Endpoint, "", "/v1/chat/completions".to_owned());
    insert(LabelKind::Policy, "", "budget".to_owned());
    for n in 0..8 {
        insert(LabelKind::Model, "", format!("model-{n}"));
    }
    for team in ["team-0", "team-1", "team-2"] {
        insert(LabelKind::Namespace, "", team.to_owned());
        for n in 0..50 {
            insert(LabelKind::Consumer, team, format!("key-{n}"));
        }
    }
    known
}

#[test]
fn a_batch_of_known_names_allocates_for_its_partitions_and_not_per_event() {
    let (known, gateways) = (known(), Gateways::default());
    let generation = Generation {
        generation: 0,
        partitions: N_PARTITIONS,
        secret: Secret([7; 32]),
        window: Window::default(),
    };
    let texts = [Texts::one(body().into(), SOURCE.into())];
    let parsed = Parsed::of(&texts, 0);
    let mut settled = Vec::new();
    let found = allocation_counter::measure(|| {
        let mut settler = Settler::new(&known, Instant::now());
        settled = settler.settle(parsed.events());
        assert!(!settler.has_new);
    });
    // The number of events is not known beforehand, so the list doubles: 4 entries, 8, .. 512.
    assert!(found.count_total <= 8, "{} allocations to settle", found.count_total);

    let stamper =
        Stamper { known: &known, gateways: &gateways, generation: &generation, now_us: NOW_US };
    let batch = parsed.into_texts().pop().and_then(|text| text.batch.ok()).expect("a body");
    let mut columns = Columns::with_capacity(N_EVENTS, N_PARTITIONS);
    let found = allocation_counter::measure(|| {
        let mut settled = settled.iter().copied();
        let none = &mut std::iter::empty();
        let stamped = stamper.stamp(batch, &mut settled, none, SOURCE, &mut columns);
        assert_eq!((stamped.n_events, stamped.rejects.len()), (N_EVENTS, 0));
    });
    // 14 buffers a partition, the list of partitions, and some room for shares above the average.
    let max = u64::from(N_PARTITIONS) * 14 * 2 + 2;
    assert!(found.count_total <= max, "{} allocations to stamp", found.count_total);
}
