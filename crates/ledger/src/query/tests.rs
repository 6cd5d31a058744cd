//! Questions are answered the same whatever the order of the rows, and buckets add up to totals.

use event::{Outcome, UsageSource};
use proptest::prelude::*;

use super::distribution::Distribution;
use super::sums::{Row, Sums};
use super::{Buckets, QueryError, Series};
use crate::measures::Measures;
use crate::series::ShortLabels;

/// A stored row with its moment.
type Stored = (i64, ShortLabels, Measures);

fn labels(namespace: &str, outcome: Outcome, source: UsageSource, is_final: bool) -> ShortLabels {
    ShortLabels { namespace: namespace.into(), upstream: "u".into(), outcome, source, is_final }
}

fn measures(n: i64, tokens: [i64; 5]) -> Measures {
    let mut measures = Measures { n, duration_us: 900_000 * n, tokens, ..Measures::default() };
    measures.duration[7] = n;
    measures.cost_nano = 3 * n;
    measures
}

fn any_row() -> impl Strategy<Value = Stored> {
    let labels = (
        prop::sample::select(vec!["a", "b", "c"]),
        prop::sample::select(Outcome::EACH.to_vec()),
        prop::sample::select(UsageSource::EACH.to_vec()),
        any::<bool>(),
    )
        .prop_map(|(namespace, outcome, source, is_final)| {
            labels(namespace, outcome, source, is_final)
        });
    // Near the end of 64 bits two rows are already too many for a sum that is shown.
    let n = prop_oneof![9 => 0..1_000_i64, 1 => Just(i64::MAX / 900_000)];
    let tokens = prop::array::uniform5(prop_oneof![9 => 0..1_000_000_i64, 1 => Just(i64::MAX)]);
    (-20..120_i64, labels, (n, tokens).prop_map(|(n, tokens)| measures(n, tokens)))
}

fn total(rows: &[Stored]) -> Sums {
    let mut sums = Sums::default();
    for (_, labels, measures) in rows {
        sums.add(&Row::short(labels, measures));
    }
    sums
}

fn series(rows: &[Stored], edges: &[i64]) -> Series {
    let mut series = Series::new(Buckets::new(edges.to_vec()).expect("they rise"));
    for (at, labels, measures) in rows {
        series.add(*at, &Row::short(labels, measures));
    }
    series
}

fn distribution(rows: &[Stored]) -> Distribution {
    let mut distribution = Distribution::of(["z"]);
    for (_, labels, measures) in rows {
        distribution.add(&Row::short(labels, measures));
    }
    distribution
}

proptest! {
    #[test]
    fn order_of_rows_does_not_matter(
        (rows, shuffled) in prop::collection::vec(any_row(), 0..40)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let edges = [-5, 0, 1, 60, 90];
        prop_assert_eq!(series(&rows, &edges), series(&shuffled, &edges));
        prop_assert_eq!(distribution(&rows), distribution(&shuffled));
    }

    #[test]
    fn buckets_add_up_to_the_rows_that_lie_in_them(
        rows in prop::collection::vec(any_row(), 0..40),
        edges in prop::collection::btree_set(-30..130_i64, 2..20),
    ) {
        let edges: Vec<i64> = edges.into_iter().collect();
        let whole = edges[0]..edges[edges.len() - 1];
        let (inside, outside): (Vec<_>, Vec<_>) =
            rows.iter().cloned().partition(|(at, _, _)| whole.contains(at));
        let found = series(&rows, &edges);
        prop_assert_eq!(found.total(), total(&inside));
        prop_assert_eq!(found.earlier(&total(&rows)), Ok(total(&outside)));
        let mut both = found.earlier(&total(&rows)).expect("a part of all");
        both.merge(&found.total());
        prop_assert_eq!(both, total(&rows));
    }

    #[test]
    fn a_distribution_has_every_request_once(rows in prop::collection::vec(any_row(), 0..40)) {
        let distribution = distribution(&rows);
        match (total(&rows).latency(), distribution.totals()) {
            (Ok(requests), Ok(totals)) => {
                prop_assert_eq!(totals.iter().sum::<i64>(), requests.n);
                prop_assert_eq!(requests.n - totals[0], requests.errors);
                prop_assert_eq!(requests.duration.iter().sum::<i64>(), requests.n);
            }
            (requests, _) => prop_assert_eq!(requests, Err(QueryError::TooLarge)),
        }
    }
}

