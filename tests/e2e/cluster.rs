//! The roles as processes of their own on Kafka, MariaDB and Redis, while everything fails in turn.
//!
//! One stack serves all runs: what is sent is counted to the token, whichever way it comes in, and
//! after each fault the books, the page, the API and a recount of the log agree. A referee scrapes
//! all the time and sees no counter fall.

mod backups;
mod databases;
mod deaths;
mod edges;
mod frames;
mod guide;
mod logs;
mod models;
pub mod monitoring;
mod networks;
mod operators;
mod owners;
mod several;
pub mod strangers;
mod switch;
mod ways;

use std::time::Duration;

use crate::referee::Referee;
use crate::stack::{Books, Stack};

/// A load with copies and late events that goes on until it is interrupted.
const LOAD: [&str; 13] = [
    "synthetic",
    "--count",
    "1000000",
    "--rate",
    "1200",
    "--batch",
    "50",
    "--duplicates",
    "5%",
    "--late",
    "1%",
    "--namespaces",
    "8",
];

#[test]
fn roles_on_kafka_mariadb_and_redis_count_to_the_token_while_everything_fails_in_turn() {
    let stack = Stack::up();
    stack.start();
    let status = stack.status();
    assert!(status.iter().all(|service| service["healthy"] == true), "{status:?}");
    let metrics = format!("{}/metrics", stack.url("aggregator"));
    let referee = Referee::start(&metrics, Duration::from_millis(200));
    let mut books = Books::default();
    ways::one_way_the_other_way_and_both(&stack, &mut books);
    strangers::what_others_write_is_kept_and_counted_once_when_it_is_sent_again(&stack, &mut books);
    frames::frame_version_is_raised_under_load_once_every_aggregator_knows_it(&stack, &mut books);
    edges::extreme_numbers_are_exact_and_contradictions_are_kept(&stack, &mut books);
    models::models_that_only_requests_name_count_alike_whichever_way_they_come(&stack, &mut books);
    several::second_aggregator_joins(&stack);
    monitoring::dashboards_show_what_is_counted(&stack, &mut books);
    several::both_count_and_one_shows_it(&stack, &mut books);
    several::second_aggregator_leaves(&stack);
    deaths::every_process_is_killed(&stack, &mut books);
    owners::aggregator_that_stood_still_is_refused(&stack, &mut books);
    databases::database_refuses_hangs_and_goes_back(&stack, &mut books);
    backups::ledger_is_restored_into_an_empty_database(&stack, &mut books);
    switch::primary_moves_by_hand_and_back(&stack, &mut books);
    networks::brokers_are_slow_or_their_answers_are_lost(&stack, &mut books);
    guide::every_example_answers_as_the_guide_says(&stack);
    let report = referee.finish().unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    assert!(report.good > 300, "{report:?}");
    logs::log_that_is_not_what_it_was_is_told(&stack);
    operators::operators_may_ask_any_aggregator(&stack);
}
