//! Logs made by chance for tests, and a ledger that the real counting code filled from them.
//!
//! Frames come from the real encoder, some spoiled, some with events that no ingest would send.
//! The core counts them with commits and restarts at random places; what it commits is kept as the
//! rows that the store would hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use event::frame::envelope::ENVELOPE_BYTES;
use event::frame::{FrameBuilder, Stamp, Version};
use event::{Facts, Key, Labels, Method, Outcome, ServiceTier, Usage, UsageSource};
use ledger::classify::Clock;
use ledger::commit::{Claim, Owner, Part, Progress, Settled};
use ledger::core::{Core, Effect, Input, LogView, Options, Record};
use ledger::late::{Batch, BatchOptions, Decided};
use ledger::measures::Measures;
use ledger::safeguard::Safeguards;
use ledger::series::{SeriesId, ShortLabels};
use ledger::window::Window;
use proptest::prelude::*;
use store::RangeRow;
use store::plain::MergedEvent;

use crate::found::{Ledger, Start};
use crate::frame::Sound;
use crate::groups::of_rows;
use crate::late::Copies;
use crate::log::Expected;
use crate::stored::{consumer, row, short, wide};
use crate::sums::Sums;
use crate::tally::Tally;
use crate::verdict::Rules;

/// Where the log's clock begins: an hour that is no round number of buckets.
const BEGIN_US: i64 = 1_753_000_123_456_789;
const MINUTE_US: i64 = 60_000_000;
/// Largest cost that is in range, nano-dollars.
const COST_MAX: i64 = 1_000_000_000_000_000;
/// Partitions, of which number 0 is counted: some keys are misrouted.
pub const N_PARTITIONS: u32 = 4;

/// Nonce of every claim: nothing of an earlier claim is ever in flight here.
const NONCE: [u8; 16] = [7; 16];

/// A record of the log.
#[derive(Clone, Debug)]
pub struct Made {
    pub append_us: i64,
    pub bytes: Vec<u8>,
    pub sound: Sound,
}

/// Labels that mostly hold; some that no ingest would let in.
fn labels(n: u16) -> Labels<'static> {
    let pick = |shift: u16, texts: [&'static str; 4]| texts[usize::from(n >> shift) % 4];
    let is_bad = n.is_multiple_of(29);
    let outcome = [Outcome::Success, Outcome::RateLimited, Outcome::Policy][usize::from(n % 3)];
    let status = match outcome {
        Outcome::Success if is_bad && n & 1 == 1 => 500,
        Outcome::Success => 200,
        // Failed inside its answer.
        _ if n & 256 == 0 => 206,
        _ => 429 + n % 100,
    };
    Labels {
        status,
        method: Method::EACH[usize::from(n >> 3) % Method::EACH.len()],
        outcome,
        service_tier: ServiceTier::EACH[usize::from(n >> 5) % 4],
        source: UsageSource::EACH[usize::from(n >> 2) % 3],
        is_final: n & 4 == 0,
        namespace: if is_bad && n & 1 == 0 { "all" } else { pick(1, ["a", "b/x", "c-1", "d"]) },
        upstream: pick(4, ["openai", "u", "v.w", "x"]),
        model: pick(6, ["none", "gpt-4o", "m:1", "other"]),
        endpoint: "/v1/chat/{id}",
        limited_by: (n & 64 == 0).then_some("token_limit"),
        stream: n & 16 == 0,
        requested_model: (n & 32 == 0).then_some("m"),
        consumer: (n & 128 == 0).then_some("用户"),
    }
}