#[test]
fn requests_are_final_attempts_and_tokens_are_of_all() {
    let rows = [
        (0, labels("a", Outcome::Success, UsageSource::Reported, true), [1, 2, 3, 4, 5]),
        (0, labels("a", Outcome::Timeout, UsageSource::Estimated, false), [10, 0, 0, 10, 0]),
        (0, labels("a", Outcome::RateLimited, UsageSource::None, true), [0; 5]),
    ];
    let rows: Vec<Stored> =
        rows.into_iter().map(|(at, labels, tokens)| (at, labels, measures(2, tokens))).collect();
    let sums = total(&rows);
    let requests = sums.latency().expect("small");
    assert_eq!((requests.n, requests.errors, requests.mean_us()), (4, 2, Some(900_000)));
    assert_eq!(requests.quantile_us(500), Some(960_000));
    let tokens = sums.tokens().expect("small");
    assert_eq!((tokens.input, tokens.output), (16, 19));
    assert_eq!((tokens.cache_read, tokens.cache_write, tokens.reasoning), (2, 3, 5));
    assert_eq!((tokens.estimated, tokens.cost_nano), (20, 18));
    let counts = distribution(&rows).namespaces().expect("small");
    assert_eq!(counts.len(), 2);
    assert_eq!((&*counts[0].0, counts[0].1), ("a", [2, 0, 2, 0, 0, 0, 0, 0, 0]));
    assert_eq!((&*counts[1].0, counts[1].1), ("z", [0; 9]));
}

#[test]
fn nothing_has_no_mean_and_no_quantile() {
    let sums = Sums::default();
    assert!(sums.is_zero());
    let requests = sums.latency().expect("zeros");
    assert_eq!((requests.mean_us(), requests.quantile_us(990)), (None, None));
}

#[test]
fn a_sum_beyond_64_bits_is_refused_and_not_wrapped() {
    let row = (0, labels("a", Outcome::Success, UsageSource::Reported, true));
    let row = (row.0, row.1, measures(1, [i64::MAX, 1, 0, 0, 0]));
    assert_eq!(total(&[row]).tokens(), Err(QueryError::TooLarge));
}

#[test]
fn buckets_that_hold_more_than_the_totals_are_an_error() {
    let row = (0, labels("a", Outcome::Success, UsageSource::Reported, true), measures(2, [0; 5]));
    let found = series(&[row], &[0, 1]);
    assert_eq!(found.earlier(&Sums::default()), Err(QueryError::AboveTotals));
}

#[test]
fn edges_must_rise_and_a_moment_lies_in_one_bucket_at_most() {
    for bad in [vec![], vec![1], vec![1, 1], vec![2, 1], vec![0, 1, 1]] {
        assert_eq!(Buckets::new(bad.clone()), None, "{bad:?}");
    }
    let buckets = Buckets::new(vec![0, 10, 15]).expect("they rise");
    for (at, idx) in [(-1, None), (0, Some(0)), (9, Some(0)), (10, Some(1)), (15, None)] {
        assert_eq!(buckets.idx(at), idx, "{at}");
    }
    assert_eq!((buckets.n(), buckets.whole()), (2, 0..15));
    assert_eq!(buckets.ranges().collect::<Vec<_>>(), [0..10, 10..15]);
}

#[test]
fn every_outcome_is_shown_once() {
    let mut shown = crate::query::distribution::SHOWN.to_vec();
    shown.sort_unstable_by_key(|outcome| outcome.code());
    assert_eq!(shown, Outcome::EACH);
}
