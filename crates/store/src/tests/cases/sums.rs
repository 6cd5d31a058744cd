//! Questions that are answered with sums: each is one statement on either database, and says what
//! the rows say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use clock::Wall;
use event::{Outcome as Ended, UsageSource};
use ledger::commit::{Commit, CommitRows, Outcome, Owner, Progress};
use ledger::measures::Measures;
use ledger::query::Buckets;
use ledger::query::sums::Sums;
use ledger::series::FullLabels;

use super::super::fixture::{
    Bed, ROLLED, altered, commit, commit_and_roll_up, labels, roll_up, sums,
};
use crate::*;

/// Quarter-hours over which facts are spread: four days.
pub(super) const QUARTERS: i64 = 4 * 96;
const NAMESPACES: [&str; 3] = ["a", "b", "b "];

/// Attempts that are alike, within one minute.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub minute: i64,
    pub labels: FullLabels,
    pub measures: Measures,
}

impl Fact {
    fn new(minute: i64, namespace: &str, n: i64) -> Fact {
        let measures = Measures { cost_nano: 3 * n, ..sums(n) };
        Fact { minute, labels: labels(namespace), measures }
    }

    /// What it adds to the sums of its namespace.
    fn add_to(&self, sums: &mut Sums) {
        let Measures { n, duration_us, duration, tokens, cost_nano, .. } = self.measures;
        if self.labels.is_final {
            sums.add_requests(n, if self.labels.outcome == Ended::Success { 0 } else { n });
            sums.add_durations(duration_us, &duration);
        }
        let is_estimated = self.labels.source == UsageSource::Estimated;
        sums.add_tokens(&tokens, if is_estimated { &tokens } else { &[0; 5] }, cost_nano);
    }
}

/// Facts of every kind, the same in each run, with hours and a day without any.
pub(super) fn facts() -> Vec<Fact> {
    let mut state = 7_u64;
    let mut below = move |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let sources = [UsageSource::Reported, UsageSource::Estimated, UsageSource::None];
    let fact = |_| {
        let quarter = [below(96), 192 + below(96), 288 + 4 * below(24)][below(3)] as i64;
        let n = 1 + below(50) as i64;
        let mut fact = Fact::new(quarter * 15 + below(15) as i64, NAMESPACES[below(3)], n);
        fact.labels.source = sources[below(3)];
        fact.labels.outcome = Ended::EACH[below(Ended::EACH.len())];
        fact.labels.is_final = below(3) > 0;
        fact
    };
    (0..400).map(fact).collect()
}

pub(super) fn commit_of(owner: Owner, before: &Progress, facts: &[Fact]) -> Commit {
    let (mut totals, mut quarters) = (BTreeMap::new(), BTreeMap::new());
    let (mut shorts, mut minutes) = (BTreeMap::new(), BTreeMap::new());
    for Fact { minute, labels, measures } in facts {
        let short = labels.short();
        let (id, short_id) = (labels.id(), short.id());
        shorts.insert(short_id, short);
        let (_, total) = totals.entry(id).or_insert((labels.clone(), Measures::default()));
        let quarter = quarters.entry((minute.div_euclid(15), id)).or_default();
        let minute = minutes.entry((*minute, short_id)).or_default();
        for row in [total, quarter, minute] {
            Measures::add(row, measures).expect("small");
        }
    }
    let rows = CommitRows {
        totals: totals
            .into_iter()
            .map(|(id, (labels, sums))| (id, Arc::new(labels), sums))
            .collect(),
        quarters: quarters.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
        shorts: shorts.into_iter().map(|(id, labels)| (id, Arc::new(labels))).collect(),
        minutes: minutes.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
        ..CommitRows::default()
    };
    altered(&commit(owner, before, 0, &[]), |part| part.rows = Arc::new(rows))
}

/// What facts add up to in a range of minutes.
fn expected(facts: &[Fact], minutes: Range<i64>, namespace: Option<&str>) -> Sums {
    let mut sums = Sums::default();
    let is_meant = |fact: &&Fact| {
        minutes.contains(&fact.minute)
            && namespace.is_none_or(|name| *fact.labels.namespace == *name)
    };
    facts.iter().filter(is_meant).for_each(|fact| fact.add_to(&mut sums));
    sums
}

async fn filled(bed: &Bed) -> Vec<Fact> {
    let facts = facts();
    commit_and_roll_up(bed, &facts, commit_of).await;
    facts
}

