//! Properties of a batch: the verdicts are those of a plain account that reads everything, however
//! the log is cut into batches.

use event::frame::{FrameBuilder, Stamp, Version};
use event::{Facts, Labels, Method, Outcome, ServiceTier, Usage, UsageSource};
use proptest::prelude::*;

use super::*;
use crate::account::LateVerdict;
use crate::window::MINUTE_US;

/// An event in the log: its id, its time and where the clock stands behind its frame, in minutes.
#[derive(Clone, Copy, Debug)]
struct Made {
    id: u8,
    time: i64,
    clock: i64,
}

/// A log of frames of one event. The clock never goes back; events are up to five hours late.
fn log() -> impl Strategy<Value = Vec<Made>> {
    let made = (0..8_u8, -6..300_i64, 0..40_i64);
    prop::collection::vec(made, 1..80).prop_map(|drawn| {
        let mut clock = 600;
        let made = |(id, age, step): (u8, i64, i64)| {
            clock += step;
            // Good producers repeat the time; ids above five are used again.
            let time = if id < 6 { 600 + i64::from(id) * 70 } else { clock - age };
            Made { id, time, clock }
        };
        drawn.into_iter().map(made).collect()
    })
}

fn frame(made: &Made) -> Vec<u8> {
    let labels = Labels {
        status: 200,
        method: Method::Post,
        outcome: Outcome::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        namespace: "a",
        upstream: "openai",
        model: "gpt-4o",
        endpoint: "/v1/chat/completions",
        limited_by: None,
        stream: false,
        requested_model: None,
        consumer: None,
    };
    let facts = Facts {
        key: Key([made.id; 16]),
        time_us: made.time * MINUTE_US,
        duration_us: 1,
        ttft_us: None,
        usage: Usage { input: Some(1), output: Some(1), ..Usage::default() },
        cost_nano: None,
        attempt: 0,
        fingerprint: 0,
    };
    let mut builder = FrameBuilder::new(Version::NEWEST);
    builder.push(&labels, &facts).expect("one event");
    builder.encode(Stamp::default())
}

fn options(unread_us: Option<i64>) -> BatchOptions {
    BatchOptions {
        window: Window::default(),
        partition: 0,
        n_partitions: 1,
        unread_us,
        safeguards: Safeguards::default(),
    }
}

fn clock(made: &Made) -> Clock {
    Clock::at(Some(made.clock * MINUTE_US))
}

fn class(made: &Made) -> Option<Class> {
    out_of_window(made.time * MINUTE_US, clock(made), &Window::default())
}

/// The verdict on each late event by the text of docs/counting.md.
fn expected(log: &[Made], unread: Option<i64>) -> Vec<(usize, LateVerdict)> {
    let mut merged: Vec<Made> = Vec::new();
    let late = log.iter().enumerate().filter(|(_, made)| class(made) == Some(Class::Late));
    late.map(|(offset, made)| {
        let is_readable = unread.is_none_or(|unread| made.time - 5 > unread);
        let is_copy = |other: &&Made| {
            other.id == made.id
                && class(other).is_none()
                && (made.time - 5..=made.time + 60).contains(&other.clock)
        };
        let was_merged =
            merged.iter().any(|other| other.id == made.id && (other.time - made.time).abs() <= 65);
        let verdict = match is_readable {
            _ if was_merged => LateVerdict::Duplicate,
            true if log.iter().any(|other| is_copy(&other)) => LateVerdict::Duplicate,
            true => LateVerdict::Merged,
            false => LateVerdict::Expired,
        };
        if verdict == LateVerdict::Merged {
            merged.push(*made);
        }
        (offset, verdict)
    })
    .collect()
}

