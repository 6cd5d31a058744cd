//! Questions are answered the same whatever the order of the rows, and buckets add up to totals.

use event::Outcome;
use proptest::prelude::*;

use super::distribution::Distribution;
use super::sums::{Classes, Sums};
use super::{Buckets, Pieces, QueryError, Series};
use crate::histogram::N_DURATION;

/// Requests of a namespace that ended alike, with their moment and tokens.
#[derive(Clone, Debug)]
struct Stored {
    at: i64,
    namespace: &'static str,
    outcome: Outcome,
    n: i64,
    tokens: Classes,
    is_estimated: bool,
}

impl Stored {
    fn sums(&self) -> Sums {
        let Stored { n, tokens, .. } = *self;
        let mut duration = [0; N_DURATION];
        duration[7] = n;
        let mut sums = Sums::default();
        sums.add_requests(n, if self.outcome == Outcome::Success { 0 } else { n });
        sums.add_durations(900_000 * n, &duration);
        sums.add_tokens(&tokens, if self.is_estimated { &tokens } else { &[0; 5] }, 3 * n);
        sums
    }
}

fn any_row() -> impl Strategy<Value = Stored> {
    // Near the end of 64 bits two rows are already too many for a sum that is shown.
    let n = prop_oneof![9 => 0..1_000_i64, 1 => Just(i64::MAX / 900_000)];
    let tokens = prop::array::uniform5(prop_oneof![9 => 0..1_000_000_i64, 1 => Just(i64::MAX)]);
    (
        -20..120_i64,
        prop::sample::select(vec!["a", "b", "c"]),
        prop::sample::select(Outcome::EACH.to_vec()),
        n,
        tokens,
        any::<bool>(),
    )
        .prop_map(|(at, namespace, outcome, n, tokens, is_estimated)| Stored {
            at,
            namespace,
            outcome,
            n,
            tokens,
            is_estimated,
        })
}

fn total(rows: &[Stored]) -> Sums {
    let mut sums = Sums::default();
    for row in rows {
        sums.merge(&row.sums());
    }
    sums
}

fn series(rows: &[Stored], edges: &[i64]) -> Series {
    let mut series = Series::new(Buckets::new(edges.to_vec()).expect("they rise"));
    for row in rows {
        series.add(row.at, &row.sums());
    }
    series
}

fn distribution(rows: &[Stored]) -> Distribution {
    let mut distribution = Distribution::of(["z"]);
    for row in rows {
        distribution.add(row.namespace, row.outcome, row.n);
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
            rows.iter().cloned().partition(|row| whole.contains(&row.at));
        let found = series(&rows, &edges);
        prop_assert_eq!(found.total(), total(&inside));
        prop_assert_eq!(found.earlier(&total(&rows)), Ok(total(&outside)));
        let mut both = found.earlier(&total(&rows)).expect("a part of all");
        both.merge(&found.total());
        prop_assert_eq!(both, total(&rows));
    }

    #[test]
    fn a_piece_lies_in_one_bucket_and_pieces_are_as_long_as_they_can_be(
        edges in prop::collection::btree_set(-30..130_i64, 2..20),
        scale in prop::sample::select(vec![1, 4, 96]),
    ) {
        let edges: Vec<i64> = edges.into_iter().map(|edge| edge * scale).collect();
        let (first, last) = (edges[0], edges[edges.len() - 1]);
        let buckets = Buckets::new(edges.clone()).expect("they rise");
        let Pieces { from, length } = buckets.pieces();
        prop_assert!(from <= first && first - from < length);
        prop_assert!(length % scale == 0 || buckets.n() == 1);
        for at in first..last {
            let start = (at - (at - from) % length).max(first);
            prop_assert_eq!(buckets.idx(start), buckets.idx(at), "{} of {:?}", at, &edges);
        }
        // None of the longer ones will do, unless a piece on each side of an edge is all.
        let inner = &edges[1..edges.len() - 1];
        let is_cut = |longer: i64| inner.iter().any(|at| (at - inner[0]) % longer != 0);
        let longest = inner.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        prop_assert!(buckets.n() == 1 || (length + 1..=longest).all(is_cut));
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
fn sums_are_shown_as_requests_and_as_tokens() {
    let row = |outcome, tokens, is_estimated| Stored {
        at: 0,
        namespace: "a",
        outcome,
        n: 2,
        tokens,
        is_estimated,
    };
    let rows = [
        row(Outcome::Success, [1, 2, 3, 4, 5], false),
        row(Outcome::Timeout, [10, 0, 0, 10, 0], true),
        row(Outcome::RateLimited, [0; 5], false),
    ];
    let sums = total(&rows);
    let requests = sums.latency().expect("small");
    assert_eq!((requests.n, requests.errors, requests.mean_us()), (6, 4, Some(900_000)));
    assert_eq!(requests.quantile_us(500), Some(960_000));
    let tokens = sums.tokens().expect("small");
    assert_eq!((tokens.input, tokens.output), (16, 19));
    assert_eq!((tokens.cache_read, tokens.cache_write, tokens.reasoning), (2, 3, 5));
    assert_eq!((tokens.estimated, tokens.cost_nano), (20, 18));
    let counts = distribution(&rows).namespaces().expect("small");
    assert_eq!(counts.len(), 2);
    assert_eq!((&*counts[0].0, counts[0].1), ("a", [2, 0, 2, 0, 0, 0, 2, 0, 0, 0]));
    assert_eq!((&*counts[1].0, counts[1].1), ("z", [0; 10]));
}

#[test]
fn nothing_has_no_mean_and_no_quantile() {
    let requests = Sums::default().latency().expect("zeros");
    assert_eq!((requests.mean_us(), requests.quantile_us(990)), (None, None));
}

#[test]
fn a_sum_beyond_64_bits_is_refused_and_not_wrapped() {
    let mut sums = Sums::default();
    sums.add_tokens(&[i64::MAX, 1, 0, 0, 0], &[0; 5], 0);
    assert_eq!(sums.tokens(), Err(QueryError::TooLarge));
}

#[test]
fn buckets_that_hold_more_than_the_totals_are_an_error() {
    let mut sums = Sums::default();
    sums.add_requests(2, 0);
    let mut found = Series::new(Buckets::new(vec![0, 1]).expect("they rise"));
    found.add(0, &sums);
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
}

#[test]
fn a_first_bucket_that_is_cut_leaves_the_pieces_as_long_as_the_others() {
    let pieces = |edges: &[i64]| Buckets::new(edges.to_vec()).expect("they rise").pieces();
    let of = |from, length| Pieces { from, length };
    assert_eq!(pieces(&[3, 9]), of(3, i64::MAX));
    assert_eq!(pieces(&[0, 10, 15]), of(0, 10));
    assert_eq!(pieces(&[7, 10, 15]), of(5, 5));
    // Days of which the first begins at 23:45.
    assert_eq!(pieces(&[95, 96, 192, 288, 300]), of(0, 96));
    // A day of 23 hours.
    assert_eq!(pieces(&[1, 96, 188, 284, 380]), of(0, 4));
    assert_eq!(pieces(&[-5, 96, 192, 288]), of(-96, 96));
}

#[test]
fn every_outcome_is_shown_once() {
    let mut shown = crate::query::distribution::SHOWN.to_vec();
    shown.sort_unstable_by_key(|outcome| outcome.code());
    assert_eq!(shown, Outcome::EACH);
}
