//! Properties of `state`: an event is counted by the labels that its frame gives it, however warm
//! the caches are, and a commit has the sums of its events.

use std::collections::BTreeMap;

use event::frame::envelope::{ENVELOPE_BYTES, Envelope};
use event::frame::{FrameBuilder, FrameReader, FrameView, Stamp, Version};
use event::{Key, Labels, Method, Outcome, ServiceTier, Usage, UsageSource};
use proptest::prelude::*;

use super::*;
use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::series::{FullLabels, SeriesId, ShortLabels};

const NAMES: [&str; 4] = ["team-a", "b", "openai", "gpt-4o"];
/// Good names of consumers; a garbled frame makes bad ones of them.
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

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V2)]
}

/// A frame of good events, of which some bytes behind the envelope are garbled.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let garbled =
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4);
    let events = prop::collection::vec((any::<u32>(), any::<bool>()), 1..12);
    (events, version(), garbled).prop_map(|(events, version, garbled)| {
        let mut builder = FrameBuilder::new(version);
        for (n, has_usage) in events {
            let usage = Usage { input: has_usage.then_some(n % 100), ..Usage::default() };
            builder.push(&labels(n), &facts(n.into(), MINUTE_US, usage)).expect("room");
        }
        let mut bytes = builder.encode(stamp());
        for (at, byte, is_flip) in garbled {
            // Half of them in the first bytes, where lengths and texts are.
            let n_bytes = bytes.len() - ENVELOPE_BYTES;
            let n_bytes = if byte & 1 == 0 { n_bytes } else { n_bytes.min(200) };
            let at = ENVELOPE_BYTES + at.index(n_bytes);
            bytes[at] = if is_flip { bytes[at] ^ 1 << (byte % 8) } else { byte };
        }
        let payload_crc = crc32c::crc32c(&bytes[ENVELOPE_BYTES..]);
        let envelope = Envelope { payload_crc, ..Envelope::decode(&bytes).expect("an envelope") };
        bytes[..ENVELOPE_BYTES].copy_from_slice(&envelope.encode());
        bytes
    })
}

fn stamp() -> Stamp {
    Stamp { ingest_us: MINUTE_US, tokenizer_version: 0, price_version: 0 }
}

fn facts(n: u64, time_us: i64, usage: Usage) -> Facts {
    Facts {
        key: Key(u128::from(n).to_le_bytes()),
        time_us,
        duration_us: n,
        ttft_us: n.is_multiple_of(2).then_some(n / 3),
        usage,
        cost_nano: None,
        attempt: 0,
        fingerprint: n,
    }
}

/// What an event is counted by: facts, and labels of its full row and its consumer row with their
/// ids.
type Counted = (Facts, FullLabels, ConsumerLabels, SeriesId, SeriesId);

/// What the labels of an event say.
fn expected(view: &FrameView<'_>, idx: usize) -> Option<Counted> {
    let labels = view.labels(idx).ok()?;
    let facts = view.facts(idx, labels.source)?;
    let mut identity = Vec::new();
    ConsumerLabels::encode(&labels, &mut identity);
    let full = FullLabels::of(&labels);
    let id = full.id();
    Some((facts, full, ConsumerLabels::of(&labels), id, ConsumerLabels::id_of(&identity)))
}

