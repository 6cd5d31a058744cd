//! A difference that is planted in any place is found, and nothing else is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::made::{counted, made_log, recounted};
use crate::answers::Answers;
use crate::differ::Differences;
use crate::found::{Ledger, Start};
use crate::groups::of_rows;
use crate::labels::{OUTCOMES, Row};
use crate::log::{Beginning, Expected, beginning};
use crate::report::Report;
use crate::sent::Sent;
use crate::sums::Sums;
use crate::tally::Account;
use crate::text::{MILLION, Page, Series};
use crate::verdict::Class;
use crate::views::HELD;
use crate::{against_api, against_ledger, against_page};

/// A log with every kind of row, counted both ways.
fn both() -> (Expected, Ledger) {
    let mut runner = TestRunner::deterministic();
    loop {
        let log = made_log().new_tree(&mut runner).expect("a log").current();
        let ledger = counted(&log, &[(true, false), (false, false)]).ledger;
        if ledger.rows.minutes.len() > 20 && ledger.ranges.len() > 5 {
            return (recounted(&log, &ledger, &Start::default()), ledger);
        }
    }
}

/// Places of the differences.
fn places(differences: &Differences) -> Vec<&'static str> {
    let mut places: Vec<_> = differences.kept.iter().map(|each| each.place).collect();
    places.dedup();
    places
}

#[test]
fn a_difference_in_any_table_of_the_ledger_is_found() {
    type Plant = fn(&mut Ledger);
    let plants: [(&str, Plant); 22] = [
        ("ledger partition", |l| l.partitions.get_mut(&0).unwrap().account.late += 1),
        ("ledger partition", |l| l.partitions.get_mut(&0).unwrap().account.conflicts -= 1),
        ("ledger partition", |l| l.partitions.get_mut(&0).unwrap().account.lost_frames = 1),
        ("ledger partition", |l| l.partitions.get_mut(&0).unwrap().clock_us = None),
        ("ledger partition", |l| l.partitions.get_mut(&0).unwrap().floor += 1),
        ("ledger partition", |l| l.partitions.get_mut(&0).unwrap().last_print = Some(3)),
        ("ledger total", |l| l.rows.totals.values_mut().next().unwrap().0[38] += 1),
        ("ledger total", |l| drop(l.rows.totals.pop_first())),
        ("ledger total", |l| l.rows.totals.values_mut().next().unwrap().0[44] += 1),
        ("ledger quarter", |l| l.rows.quarters.values_mut().last().unwrap().0[0] += 1),
        ("ledger quarter", |l| drop(l.rows.quarters.pop_last())),
        ("ledger quarter", |l| l.rows.quarters.values_mut().last().unwrap().0[62] += 1),
        ("ledger minute", |l| l.rows.minutes.values_mut().last().unwrap().0[3] -= 1),
        ("ledger minute", |l| drop(l.rows.minutes.pop_first())),
        ("ledger consumer", |l| {
            l.rows.used.values_mut().last().unwrap().0[0] += 1;
            l.groups = of_rows(&l.rows.used);
        }),
        ("ledger consumer", |l| {
            l.rows.used.pop_last();
            l.groups = of_rows(&l.rows.used);
        }),
        ("ledger consumer group", |l| drop(l.groups.pop_first())),
        ("ledger consumer group", |l| l.groups.values_mut().last().unwrap().0[38] += 1),
        ("ledger range", |l| l.ranges[2].digest ^= 1),
        ("ledger range", |l| l.ranges[2].counted += 1),
        ("ledger range", |l| drop(l.ranges.drain(2..3))),
        ("ledger range", |l| l.ranges.truncate(3)),
    ];
    let (expected, ledger) = both();
    assert_eq!(against_ledger::compare(&expected, &ledger), Differences::default());
    for (idx, (place, plant)) in plants.iter().enumerate() {
        let mut ledger = ledger.clone();
        plant(&mut ledger);
        assert_eq!(places(&against_ledger::compare(&expected, &ledger)), [*place], "{idx}");
    }
}

