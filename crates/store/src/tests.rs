//! The store on real databases: commits take effect once or not at all, and readers see one
//! version. The cases are the same on a SQLite file and on a MariaDB server; the rest provokes what
//! only a server can do.

mod mariadb;
mod server;
mod fixture;
mod load;
mod locked;
mod cases;
mod proxy;
mod faults;
mod races;
mod switch;
mod names;
mod plain;
mod upgrade;
mod backup;
mod tls;

/// Runs each case on both databases.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite {
            use super::{cases, fixture::Bed};
            $(#[tokio::test] async fn $case() { cases::$case(Bed::file().await).await })+
        }
        mod on_mysql {
            use super::{cases, fixture::Bed};
            $(#[tokio::test] async fn $case() { cases::$case(Bed::server().await).await })+
        }
    };
}

on_both! {
    tokens_counted_from_text_are_summed_apart,
    a_series_is_one_statement_and_each_bucket_has_its_rows,
    totals_and_their_buckets_come_in_one_statement_and_outlive_rows,
    histograms_are_one_statement_and_those_of_the_rows_that_are_meant,
    outcomes_are_those_of_final_attempts_in_every_kind_of_rows,
    pulse_is_one_minute_and_what_is_open_now,
    usage_in_groups_of_every_kind_is_what_the_rows_say,
    groups_are_handed_over_until_nobody_takes_them,
    a_commit_takes_effect_once_and_every_table_has_its_sums,
    a_commit_behind_a_gap_keeps_a_baseline_of_what_stands_then,
    an_accepted_loss_is_noted_with_a_baseline_and_moves_nothing_back,
    the_key_that_was_stored_first_comes_first,
    late_events_are_decided_once_in_the_order_of_the_log,
    the_log_of_a_time_is_found_by_its_clock,
    what_came_before_an_accepted_loss_cannot_be_read,
    merged_events_are_kept_as_long_as_their_frames,
    minutes_that_are_over_are_not_begun_again,
    a_former_owner_is_fenced_and_an_unknown_outcome_is_resolved_in_each_way,
    a_commit_that_fails_at_any_statement_leaves_no_trace_and_works_when_tried_again,
    a_commit_that_breaks_a_rule_of_the_ledger_is_fatal_and_leaves_no_trace,
    a_commit_of_three_partitions_is_one_version_with_a_range_of_each,
    a_member_that_lost_its_partition_is_named_and_the_others_go_on,
    a_joint_commit_that_fails_at_any_statement_is_whole_or_nothing,
    a_joint_commit_is_resolved_whoever_has_come_since,
    losses_of_two_partitions_are_accepted_in_one_commit,
    ranges_are_kept_as_long_as_their_commits,
    a_reader_keeps_its_version_while_commits_go_on,
    generations_are_made_once_and_keep_their_secret,
    budgets_hold_and_what_was_registered_stays,
    old_rows_are_deleted_and_totals_stay,
    letters_of_raw_topics_are_kept_once_and_within_their_cap,
    letters_of_both_sources_are_paged_in_one_order,
    what_a_topic_made_anew_left_unread_is_told_once,
    names_registered_together_get_the_answers_of_one_by_one,
    a_registration_that_fails_at_any_statement_leaves_no_trace,
    commits_of_many_rows_take_few_statements,
    six_partitions_of_equal_series_cost_a_third_if_they_commit_together,
    a_second_of_traffic_costs_a_third_if_its_partitions_commit_together,
    registrations_of_many_names_take_few_statements,
    a_ledger_of_a_newer_program_takes_neither_claim_nor_commit,
    a_frame_version_is_raised_once_every_owner_knows_it,
    an_owner_that_does_not_tell_knows_version_1,
    of_two_who_raise_the_frame_version_at_once_one_does,
    a_claim_or_raise_that_fails_at_any_statement_changes_nothing,
    a_lease_moves_only_from_the_row_that_was_read,
    of_many_who_take_the_lease_at_once_one_does,
    processes_are_listed_with_what_they_own_by_the_newest_claim,
    what_was_added_to_after_a_version_is_read_as_it_is_now,
}
