//! What reading, settling and stamping texts of known names allocates: room for their events in the
//! columns of each partition, and nothing per event or per text.

use std::time::Instant;

use event::Secret;
use ledger::window::Window;
use prometheus::IntCounter;
use store::{Generation, LabelKind, LabelName};

use crate::gateways::Gateways;
use crate::names::KnownNames;
use crate::parsed::tests::texts;
use crate::parsed::{Parsed, Texts};
use crate::producers::{Numbering, Producers};
use crate::settle::Settler;
use crate::stamp::{Columns, SOURCE, Stamper, Text};

const N_EVENTS: usize = 500;
const N_PARTITIONS: u32 = 6;
const NOW_US: i64 = 1_769_862_896_000_000;

/// Events of a few names.
fn events() -> Vec<String> {
    let event = |n: usize| {
        format!(
            r#"{{"id":"evt-{n:016x}","time":{NOW_US},"namespace":"team-{}","upstream":"openai",
              "model":"model-{}","method":"POST","endpoint":"/v1/chat/completions","status":200,
              "duration_ms":1534.2,"usage":{{"input_tokens":1500,"output_tokens":300}},
              "request_id":"req-{n:016x}","consumer":"key-{}","limited_by":"budget",
              "producer":"gw-1.0","epoch":1769862000,"seq":{}}}"#,
            n % 3,
            n % 8,
            n % 50,
            n + 1,
        )
    };
    (0..N_EVENTS).map(|n| event(n).replace('\n', " ")).collect()
}

/// One text of all events.
fn one_text() -> Texts {
    Texts::one(format!("[{}]", events().join(",")).into(), SOURCE.into())
}

/// All names of the events.
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
fn texts_of_known_names_allocate_for_their_partitions_and_not_per_event_or_text() {
    let (known, gateways, producers) = (known(), Gateways::default(), Producers::default());
    let unnumbered = IntCounter::new("unnumbered", "not numbered").expect("a name");
    let generation = Generation {
        generation: 0,
        partitions: N_PARTITIONS,
        secret: Secret([7; 32]),
        window: Window::default(),
    };
    for (texts, n_texts) in [(one_text(), 1), (texts(SOURCE, &events()), N_EVENTS)] {
        let texts = [texts];
        let (mut parsed, mut settled) = (None, Vec::new());
        let found = allocation_counter::measure(|| parsed = Some(Parsed::of(&texts, 0)));
        let parsed = parsed.expect("it was parsed");
        // Room for all events, and the list of texts that doubles: 4 entries, 8, .. 512.
        assert!(found.count_total <= 1 + 8, "{} allocations to read", found.count_total);
        let found = allocation_counter::measure(|| {
            let mut settler = Settler::new(&known, Instant::now());
            settled = settler.settle(parsed.events());
            assert!(!settler.has_new);
        });
        // The number of events is not known beforehand, so the list doubles.
        assert!(found.count_total <= 8, "{} allocations to settle", found.count_total);

        let stamper =
            Stamper { known: &known, gateways: &gateways, generation: &generation, now_us: NOW_US };
        let (events, rests) = parsed.into_parts();
        assert_eq!((events.len(), rests.len()), (N_EVENTS, n_texts));
        let mut columns = Columns::with_capacity(N_EVENTS, N_PARTITIONS);
        let mut numbering = Numbering::new(&producers, &unnumbered, Instant::now());
        let found = allocation_counter::measure(|| {
            let (mut settled, none) = (settled.iter().copied(), &mut std::iter::empty());
            let mut events = events.as_slice();
            for text in rests {
                let rest = text.rest.expect("readable");
                let its_own = events.split_off(..rest.n_events).expect("its events");
                let n_events = its_own.len();
                let text = Text { source: SOURCE, events: its_own, rest };
                let stamped = stamper.stamp(text, &mut settled, none, &mut numbering, &mut columns);
                assert_eq!((stamped.n_events, stamped.rejects.len()), (n_events, 0));
            }
        });
        // 14 buffers a partition and its producer and numbers, which grow by doubling; the list of
        // partitions, and some room for shares above the average.
        let max = u64::from(N_PARTITIONS) * (14 * 2 + 8) + 2;
        assert!(found.count_total <= max, "{} allocations to stamp", found.count_total);
    }
}
