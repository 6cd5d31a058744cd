//! The log against the API's answers about usage.

use std::collections::BTreeMap;
use std::fmt;

use crate::against_api::dollars;
use crate::differ::Differences;
use crate::groups::{Group, Groups};
use crate::labels::Row;
use crate::sums::Sums;
use crate::usage::{Item, Labelled, Usage, Used};

const CONSUMERS: &str = "API usage";
const LABELS: &str = "API usage by labels";
/// The outcome of requests that did not fail.
const SUCCESS: &str = "success";
/// The source of tokens that were counted from text.
const ESTIMATED: &str = "estimated";

/// Labels that the API can group by beside consumers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    namespace: String,
    upstream: String,
    model: String,
    endpoint: String,
    status: u16,
}

/// What was used under some labels.
#[derive(Clone, Debug, Default)]
struct Detail {
    /// Of all attempts; its `n` is requests.
    sums: Sums,
    errors: i128,
    duration_us: i128,
    estimated_input: i128,
    estimated_output: i128,
}

impl fmt::Display for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { namespace, upstream, model, endpoint, status } = self;
        write!(out, "{{namespace={namespace} upstream={upstream} model={model} ")?;
        write!(out, "endpoint={endpoint} status={status}}}")
    }
}

impl Detail {
    fn add(&mut self, row: &Row, sums: &Sums) {
        let n = sums.n();
        let mut used = sums.clone();
        used.0[0] = if row.is_final { n } else { 0 };
        self.sums.add(&used);
        if row.is_final {
            self.duration_us += sums.duration_us();
            self.errors += if row.outcome == SUCCESS { 0 } else { n };
        }
        if row.source == ESTIMATED {
            self.estimated_input += sums.input();
            self.estimated_output += sums.output();
        }
    }
}

/// Compares the API's answer about consumers with the rows.
pub fn compare_consumers(rows: &Groups, answer: &Usage<Used>) -> Differences {
    let group = |item: &Used| Group {
        namespace: item.namespace.clone(),
        consumer: item.consumer.clone().unwrap_or_default(),
    };
    compare(CONSUMERS, rows, answer, group, |differences, group, sums, item| {
        compare_numbers(differences, CONSUMERS, group, sums, item);
    })
}

/// Compares the API's answer about labels with quarter-hours.
pub fn compare_labels(
    quarters: &BTreeMap<(i64, Row), Sums>,
    answer: &Usage<Labelled>,
) -> Differences {
    let mut rows: BTreeMap<Labels, Detail> = BTreeMap::new();
    for ((_, row), sums) in quarters {
        let labels = Labels {
            namespace: row.namespace.clone(),
            upstream: row.upstream.clone(),
            model: row.model.clone(),
            endpoint: row.endpoint.clone(),
            status: row.status,
        };
        rows.entry(labels).or_default().add(row, sums);
    }
    let labels = |item: &Labelled| Labels {
        namespace: item.namespace.clone(),
        upstream: item.upstream.clone(),
        model: item.model.clone(),
        endpoint: item.endpoint.clone(),
        status: item.status,
    };
    compare(LABELS, &rows, answer, labels, |differences, labels, detail, item| {
        let Detail { sums, errors, duration_us, estimated_input, estimated_output } = detail;
        compare_numbers(differences, LABELS, labels, sums, item);
        let estimated = estimated_input + estimated_output;
        for (what, expected, found) in [
            ("errors", *errors, item.errors),
            ("reported", sums.input() + sums.output() - estimated, item.reported),
            ("estimated", estimated, item.estimated),
            ("estimated_input", *estimated_input, item.estimated_input),
            ("estimated_output", *estimated_output, item.estimated_output),
        ] {
            differences.compare(LABELS, &format!("{labels} {what}"), expected, i128::from(found));
        }
        let what = format!("{labels} duration_sum_ms");
        let duration = milliseconds(*duration_us);
        differences.compare(LABELS, &what, duration.as_str(), item.duration_sum_ms.get());
    })
}

/// Compares all groups, or those with the most tokens if there are more than are asked for.
fn compare<K: Ord + Clone + fmt::Display, V, T: Item>(
    place: &'static str,
    rows: &BTreeMap<K, V>,
    answer: &Usage<T>,
    key: impl Fn(&T) -> K,
    compare_item: impl Fn(&mut Differences, &K, &V, &T),
) -> Differences {
    let mut differences = Differences::default();
    differences.compare(place, "groups", rows.len() as i128, i128::from(answer.total));
    let mut found = BTreeMap::new();
    for item in &answer.items {
        let group = key(item);
        if found.insert(group.clone(), item).is_some() {
            differences.add(place, &group.to_string(), "one group", "another of the same name");
        }
    }
    for (group, value) in rows {
        match found.remove(group) {
            Some(item) => compare_item(&mut differences, group, value, item),
            None if answer.is_whole() => {
                differences.add(place, &group.to_string(), "it to be there", "nothing");
            }
            None => {}
        }
    }
    for group in found.keys() {
        differences.add(place, &group.to_string(), "nothing", "it is there");
    }
    differences
}

fn compare_numbers(
    differences: &mut Differences,
    place: &'static str,
    group: &impl fmt::Display,
    sums: &Sums,
    item: &impl Item,
) {
    const NAMES: [&str; 6] =
        ["requests", "input", "output", "cache_read", "cache_write", "reasoning"];
    let tokens = sums.tokens();
    let expected = [sums.n(), sums.input(), sums.output(), tokens[1], tokens[2], tokens[4]];
    for ((what, expected), found) in NAMES.into_iter().zip(expected).zip(item.numbers()) {
        differences.compare(place, &format!("{group} {what}"), expected, i128::from(found));
    }
    let cost = dollars(sums.cost_nano());
    differences.compare(place, &format!("{group} cost_usd"), cost.as_str(), item.cost_usd());
}

/// Microseconds as milliseconds with every digit.
fn milliseconds(us: i128) -> String {
    let text = format!("{}.{:03}", us / 1_000, us % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
