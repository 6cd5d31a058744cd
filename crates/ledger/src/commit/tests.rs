//! However partitions are spread over commits, the rows add up to the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::{Facts, Key, Labels, Method, Outcome as Ended, ServiceTier, Usage, UsageSource};
use proptest::prelude::*;

use super::*;
use crate::consumer::{ConsumerLabels, ConsumerSums};
use crate::invariants::{i1_exact, i1_exact_together};
use crate::measures::Measures;
use crate::series::{FullLabels, SeriesId, ShortLabels};
use crate::window::{MINUTE_US, QUARTER_US};

/// An event as far as its rows go.
#[derive(Clone, Copy, Debug)]
struct Made {
    series: u8,
    minute: i64,
    tokens: u32,
}

fn made() -> impl Strategy<Value = Made> {
    (0..12_u8, 0..40_i64, 0..1_000_u32).prop_map(|(series, minute, tokens)| Made {
        series,
        minute,
        tokens,
    })
}

fn labels(series: u8) -> Labels<'static> {
    Labels {
        status: 200,
        method: Method::Post,
        outcome: Ended::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: !series.is_multiple_of(5),
        namespace: ["a", "b"][usize::from(series) % 2],
        upstream: "openai",
        model: ["m", "n", "o"][usize::from(series) % 3],
        endpoint: "/v1/chat/completions",
        limited_by: None,
        stream: false,
        requested_model: None,
        consumer: [None, Some("key")][usize::from(series) % 2],
    }
}

/// Sums by plain keys: what the rows of a commit are held against.
#[derive(Debug, Default, PartialEq)]
struct Plain {
    totals: BTreeMap<SeriesId, Measures>,
    quarters: BTreeMap<(i64, SeriesId), Measures>,
    minutes: BTreeMap<(i64, SeriesId), Measures>,
    used: BTreeMap<(i64, SeriesId), ConsumerSums>,
    fulls: BTreeMap<SeriesId, FullLabels>,
    shorts: BTreeMap<SeriesId, ShortLabels>,
    consumers: BTreeMap<SeriesId, ConsumerLabels>,
}

impl Plain {
    fn event(&mut self, made: &Made) {
        let labels = labels(made.series);
        let facts = Facts {
            key: Key([0; 16]),
            time_us: made.minute * MINUTE_US,
            duration_us: 5,
            ttft_us: Some(1),
            usage: Usage { input: Some(made.tokens), output: Some(2), ..Usage::default() },
            cost_nano: None,
            attempt: 0,
            fingerprint: 0,
        };
        let full = FullLabels::of(&labels);
        let (id, short) = (full.id(), full.short());
        let quarter = facts.time_us.div_euclid(QUARTER_US);
        let mut identity = Vec::new();
        ConsumerLabels::encode(&labels, &mut identity);
        let consumer = ConsumerLabels::id_of(&identity);
        self.totals.entry(id).or_default().add_event(&facts);
        self.quarters.entry((quarter, id)).or_default().add_event(&facts);
        self.minutes.entry((made.minute, short.id())).or_default().add_event(&facts);
        self.used.entry((quarter, consumer)).or_default().add_event(&facts, labels.is_final);
        self.fulls.insert(id, full);
        self.shorts.insert(short.id(), short);
        self.consumers.insert(consumer, ConsumerLabels::of(&labels));
    }

    /// Adds the rows of a commit.
    fn rows(&mut self, rows: &CommitRows) {
        let add = |sums: &mut Measures, more: &Measures| sums.add(more).expect("small");
        for (id, labels, sums) in &rows.totals {
            add(self.totals.entry(*id).or_default(), sums);
            self.fulls.insert(*id, FullLabels::clone(labels));
        }
        for (at, id, sums) in &rows.quarters {
            add(self.quarters.entry((*at, *id)).or_default(), sums);
        }
        for (at, id, sums) in &rows.minutes {
            add(self.minutes.entry((*at, *id)).or_default(), sums);
        }
        for (at, id, sums) in &rows.used {
            self.used.entry((*at, *id)).or_default().add(sums).expect("small");
        }
        self.shorts.extend(rows.shorts.iter().map(|(id, row)| (*id, ShortLabels::clone(row))));
        self.consumers
            .extend(rows.consumers.iter().map(|(id, row)| (*id, ConsumerLabels::clone(row))));
    }