/// What the rows say of it.
fn found(
    frame_rows: &mut FrameRows,
    rows: &mut Rows,
    view: &FrameView<'_>,
    idx: usize,
) -> Option<Counted> {
    frame_rows.find(view, idx..idx + 1, rows, true);
    let (facts, event) = frame_rows.facts(view, idx)?;
    let (consumer_id, consumer) = rows.consumers().row(event.consumer);
    let rows::Row { id, labels, short } = rows.row(event.row);
    assert_eq!((event.is_final, short.0), (labels.is_final, labels.short().id()));
    Some((facts, labels.as_ref().clone(), consumer.as_ref().clone(), *id, *consumer_id))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_event_is_counted_by_its_labels_in_whatever_order_frames_come(
        frames in prop::collection::vec(any_frame(), 1..8), again in any::<prop::sample::Index>(),
    ) {
        let (mut reader, mut frame_rows) = (FrameReader::default(), FrameRows::default());
        let mut rows = Rows::default();
        let again = again.index(frames.len());
        for frame in frames.iter().chain(&frames[again..]) {
            let Ok(view) = reader.read(frame) else { continue };
            frame_rows.load(&view, &mut rows);
            for idx in (0..view.len()).chain(0..view.len()) {
                let expected = expected(&view, idx);
                prop_assert_eq!(found(&mut frame_rows, &mut rows, &view, idx), expected);
            }
        }
    }

    #[test]
    fn a_commit_has_the_sums_of_its_events_in_the_order_of_their_keys(
        events in prop::collection::vec((any::<u32>(), 0..70_i64), 1..80), version in version(),
    ) {
        let (mut rows, mut pending) = (Rows::default(), Pending::default());
        let mut sums = Expected::default();
        let mut builder = FrameBuilder::new(version);
        for (n, minute) in events {
            let labels = Labels { source: UsageSource::Reported, ..labels(n) };
            let usage =
                Usage { input: Some(n % 100), output: Some(n % 7), ..Usage::default() };
            let facts = facts(u64::from(n), minute * MINUTE_US, usage);
            builder.push(&labels, &facts).expect("room");
            sums.add(&labels, &facts, minute);
        }
        let (frame, mut reader) = (builder.encode(stamp()), FrameReader::default());
        let view = reader.read(&frame).expect("a frame");
        count(&view, &mut FrameRows::default(), &mut rows, &mut pending);
        let folded = pending.fold(&rows);
        let totals = folded.totals.into_iter().map(|(id, labels, sums)| (id, (labels, sums)));
        prop_assert_eq!(totals.collect::<Vec<_>>(), Vec::from_iter(sums.totals));
        let keyed = |(at, id, sums)| ((at, id), sums);
        let quarters: Vec<_> = folded.quarters.into_iter().map(keyed).collect();
        prop_assert_eq!(quarters, Vec::from_iter(sums.quarters));
        let minutes: Vec<_> = folded.minutes.into_iter().map(keyed).collect();
        prop_assert_eq!(minutes, Vec::from_iter(sums.minutes));
        prop_assert_eq!(folded.shorts, Vec::from_iter(sums.shorts));
        let used: Vec<_> = folded.used.into_iter().map(|(at, id, sums)| ((at, id), sums)).collect();
        prop_assert_eq!(used, Vec::from_iter(sums.used));
        prop_assert_eq!(folded.consumers, Vec::from_iter(sums.consumers));
    }
}

/// The rows of a commit, kept the plain way.
#[derive(Debug, Default)]
struct Expected {
    totals: BTreeMap<SeriesId, (Arc<FullLabels>, Measures)>,
    quarters: BTreeMap<(i64, SeriesId), Measures>,
    shorts: BTreeMap<SeriesId, Arc<ShortLabels>>,
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
        self.shorts.insert(short.id(), Arc::new(short));
        self.totals.entry(id).or_insert((full.into(), Measures::default())).1.add_event(facts);
        let mut identity = Vec::new();
        ConsumerLabels::encode(labels, &mut identity);
        let id = ConsumerLabels::id_of(&identity);
        self.consumers.insert(id, ConsumerLabels::of(labels).into());
        self.used.entry((quarter, id)).or_default().add_event(facts, labels.is_final);
    }
}

/// Counts every event of a frame.
fn count(view: &FrameView<'_>, frame_rows: &mut FrameRows, rows: &mut Rows, pending: &mut Pending) {
    frame_rows.load(view, rows);
    frame_rows.find(view, 0..view.len(), rows, true);
    pending.touch(frame_rows);
    for idx in 0..view.len() {
        let (facts, event) = frame_rows.facts(view, idx).expect("not poison");
        let slots = pending.slots(event, facts.time_us);
        pending.count(slots, &facts);
    }
}

/// A frame of many rows and consumers.
fn frame(version: Version) -> Vec<u8> {
    let mut builder = FrameBuilder::new(version);
    for n in 0..1_000 {
        let labels = Labels { source: UsageSource::Reported, ..labels(n as u32 * 131) };
        let usage = Usage { input: Some(1), output: Some(7), ..Usage::default() };
        builder.push(&labels, &facts(n, MINUTE_US, usage)).expect("room");
    }
    builder.encode(stamp())
}

#[test]
fn events_of_known_labels_are_read_and_counted_without_an_allocation() {
    for version in Version::EACH {
        let (mut reader, mut frame_rows) = (FrameReader::default(), FrameRows::default());
        let (mut rows, mut pending) = (Rows::default(), Pending::default());
        let frame = frame(version);
        let mut work = || {
            let view = reader.read(&frame).expect("a frame");
            assert!(view.rows().len() > 100, "{} rows", view.rows().len());
            count(&view, &mut frame_rows, &mut rows, &mut pending);
        };
        work();
        let counted = allocation_counter::measure(work);
        assert_eq!(counted.count_total, 0, "{counted:?}");
        assert_eq!(pending.sums.counted, 2_000);
    }
}