/// Edges of buckets in quarter-hours: hours, days of 23, 24 and 25 hours, a day that moves by half
/// an hour, days that begin at a quarter to, months of one day, one bucket, and none that has rows.
pub(super) fn edges() -> Vec<Vec<i64>> {
    vec![
        (0..=96).map(|hour| hour * 4).collect(),
        vec![-92, 0, 96, 188, 288, QUARTERS],
        vec![0, 96, 96 + 92, 96 + 92 + 100, 96 + 92 + 100 + 96],
        vec![-1, 95, 95 + 98, 95 + 98 + 94, 400],
        vec![3, 99, 195, 291, 387],
        vec![5, 6, 7, 9, 200],
        vec![0, QUARTERS],
        vec![100, 130, 190],
        vec![-90, -50, -4],
    ]
}

pub(in crate::tests) async fn a_series_is_one_statement_and_each_bucket_has_its_rows(bed: Bed) {
    let facts = filled(&bed).await;
    for quarter in ROLLED {
        roll_up(&bed.store, quarter).await;
        check_series(&bed, &facts).await;
    }
}

async fn check_series(bed: &Bed, facts: &[Fact]) {
    let mut reader = bed.store.read().await.expect("a reader");
    for edges in edges() {
        for (rows, per_quarter) in [(Rows::Minutes, 15), (Rows::Quarters, 1)] {
            let edges: Vec<i64> = edges.iter().map(|edge| edge * per_quarter).collect();
            let minutes = |at: i64| at * 15 / per_quarter;
            for namespace in [None, Some("a"), Some("b"), Some("b "), Some("A"), Some("nobody")] {
                let buckets = Buckets::new(edges.clone()).expect("they rise");
                let before = bed.store.n_read_statements();
                let found = reader.series(rows, buckets.clone(), namespace, &Part::EACH).await;
                let (series, total) = found.expect("a series");
                assert_eq!(bed.store.n_read_statements() - before, 1);
                let ranges = edges.windows(2).map(|pair| minutes(pair[0])..minutes(pair[1]));
                let wanted: Vec<Sums> =
                    ranges.map(|range| expected(facts, range, namespace)).collect();
                assert_eq!(series.sums(), wanted, "{rows:?} {namespace:?} {edges:?}");
                assert_eq!(total, series.total());
                let whole = buckets.whole();
                let sums = reader.sums(rows, whole, namespace, &Part::EACH).await.expect("sums");
                assert_eq!(sums, total, "{rows:?} {namespace:?} {edges:?}");
            }
        }
    }
}

pub(in crate::tests) async fn totals_and_their_buckets_come_in_one_statement_and_outlive_rows(
    bed: Bed,
) {
    let facts = filled(&bed).await;
    for is_retained in [false, true] {
        if is_retained {
            // Two and a half days go.
            let keep = Keep {
                minute_us: 0,
                quarter_us: 0,
                consumer_us: 0,
                journal_us: i64::MAX / 2,
                letter_us: i64::MAX / 2,
            };
            bed.store.retain(Wall::from_us(240 * 900_000_000), &keep).await.expect("old rows go");
        }
        let kept = if is_retained { 240 * 15 } else { 0 };
        let mut reader = bed.store.read().await.expect("a reader");
        for namespace in [None, Some("a"), Some("nobody")] {
            let edges = vec![0, 96, 192, i64::MAX];
            let buckets = Buckets::new(edges).expect("they rise");
            let before = bed.store.n_read_statements();
            let found = reader.series(Rows::Totals, buckets, namespace, &Part::EACH).await;
            let (series, total) = found.expect("a series");
            assert_eq!(bed.store.n_read_statements() - before, 1);
            let ranges = [0..1_440, 1_440..2_880, 2_880..i64::MAX];
            let wanted: Vec<Sums> = ranges
                .into_iter()
                .map(|range| expected(&facts, range.start.max(kept)..range.end, namespace))
                .collect();
            assert_eq!(series.sums(), wanted, "{namespace:?}");
            assert_eq!(total, expected(&facts, 0..i64::MAX, namespace), "{namespace:?}");
            let gone = series.earlier(&total).expect("a part of all");
            assert_eq!(gone, expected(&facts, 0..kept, namespace), "{namespace:?}");
            let sums = reader.sums(Rows::Totals, 0..0, namespace, &Part::EACH).await;
            assert_eq!(sums.expect("sums"), total, "{namespace:?}");
            let each = reader.totals_by_namespace(&Part::EACH).await.expect("sums");
            assert_eq!(each.len(), NAMESPACES.len());
            let mut own = Sums::default();
            let is_meant = |code: &str| namespace.is_none_or(|name| name == code);
            each.iter().filter(|(code, _)| is_meant(code)).for_each(|(_, more)| own.merge(more));
            assert_eq!(own, total, "{namespace:?}");
        }
    }
}

