//! Properties of the core: how a log is cut into frames, reads and commits changes nothing.
//!
//! The simulation tries it against everything that may go wrong; here each law stands alone.

mod allocations;
mod halts;

use std::collections::BTreeMap;

use event::frame::{Stamp, Version};
use event::{Facts, Key, Labels, Method, Outcome as Ended, ServiceTier, Usage, UsageSource};
use proptest::prelude::*;

use super::*;
use crate::measures::Measures;
use crate::series::SeriesId;
use crate::window::MINUTE_US;

const NOW_US: i64 = 1_700_000_000_000_000;
const NAMESPACES: [&str; 3] = ["a", "b", "c"];

/// An event, as far as these laws go.
#[derive(Clone, Copy, Debug)]
struct Made {
    id: u64,
    /// Minutes before `NOW_US`.
    age: i64,
    tokens: u32,
}

fn made() -> impl Strategy<Value = Made> {
    // Few ids, so that many events are copies; an id always stands for the same facts.
    (0..40_u64).prop_map(|id| Made {
        id,
        age: (id * 7 % 70).cast_signed() - 7,
        tokens: u32::try_from(id % 9 * 11).expect("small"),
    })
}

/// Events of producers that use an id again for another time and other facts.
fn reused() -> impl Strategy<Value = Made> {
    (0..12_u64, -7..70_i64, 0..3_u32).prop_map(|(id, age, tokens)| Made { id, age, tokens })
}

/// A record of the log and the time of its append.
#[derive(Clone, Debug)]
struct Stored {
    bytes: Vec<u8>,
    append_us: i64,
}

fn frame(events: &[Made], at_us: i64) -> Stored {
    let mut builder = event::frame::FrameBuilder::default();
    for made in events {
        let labels = Labels {
            status: 200,
            method: Method::Post,
            outcome: Ended::Success,
            service_tier: ServiceTier::Standard,
            source: UsageSource::Reported,
            is_final: true,
            namespace: NAMESPACES[made.id as usize % 3],
            upstream: "openai",
            model: "gpt-4o",
            endpoint: "/v1/chat/completions",
            limited_by: None,
            stream: false,
            requested_model: None,
            consumer: None,
        };
        let mut key = [0; 16];
        key[8..].copy_from_slice(&made.id.to_le_bytes());
        let facts = Facts {
            key: Key(key),
            time_us: NOW_US - made.age * MINUTE_US,
            duration_us: made.id * 1_000,
            ttft_us: None,
            usage: Usage { input: Some(made.tokens), output: Some(1), ..Usage::default() },
            cost_nano: None,
            attempt: 0,
            fingerprint: made.id << 32 | u64::from(made.tokens),
        };
        builder.push(&labels, &facts).expect("few events");
    }
    let stamp = Stamp { ingest_us: at_us, tokenizer_version: 0, price_version: 0 };
    Stored { bytes: builder.encode(stamp), append_us: at_us }
}

/// A log of frames that come a few minutes after each other.
fn log(made: impl Strategy<Value = Made>) -> impl Strategy<Value = Vec<Stored>> {
    let frames = prop::collection::vec((prop::collection::vec(made, 1..6), 0..9_i64), 1..40);
    frames.prop_map(|frames| {
        let mut at_us = NOW_US;
        frames
            .iter()
            .map(|(events, minutes)| {
                at_us += minutes * MINUTE_US;
                frame(events, at_us)
            })
            .collect()
    })
}

/// So many frames of one event each.
fn one_by_one(n: u64) -> Vec<Stored> {
    (0..n).map(|id| frame(&[Made { id, age: 0, tokens: 1 }], NOW_US)).collect()
}

fn core() -> Core {
    Core::new(Options {
        window: Window::default(),
        n_partitions: 1,
        letter_rows_per_hour: 2,
        newest: Version::NEWEST,
        safeguards: Safeguards::default(),
    })
}

fn view(log: &[Stored], next: u64) -> LogView {
    let before = next.checked_sub(1).and_then(|offset| log.get(offset as usize));
    let last_print = before.map(|stored| Core::print(&stored.bytes));
    LogView { low: 0, high: log.len() as u64, last_print, is_remade: false }
}