    fn to_rows(&self) -> CommitRows {
        let timed = |rows: &BTreeMap<(i64, SeriesId), Measures>| {
            rows.iter().map(|((at, id), sums)| (*at, *id, sums.clone())).collect()
        };
        let full = |id: &SeriesId| Arc::new(self.fulls[id].clone());
        CommitRows {
            totals: self.totals.iter().map(|(id, sums)| (*id, full(id), sums.clone())).collect(),
            quarters: timed(&self.quarters),
            shorts: self.shorts.iter().map(|(id, row)| (*id, Arc::new(row.clone()))).collect(),
            minutes: timed(&self.minutes),
            consumers: self
                .consumers
                .iter()
                .map(|(id, row)| (*id, Arc::new(row.clone())))
                .collect(),
            used: self.used.iter().map(|((at, id), sums)| (*at, *id, *sums)).collect(),
        }
    }
}

/// The part of a partition that counts these events.
fn part(partition: u32, events: &[Made]) -> Arc<Part> {
    let mut plain = Plain::default();
    events.iter().for_each(|made| plain.event(made));
    let owner = Owner { generation: 1, partition, epoch: 1, nonce: [1; 16] };
    let n = events.len() as i64;
    let sums = RangeSums {
        events: n,
        counted: n,
        input_tokens: events.iter().map(|made| i64::from(made.tokens)).sum(),
        output_tokens: 2 * n,
        ..RangeSums::default()
    };
    let part = Part::without_rows(owner, 0, Progress::default());
    Arc::new(Part { rows: Arc::new(plain.to_rows()), sums, ..part })
}

/// Whether a list is sorted by a key that no two rows share.
fn is_strictly_sorted<R, K: Ord>(rows: &[R], key: impl Fn(&R) -> K) -> bool {
    rows.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
}

proptest! {
    #[test]
    fn any_split_of_partitions_over_commits_adds_up_to_the_same(
        partitions in prop::collection::vec(prop::collection::vec(made(), 0..40), 1..8),
        groups in prop::collection::vec(0..3_usize, 8),
    ) {
        let mut expected = Plain::default();
        partitions.iter().flatten().for_each(|made| expected.event(made));
        let mut commits: [Vec<Arc<Part>>; 3] = Default::default();
        for (number, (events, group)) in (0..).zip(partitions.iter().zip(groups)) {
            commits[group].push(part(number, events));
        }
        let mut found = Plain::default();
        for mut parts in commits.into_iter().filter(|parts| !parts.is_empty()) {
            prop_assert!(parts.iter().all(|part| i1_exact(part)));
            parts.reverse();
            let commit = Commit::of(CommitId([1; 16]), parts);
            prop_assert!(i1_exact_together(&commit));
            let rows = &commit.rows;
            prop_assert!(is_strictly_sorted(&commit.parts, |part| part.owner.partition));
            prop_assert!(is_strictly_sorted(&rows.totals, |row| row.0));
            prop_assert!(is_strictly_sorted(&rows.shorts, |row| row.0));
            prop_assert!(is_strictly_sorted(&rows.consumers, |row| row.0));
            prop_assert!(is_strictly_sorted(&rows.quarters, |row| (row.0, row.1)));
            prop_assert!(is_strictly_sorted(&rows.minutes, |row| (row.0, row.1)));
            prop_assert!(is_strictly_sorted(&rows.used, |row| (row.0, row.1)));
            found.rows(rows);
        }
        prop_assert_eq!(found, expected);
    }
}
