//! Properties of `state`: rows are those that decoding gives, however warm the caches are, and a
//! commit has the sums of its events.

use std::collections::BTreeMap;

use event::frame::{FrameBuilder, FrameReader, Stamp};
use event::{Key, Method, Outcome, ServiceTier, Usage};
use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["team-a", "b", "openai", "gpt-4o"];
/// Good names of consumers; a garbled tuple makes bad ones of them.
const CONSUMERS: [Option<&str>; 4] = [None, Some("key-1"), Some("用户"), Some("b")];

/// One of some labels, all of them well formed.
fn labels(n: u32) -> Labels<'static> {
    let pick = |shift: u32| NAMES[(n >> shift) as usize % 4];
    let is_error = n >> 6 & 7 == 0;
    Labels {
        status: if is_error { 504 } else { 200 },
        method: Method::Post,
        outcome: if is_error { Outcome::Timeout } else { Outcome::Success },
        service_tier: ServiceTier::Standard,
        source: UsageSource::EACH[(n >> 9) as usize % 3],
        is_final: n >> 11 & 3 != 0,
        namespace: NAMES[n as usize % 2],
        upstream: pick(1),
        model: pick(3),
        endpoint: "/v1/chat/completions",
        limited_by: (n >> 5 & 1 == 0).then_some("policy"),
        stream: n >> 13 & 1 == 0,
        requested_model: (n >> 14 & 1 == 0).then_some("m"),
        consumer: CONSUMERS[(n >> 15) as usize % 4],
    }
}