prop_compose! {
    /// An event around a time in minutes, with one of a few keys, so that copies are common.
    fn event()(
        n in any::<u16>(), key in 0u8..40, minutes in -75i64..10,
        us in prop_oneof![-1i64..2, 0i64..60_000_000],
        duration_us in prop_oneof![0u64..400_000_000, Just(10_000), Just(90_000_000_000)],
        ttft_us in proptest::option::of(prop_oneof![0u64..31_000_000, Just(1_000)]),
        input in proptest::option::of(0u32..2_000_000), read in proptest::option::of(0u32..1_000),
        output in proptest::option::of(0u32..5_000), reasoning in proptest::option::of(0u32..99),
        cost in proptest::option::of(prop_oneof![
            8 => 0i64..5_000_000_000, 1 => Just(-1i64), 1 => COST_MAX..=COST_MAX + 1,
        ]), fingerprint in 0u64..3,
    ) -> (Labels<'static>, Facts, i64) {
        let mut labels = labels(n);
        let usage = Usage { input, cache_read: read, cache_write: None, output, reasoning };
        if usage.is_present() != (labels.source != UsageSource::None) && n % 5 != 0 {
            let is_present = usage.is_present();
            labels.source = if is_present { UsageSource::Estimated } else { UsageSource::None };
        }
        let mut bytes = [key; 16];
        bytes[7] = key.wrapping_mul(if key < 4 { 67 } else { 1 });
        let facts = Facts {
            key: Key(bytes), time_us: 0, duration_us, ttft_us, usage, cost_nano: cost,
            attempt: n, fingerprint,
        };
        (labels, facts, minutes * MINUTE_US + us)
    }
}

prop_compose! {
    /// A frame: how far the clock goes, and what goes wrong.
    fn frame()(
        events in proptest::collection::vec(event(), 1..12),
        minutes in prop_oneof![4 => -2i64..3, 1 => 0i64..90],
        ahead in prop_oneof![4 => Just(0i64), 1 => -20i64..20],
        fault in 0u8..32, at in any::<prop::sample::Index>(), flip in 1u8..,
    ) -> (Vec<(Labels<'static>, Facts, i64)>, i64, i64, u8, prop::sample::Index, u8) {
        (events, minutes, ahead, fault, at, flip)
    }
}

/// Spoils a frame as storage, a broken writer or a foreign one would, or leaves it alone.
fn spoil(bytes: &mut Vec<u8>, fault: u8, at: prop::sample::Index, flip: u8) {
    let n = bytes.len();
    match fault {
        0 => bytes[at.index(ENVELOPE_BYTES)] ^= flip,
        1 => bytes[ENVELOPE_BYTES + at.index(n - ENVELOPE_BYTES)] ^= flip,
        2 => bytes.truncate(at.index(n)),
        4 => {
            bytes[at.index(ENVELOPE_BYTES)] ^= flip;
            // A whole frame of a version or a kind to come halts its partition: a log that was
            // counted has none.
            bytes[0] = bytes[0].min(2);
            bytes[36] &= if bytes[0] == 2 { 0 } else { 0xff };
            seal(bytes);
        }
        5..10 => {
            bytes[ENVELOPE_BYTES + at.index(n - ENVELOPE_BYTES)] ^= flip;
            seal(bytes);
        }
        _ => {}
    }
}

/// Makes both checksums of a frame right again, as a foreign writer would.
fn seal(bytes: &mut [u8]) {
    let payload = crc32c::crc32c(&bytes[ENVELOPE_BYTES..]);
    bytes[32..36].copy_from_slice(&payload.to_le_bytes());
    let envelope = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&envelope.to_le_bytes());
}

prop_compose! {
    /// A log.
    pub fn made_log()(frames in proptest::collection::vec(frame(), 1..40)) -> Vec<Made> {
        let mut now_us = BEGIN_US;
        frames.into_iter().map(|(events, minutes, ahead, fault, at, flip)| {
            let version = if flip & 1 == 0 { Version::V1 } else { Version::V2 };
            now_us += minutes * MINUTE_US;
            let mut builder = FrameBuilder::new(version);
            for (labels, mut facts, offset_us) in events {
                facts.time_us = now_us + offset_us;
                builder.push(&labels, &facts).expect("room");
            }
            let ingest_us = now_us + ahead * MINUTE_US;
            let stamp = Stamp { ingest_us, tokenizer_version: 0, price_version: 0 };
            let mut bytes = builder.encode(stamp);
            spoil(&mut bytes, fault, at, flip);
            let sound = if fault == 3 { Sound::No } else { Sound::Yes };
            Made { append_us: now_us, bytes, sound }
        }).collect()
    }
}

/// Sums and labels as the store keeps them, and baselines at every commit.
#[derive(Debug, Default)]
pub struct Counted {
    pub ledger: Ledger,
    shorts: HashMap<SeriesId, ShortLabels>,
}