fn claim(core: &mut Core, progress: Progress, log: &[Stored], epoch: i64) -> Vec<Effect> {
    let owner = Owner { generation: 1, partition: 0, epoch, nonce: [epoch as u8; 16] };
    let log = view(log, progress.next);
    core.on(Input::Claimed { claim: Claim { owner, progress }, log })
}

fn read_one(core: &mut Core, log: &[Stored], epoch: i64) {
    read_at(core, log, core.position(), epoch);
}

fn read_at(core: &mut Core, log: &[Stored], offset: u64, epoch: i64) {
    let stored = &log[offset as usize];
    core.on(Input::Record(Record {
        nonce: [epoch as u8; 16],
        offset,
        append_time_us: stored.append_us,
        intact: true,
        bytes: &stored.bytes,
    }));
}

/// Commits what is pending; gives the part, which takes effect.
fn commit(core: &mut Core) -> Option<Arc<Part>> {
    let effects = core.on(Input::Due);
    let Some(Effect::Offer(part)) = effects.first().cloned() else { return None };
    core.on(Input::Settled(Settled::Committed));
    Some(part)
}

/// What all commits together add, and where they lead.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counted {
    totals: BTreeMap<SeriesId, Measures>,
    minutes: BTreeMap<(i64, SeriesId), Measures>,
    account: Account,
    digest: i64,
    letters: i64,
}

impl Counted {
    fn add(&mut self, part: &Part) {
        for (id, _, sums) in &part.rows.totals {
            self.totals.entry(*id).or_default().add(sums).expect("small");
        }
        for (at, id, sums) in &part.rows.minutes {
            self.minutes.entry((*at, *id)).or_default().add(sums).expect("small");
        }
        self.account = part.progress.account;
        self.digest = self.digest.wrapping_add(part.sums.digest);
        self.letters += part.letters.iter().map(|letter| i64::from(letter.n)).sum::<i64>();
    }
}

/// Counts a log, with a commit after each frame that `ends` says yes to, and a new process after
/// each that `restarts` says yes to.
fn count(log: &[Stored], ends: &[bool], restarts: &[bool]) -> Counted {
    let (mut owner, mut epoch, mut counted) = (core(), 1, Counted::default());
    claim(&mut owner, Progress::default(), log, epoch);
    for idx in 0..log.len() {
        let flag = |flags: &[bool]| flags.get(idx % flags.len().max(1)).copied().unwrap_or(false);
        while owner.position() <= idx as u64 {
            read_one(&mut owner, log, epoch);
        }
        if flag(ends) || idx + 1 == log.len() {
            counted.add(&commit(&mut owner).expect("there is something to commit"));
        }
        if flag(restarts) {
            let progress = *owner.committed();
            owner = core();
            epoch += 1;
            claim(&mut owner, progress, log, epoch);
        }
    }
    while owner.position() < log.len() as u64 {
        read_one(&mut owner, log, epoch);
    }
    if let Some(part) = commit(&mut owner) {
        counted.add(&part);
    }
    counted
}

