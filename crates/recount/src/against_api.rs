//! The log against the API's answers about all time.
//!
//! Every number of an answer that the log decides is compared, buckets by their sum: event times
//! choose the bucket, and the rows behind it were compared already.

use std::collections::BTreeMap;

use crate::answers::{ALL, Answers, Dataset, Tokens, Trend};
use crate::differ::Differences;
use crate::figures::Figures;
use crate::labels::{OUTCOMES, Row, UNCONFIRMED};
use crate::sums::Sums;
use crate::tally::Account;
use crate::verdict::Class;

const DISTRIBUTION: &str = "API status-distribution";
const TREND: &str = "API request-trend";
const TOKENS: &str = "API tokens";
const SYSTEM: &str = "API system";
/// Nano-dollars in a dollar.
const NANO: i128 = 1_000_000_000;

/// Compares the answers with the recounted log.
pub fn compare(
    totals: &BTreeMap<Row, Sums>,
    account: &Account,
    namespaces: &[String],
    answers: &Answers,
) -> Differences {
    let mut differences = Differences::default();
    compare_distribution(&mut differences, totals, namespaces, answers);
    let mut figures = Figures::by_namespace(totals);
    for namespace in namespaces {
        figures.entry(namespace.clone()).or_default();
    }
    let all = Figures::of(totals);
    figures.insert(ALL.to_owned(), all);
    for (namespace, figures) in &figures {
        if answers.left_out.contains(namespace) {
            continue;
        }
        match answers.trends.get(namespace) {
            Some(trend) => compare_trend(&mut differences, namespace, figures, trend),
            None => differences.add(TREND, namespace, "an answer", "nothing"),
        }
        match answers.tokens.get(namespace) {
            Some(tokens) => compare_tokens(&mut differences, namespace, figures, tokens),
            None => differences.add(TOKENS, namespace, "an answer", "nothing"),
        }
    }
    let system = &answers.system;
    let total = i128::from(system.total_requests);
    differences.compare(SYSTEM, "totalRequests", all.requests, total);
    let mut events = BTreeMap::from([
        ("conflicts".to_owned(), account.conflicts),
        ("lost_frames".to_owned(), account.lost_frames),
    ]);
    let late = account.late_by_verdict();
    events.extend(late.map(|(verdict, n)| (format!("late_{verdict}"), n)));
    for class in Class::EACH {
        events.insert(class.word().to_owned(), account.of(class));
    }
    for (name, n) in &events {
        let found = system.events.get(name).map(|n| i128::from(*n));
        differences.compare_some(SYSTEM, &format!("events {name}"), Some(*n), found);
    }
    differences
}

fn compare_distribution(
    differences: &mut Differences,
    totals: &BTreeMap<Row, Sums>,
    namespaces: &[String],
    answers: &Answers,
) {
    let answer = &answers.distribution;
    let mut expected: BTreeMap<String, i128> = BTreeMap::new();
    let name = |namespace: &str, outcome: &str| format!("namespace={namespace} {outcome}");
    let rows = totals.keys().map(|row| &row.namespace);
    // An API from before this outcome does not name it: right as long as nothing ended so.
    let is_older = !answer.labels.iter().any(|outcome| outcome == UNCONFIRMED);
    let zeros = || OUTCOMES.into_iter().filter(|outcome| !is_older || *outcome != UNCONFIRMED);
    for namespace in namespaces.iter().chain(rows).map(String::as_str).chain([ALL]) {
        for outcome in zeros() {
            expected.entry(name(namespace, outcome)).or_default();
        }
    }
    for (row, sums) in totals.iter().filter(|(row, _)| row.is_final) {
        *expected.entry(name(&row.namespace, row.outcome)).or_default() += sums.n();
        *expected.entry(name(ALL, row.outcome)).or_default() += sums.n();
    }
    let mut found: BTreeMap<String, i128> = BTreeMap::new();
    for dataset in &answer.datasets {
        for (outcome, n) in answer.labels.iter().zip(&dataset.data) {
            found.insert(name(&dataset.label, outcome), i128::from(*n));
        }
    }
    for (outcome, n) in &answer.totals {
        found.insert(name(ALL, outcome), i128::from(*n));
    }
    differences.compare_maps(DISTRIBUTION, &expected, &found, |differences, name, n, other| {
        differences.compare(DISTRIBUTION, name, *n, *other);
    });
    let requests = Figures::of(totals).requests;
    differences.compare(DISTRIBUTION, "requests", requests, i128::from(answer.requests));
}

fn compare_trend(differences: &mut Differences, namespace: &str, figures: &Figures, trend: &Trend) {
    let what = format!("namespace={namespace} sum of the buckets");
    differences.compare_some(TREND, &what, Some(figures.requests), sum(&trend.datasets, 0));
    compare_lengths(differences, TREND, namespace, trend.labels.len(), &trend.datasets);
}

/// Every dataset has a number per label.
fn compare_lengths(
    differences: &mut Differences,
    place: &'static str,
    namespace: &str,
    n_labels: usize,
    datasets: &[Dataset],
) {
    for dataset in datasets {
        let what = format!("namespace={namespace} number of buckets of {}", dataset.label);
        differences.compare(place, &what, n_labels, dataset.data.len());
    }
}

fn compare_tokens(
    differences: &mut Differences,
    namespace: &str,
    figures: &Figures,
    answer: &Tokens,
) {
    let totals = &answer.totals;
    for (what, expected, found) in [
        ("input", figures.input, totals.input),
        ("output", figures.output, totals.output),
        ("cache_read", figures.cache_read, totals.cache_read),
        ("cache_write", figures.cache_write, totals.cache_write),
        ("reasoning", figures.reasoning, totals.reasoning),
        ("estimated", figures.estimated, totals.estimated),
    ] {
        let what = format!("namespace={namespace} {what}");
        differences.compare(TOKENS, &what, expected, i128::from(found));
    }
    compare_lengths(differences, TOKENS, namespace, answer.labels.len(), &answer.datasets);
    let what = format!("namespace={namespace} cost_usd");
    let cost = answer.totals.cost_usd.get();
    differences.compare(TOKENS, &what, dollars(figures.cost_nano).as_str(), cost);
    for (idx, label, tokens) in [(0, "input", figures.input), (1, "output", figures.output)] {
        let what = format!("namespace={namespace} sum of the buckets of {label}");
        let is_there = answer.datasets.get(idx).is_some_and(|dataset| dataset.label == label);
        let found = if is_there { sum(&answer.datasets, idx) } else { None };
        differences.compare_some(TOKENS, &what, Some(tokens), found);
    }
}

/// Sum of one dataset, if it exists.
fn sum(datasets: &[Dataset], idx: usize) -> Option<i128> {
    Some(datasets.get(idx)?.data.iter().map(|n| i128::from(*n)).sum())
}

/// Nano-dollars as dollars with every digit; null if absent, because there are no prices yet.
pub fn dollars(nano: i128) -> String {
    if nano == 0 {
        return "null".to_owned();
    }
    let text = format!("{}.{:09}", nano / NANO, nano % NANO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
