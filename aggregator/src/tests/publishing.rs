//! When a page is shown, and what it must never show.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::{ErrorType, Method, Outcome, ServiceTier, UsageSource};
use ledger::account::{Account, Class};
use ledger::commit::{Commit, CommitId, CommitRows, Owner, Part, Progress};
use ledger::histogram::duration_bucket;
use ledger::measures::Measures;
use ledger::series::FullLabels;

use crate::publisher::{Ahead, Committers, Publisher, Reader, Start};

fn row(namespace: &str, n: i64) -> (FullLabels, Measures) {
    let labels = FullLabels {
        namespace: namespace.into(),
        upstream: "openai".into(),
        model: "gpt-4o".into(),
        method: Method::Post,
        endpoint: "/v1/chat/completions".into(),
        status: 504,
        outcome: Outcome::of(504, None),
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        limited_by: Some("token_limit".into()),
    };
    let mut sums = Measures { n, duration_us: n * 50_000, ..Measures::default() };
    sums.duration[duration_bucket(50_000)] = n;
    sums.tokens = [n, n, 0, n, 2 * n];
    (labels, sums)
}

fn commit(next: u64, namespace: &str, n: i64) -> Arc<Commit> {
    let (labels, sums) = row(namespace, n);
    let mut progress = Progress { next, ..Progress::default() };
    progress.account.add(Class::Counted, n);
    let owner = Owner { generation: 1, partition: 0, epoch: 1, nonce: [0; 16] };
    let totals = vec![(labels.id(), Arc::new(labels), sums)];
    let rows = Arc::new(CommitRows { totals, ..CommitRows::default() });
    let part = Part { rows, ..Part::without_rows(owner, 0, progress) };
    Arc::new(Commit::of(CommitId([0; 16]), vec![Arc::new(part)]))
}

fn start(version: i64, goal: u64, rows: &[(&str, i64)]) -> Start {
    let mut account = Account::default();
    account.add(Class::Counted, rows.iter().map(|(_, n)| n).sum());
    Start {
        version,
        commit: Some(CommitId([0; 16])),
        totals: rows.iter().map(|(namespace, n)| row(namespace, *n)).collect(),
        accounts: BTreeMap::from([(0, account)]),
        namespaces: vec!["configured".to_owned()],
        goals: BTreeMap::from([(0, goal)]),
        may_lack_shown: false,
        waits_for_late: false,
    }
}

fn page(publisher: &Publisher, reader: Reader) -> Result<String, String> {
    let page = publisher.page(reader, 0)?;
    Ok(String::from_utf8(page.text.to_vec()).expect("pages are text"))
}

