//! scripts/chaos.sh: what a seed promises, and orders that it refuses.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::gatemeter::repository;

#[path = "../chaos/schedule.rs"]
mod schedule;

use schedule::{Kind, Targets, schedule};

const TARGETS: Targets = Targets { aggregators: 3, ingests: 2 };
/// Kinds of faults.
const KINDS: usize = 14;

#[test]
fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
    assert_eq!(schedule(1, 60, TARGETS), schedule(1, 60, TARGETS));
    assert_ne!(schedule(1, 60, TARGETS), schedule(2, 60, TARGETS));
    assert_eq!(schedule(1, 0, TARGETS), []);
}

#[test]
fn faults_overlap_and_are_over_by_the_end_and_long_runs_have_every_kind() {
    for seed in 1..=50 {
        let faults = schedule(seed, 300, TARGETS);
        assert!(faults.is_sorted_by_key(|fault| fault.at_ms), "seed {seed}");
        assert!(faults.iter().all(|fault| fault.at_ms + fault.lasts_ms <= 300_000), "seed {seed}");
        let ends = faults.windows(2).filter(|two| two[0].at_ms + two[0].lasts_ms > two[1].at_ms);
        assert!(ends.count() >= 5, "seed {seed}: faults overlap");
        let words: BTreeSet<String> = faults.iter().map(|fault| word(fault.kind)).collect();
        assert!(words.len() >= KINDS - 1, "seed {seed}: {words:?}");
    }
}

/// The kind alone, without its target.
fn word(kind: Kind) -> String {
    format!("{kind:?}").split('(').next().unwrap_or_default().to_owned()
}

#[test]
fn orders_that_cannot_be_carried_out_are_refused_with_their_reason() {
    for (args, words) in [
        (&[][..], "--seed is missing"),
        (&["--seed"], "--seed needs a number"),
        (&["--seed", "x"], "--seed must be a whole number from 0 to 999999999, not 'x'"),
        (&["--seed", "1", "--seconds", "0"], "--seconds must be a whole number from 1 to 86400"),
        (&["--seed", "1", "--minutes", "-1"], "--minutes must be a whole number"),
        (&["--seed", "1", "--aggregators", "1"], "from 2 to 4, not '1'"),
        (&["--seed", "1", "--rate", "9"], "from 10 to 10000, not '9'"),
        (&["--seed", "1", "--forever"], "unknown option '--forever'"),
    ] {
        let mut script = Command::new(repository("scripts/chaos.sh"));
        let output = script.args(args).current_dir("/").stdin(Stdio::null()).output();
        let output = output.expect("scripts/chaos.sh runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
        assert!(said.contains("scripts/chaos.sh --help"), "{args:?}: {said}");
    }
}
