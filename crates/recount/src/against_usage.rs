//! The log against the API's answer about consumers.

use std::collections::BTreeMap;

use crate::against_api::dollars;
use crate::differ::Differences;
use crate::groups::{Group, Groups};
use crate::sums::Sums;
use crate::usage::{Item, Usage};

const API: &str = "API usage";

/// Compares the API's answer with the rows: all groups, or those with the most tokens if there are
/// more than are asked for.
pub fn compare(rows: &Groups, answer: &Usage) -> Differences {
    let mut differences = Differences::default();
    differences.compare(API, "groups", rows.len() as i128, i128::from(answer.total));
    let mut found = BTreeMap::new();
    for item in &answer.items {
        let group = Group {
            namespace: item.namespace.clone(),
            consumer: item.consumer.clone().unwrap_or_default(),
        };
        if found.insert(group.clone(), item).is_some() {
            differences.add(API, &group.to_string(), "one group", "another of the same name");
        }
    }
    let is_whole = answer.items.len() as i128 == i128::from(answer.total);
    for (group, sums) in rows {
        match found.remove(group) {
            Some(item) => compare_item(&mut differences, group, sums, item),
            None if is_whole => {
                differences.add(API, &group.to_string(), "it to be there", "nothing");
            }
            None => {}
        }
    }
    for group in found.keys() {
        differences.add(API, &group.to_string(), "nothing", "it is there");
    }
    differences
}

fn compare_item(differences: &mut Differences, group: &Group, sums: &Sums, item: &Item) {
    let tokens = sums.tokens();
    for (what, expected, found) in [
        ("requests", sums.n(), item.requests),
        ("input", sums.input(), item.input),
        ("output", sums.output(), item.output),
        ("cache_read", tokens[1], item.cache_read),
        ("cache_write", tokens[2], item.cache_write),
        ("reasoning", tokens[4], item.reasoning),
    ] {
        differences.compare(API, &format!("{group} {what}"), expected, i128::from(found));
    }
    let cost = dollars(sums.cost_nano());
    differences.compare(API, &format!("{group} cost_usd"), cost.as_str(), item.cost_usd.get());
}