proptest! {
    #[test]
    fn commits_and_restarts_at_any_place_change_nothing(
        log in log(made()),
        ends in prop::collection::vec(any::<bool>(), 1..20),
        restarts in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let whole = count(&log, &[false], &[false]);
        prop_assert_eq!(&count(&log, &ends, &[false]), &whole);
        prop_assert_eq!(&count(&log, &ends, &restarts), &whole);
        prop_assert_eq!(&count(&log, &[true], &[true]), &whole);
    }

    #[test]
    fn a_window_that_is_read_again_gives_the_same_verdicts_on_ids_that_are_used_again(
        log in log(reused()),
        ends in prop::collection::vec(any::<bool>(), 1..20),
        restarts in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let whole = count(&log, &[false], &[false]);
        prop_assert_eq!(&count(&log, &ends, &restarts), &whole);
        prop_assert_eq!(&count(&log, &[true], &[true]), &whole);
    }

    #[test]
    fn only_the_record_that_comes_next_is_taken_and_only_for_the_claim_that_holds(
        log in log(made()),
        strays in prop::collection::vec((0..40_u64, any::<bool>()), 1..80),
    ) {
        let mut owner = core();
        claim(&mut owner, Progress::default(), &log, 1);
        claim(&mut owner, Progress::default(), &log, 2);
        let mut strays = strays.iter().cycle();
        while owner.position() < log.len() as u64 {
            let (offset, is_stale) = *strays.next().expect("endless");
            let position = owner.position();
            if is_stale {
                read_at(&mut owner, &log, position, 1);
            } else if offset != position && offset < log.len() as u64 {
                read_at(&mut owner, &log, offset, 2);
            }
            prop_assert_eq!(owner.position(), position);
            read_at(&mut owner, &log, position, 2);
        }
        let mut counted = Counted::default();
        counted.add(&commit(&mut owner).expect("something to commit"));
        prop_assert_eq!(counted, count(&log, &[false], &[false]));
    }

    #[test]
    fn how_events_of_one_moment_are_split_and_ordered_changes_nothing(
        events in prop::collection::vec(made(), 1..60),
        size in 1..9_usize,
        seed in any::<u64>(),
    ) {
        let whole = [frame(&events, NOW_US)];
        let split: Vec<Stored> =
            events.chunks(size).map(|events| frame(events, NOW_US)).collect();
        let mut order = events.clone();
        order.sort_by_key(|made| made.id.wrapping_mul(seed | 1).rotate_left(17));
        let other = [frame(&order, NOW_US)];
        let expected = count(&whole, &[false], &[false]);
        prop_assert_eq!(&count(&split, &[false], &[false]), &expected);
        prop_assert_eq!(&count(&other, &[false], &[false]), &expected);
    }

    #[test]
    fn bytes_of_any_kind_are_accounted_and_the_next_frame_is_counted(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flips in prop::collection::vec((0..200_usize, 1..=255_u8), 0..4),
    ) {
        let mut garbled = frame(&[Made { id: 1, age: 0, tokens: 5 }], NOW_US);
        for (at, mask) in flips {
            let at = at % garbled.bytes.len();
            garbled.bytes[at] ^= mask;
        }
        let last = frame(&[Made { id: 2, age: 0, tokens: 5 }], NOW_US);
        let log = [Stored { bytes, append_us: NOW_US }, garbled, last];
        let counted = count(&log, &[true], &[true]);
        prop_assert!(counted.account.counted >= 1, "{:?}", counted.account);
        prop_assert!(counted.account.events >= 3, "{:?}", counted.account);
        prop_assert!(crate::invariants::i2_conserved(&counted.account));
    }
}

/// The progress of an owner that has counted the first four frames.
fn of_four(log: &[Stored]) -> Progress {
    let mut owner = core();
    claim(&mut owner, Progress::default(), log, 1);
    for _ in 0..4 {
        read_one(&mut owner, log, 1);
    }
    commit(&mut owner).expect("four frames").progress
}

#[test]
fn a_log_that_is_shorter_or_another_one_halts() {
    let log = one_by_one(5);
    let progress = of_four(&log);
    let mut shorter = core();
    claim(&mut shorter, progress, &log[..3], 2);
    assert_eq!(shorter.halted(), Some(Halt::Truncated { high: 3, next: 4 }));
    let mut replaced = log.clone();
    replaced[3] = frame(&[Made { id: 9, age: 0, tokens: 1 }], NOW_US);
    let mut other = core();
    claim(&mut other, progress, &replaced, 2);
    assert_eq!(other.halted(), Some(Halt::Replaced { offset: 3 }));
    assert!(other.on(Input::Due).is_empty(), "nothing is counted any more");
}