impl Counted {
    fn apply(&mut self, part: &Part) -> i64 {
        let ledger = &mut self.ledger;
        // A program of before counts no times per output token.
        let is_before = part.progress.next <= ledger.tpot_from(0);
        let sums_of = |sums: &Measures| match is_before {
            true => wide(&sums.to_array()).without_tpot(),
            false => wide(&sums.to_array()),
        };
        let start = Start {
            version: ledger.version,
            partitions: ledger.partitions.clone(),
            totals: ledger.rows.totals.clone(),
        };
        ledger.baselines.push(start);
        ledger.version += 1;
        ledger.committed_us = BEGIN_US;
        ledger.partitions.insert(0, (&part.progress).into());
        let ids: BTreeMap<SeriesId, _> = part
            .rows
            .totals
            .iter()
            .map(|(id, labels, _)| (*id, row(labels.as_ref().into())))
            .collect();
        for (_, labels, sums) in &part.rows.totals {
            ledger.rows.totals.entry(row(labels.as_ref().into())).or_default().add(&sums_of(sums));
        }
        for (at, id, sums) in &part.rows.quarters {
            let key = (*at, ids[id].clone());
            ledger.rows.quarters.entry(key).or_default().add(&sums_of(sums));
        }
        let shorts = part.rows.shorts.iter();
        self.shorts.extend(shorts.map(|(id, labels)| (*id, ShortLabels::clone(labels))));
        for (at, id, sums) in &part.rows.used {
            let found = part.rows.consumers.iter().find(|(other, _)| other == id);
            let labels = consumer(found.expect("every row has labels").1.as_ref().clone().into());
            let sums = Sums::of_used(sums.to_array());
            ledger.rows.used.entry((*at, labels)).or_default().add(&sums);
        }
        for (at, id, sums) in &part.rows.minutes {
            let key = (*at, short((&self.shorts[id]).into()));
            let sums = sums_of(sums).of_minute();
            ledger.rows.minutes.entry(key).or_default().add(&sums);
        }
        let row = RangeRow {
            version: ledger.version,
            generation: 1,
            partition: 0,
            base: part.base,
            next: part.progress.next,
            sums: part.sums,
        };
        ledger.ranges.push((&row).into());
        ledger.merged.extend(part.late.merged.iter().map(|merged| MergedEvent {
            partition: 0,
            offset: merged.offset,
            key: merged.key.0,
            time_us: merged.time_us,
        }));
        ledger.version
    }
}

/// Counts a log with the ledger's own code: `commits` says after which records it commits, and
/// after which of these it starts anew.
pub fn counted(log: &[Made], commits: &[(bool, bool)]) -> Counted {
    counted_since(0, log, commits)
}

/// The same in a ledger that a program of before has counted up to `tpot_from`, where it commits.
pub fn counted_since(tpot_from: u64, log: &[Made], commits: &[(bool, bool)]) -> Counted {
    let mut counted = Counted::default();
    counted.ledger.tpot_from.insert(0, tpot_from);
    let mut core = claimed(1, Progress::default(), log);
    for offset in 0..log.len() {
        feed(&mut core, log, offset as u64 + 1);
        let (commits, restarts) = commits[offset % commits.len()];
        if commits || offset + 1 == log.len() || offset as u64 + 1 == tpot_from {
            let effects = core.on(Input::Due);
            let [Effect::Offer(part)] = &effects[..] else { panic!("{effects:?}") };
            let version = counted.apply(part);
            core.on(Input::Settled(Settled::Committed));
            let decided = second_pass(&mut core, &counted, log);
            let progress = decided.map_or(part.progress, |part| {
                counted.apply(&part);
                part.progress
            });
            counted.ledger.groups = of_rows(&counted.ledger.rows.used);
            if restarts {
                core = claimed(version as u8, progress, log);
            }
        }
    }
    // From others a recount does not begin.
    let begins = |start: &Start| start.partitions.values().all(|row| row.late_next >= row.floor);
    counted.ledger.baselines.retain(begins);
    counted
}

