//! The proof that two programs agree: frames and whole logs made by chance are read and counted by
//! the ledger's code and by the recount's, and nothing differs.

use event::frame::{Envelope, FrameReader};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::against_ledger;
use super::found::{Ledger, Start, consumer, row};
use super::frame::{Event, Record, Sound, read};
use super::made::{counted, made_log, recounted};
use super::sums::Sums;
use super::tally::Account;
use super::verdict::Class;

/// What the ledger's decoder says, in the recount's words.
fn decoded(bytes: &[u8]) -> Record {
    let Ok(envelope) = Envelope::decode(bytes) else { return Record::Unknown };
    let stamp_us = envelope.stamp.ingest_us;
    let mut reader = FrameReader::default();
    let Ok(view) = reader.read(bytes) else {
        return Record::Spoiled { stamp_us, n_events: envelope.n_events };
    };
    let event = |idx: usize| {
        let (labels, _) = view.labels(view.tuple(idx)).ok()?;
        let facts = view.facts(idx, labels.source)?;
        Some(Event {
            row: row(&ledger::series::FullLabels::of(&labels)).into(),
            consumer: consumer(ledger::consumer::ConsumerLabels::of(&labels)).into(),
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