#[test]
fn frames_that_left_the_log_are_lost_and_counting_goes_on() {
    let log = one_by_one(9);
    let mut owner = core();
    claim(&mut owner, Progress::default(), &log, 1);
    read_one(&mut owner, &log, 1);
    owner.on(Input::Gap { nonce: [1; 16], low: 6 });
    while owner.position() < 9 {
        read_one(&mut owner, &log, 1);
    }
    let made = commit(&mut owner).expect("a commit");
    let account = made.progress.account;
    assert_eq!((account.counted, account.lost_frames), (4, 5));
    assert!(made.is_shortened, "a recount can begin behind the gap only");
    assert_eq!(made.progress.floor, 6, "nothing before the gap can be read again");
    let mut next = core();
    claim(&mut next, made.progress, &log, 2);
    while next.is_rebuilding() {
        read_one(&mut next, &log, 2);
    }
    assert_eq!((next.halted(), next.clock_us()), (None, owner.clock_us()));
}

#[test]
fn a_gap_up_to_the_end_of_the_log_is_committed_without_a_frame() {
    let log = one_by_one(4);
    let mut owner = core();
    claim(&mut owner, Progress::default(), &log, 1);
    read_one(&mut owner, &log, 1);
    let first = commit(&mut owner).expect("a commit");
    assert!(!first.is_shortened);
    owner.on(Input::Gap { nonce: [1; 16], low: 4 });
    let made = commit(&mut owner).expect("a commit");
    let progress = &made.progress;
    assert_eq!((progress.next, progress.floor, progress.account.lost_frames), (4, 4, 3));
    assert_eq!(progress.floor_clock_us, progress.clock_us);
    assert!(made.is_shortened);
    assert!(commit(&mut owner).is_none(), "nothing more to say");
}

/// A core that is halted because its log is another one: six frames, of which four were counted.
fn halted() -> (Core, Vec<Stored>, Progress) {
    let log = one_by_one(4);
    let mut owner = core();
    claim(&mut owner, Progress::default(), &log, 1);
    for _ in 0..4 {
        read_one(&mut owner, &log, 1);
    }
    let progress = commit(&mut owner).expect("four frames").progress;
    let later = NOW_US + 20 * MINUTE_US;
    let copy = |id| frame(&[Made { id, age: 0, tokens: 1 }], later);
    let mut other: Vec<Stored> = (0..4).map(copy).collect();
    // A copy of what was counted, one as new as such a copy could be, and one that is newer.
    other.push(copy(2));
    other.push(frame(&[Made { id: 8, age: -5, tokens: 1 }], later));
    other.push(frame(&[Made { id: 9, age: -6, tokens: 1 }], later));
    let mut owner = core();
    other[3] = frame(&[Made { id: 7, age: 0, tokens: 1 }], later);
    claim(&mut owner, progress, &other, 2);
    assert_eq!(owner.halted(), Some(Halt::Replaced { offset: 3 }));
    (owner, other, progress)
}

#[test]
fn an_accepted_loss_is_told_and_counts_nothing_that_may_have_been_counted() {
    let (mut owner, log, before) = halted();
    assert_eq!(owner.resumes_at(), Some(4));
    let effects = owner.on(Input::Accepted { log: view(&log, 4), lost: 4 });
    let [Effect::Offer(accepted)] = effects.as_slice() else { panic!("{effects:?}") };
    let progress = accepted.progress;
    assert_eq!((accepted.base, progress.next, progress.floor), (4, 4, 4));
    assert_eq!(progress.account.counted, before.account.counted);
    assert_eq!(progress.account.lost_frames, 4);
    assert_eq!(progress.clock_us, before.clock_us.map(|us| us + 65 * MINUTE_US + 1));
    assert!(
        accepted.is_shortened && accepted.rows.totals.is_empty() && accepted.letters.is_empty()
    );
    let loss = accepted.accepted.as_ref().expect("what was accepted");
    assert!(loss.frames == 4 && loss.reason.contains("replaced"), "{loss:?}");
    let effects = owner.on(Input::Settled(Settled::Committed));
    assert!(matches!(effects[..], [Effect::Committed(_)]), "{effects:?}");
    assert_eq!(owner.position(), 4, "it is read next, under the nonce of the claim");
    while owner.position() < 7 {
        read_one(&mut owner, &log, 2);
    }
    let counted = commit(&mut owner).expect("three frames").progress;
    assert_eq!((counted.account.counted, counted.account.late), (5, 2));
    // Whoever takes over, at any time, comes to the same.
    for progress in [progress, counted] {
        let mut next = core();
        claim(&mut next, progress, &log, 3);
        while next.position() < 7 {
            read_one(&mut next, &log, 3);
        }
        let clock_us = counted.clock_us;
        assert_eq!(
            (next.halted(), next.account(), next.clock_us()),
            (None, counted.account, clock_us)
        );
    }
}

