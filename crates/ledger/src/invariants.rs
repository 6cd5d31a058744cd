//! The invariants of counting as predicates, one each, named as in docs/counting.md.
//!
//! I2 and I8 are asserted while the product runs, I1 in part: what a commit adds to the totals is
//! what its journal line says. Simulation, recount and referee check them all, and the others.

use std::collections::BTreeMap;

use crate::account::{Account, Class};
use crate::commit::{Commit, Progress};
use crate::measures::Measures;
use crate::series::SeriesId;

/// I1 exact, for one commit: totals, quarter-hours and minutes add up to the same events and
/// tokens, and those are the journal's; consumer rows have the same tokens, and the requests of the
/// totals.
#[must_use]
pub fn i1_exact(commit: &Commit) -> bool {
    let sum = |rows: &mut dyn Iterator<Item = &Measures>| {
        rows.fold([0i128; 3], |sums, row| {
            [
                sums[0] + i128::from(row.n),
                sums[1] + i128::from(row.input()),
                sums[2] + i128::from(row.output()),
            ]
        })
    };
    let totals = sum(&mut commit.totals.iter().map(|(_, _, row)| row));
    let journal = [
        i128::from(commit.journal.counted),
        i128::from(commit.journal.input_tokens),
        i128::from(commit.journal.output_tokens),
    ];
    let finals = commit.totals.iter().filter(|(_, labels, _)| labels.is_final);
    let requests = finals.map(|(_, _, row)| i128::from(row.n)).sum();
    let used = commit.used.iter().fold([0i128; 3], |sums, (_, _, row)| {
        [
            sums[0] + i128::from(row.requests),
            sums[1] + i128::from(row.input()),
            sums[2] + i128::from(row.output()),
        ]
    });
    totals == journal
        && used == [requests, journal[1], journal[2]]
        && sum(&mut commit.quarters.iter().map(|(_, _, row)| row)) == journal
        && sum(&mut commit.minutes.iter().map(|(_, _, row)| row)) == journal
}

/// I2 conserved: every event that was read is in exactly one class.
#[must_use]
pub fn i2_conserved(account: &Account) -> bool {
    account.events == Class::EACH.iter().map(|class| account.of(*class)).sum::<i64>()
}

/// I3 once: no key was counted twice. `counted` lists every key that was ever counted.
#[must_use]
pub fn i3_once(counted: &[[u8; 16]]) -> bool {
    let mut keys = counted.to_vec();
    keys.sort_unstable();
    keys.windows(2).all(|pair| pair[0] != pair[1])
}

/// I4 no silent loss: of the events that were accepted, each is counted or accounted otherwise.
#[must_use]
pub fn i4_no_silent_loss(accepted: u64, account: &Account) -> bool {
    account.lost_frames > 0 || u64::try_from(account.events).is_ok_and(|n| n >= accepted)
}

/// I5 monotone: no counter of the earlier page is smaller on, or missing from, the later one.
#[must_use]
pub fn i5_monotone<K: Ord>(earlier: &BTreeMap<K, i64>, later: &BTreeMap<K, i64>) -> bool {
    earlier.iter().all(|(series, value)| later.get(series).is_some_and(|after| after >= value))
}

/// I6 committed only: every shown number is one that some ledger version had, all of one version.
#[must_use]
pub fn i6_committed_only<K: Ord>(
    page: &BTreeMap<K, i64>,
    versions: &[BTreeMap<K, i64>],
    is_held: impl Fn(&K) -> bool,
) -> bool {
    let shown = |version: &BTreeMap<K, i64>| {
        page.iter().all(|(series, value)| is_held(series) || version.get(series) == Some(value))
    };
    versions.iter().any(shown)
}

/// I7 agreement: two views of one ledger version have the same sums.
#[must_use]
pub fn i7_agreement(
    one: &BTreeMap<SeriesId, Measures>,
    other: &BTreeMap<SeriesId, Measures>,
) -> bool {
    one == other
}

/// I8 fence: a commit moves its partition from its base forward, within its own bounds. Only one
/// that accepts a loss may leave it where it is.
#[must_use]
pub fn i8_fence(commit: &Commit, before: &Progress) -> bool {
    commit.base == before.next
        && (commit.progress.next > before.next
            || commit.accepted.is_some() && commit.progress.next == before.next)
        && commit.progress.floor <= commit.progress.next
        && commit.progress.floor >= before.floor
}