/// Bytes of a tuple: those of good labels, or garbled.
fn tuple() -> impl Strategy<Value = Vec<u8>> {
    let garbled = prop::option::of((any::<prop::sample::Index>(), any::<u8>(), 0..5));
    (any::<u32>(), garbled).prop_map(|(n, garbled)| {
        let mut bytes = Vec::new();
        labels(n).encode(&mut bytes);
        if let Some((at, byte, how)) = garbled {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.truncate(at),
                3 => bytes.push(byte),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

fn facts(n: u64, time_us: i64, usage: Usage) -> Facts {
    Facts {
        key: Key(u128::from(n).to_le_bytes()),
        time_us,
        duration_us: n,
        ttft_us: None,
        usage,
        cost_nano: None,
        attempt: 0,
        fingerprint: n,
    }
}

/// What decoding says of a tuple: labels of its full row and its consumer row, with their ids.
fn decoded(bytes: &[u8]) -> Option<(FullLabels, ConsumerLabels, SeriesId, SeriesId)> {
    let (labels, _) = Labels::decode(bytes).ok()?;
    let mut identity = Vec::new();
    ConsumerLabels::encode(&labels, &mut identity);
    let full = FullLabels::of(&labels);
    let id = full.id();
    Some((full, ConsumerLabels::of(&labels), id, ConsumerLabels::id_of(&identity)))
}

/// What the rows say of it.
fn found(
    rows: &mut Rows,
    bytes: &[u8],
) -> Option<(FullLabels, ConsumerLabels, SeriesId, SeriesId)> {
    let Tuple { source, is_final, row, consumer } = rows.tuple(bytes)?;
    let Row { id, labels, short } = &rows.rows[row as usize];
    assert_eq!((source, is_final), (labels.source, labels.is_final));
    assert_eq!(*short, labels.short().id());
    let (consumer_id, consumer) = rows.consumers.row(consumer);
    Some((labels.as_ref().clone(), consumer.as_ref().clone(), *id, *consumer_id))
}

proptest! {
    #[test]
    fn rows_are_those_of_the_decoded_labels_in_whatever_order_tuples_come(
        tuples in prop::collection::vec(tuple(), 1..60), again in any::<prop::sample::Index>(),
    ) {
        let mut rows = Rows::default();
        let again = again.index(tuples.len());
        for bytes in tuples.iter().chain(&tuples[again..]) {
            prop_assert_eq!(found(&mut rows, bytes), decoded(bytes));
        }
    }

    #[test]
    fn every_fault_is_seen_behind_a_tuple_whose_row_and_consumer_are_known(
        n in any::<u32>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let (mut rows, mut good) = (Rows::default(), Vec::new());
        labels(n).encode(&mut good);
        prop_assert!(rows.tuple(&good).is_some());
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed[at] = byte;
        let mut longer = good.clone();
        longer.insert(at, byte);
        for bytes in [&changed, &good[..at].to_vec(), &longer, &good] {
            prop_assert_eq!(found(&mut rows, bytes), decoded(bytes));
        }
    }

    #[test]
    fn a_commit_has_the_sums_of_its_events_in_the_order_of_their_keys(
        events in prop::collection::vec((any::<u32>(), 0..70_i64), 1..80),
    ) {
        let (mut rows, mut pending) = (Rows::default(), Pending::default());
        let mut expected = Expected::default();
        for (n, minute) in events {
            let labels = Labels { source: UsageSource::Reported, ..labels(n) };
            let usage = Usage { input: Some(n % 100), ..Usage::default() };
            let facts = facts(u64::from(n), minute * MINUTE_US, usage);
            let mut bytes = Vec::new();
            labels.encode(&mut bytes);
            let tuples = Tuples { known: vec![rows.tuple(&bytes)] };
            let slots = tuples.slots(0, facts.time_us, &mut pending);
            pending.count(slots, &facts);
            expected.add(&labels, &facts, minute);
        }
        let folded = pending.fold(&rows);
        let totals = folded.totals.into_iter().map(|(id, labels, sums)| (id, (labels, sums)));
        prop_assert_eq!(totals.collect::<Vec<_>>(), Vec::from_iter(expected.totals));
        let keyed = |(at, id, sums)| ((at, id), sums);
        let quarters: Vec<_> = folded.quarters.into_iter().map(keyed).collect();
        prop_assert_eq!(quarters, Vec::from_iter(expected.quarters));
        let minutes: Vec<_> = folded.minutes.into_iter().map(keyed).collect();
        prop_assert_eq!(minutes, Vec::from_iter(expected.minutes));
        prop_assert_eq!(folded.shorts, Vec::from_iter(expected.shorts));
        let used: Vec<_> = folded.used.into_iter().map(|(at, id, sums)| ((at, id), sums)).collect();
        prop_assert_eq!(used, Vec::from_iter(expected.used));
        prop_assert_eq!(folded.consumers, Vec::from_iter(expected.consumers));
    }
}

/// The rows of a commit, kept the plain way.
#[derive(Debug, Default)]
struct Expected {
    totals: BTreeMap<SeriesId, (Arc<FullLabels>, Measures)>,
    quarters: BTreeMap<(i64, SeriesId), Measures>,
    shorts: BTreeMap<SeriesId, ShortLabels>,
    minutes: BTreeMap<(i64, SeriesId), Measures>,
    consumers: BTreeMap<SeriesId, Arc<ConsumerLabels>>,
    used: BTreeMap<(i64, SeriesId), ConsumerSums>,
}

impl Expected {
    fn add(&mut self, labels: &Labels<'_>, facts: &Facts, minute: i64) {
        let (full, quarter) = (FullLabels::of(labels), minute.div_euclid(15));
        let (id, short) = (full.id(), full.short());
        self.quarters.entry((quarter, id)).or_default().add_event(facts);
        self.minutes.entry((minute, short.id())).or_default().add_event(facts);
        self.shorts.insert(short.id(), short);
        self.totals.entry(id).or_insert((full.into(), Measures::default())).1.add_event(facts);
        let mut identity = Vec::new();
        ConsumerLabels::encode(labels, &mut identity);
        let id = ConsumerLabels::id_of(&identity);
        self.consumers.insert(id, ConsumerLabels::of(labels).into());
        self.used.entry((quarter, id)).or_default().add_event(facts, labels.is_final);
    }
}

/// A frame in which nearly every event has a tuple of its own.
fn frame(first: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::default();
    for n in first..first + 1_000 {
        let labels = Labels { source: UsageSource::Reported, ..labels(n as u32 * 131) };
        let usage = Usage { input: Some(1), ..Usage::default() };
        builder.push(&labels, &facts(n, MINUTE_US, usage)).expect("room");
    }
    builder.encode(Stamp { ingest_us: MINUTE_US, tokenizer_version: 0, price_version: 0 })
}

#[test]
fn events_of_known_labels_are_read_and_counted_without_an_allocation() {
    let (mut reader, mut tuples) = (FrameReader::default(), Tuples::default());
    let (mut rows, mut pending) = (Rows::default(), Pending::default());
    let frame = frame(0);
    let mut count = || {
        let view = reader.read(&frame).expect("a frame");
        assert!(view.n_tuples() > 500, "{} tuples", view.n_tuples());
        tuples.load(&view, &mut rows);
        for idx in 0..view.len() {
            let facts = tuples.facts(&view, idx).expect("not poison");
            let slots = tuples.slots(view.tuple(idx), facts.time_us, &mut pending);
            pending.count(slots, &facts);
        }
    };
    count();
    let counted = allocation_counter::measure(count);
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert_eq!(pending.journal.counted, 2_000);
}
