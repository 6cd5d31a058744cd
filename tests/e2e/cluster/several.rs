//! Two aggregators as the script runs them: they share the partitions, one of them shows what is
//! counted, and Prometheus asks both.

use serde_json::Value;

use crate::gatemeter::{get, wait_for};
use crate::queries::rows;
use crate::stack::{Books, Stack};

const LOAD: [&str; 7] = ["synthetic", "--count", "20000", "--batch", "200", "--namespaces", "8"];
/// Processes that count a partition, as they told the ledger.
const OWNERS: &str =
    "SELECT COUNT(DISTINCT process) FROM gatemeter.partition_owner WHERE generation = 1";
/// Targets of each of the two jobs, whether they answer or not.
const TARGETS: &str = "count by (job) (up{job=~\"gatemeter-aggregator.*\"})";
const TARGETS_UP: &str = "count by (job) (up{job=~\"gatemeter-aggregator.*\"} == 1)";

/// Name and process id of everything that runs.
fn processes(stack: &Stack) -> Vec<(String, Value)> {
    let all = stack.status().into_iter();
    all.map(|one| (one["name"].as_str().expect("a name").to_owned(), one["pid"].clone())).collect()
}

pub fn second_aggregator_joins(stack: &Stack) {
    let before = processes(stack);
    stack.start_with(&["--aggregators", "2"]);
    let status = stack.status();
    assert!(status.iter().all(|service| service["healthy"] == true), "{status:?}");
    let mut after = processes(stack);
    let idx = after.iter().position(|(name, _)| name == "aggregator-2").expect("it runs");
    after.remove(idx);
    assert_eq!(after, before, "nothing else is started or stopped");
    // The number is kept.
    stack.start();
    assert!(stack.status().iter().any(|one| one["name"] == "aggregator-2"));
}

pub fn both_count_and_one_shows_it(stack: &Stack, books: &mut Books) {
    wait_for("both have partitions", || stack.sql(OWNERS) == "2");
    books.add(&stack.sent(stack.load(&LOAD)));
    stack.settle("two aggregators count", books);
    let sizes = ["aggregator", "aggregator-2"].map(|name| {
        let page = get(stack.port(name), "/metrics?section=business", &[]).expect("an answer");
        assert_eq!(page.status, 200, "{name}: {}", page.body);
        page.body.len()
    });
    assert_eq!(sizes.iter().filter(|size| **size > 0).count(), 1, "one shows it: {sizes:?}");
    wait_for("Prometheus has two targets in both jobs", || {
        let all = values(stack, TARGETS_UP);
        all == [2, 2]
    });
    assert_eq!(values(stack, "count(gatemeter_ledger_version)"), [1]);
    let requests = "sum(namespace_requests_total{job=\"gatemeter-aggregator\"})";
    wait_for("Prometheus has each request once", || values(stack, requests) == [books.requests]);
}

pub fn second_aggregator_leaves(stack: &Stack) {
    stack.start_with(&["--aggregators", "1"]);
    assert!(stack.status().iter().all(|one| one["name"] != "aggregator-2"));
    let said = stack.said("aggregator-2");
    assert!(said.lines().last().is_some_and(|line| line.ends_with("stopped")), "{said}");
    wait_for("Prometheus has one target in both jobs", || values(stack, TARGETS) == [1, 1]);
}

fn values(stack: &Stack, query: &str) -> Vec<i64> {
    let value = |row: &Value| row["value"][1].as_str()?.parse().ok();
    rows(stack, query).iter().map(|row| value(row).expect("a whole number")).collect()
}