/// Decides the late events of all that is counted, with the ledger's own code, and commits that.
fn second_pass(core: &mut Core, counted: &Counted, log: &[Made]) -> Option<Arc<Part>> {
    let committed = *core.committed();
    if committed.account.undecided() == 0 {
        return None;
    }
    let window = Window::default();
    let options = BatchOptions {
        window,
        partition: 0,
        n_partitions: N_PARTITIONS,
        unread_us: None,
        safeguards: Safeguards::default(),
    };
    let mut clock = Clock::default();
    let frames: Vec<(Clock, &Made)> = log
        .iter()
        .map(|made| {
            if made.sound == Sound::Yes {
                let safeguards = Safeguards::default();
                clock.observe_record(made.append_us, &made.bytes, &window, safeguards);
            }
            (clock, made)
        })
        .collect();
    let mut batch = Batch::new(options, committed.late_next);
    let is_sound = |made: &Made| made.sound == Sound::Yes;
    for offset in committed.late_next..committed.next {
        let (clock, made) = frames[offset as usize];
        if is_sound(made) {
            batch.take(offset, &made.bytes, clock);
        }
    }
    batch.move_to(committed.next);
    for (clock, made) in frames.iter().take(committed.next as usize) {
        if is_sound(made) {
            batch.look(&made.bytes, *clock);
        }
    }
    let merged = counted.ledger.merged.iter();
    let merged: Vec<_> = merged.map(|row| (Key(row.key), row.time_us)).collect();
    let verdicts = batch.decide(&merged);
    core.on(Input::Decided(Decided { nonce: NONCE, verdicts: &verdicts }));
    let effects = core.on(Input::Due);
    let [Effect::Offer(part)] = &effects[..] else { panic!("{effects:?}") };
    core.on(Input::Settled(Settled::Committed));
    Some(Arc::clone(part))
}

fn claimed(epoch: u8, progress: Progress, log: &[Made]) -> Core {
    let mut core = Core::new(Options {
        window: Window::default(),
        n_partitions: N_PARTITIONS,
        letter_rows_per_hour: 2,
        newest: Version::NEWEST,
        safeguards: Safeguards::default(),
    });
    let nonce = NONCE;
    let owner = Owner { generation: 1, partition: 0, epoch: epoch.into(), nonce };
    let view = LogView { low: 0, high: log.len() as u64, last_print: None, is_remade: false };
    core.on(Input::Claimed { claim: Claim { owner, progress }, log: view });
    feed(&mut core, log, progress.next);
    core
}

/// Hands over records up to an offset.
fn feed(core: &mut Core, log: &[Made], end: u64) {
    let nonce = NONCE;
    while core.position() < end {
        let offset = core.position();
        let made = &log[offset as usize];
        core.on(Input::Record(Record {
            nonce,
            offset,
            append_time_us: made.append_us,
            intact: made.sound == Sound::Yes,
            bytes: &made.bytes,
        }));
        assert_eq!(core.position(), offset + 1, "{:?}", core.halted());
    }
}

/// Counts a log with the recount's own code, from a starting point on.
pub fn recounted(log: &[Made], ledger: &Ledger, start: &Start) -> Expected {
    let window = Window::default();
    let rules = Rules {
        past_us: window.past_us,
        ahead_us: window.ahead_us,
        keep_us: window.keep_us,
        partition: 0,
        n_partitions: N_PARTITIONS,
    };
    let from = start.partitions.get(&0).copied().unwrap_or_default();
    let (tpot_from, bases) = (ledger.tpot_from(0), ledger.bases(0));
    let late = from.late_next..ledger.partitions.get(&0).map_or(0, |progress| progress.late_next);
    let mut tally = Tally::new(rules, from.floor_clock_us, from.next, tpot_from, bases, late);
    for (offset, made) in log.iter().enumerate().skip(from.floor as usize) {
        let taken = tally.record(offset as u64, made.append_us, &made.bytes, made.sound);
        taken.expect("a log that was counted has no frames to come");
    }
    let last = log.last().map(|made| made.bytes.clone());
    let mut expected = Expected::since(start);
    let late = std::mem::take(&mut tally.late);
    let mut copies = Copies::of(&late, rules, from.floor_clock_us);
    for (offset, clock_us) in &tally.clocks {
        let made = &log[*offset as usize];
        copies.record(&made.bytes, made.sound, *clock_us);
    }
    let decided = copies.decide(late, &ledger.late_since(0, &from));
    tally.settle(&decided);
    expected.settle(decided);
    expected.add(0, &from, window.ahead_us, tally, last);
    expected
}