#[test]
fn a_row_that_nobody_counted_is_found() {
    let (expected, mut ledger) = both();
    let row = Row { namespace: "ghost".to_owned(), ..a_row() };
    ledger.rows.totals.insert(row.clone(), Sums::default());
    ledger.rows.quarters.insert((1, row.clone()), Sums::default());
    ledger.rows.minutes.insert((1, row.short()), Sums::default());
    let places = places(&against_ledger::compare(&expected, &ledger));
    assert_eq!(places, ["ledger total", "ledger quarter", "ledger minute"]);
}

#[test]
fn rows_that_retention_pruned_may_be_missing_but_not_younger_ones() {
    let (expected, mut ledger) = both();
    let first = ledger.rows.minutes.keys().next().unwrap().0;
    ledger.rows.minutes.retain(|(at, _), _| *at > first);
    ledger.oldest_minute = Some(first + 1);
    assert_eq!(places(&against_ledger::compare(&expected, &ledger)), ["ledger minute"]);
    ledger.committed_us = (first + 1) * 60_000_000 + 7 * 3_600_000_000;
    assert_eq!(places(&against_ledger::compare(&expected, &ledger)), Vec::<&str>::new());
}

fn a_row() -> Row {
    Row {
        namespace: "wechat".to_owned(),
        upstream: "openai".to_owned(),
        model: "gpt-4o".to_owned(),
        method: "POST",
        endpoint: "/v1/chat/completions".to_owned(),
        status: 200,
        outcome: "success",
        tier: "standard",
        source: "reported",
        is_final: true,
        limited_by: None,
    }
}

#[test]
fn a_series_that_is_missing_extra_or_different_is_found() {
    let (expected, _) = both();
    let (totals, account) = (&expected.rows.totals, expected.account());
    let namespaces = ["wechat".to_owned()];
    let samples = against_page::shown(totals, &account, &namespaces);
    let compare = |samples: BTreeMap<Series, i128>| {
        let page = Page { samples, ..Page::default() };
        against_page::compare(totals, &account, &namespaces, &page).kept
    };
    assert_eq!(compare(samples.clone()), vec![]);
    for series in samples.keys() {
        let mut missing = samples.clone();
        missing.remove(series);
        let mut other = samples.clone();
        *other.get_mut(series).unwrap() += 1;
        for found in [compare(missing), compare(other)] {
            assert_eq!(found.len(), 1, "{series}");
            assert_eq!(found[0].what, series.to_string());
        }
    }
    let mut extra = samples.clone();
    extra.insert(Series::new("errors_total", &[("namespace", "ghost")]), 0);
    assert_eq!(compare(extra)[0].found, "it is there");
    let mut gauge = samples.clone();
    gauge.insert(Series::new("active_connections", &[("namespace", "wechat")]), MILLION);
    assert_eq!(compare(gauge), vec![]);
}

#[test]
fn an_error_inside_an_answer_of_200_that_a_view_shows_as_a_success_is_found() {
    let failed = Row { outcome: "server_error", ..a_row() };
    let mut sums = Sums::default();
    sums.0[0] = 3;
    let totals = BTreeMap::from([(failed, sums.clone())]);
    let account = Account::default();
    let namespaces = ["wechat".to_owned()];
    let right = against_page::shown(&totals, &account, &namespaces);
    // What a page would show that goes by the status alone.
    let wrong = against_page::shown(&BTreeMap::from([(a_row(), sums)]), &account, &namespaces);
    let code = [("namespace", "wechat"), ("upstream", "openai"), ("method", "POST")];
    let code = code.iter().chain(&[("endpoint", "/v1/chat/completions"), ("status_code", "200")]);
    let code: Vec<_> = code.copied().collect();
    assert_eq!(right[&Series::new("http_requests_total", &code)], 3 * MILLION);
    let page = Page { samples: wrong, ..Page::default() };
    let differences = against_page::compare(&totals, &account, &namespaces, &page).kept;
    let mut families: Vec<_> =
        differences.iter().filter_map(|each| each.what.split('{').next()).collect();
    families.sort_unstable();
    assert_eq!(
        families,
        [
            "errors_total",
            "gatemeter_model_requests_total",
            "gatemeter_model_requests_total",
            "namespace_requests_total",
            "namespace_requests_total",
            "upstream_requests_total",
            "upstream_requests_total",
        ]
    );
    let figures = Report::of(&totals, &account, 1).totals;
    assert_eq!((figures.requests, figures.success, figures.error), (3, 0, 3));
}

