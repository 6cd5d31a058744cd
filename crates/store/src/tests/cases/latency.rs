//! Histograms: each question is one statement on either database, and says what the rows say.

use std::ops::Range;

use ledger::query::Buckets;

use super::super::fixture::{Bed, ROLLED, commit_and_roll_up, roll_up};
use super::sums::{Fact, QUARTERS, commit_of, edges, facts};
use crate::*;

/// The facts of the other cases, of two upstreams and models, a part of them without a first token,
/// or without a time per output token.
fn measured() -> Vec<Fact> {
    let mut facts = facts();
    for (idx, fact) in facts.iter_mut().enumerate() {
        fact.labels.upstream = ["openai", "azure"][idx % 2].into();
        fact.labels.model = ["gpt-4o", "claude", "Claude"][idx % 3].into();
        let n = fact.measures.n;
        fact.measures.duration.rotate_right(idx % 17);
        if idx % 5 == 0 {
            (fact.measures.ttft, fact.measures.ttft_us) = ([0; 18], 0);
        } else {
            fact.measures.ttft = [0; 18];
            fact.measures.ttft[idx % 18] = n;
            fact.measures.ttft_us = n * idx as i64;
        }
        (fact.measures.tpot, fact.measures.tpot_us) = ([0; 18], 0);
        if idx % 7 != 0 {
            fact.measures.tpot[(idx + 5) % 18] = n;
            fact.measures.tpot_us = n * (idx as i64 + 1);
        }
    }
    facts
}

/// What facts of a range of minutes add up to.
fn expected(facts: &[Fact], minutes: Range<i64>, ask: &LatencyAsk<'_>) -> Histogram {
    let mut histogram = Histogram::new(ask.timing);
    let is = |asked: Option<&str>, label: &str| asked.is_none_or(|asked| asked == label);
    for Fact { minute, labels, measures } in facts {
        let is_meant = minutes.contains(minute)
            && is(ask.namespace, &labels.namespace)
            && is(ask.upstream, &labels.upstream)
            && is(ask.model, &labels.model);
        let (counts, sum_us) = match ask.timing {
            Timing::Duration => (&measures.duration[..], measures.duration_us),
            Timing::FirstToken => (&measures.ttft[..], measures.ttft_us),
            Timing::PerToken => (&measures.tpot[..], measures.tpot_us),
        };
        if is_meant && (labels.is_final || ask.timing != Timing::Duration) {
            let counts = counts.iter().map(|count| i128::from(*count)).collect();
            histogram.merge(&Histogram { sum_us: sum_us.into(), counts });
        }
    }
    histogram
}

pub(in crate::tests) async fn histograms_are_one_statement_and_those_of_the_rows_that_are_meant(
    bed: Bed,
) {
    let facts = measured();
    commit_and_roll_up(&bed, &facts, commit_of).await;
    for quarter in ROLLED {
        roll_up(&bed.store, quarter).await;
        check(&bed, &facts).await;
    }
}

async fn check(bed: &Bed, facts: &[Fact]) {
    let mut reader = bed.store.read().await.expect("a reader");
    let both = [None, Some("azure")];
    let timings = [Timing::Duration, Timing::FirstToken, Timing::PerToken];
    let asks = timings.into_iter().flat_map(|timing| {
        [None, Some("b"), Some("nobody")].into_iter().flat_map(move |namespace| {
            both.into_iter().flat_map(move |upstream| {
                [None, Some("claude"), Some("CLAUDE")].map(|model| LatencyAsk {
                    timing,
                    namespace,
                    upstream,
                    model,
                })
            })
        })
    });
    for ask in asks {
        for edges in edges() {
            for (rows, per_quarter) in [(Rows::Minutes, 15), (Rows::Quarters, 1)] {
                let edges: Vec<i64> = edges.iter().map(|edge| edge * per_quarter).collect();
                let buckets = Buckets::new(edges.clone()).expect("they rise");
                if rows == Rows::Minutes && !ask.is_in_minutes() {
                    continue;
                }
                let before = bed.store.n_read_statements();
                let (each, total) = reader.latency(rows, &buckets, ask).await.expect("an answer");
                assert_eq!(bed.store.n_read_statements() - before, 1);
                let minutes = |at: i64| at * 15 / per_quarter;
                let ranges = edges.windows(2).map(|pair| minutes(pair[0])..minutes(pair[1]));
                let wanted: Vec<Histogram> =
                    ranges.map(|range| expected(facts, range, &ask)).collect();
                assert_eq!(each, wanted, "{rows:?} {ask:?} {edges:?}");
                let whole = minutes(edges[0])..minutes(edges[edges.len() - 1]);
                assert_eq!(total, expected(facts, whole, &ask), "{rows:?} {ask:?} {edges:?}");
            }
        }
        let edges = vec![0, 96, QUARTERS / 2, i64::MAX];
        let buckets = Buckets::new(edges).expect("they rise");
        let found = reader.latency(Rows::Totals, &buckets, ask).await;
        let (each, total) = found.expect("an answer");
        assert_eq!((each.len(), &total), (3, &expected(facts, 0..i64::MAX, &ask)), "{ask:?}");
        let gone = total.minus(&each[2]).expect("a part of all");
        assert_eq!(gone, expected(facts, 0..QUARTERS / 2 * 15, &ask), "{ask:?}");
        assert_eq!(each[0].minus(&total).is_none(), total != each[0], "{ask:?}");
    }
    let buckets = Buckets::new(vec![0, 60]).expect("they rise");
    for timing in [Timing::FirstToken, Timing::PerToken] {
        let ask = LatencyAsk { timing, namespace: None, upstream: None, model: None };
        let refused = reader.latency(Rows::Minutes, &buckets, ask).await;
        assert!(matches!(refused, Err(StoreError::Fatal { .. })), "{refused:?}");
    }
}
