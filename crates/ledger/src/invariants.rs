//! The invariants of counting as predicates, one each, named as in docs/counting.md.
//!
//! I2 and I8 are asserted while the product runs, I1 in part: what a commit adds to rows is what
//! its ranges say. Simulation, recount and referee check them all, and the others.

use std::collections::BTreeMap;

use crate::account::{Account, Class, LateVerdict};
use crate::commit::{Commit, CommitRows, Part, Progress};
use crate::measures::Measures;
use crate::series::SeriesId;

/// I1 exact, for one part: its rows add up to the events and tokens of its range and of the late
/// events that are merged.
#[must_use]
pub fn i1_exact(part: &Part) -> bool {
    adds_up(&part.rows, range_of(part))
}

/// I1 exact, for one commit: its rows add up to the events and tokens of its parts together.
#[must_use]
pub fn i1_exact_together(commit: &Commit) -> bool {
    let ranges = commit.parts.iter().map(|part| range_of(part));
    let sums = ranges.fold([0; 3], |sums, range| std::array::from_fn(|n| sums[n] + range[n]));
    adds_up(&commit.rows, sums)
}

/// Events, input and output tokens that a part counts: of its range and of late events.
fn range_of(part: &Part) -> [i128; 3] {
    let (sums, late) = (&part.sums, &part.late);
    let range = [sums.counted, sums.input_tokens, sums.output_tokens].map(i128::from);
    let merged = [late.merged.len() as i128, late.tokens[0].into(), late.tokens[1].into()];
    std::array::from_fn(|n| range[n] + merged[n])
}

/// Whether totals, quarter-hours and minutes add up to the same events and tokens, and those are
/// the range's; and consumer rows to the same tokens, and the requests of the totals.
fn adds_up(rows: &CommitRows, range: [i128; 3]) -> bool {
    let sum = |rows: &mut dyn Iterator<Item = &Measures>| {
        rows.fold([0i128; 3], |sums, row| {
            [
                sums[0] + i128::from(row.n),
                sums[1] + i128::from(row.input()),
                sums[2] + i128::from(row.output()),
            ]
        })
    };
    let finals = rows.totals.iter().filter(|(_, labels, _)| labels.is_final);
    let requests = finals.map(|(_, _, row)| i128::from(row.n)).sum();
    let used = rows.used.iter().fold([0i128; 3], |sums, (_, _, row)| {
        [
            sums[0] + i128::from(row.requests),
            sums[1] + i128::from(row.input()),
            sums[2] + i128::from(row.output()),
        ]
    });
    used == [requests, range[1], range[2]]
        && sum(&mut rows.totals.iter().map(|(_, _, row)| row)) == range
        && sum(&mut rows.quarters.iter().map(|(_, _, row)| row)) == range
        && sum(&mut rows.minutes.iter().map(|(_, _, row)| row)) == range
}

/// I2 conserved: every event that was read is in exactly one class, and every late event has at
/// most one verdict.
#[must_use]
pub fn i2_conserved(account: &Account) -> bool {
    account.events == Class::EACH.iter().map(|class| account.of(*class)).sum::<i64>()
        && account.undecided() >= 0
        && LateVerdict::EACH.iter().all(|verdict| account.of_late(*verdict) >= 0)
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

/// I8 fence: a part moves its partition from its base forward, within its own bounds. One that
/// leaves it where it is decides late events or accepts a loss.
#[must_use]
pub fn i8_fence(part: &Part, before: &Progress) -> bool {
    let (next, late_next) = (part.progress.next, part.progress.late_next);
    part.base == before.next
        && part.late.base == before.late_next
        && next >= before.next
        && late_next >= before.late_next
        && late_next <= next
        && (next > before.next || late_next > before.late_next || part.accepted.is_some())
        && part.progress.floor <= part.progress.next
        && part.progress.floor >= before.floor
}