#[test]
fn what_is_held_at_zero_is_compared_and_a_zero_that_is_not_held_is_found() {
    let (expected, _) = both();
    let (totals, account) = (&expected.rows.totals, expected.account());
    let truth = against_page::shown(totals, &account, &[]);
    let compare = |samples: BTreeMap<Series, i128>, n_held: i128| {
        let mut page = Page { samples, ..Page::default() };
        page.samples.insert(Series::new(HELD, &[]), n_held * MILLION);
        against_page::compare(totals, &account, &[], &page).kept
    };
    let zero = |samples: &BTreeMap<Series, i128>, name: &str| {
        let mut samples = samples.clone();
        let of_it = samples.iter_mut().filter(|(series, _)| series.name.starts_with(name));
        of_it.for_each(|(_, value)| *value = 0);
        samples
    };
    let n_of = |name: &str| {
        let of_it = truth.iter().filter(|(series, value)| series.name == name && **value != 0);
        of_it.count() as i128
    };
    let n_counters = n_of("http_requests_total");
    let n_all = n_counters + n_of("http_request_duration_seconds_count");
    assert!(0 < n_counters && n_counters < n_all);
    let counters = zero(&truth, "http_requests_total");
    assert_eq!(compare(counters.clone(), n_counters), vec![]);
    let both = zero(&counters, "http_request_duration_seconds");
    assert_eq!(compare(both.clone(), n_all), vec![], "a histogram is held as a whole");
    assert_eq!(compare(truth.clone(), 1)[0].what, HELD, "nothing is at zero");
    assert_eq!(compare(counters, n_counters + 1)[0].what, HELD);
    let found = compare(both, n_all - 1);
    assert!(found.iter().any(|each| each.what.starts_with("http_requests_total")), "{found:?}");
    assert!(found.len() as i128 > n_all, "nobody knows which of them are held: {found:?}");
    let mut half = truth.clone();
    let bucket = |series: &Series| {
        series.name == "http_request_duration_seconds_bucket" && series.labels["le"] == "+Inf"
    };
    *half.iter_mut().find(|(series, value)| bucket(series) && **value != 0).unwrap().1 = 0;
    assert!(!compare(half, 1).is_empty(), "a part of a histogram is never held");
    let mut account_at_zero = truth;
    let counted = Series::new("gatemeter_events_total", &[("class", "counted")]);
    account_at_zero.insert(counted.clone(), 0);
    let found = compare(account_at_zero, 1);
    assert!(found.iter().any(|each| each.what == counted.to_string()), "{found:?}");
}

/// Answers to all questions about `a_row` with 3 requests, as the API gives them.
fn answers() -> Value {
    let as_of = json!({"version": 7, "time": null});
    let data: Vec<i64> =
        OUTCOMES.iter().map(|outcome| 3 * i64::from(*outcome == "success")).collect();
    let totals: BTreeMap<_, _> = OUTCOMES.iter().zip(&data).collect();
    let trend = json!({"labels": ["a", "b"], "as_of": as_of,
        "datasets": [{"label": "all", "data": [1, 2]}]});
    let tokens = json!({"labels": ["a", "b"], "as_of": as_of,
        "datasets": [{"label": "input", "data": [30, 0]}, {"label": "output", "data": [4, 5]}],
        "totals": {"input": 30, "output": 9, "cache_read": 6, "cache_write": 0, "reasoning": 2,
            "estimated": 0, "cost_usd": null}});
    json!({
        "distribution": {"labels": OUTCOMES, "datasets": [{"label": "wechat", "data": data}],
            "totals": totals, "requests": 3, "as_of": as_of},
        "system": {"totalRequests": 3, "as_of": as_of, "events": {"counted": 3, "duplicate": 1,
            "late": 0, "future": 0, "poison": 0, "misrouted": 0, "conflicts": 0, "lost_frames": 0,
            "late_merged": 0,
            "late_duplicate": 0, "late_expired": 0, "late_undecided": 0}},
        "trends": {"all": trend, "wechat": trend},
        "tokens": {"all": tokens, "wechat": tokens},
    })
}