/// Decides a log in batches that end behind these frames; what each batch found.
fn decide(log: &[Made], ends: &[bool], unread: Option<i64>) -> Vec<Verdicts> {
    let mut known = Vec::new();
    let mut found = Vec::new();
    let mut from = 0;
    for end in 1..=log.len() {
        if end < log.len() && !ends[end % ends.len()] {
            continue;
        }
        let mut batch = Batch::new(options(unread.map(|at| at * MINUTE_US)), from as u64);
        for (offset, made) in log.iter().enumerate().take(end).skip(from) {
            let n = batch.take(offset as u64, &frame(made), clock(made));
            assert_eq!(n, i64::from(class(made) == Some(Class::Late)));
        }
        let stretches = batch.windows();
        for made in log {
            let clock = clock(made);
            if stretches.iter().any(|stretch| stretch.contains(&clock.us().expect("a clock"))) {
                batch.look(&frame(made), clock);
            }
        }
        let verdicts = batch.decide(&known);
        let merged = verdicts.merged.iter().map(|late| &log[late.offset as usize]);
        known.extend(merged.map(|made| (Key([made.id; 16]), made.time * MINUTE_US)));
        assert_eq!((verdicts.from, verdicts.to), (from as u64, end as u64));
        found.push(verdicts);
        from = end;
    }
    found
}

proptest! {
    #[test]
    fn verdicts_are_those_of_a_plain_account_whatever_the_batches(
        log in log(),
        ends in prop::collection::vec(any::<bool>(), 1..20),
        unread in prop::option::of(500..1_500_i64),
    ) {
        let expected = expected(&log, unread);
        let of = |verdict| expected.iter().filter(move |(_, found)| *found == verdict);
        let found = decide(&log, &ends, unread);
        let merged: Vec<usize> = found.iter()
            .flat_map(|verdicts| &verdicts.merged)
            .map(|late| late.offset as usize)
            .collect();
        let due: Vec<usize> = of(LateVerdict::Merged).map(|(offset, _)| *offset).collect();
        prop_assert_eq!(merged, due);
        let sum = |n: fn(&Verdicts) -> i64| found.iter().map(n).sum::<i64>();
        prop_assert_eq!(sum(|it| it.duplicate) as usize, of(LateVerdict::Duplicate).count());
        prop_assert_eq!(sum(|it| it.expired) as usize, of(LateVerdict::Expired).count());
    }

    #[test]
    fn garbage_is_nobody_s_copy(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut batch = Batch::new(options(None), 0);
        let made = Made { id: 1, time: 0, clock: 100 };
        prop_assert_eq!(batch.take(0, &frame(&made), clock(&made)), 1);
        prop_assert_eq!(batch.take(1, &bytes, clock(&made)), 0);
        batch.look(&bytes, Clock::at(Some(0)));
        let verdicts = batch.decide(&[]);
        prop_assert_eq!((verdicts.merged.len(), verdicts.merged[0].offset), (1, 0));
    }
}

#[test]
fn frames_that_are_gone_expire_and_others_are_skipped() {
    let mut batch = Batch::new(options(None), 3);
    batch.give_up(4, 7);
    batch.move_to(9);
    assert_eq!(batch.windows(), []);
    let verdicts = batch.decide(&[]);
    assert_eq!(verdicts, Verdicts { from: 3, to: 9, expired: 4, ..Verdicts::default() });
}

#[test]
fn windows_that_touch_are_read_once() {
    let mut batch = Batch::new(options(None), 0);
    for (offset, time) in [(0, 0), (1, 60), (2, 200)] {
        let made = Made { id: 1, time, clock: 300 };
        batch.take(offset, &frame(&made), clock(&made));
    }
    let minutes = |first: i64, last: i64| first * MINUTE_US..=last * MINUTE_US;
    assert_eq!(batch.windows(), [minutes(-5, 120), minutes(195, 260)]);
}

#[test]
fn events_of_another_partition_are_left_alone() {
    let made = Made { id: 0xff, time: 0, clock: 100 };
    let mut batch = Batch::new(BatchOptions { n_partitions: 2, ..options(None) }, 0);
    assert_eq!(batch.take(0, &frame(&made), clock(&made)), 0, "it belongs to the second");
}