#[test]
fn a_loss_is_accepted_where_the_log_goes_on_only_and_once() {
    let (mut owner, log, _) = halted();
    let short = LogView { high: 3, ..view(&log, 4) };
    assert!(owner.on(Input::Accepted { log: short, lost: 3 }).is_empty(), "it has to grow first");
    assert!(owner.halted().is_some());
    owner.on(Input::Accepted { log: view(&log, 4), lost: 3 });
    assert!(owner.on(Input::Accepted { log: view(&log, 4), lost: 3 }).is_empty(), "once");
    // Somebody else was faster: nothing happened, and the next claim halts again.
    assert_eq!(owner.on(Input::Settled(Settled::Refused)), [Effect::Reclaim(Reclaim::Refused)]);
    assert_eq!((owner.halted(), owner.resumes_at()), (None, None));
    assert!(owner.on(Input::Accepted { log: view(&log, 4), lost: 3 }).is_empty(), "not halted");
}

#[test]
fn counting_goes_on_behind_a_hole_that_was_accepted() {
    let log = one_by_one(9);
    let mut owner = core();
    claim(&mut owner, Progress::default(), &log, 1);
    read_one(&mut owner, &log, 1);
    commit(&mut owner).expect("one frame");
    owner.on(Input::Hole { nonce: [1; 16], offset: 1, next: 5 });
    assert_eq!(owner.resumes_at(), Some(5));
    owner.on(Input::Accepted { log: view(&log, 5), lost: 0 });
    owner.on(Input::Settled(Settled::Committed));
    assert_eq!((owner.position(), owner.committed().account.lost_frames), (5, 4));
    read_one(&mut owner, &log, 1);
    assert_eq!(commit(&mut owner).expect("a frame").progress.account.late, 1);
}

#[test]
fn letters_keep_their_content_up_to_the_cap_and_their_number_beyond() {
    let late: Vec<Made> = (0..7).map(|id| Made { id, age: 90, tokens: 1 }).collect();
    let log = [frame(&late, NOW_US)];
    let mut owner = core();
    claim(&mut owner, Progress::default(), &log, 1);
    read_one(&mut owner, &log, 1);
    let letters = commit(&mut owner).expect("a commit").letters.clone();
    let with_content = letters.iter().filter(|letter| letter.content.is_some()).count();
    assert_eq!((with_content, letters.len()), (2, 3));
    assert_eq!(letters.iter().map(|letter| letter.n).sum::<u32>(), 7);
}

#[test]
fn nothing_is_read_before_a_part_is_settled() {
    let log = one_by_one(3);
    for settled in [Settled::Committed, Settled::Refused, Settled::Fenced] {
        let mut owner = core();
        claim(&mut owner, Progress::default(), &log, 1);
        read_one(&mut owner, &log, 1);
        let offered = owner.on(Input::Due);
        let [Effect::Offer(part)] = offered.as_slice() else { panic!("{offered:?}") };
        read_one(&mut owner, &log, 1);
        assert_eq!(owner.position(), 1, "nothing is read meanwhile");
        assert!(owner.on(Input::Due).is_empty());
        let expected = match settled {
            Settled::Committed => Effect::Committed(Arc::clone(part)),
            Settled::Refused => Effect::Reclaim(Reclaim::Refused),
            Settled::Fenced => Effect::Reclaim(Reclaim::Fenced),
        };
        assert_eq!(owner.on(Input::Settled(settled)), [expected]);
        assert!(owner.on(Input::Settled(settled)).is_empty(), "it is settled once");
    }
}