/// Compares totals of one namespace with such answers.
fn against(totals: &BTreeMap<Row, Sums>, account: &Account, value: &Value) -> Differences {
    let part = |name: &str| value[name].to_string();
    let answers = Answers {
        version: 7,
        distribution: serde_json::from_str(&part("distribution")).unwrap(),
        system: serde_json::from_str(&part("system")).unwrap(),
        trends: serde_json::from_str(&part("trends")).unwrap(),
        tokens: serde_json::from_str(&part("tokens")).unwrap(),
        left_out: Vec::new(),
    };
    against_api::compare(totals, account, &["wechat".to_owned()], &answers)
}

#[test]
fn an_api_that_does_not_know_unconfirmed_attempts_agrees_as_long_as_there_are_none() {
    let mut sums = Sums::default();
    sums.0[0] = 3;
    sums.0[38..43].copy_from_slice(&[24, 6, 0, 7, 2]);
    let mut account = Account::default();
    account.classes.extend([(Class::Counted, 3), (Class::Duplicate, 1)]);
    let none = BTreeMap::from([(a_row(), sums.clone())]);
    let three = BTreeMap::from([(Row { outcome: "unconfirmed", ..a_row() }, sums)]);
    let last = OUTCOMES.len() - 1;
    assert_eq!(OUTCOMES[last], "unconfirmed");
    let mut newer = answers();
    assert_eq!(against(&none, &account, &newer).kept, vec![]);
    let mut older = newer.clone();
    let distribution = &mut older["distribution"];
    distribution["labels"].as_array_mut().unwrap().truncate(last);
    distribution["datasets"][0]["data"].as_array_mut().unwrap().truncate(last);
    distribution["totals"].as_object_mut().unwrap().remove("unconfirmed");
    assert_eq!(against(&none, &account, &older).kept, vec![]);
    assert_eq!(against(&three, &account, &older).n, 4, "of the namespace and of all");
    let distribution = &mut newer["distribution"];
    for (idx, outcome, n) in [(0, "success", 0), (last, "unconfirmed", 3)] {
        distribution["datasets"][0]["data"][idx] = json!(n);
        distribution["totals"][outcome] = json!(n);
    }
    assert_eq!(against(&three, &account, &newer).kept, vec![]);
    assert_eq!(against(&none, &account, &newer).n, 4);
}

#[test]
fn an_unconfirmed_attempt_is_an_error_of_its_own_kind_on_the_page() {
    let mut sums = Sums::default();
    sums.0[0] = 3;
    let totals = BTreeMap::from([(Row { outcome: "unconfirmed", ..a_row() }, sums)]);
    let shown = against_page::shown(&totals, &Account::default(), &[]);
    let labels = [("error_type", "unconfirmed"), ("namespace", "wechat"), ("upstream", "openai")];
    assert_eq!(shown[&Series::new("errors_total", &labels)], 3 * MILLION);
    let labels = [("namespace", "wechat"), ("status", "error")];
    assert_eq!(shown[&Series::new("namespace_requests_total", &labels)], 3 * MILLION);
    let figures = Report::of(&totals, &Account::default(), 1).totals;
    assert_eq!((figures.requests, figures.success, figures.error), (3, 0, 3));
}

