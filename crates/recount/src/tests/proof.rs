//! The proof that two programs agree: frames and whole logs made by chance are read and counted by
//! the ledger's code and by the recount's, and nothing differs.

use event::frame::envelope::ENVELOPE_BYTES;
use event::frame::{Envelope, FrameBuilder, FrameReader, Stamp, Version};
use event::{Facts, Key, Labels, Method, Outcome, ServiceTier, Usage, UsageSource};
use ledger::series::FullLabels;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::by_hand::event_read;
use super::made::{counted, counted_since, made_log, recounted};
use crate::against_ledger;
use crate::found::{Ledger, Start};
use crate::frame::{Event, Record, Sound, read, v1};
use crate::stored::{consumer, row};
use crate::sums::Sums;
use crate::tally::Account;
use crate::verdict::Class;

/// What the ledger's decoder says, in the recount's words.
pub fn decoded(bytes: &[u8]) -> Record {
    let Ok(envelope) = Envelope::decode(bytes) else { return Record::Unknown };
    let stamp_us = envelope.stamp.ingest_us;
    let mut reader = FrameReader::default();
    let Ok(view) = reader.read(bytes) else {
        return Record::Spoiled { stamp_us, n_events: envelope.n_events };
    };
    let event = |idx: usize| {
        let labels = view.labels(idx).ok()?;
        let facts = view.facts(idx, labels.source)?;
        Some(Event {
            row: row((&FullLabels::of(&labels)).into()).into(),
            consumer: consumer(ledger::consumer::ConsumerLabels::of(&labels).into()).into(),
            key: facts.key.0,
            fingerprint: facts.fingerprint,
            time_us: facts.time_us,
            duration_us: facts.duration_us,
            ttft_us: facts.ttft_us,
            tokens: facts.usage.classes().map(u64::from),
            cost_nano: facts.cost_nano.unwrap_or(0).cast_unsigned(),
        })
    };
    Record::Frame { stamp_us, events: (0..view.len()).map(event).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_decoders_read_the_same_from_any_record(log in made_log()) {
        for made in &log {
            prop_assert_eq!(read(&made.bytes, Sound::Yes), decoded(&made.bytes));
        }
    }

    #[test]
    fn a_recount_agrees_with_the_ledger_over_commits_and_restarts(
        log in made_log(),
        commits in proptest::collection::vec(any::<(bool, bool)>(), 1..8),
    ) {
        let counted = counted(&log, &commits);
        let expected = recounted(&log, &counted.ledger, &Start::default());
        let differences = against_ledger::compare(&expected, &counted.ledger);
        prop_assert_eq!(differences.kept, vec![]);
        prop_assert!(expected.account().events > 0);
    }

    #[test]
    fn a_recount_from_any_baseline_agrees(
        log in made_log(),
        commits in proptest::collection::vec(any::<(bool, bool)>(), 1..8),
        pick in any::<prop::sample::Index>(),
    ) {
        let ledger = counted(&log, &commits).ledger;
        let expected = recounted(&log, &ledger, pick.get(&ledger.baselines));
        let differences = against_ledger::compare(&expected, &ledger);
        prop_assert_eq!(differences.kept, vec![]);
    }

    #[test]
    fn a_recount_agrees_with_a_ledger_that_was_upgraded_on_its_way(
        log in made_log(),
        commits in proptest::collection::vec(any::<(bool, bool)>(), 1..8),
        picks in any::<[prop::sample::Index; 2]>(),
    ) {
        let tpot_from = picks[0].index(log.len() + 1) as u64;
        let ledger = counted_since(tpot_from, &log, &commits).ledger;
        for start in [&Start::default(), picks[1].get(&ledger.baselines)] {
            let expected = recounted(&log, &ledger, start);
            let differences = against_ledger::compare(&expected, &ledger);
            prop_assert_eq!(differences.kept, vec![]);
        }
    }
}

#[test]
fn an_offset_of_the_upgrade_that_is_not_the_one_of_the_ledger_is_found() {
    let mut runner = TestRunner::deterministic();
    let mut n_found = 0;
    for _ in 0..50 {
        let log = made_log().new_tree(&mut runner).expect("a log").current();
        let tpot_from = log.len() as u64 / 2;
        let mut ledger = counted_since(tpot_from, &log, &[(true, false)]).ledger;
        let has_any = |ledger: &Ledger| {
            let expected = recounted(&log, ledger, &Start::default());
            expected.rows.totals.values().map(|sums| sums.tpot().iter().sum::<i128>()).sum::<i128>()
        };
        let n_since = has_any(&ledger);
        ledger.tpot_from.insert(0, 0);
        let is_other = has_any(&ledger) != n_since;
        let expected = recounted(&log, &ledger, &Start::default());
        let differences = against_ledger::compare(&expected, &ledger);
        assert_eq!(differences.n > 0, is_other, "{:?}", differences.kept);
        n_found += u32::from(is_other);
    }
    assert!(n_found > 10, "{n_found}");
}

#[test]
fn times_per_output_token_are_those_of_the_tokens_behind_the_first_one() {
    let streamed = |duration_us, ttft_us, [text, reasoning]: [u64; 2]| Event {
        duration_us,
        ttft_us,
        tokens: [9, 0, 0, text, reasoning],
        ..event_read()
    };
    for (event, expected) in [
        (streamed(1_000_000, Some(100_000), [6, 4]), Some(100_000)),
        (streamed(1_000_000, Some(0), [4, 0]), Some(333_333)),
        (streamed(7, Some(7), [2, 0]), Some(0)),
        (streamed(7, Some(8), [2, 0]), None),
        (streamed(7, Some(1), [1, 0]), None),
        (streamed(7, Some(1), [0, 0]), None),
        (streamed(7, None, [9, 0]), None),
    ] {
        let mut sums = Sums::default();
        sums.add_time_per_token(&event);
        let found = (sums.tpot().iter().sum::<i128>(), sums.tpot_us());
        assert_eq!(found, expected.map_or((0, 0), |us| (1, us)), "{event:?}");
        assert_eq!(sums.without_tpot(), Sums::default());
    }
}

#[test]
fn both_decoders_take_the_same_pairs_of_status_and_outcome() {
    let good = Labels {
        status: 200,
        method: Method::Post,
        outcome: Outcome::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        namespace: "wechat",
        upstream: "openai",
        model: "gpt-4o",
        endpoint: "/v1/messages",
        limited_by: None,
        stream: true,
        requested_model: None,
        consumer: None,
    };
    let facts = Facts {
        key: Key([1; 16]),
        time_us: 1,
        duration_us: 1,
        ttft_us: None,
        usage: Usage { input: Some(1), ..Usage::default() },
        cost_nano: None,
        attempt: 0,
        fingerprint: 1,
    };
    let mut builder = FrameBuilder::new(Version::V1);
    builder.push(&good, &facts).expect("room");
    let mut frame = builder.encode(Stamp::default());
    let envelope = Envelope::decode(&frame).expect("an envelope");
    let tuple = ENVELOPE_BYTES + 2 + 2..ENVELOPE_BYTES + envelope.dictionary_bytes as usize;
    let mut reader = FrameReader::default();
    let mut n_errors_below_400 = 0;
    for status in 0..=700u16 {
        for outcome in 0..=9u8 {
            frame[tuple.start..tuple.start + 2].copy_from_slice(&status.to_le_bytes());
            frame[tuple.start + 3] = outcome;
            let payload_crc = crc32c::crc32c(&frame[ENVELOPE_BYTES..]);
            frame[..ENVELOPE_BYTES].copy_from_slice(&Envelope { payload_crc, ..envelope }.encode());
            let is_meant =
                (100..=599).contains(&status) && outcome <= 8 && (status < 400 || outcome > 0);
            let view = reader.read(&frame).expect("a frame");
            let decoded = view.labels(0).ok();
            let read = v1::tuple(&frame[tuple.clone()]);
            assert_eq!((decoded.is_some(), read.is_some()), (is_meant, is_meant), "{status}");
            let Some((labels, (read, _))) = decoded.zip(read) else {
                continue;
            };
            assert_eq!(row((&FullLabels::of(&labels)).into()), read);
            let word = if outcome == 0 { "success" } else { "error" };
            assert_eq!(read.status_word(), word, "{status} {outcome}");
            n_errors_below_400 += u32::from(status < 400 && outcome > 0);
        }
    }
    assert_eq!(n_errors_below_400, 300 * 8);
}

#[test]
fn the_made_logs_hold_every_class() {
    let mut runner = TestRunner::deterministic();
    let mut account = Account::default();
    for _ in 0..200 {
        let log = made_log().new_tree(&mut runner).expect("a log").current();
        let expected = recounted(&log, &Ledger::default(), &Start::default());
        account.merge(&expected.account());
    }
    for class in Class::EACH {
        assert!(account.of(class) > 100, "{class:?}: {account:?}");
    }
    assert!(account.conflicts > 100, "{account:?}");
}

#[test]
fn sums_stand_in_the_order_of_the_ledgers_columns() {
    assert_eq!(Sums::names(), ledger::measures::Measures::columns());
}