fn value(page: &str, series: &str) -> Option<i64> {
    let line =
        page.lines().find(|line| line.strip_prefix(series).is_some_and(|r| r.starts_with(' ')));
    line?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn an_error_inside_an_answer_of_200_is_an_error_in_every_family_and_keeps_its_status_code() {
    let mut whole = start(3, 0, &[]);
    let (labels, sums) = row("a", 3);
    let outcome = Outcome::of(200, Some(ErrorType::ServerError));
    whole.totals.push((FullLabels { status: 200, outcome, limited_by: None, ..labels }, sums));
    let publisher = Publisher::new(Committers::Own);
    publisher.take_over(whole);
    publisher.progress(0, &Progress::default());
    let shown = page(&publisher, Reader::Other).expect("a page");
    for (series, n) in [
        ("namespace_requests_total{namespace=\"a\",status=\"success\"}", 0),
        ("namespace_requests_total{namespace=\"a\",status=\"error\"}", 3),
        ("upstream_requests_total{upstream=\"openai\",status=\"success\"}", 0),
        ("upstream_requests_total{upstream=\"openai\",status=\"error\"}", 3),
        ("errors_total{error_type=\"server_error\",namespace=\"a\",upstream=\"openai\"}", 3),
        ("gatemeter_model_requests_total{namespace=\"a\",model=\"gpt-4o\",status=\"success\"}", 0),
        ("gatemeter_model_requests_total{namespace=\"a\",model=\"gpt-4o\",status=\"error\"}", 3),
        (
            "http_requests_total{method=\"POST\",endpoint=\"/v1/chat/completions\",\
             status_code=\"200\",namespace=\"a\",upstream=\"openai\"}",
            3,
        ),
    ] {
        assert_eq!(value(&shown, series), Some(n), "{series}\n{shown}");
    }
}

const BORN: &str = "namespace_requests_total{namespace=\"born\",status=\"error\"}";

#[test]
fn no_page_before_the_log_end_of_the_take_over_is_committed() {
    let publisher = Publisher::new(Committers::Own);
    assert!(page(&publisher, Reader::Other).expect_err("nothing taken over").contains("ledger"));
    publisher.take_over(start(3, 7, &[("a", 5)]));
    let closed = page(&publisher, Reader::Other).expect_err("not caught up");
    assert!(closed.contains("partition 0 to be counted up to offset 7"), "{closed}");
    publisher.committed(&commit(6, "a", 1), 4);
    assert!(page(&publisher, Reader::Other).is_err() && publisher.ready().is_err());
    publisher.committed(&commit(7, "a", 1), 5);
    let shown = page(&publisher, Reader::Other).expect("caught up");
    let requests = "namespace_requests_total{namespace=\"a\",status=\"error\"}";
    assert_eq!(value(&shown, requests), Some(7));
    assert_eq!(value(&shown, "gatemeter_ledger_version"), Some(5));
}

#[test]
fn a_ledger_that_went_back_closes_the_page_until_it_is_taken_over_and_caught_up() {
    let publisher = Publisher::new(Committers::Own);
    publisher.take_over(start(9, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    assert!(page(&publisher, Reader::Other).is_ok());
    assert_eq!(publisher.version(), Some(9));
    let (known, other) = (Some(CommitId([0; 16])), Some(CommitId([1; 16])));
    assert!(!publisher.close_if_restored(9, known) && !publisher.close_if_restored(8, other));
    assert!(publisher.close_if_restored(9, other));
    assert!(page(&publisher, Reader::Other).expect_err("closed").contains("was restored"));
    let publisher = Publisher::new(Committers::Own);
    publisher.take_over(start(8, 3, &[("a", 4)]));
    assert!(page(&publisher, Reader::Other).is_err());
    publisher.committed(&commit(3, "a", 1), 9);
    let shown = page(&publisher, Reader::Other).expect("caught up");
    assert_eq!(value(&shown, "gatemeter_events_total{class=\"counted\"}"), Some(1));
}

const REQUESTS: &str = "namespace_requests_total{namespace=\"a\",status=\"error\"}";

/// Requests and version of the page.
fn shown(publisher: &Publisher) -> (Option<i64>, Option<i64>) {
    let page = page(publisher, Reader::Other).expect("a page");
    (value(&page, REQUESTS), value(&page, "gatemeter_ledger_version"))
}

/// What others committed up to a version: totals of one namespace.
fn ahead(version: i64, namespace: &str, n: i64) -> Ahead {
    let mut account = Account::default();
    account.add(Class::Counted, n);
    Ahead {
        version,
        commit: Some(CommitId([0; 16])),
        totals: vec![row(namespace, n)],
        partitions: vec![(0, Progress { next: 9, account, ..Progress::default() })],
    }
}

#[test]
fn what_others_commit_is_followed_by_version_and_nothing_is_added_twice() {
    let publisher = Publisher::new(Committers::Any);
    publisher.take_over(start(3, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    publisher.committed(&commit(1, "a", 1), 4);
    assert_eq!(shown(&publisher), (Some(6), Some(4)), "the next version is added at once");
    // Versions 5 and 7 are of others; 6 and 8 of this process.
    publisher.committed(&commit(2, "a", 10), 6);
    assert_eq!(shown(&publisher), (Some(6), Some(4)), "version 5 is not known yet");
    publisher.follow_to(ahead(7, "a", 116));
    assert_eq!(shown(&publisher), (Some(116), Some(7)));
    publisher.committed(&commit(3, "a", 4), 8);
    assert_eq!(shown(&publisher), (Some(120), Some(8)));
    // What was read before that commit comes late, and so does a commit that is shown already.
    publisher.follow_to(ahead(7, "a", 116));
    publisher.committed(&commit(2, "a", 10), 6);
    assert_eq!(shown(&publisher), (Some(120), Some(8)));
    assert!(!publisher.close_if_restored(8, Some(CommitId([0; 16]))));
}

#[test]
fn a_partition_of_another_process_opens_the_page() {
    let publisher = Publisher::new(Committers::Any);
    publisher.take_over(start(3, 9, &[("a", 5)]));
    assert!(page(&publisher, Reader::Other).is_err());
    publisher.follow_to(ahead(4, "a", 6));
    assert_eq!(shown(&publisher), (Some(6), Some(4)));
}

#[test]
fn a_series_that_another_process_is_the_first_to_count_is_zero_first() {
    let publisher = Publisher::new(Committers::Any);
    publisher.take_over(start(1, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    page(&publisher, Reader::Scrape(1)).expect("a page");
    page(&publisher, Reader::Scrape(1)).expect("a page");
    publisher.follow_to(ahead(2, "born", 4));
    assert_eq!(value(&page(&publisher, Reader::Other).expect("a page"), BORN), Some(0));
}

#[test]
fn a_total_that_fell_closes_the_page() {
    let publisher = Publisher::new(Committers::Any);
    publisher.take_over(start(3, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    publisher.follow_to(ahead(4, "a", 4));
    assert!(page(&publisher, Reader::Other).expect_err("closed").contains("was restored"));
}

#[test]
fn a_standby_is_ready_without_a_page_and_follows_nothing() {
    let publisher = Publisher::new(Committers::Any);
    publisher.take_over(start(3, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    publisher.stand_by();
    publisher.committed(&commit(1, "a", 1), 4);
    publisher.follow_to(ahead(5, "a", 9));
    assert!(publisher.ready().is_ok() && publisher.version().is_none());
    assert!(page(&publisher, Reader::Other).is_err() && publisher.live().is_none());
    publisher.prepare();
    assert!(publisher.ready().is_err(), "it is about to take over");
    publisher.take_over(start(5, 0, &[("a", 9)]));
    publisher.progress(0, &Progress::default());
    assert_eq!(shown(&publisher), (Some(9), Some(5)));
}

#[test]
fn a_ledger_of_ones_own_that_misses_a_version_was_restored() {
    for version in [3, 6] {
        let publisher = Publisher::new(Committers::Own);
        publisher.take_over(start(3, 0, &[("a", 5)]));
        publisher.progress(0, &Progress::default());
        publisher.committed(&commit(1, "a", 1), version);
        assert!(page(&publisher, Reader::Other).expect_err("closed").contains("was restored"));
    }
}

#[test]
fn a_series_born_while_scrapes_get_no_page_is_zero_first() {
    let publisher = Publisher::new(Committers::Own);
    publisher.take_over(start(1, 1, &[("a", 5)]));
    page(&publisher, Reader::Scrape(1)).expect_err("not caught up");
    page(&publisher, Reader::Scrape(1)).expect_err("not caught up");
    publisher.committed(&commit(1, "born", 4), 2);
    assert_eq!(value(&page(&publisher, Reader::Scrape(1)).expect("a page"), BORN), Some(0));
}

#[test]
fn a_series_that_may_have_been_shown_before_the_take_over_never_begins_at_zero_again() {
    let publisher = Publisher::new(Committers::Any);
    publisher.take_over(Start { may_lack_shown: true, ..start(1, 9, &[("a", 5)]) });
    for _ in 0..3 {
        page(&publisher, Reader::Scrape(1)).expect_err("not caught up");
    }
    publisher.committed(&commit(4, "born", 4), 2);
    publisher.follow_to(ahead(3, "c", 7));
    let shown = page(&publisher, Reader::Scrape(1)).expect("a page");
    assert_eq!(value(&shown, BORN), Some(4));
    let c = "namespace_requests_total{namespace=\"c\",status=\"error\"}";
    assert_eq!(value(&shown, c), Some(7));
    // From then on new ones are new.
    publisher.follow_to(ahead(4, "d", 2));
    let shown = page(&publisher, Reader::Other).expect("a page");
    assert_eq!(value(&shown, &c.replace("\"c\"", "\"d\"")), Some(0));
}

#[test]
fn a_series_born_under_a_scraper_is_zero_first_and_the_account_is_true() {
    let publisher = Publisher::new(Committers::Own);
    publisher.take_over(start(1, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    page(&publisher, Reader::Scrape(1)).expect("a page");
    page(&publisher, Reader::Scrape(1)).expect("a page");
    publisher.committed(&commit(1, "born", 4), 2);
    let shown = page(&publisher, Reader::Other).expect("a page");
    assert_eq!(value(&shown, BORN), Some(0));
    assert!(value(&shown, "gatemeter_series_held").expect("a gauge") > 0);
    assert_eq!(value(&shown, "gatemeter_events_total{class=\"counted\"}"), Some(4));
    let series = "namespace_requests_total{namespace=\"configured\",status=\"success\"}";
    assert_eq!(value(&shown, series), Some(0));
    // Two scrapes fetch the zero; one who only looks does not count.
    assert_eq!(value(&page(&publisher, Reader::Scrape(1)).expect("a page"), BORN), Some(0));
    publisher.follow(&[], None);
    page(&publisher, Reader::Other).expect("a page");
    assert_eq!(value(&page(&publisher, Reader::Scrape(1)).expect("a page"), BORN), Some(0));
    publisher.follow(&[], None);
    let shown = page(&publisher, Reader::Scrape(1)).expect("a page");
    assert_eq!(value(&shown, BORN), Some(4));
    assert_eq!(value(&shown, "gatemeter_series_held"), Some(0));
}

#[test]
fn buckets_are_cumulative_and_end_with_the_count() {
    let publisher = Publisher::new(Committers::Own);
    publisher.take_over(start(1, 0, &[("a", 5)]));
    publisher.progress(0, &Progress::default());
    let shown = page(&publisher, Reader::Other).expect("a page");
    let labels =
        "method=\"POST\",endpoint=\"/v1/chat/completions\",namespace=\"a\",upstream=\"openai\"";
    let name = "http_request_duration_seconds";
    let bucket = |le: &str| value(&shown, &format!("{name}_bucket{{{labels},le=\"{le}\"}}"));
    assert_eq!([bucket("0.04"), bucket("0.08"), bucket("+Inf")], [Some(0), Some(5), Some(5)]);
    assert_eq!(value(&shown, &format!("{name}_count{{{labels}}}")), Some(5));
    assert!(shown.contains(&format!("{name}_sum{{{labels}}} 0.25\n")), "{shown}");
    for (series, n) in [
        ("errors_total{error_type=\"timeout\",namespace=\"a\",upstream=\"openai\"}", 5),
        ("gatemeter_policy_refusals_total{namespace=\"a\",policy=\"token_limit\"}", 5),
        ("namespace_tokens_total{namespace=\"a\",token_type=\"input\"}", 10),
        ("namespace_tokens_total{namespace=\"a\",token_type=\"output\"}", 15),
    ] {
        assert_eq!(value(&shown, series), Some(n), "{series}");
    }
}