#[test]
fn a_number_of_the_api_that_differs_is_found() {
    let mut sums = Sums::default();
    sums.0[0] = 3;
    sums.0[38..43].copy_from_slice(&[24, 6, 0, 7, 2]);
    let totals = BTreeMap::from([(a_row(), sums)]);
    let mut account = Account::default();
    account.classes.extend([(Class::Counted, 3), (Class::Duplicate, 1)]);
    let compare = |value: &Value| against(&totals, &account, value);
    assert_eq!(compare(&answers()).kept, vec![]);
    for (path, place) in [
        ("/distribution/datasets/0/data/3", "API status-distribution"),
        ("/distribution/totals/success", "API status-distribution"),
        ("/distribution/requests", "API status-distribution"),
        ("/system/totalRequests", "API system"),
        ("/system/events/duplicate", "API system"),
        ("/trends/wechat/datasets/0/data/1", "API request-trend"),
        ("/tokens/all/totals/cache_read", "API tokens"),
        ("/tokens/wechat/totals/cost_usd", "API tokens"),
        ("/tokens/wechat/datasets/1/data/0", "API tokens"),
    ] {
        let mut value = answers();
        *value.pointer_mut(path).unwrap() = json!(77);
        let differences = compare(&value);
        assert_eq!((differences.n, differences.kept[0].place), (1, place), "{path}");
    }
}

#[test]
fn what_was_sent_is_compared_with_the_growth() {
    let sent = |counted: i64, copies: i64, extra: i64| -> Sent {
        let namespace = json!({"requests": 3, "success": 3, "error": 0, "input": 30, "output": 9});
        let events = |counted, duplicate| {
            json!({
                "counted": counted,
                "duplicate": duplicate,
                "late": 0,
                "future": 0,
            })
        };
        let report = json!({
            "exact": true,
            "complete": true,
            "requests": 3,
            "events": events(counted, copies),
            "extra_at_most": events(0, extra),
            "status": {"200": 3},
            "tokens": {"input": 30, "output": 9, "cache_read": 6, "cache_write": 0, "reasoning": 2},
            "namespaces": {"wechat": namespace},
        });
        serde_json::from_str(&report.to_string()).unwrap()
    };
    let report = |n: i128| -> Report {
        let mut sums = Sums::default();
        sums.0[0] = 3 * n;
        sums.0[38..43].copy_from_slice(&[24 * n, 6 * n, 0, 7 * n, 2 * n]);
        let mut account = Account::default();
        account.classes.extend([(Class::Counted, 3 * n), (Class::Duplicate, n)]);
        let made = Report::of(&BTreeMap::from([(a_row(), sums)]), &account, 1);
        serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap()
    };
    let compare = |sent: &Sent, before, now| sent.compare(&report(before), &report(now));
    assert_eq!(compare(&sent(3, 1, 0), 0, 1).kept, vec![]);
    assert_eq!(compare(&sent(3, 1, 0), 4, 5).kept, vec![]);
    assert_eq!(compare(&sent(3, 0, 1), 4, 5).kept, vec![]);
    assert_eq!(compare(&sent(3, 0, 0), 4, 5).kept[0].what, "duplicate");
    assert_eq!(compare(&sent(4, 1, 0), 4, 5).kept[0].what, "counted");
    let whats: Vec<_> = compare(&sent(3, 1, 0), 4, 6).kept.into_iter().map(|d| d.what).collect();
    for what in ["counted", "requests", "input_tokens", "namespace=wechat success", "status=200"] {
        assert!(whats.iter().any(|other| other == what), "{what}: {whats:?}");
    }
}

#[test]
fn a_shortened_log_is_recounted_from_the_oldest_baseline_that_reaches() {
    let (_, ledger) = both();
    let ends = |low| BTreeMap::from([(0, queue::Watermarks { low, high: 99 })]);
    assert_eq!(beginning(&ledger, &ends(0)).unwrap(), Beginning(None));
    let low = ledger.baselines.last().unwrap().partitions[&0].floor;
    let Beginning(Some(start)) = beginning(&ledger, &ends(low)).unwrap() else { panic!("none") };
    assert!(start.partitions[&0].floor >= low);
    assert!(beginning(&ledger, &ends(98)).is_err());
    let accepted = Ledger { accepted: BTreeMap::from([(0, low.max(1))]), ..ledger.clone() };
    let Beginning(Some(start)) = beginning(&accepted, &ends(0)).unwrap() else { panic!("none") };
    assert!(start.partitions[&0].floor >= low.max(1), "what was lost is behind it");
    let mut broken = ledger.clone();
    for start in &mut broken.baselines {
        start.totals.clear();
    }
    assert!(beginning(&broken, &ends(low.max(1))).is_err());
}