pub(in crate::tests) async fn outcomes_are_those_of_final_attempts_in_every_kind_of_rows(bed: Bed) {
    let facts = filled(&bed).await;
    let wanted = |minutes: Range<i64>| {
        let mut wanted: BTreeMap<(Box<str>, u8), i64> = BTreeMap::new();
        let is_meant = |fact: &&Fact| fact.labels.is_final && minutes.contains(&fact.minute);
        for Fact { labels, measures, .. } in facts.iter().filter(is_meant) {
            let key = (labels.namespace.clone(), labels.outcome.code());
            *wanted.entry(key).or_default() += measures.n;
        }
        wanted
    };
    for quarter in ROLLED {
        roll_up(&bed.store, quarter).await;
        let mut reader = bed.store.read().await.expect("a reader");
        let mut check = async |rows, range, minutes: Range<i64>| {
            let found = reader.outcomes(rows, range).await.expect("outcomes").into_iter();
            let found: BTreeMap<_, _> =
                found.map(|(namespace, outcome, n)| ((namespace, outcome.code()), n)).collect();
            assert_eq!(found, wanted(minutes.clone()), "{rows:?} {minutes:?}");
        };
        check(Rows::Totals, 0..0, 0..i64::MAX).await;
        for range in [0..9_000, 100..3_001, 17..29, 31..46, 45..60, 59..61, 3_600..4_000] {
            check(Rows::Minutes, range.clone(), range).await;
        }
        for range in [0..600, 1..97, 90..290, 95..193, 192..288, 288..384, 250..251] {
            check(Rows::Quarters, range.clone(), range.start * 15..range.end * 15).await;
        }
    }
}

pub(in crate::tests) async fn pulse_is_one_minute_and_what_is_open_now(bed: Bed) {
    let store = &bed.store;
    assert_eq!(
        store.read().await.expect("a reader").pulse(3, 0).await.expect("zeros"),
        Pulse::default()
    );
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut attempt = Fact::new(3, "a", 8);
    attempt.labels.is_final = false;
    let facts = [Fact::new(2, "a", 1), Fact::new(3, "a", 2), Fact::new(3, "b", 4), attempt];
    store.commit(Arc::new(commit_of(claim.owner, &claim.progress, &facts))).await;
    let report = |gateway: &str, namespace: &str, active, seen_us| ConnectionsRow {
        gateway: gateway.to_owned(),
        namespace: namespace.to_owned(),
        active,
        seen_us,
    };
    let reports = vec![report("g", "a", 5, 100), report("h", "a", 3, 90), report("g", "b", 1, 100)];
    store.put_connections(reports).await.expect("kept");
    let mut reader = store.read().await.expect("a reader");
    for (minute, newer, requests, connections) in
        [(3, 89, 6, 9), (3, 90, 6, 6), (2, 100, 1, 0), (4, 0, 0, 9)]
    {
        let found = reader.pulse(minute, newer).await.expect("a pulse");
        assert_eq!(found, Pulse { connections, requests }, "{minute} {newer}");
    }
}

pub(in crate::tests) async fn tokens_counted_from_text_are_summed_apart(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let counted = altered(&commit(claim.owner, &claim.progress, 3, &["a"]), |part| {
        let rows = Arc::make_mut(&mut part.rows);
        let mut labels = rows.totals[0].1.as_ref().clone();
        labels.source = event::UsageSource::Estimated;
        let (id, short) = (labels.id(), labels.short());
        rows.quarters[0].1 = id;
        rows.minutes[0].1 = short.id();
        rows.shorts[0] = (short.id(), short.into());
        rows.totals[0] = (id, labels.into(), sums(3));
    });
    let progress = counted.parts[0].progress;
    for next in [counted, commit(claim.owner, &progress, 1, &["a", "b"])] {
        let (outcome, error) = store.commit(Arc::new(next)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
    }
    let mut reader = store.read().await.expect("a reader");
    for (rows, range) in [(Rows::Minutes, 0..62), (Rows::Quarters, 0..10), (Rows::Totals, 0..0)] {
        for (namespace, n, n_estimated) in [(Some("a"), 4, 3), (Some("b"), 1, 0), (None, 5, 3)] {
            let found = reader.sums(rows, range.clone(), namespace, &[Part::Tokens]).await;
            let found = found.expect("sums").tokens().expect("small");
            let estimated = 3 * n_estimated;
            assert_eq!(
                (found.input, found.output, found.estimated),
                (n, 2 * n, estimated),
                "{rows:?} {namespace:?}"
            );
        }
    }
}
