//! The metrics page: its form, its sections, and series that are born at zero.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::gatemeter::{Place, get, post, sum, wait_for};
use crate::totals::event;

/// A request of Prometheus.
const SCRAPE: &[&str] = &["X-Prometheus-Scrape-Timeout-Seconds: 1"];

fn send(place: &Place, id: &str, namespace: &str) {
    let body = event(id, namespace).to_string();
    let answer = post(place.ingest, "/v1/events", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn promtool_accepts_the_page_and_names_and_labels_are_those_of_the_contract() {
    let place = Place::new();
    let _running = place.start();
    let sent = place.replay(&["synthetic", "--count", "5000", "--seed", "3"]);
    place.wait_events("counted", sent["events"]["counted"].as_i64().expect("whole"));
    let connections = format!(
        "{{\"kind\":\"connections\",\"namespace\":\"wechat\",\"gateway\":\"gw-1\",\"active\":7,\
         \"time\":{}}}",
        event("x", "wechat")["time"]
    );
    let answer = post(place.ingest, "/v1/events", &[], connections.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    wait_for("connections are shown", || place.page().contains("active_connections{"));
    let page = get(place.aggregator, "/metrics", &[]).expect("a page");
    assert!(page.head.contains("text/plain; version=0.0.4"), "{}", page.head);
    for (family, labels) in [
        ("http_requests_total", "method,endpoint,status_code,namespace,upstream"),
        ("http_request_duration_seconds_bucket", "method,endpoint,namespace,upstream,le"),
        ("http_request_duration_seconds_sum", "method,endpoint,namespace,upstream"),
        ("http_request_duration_seconds_count", "method,endpoint,namespace,upstream"),
        ("namespace_requests_total", "namespace,status"),
        ("namespace_tokens_total", "namespace,token_type"),
        ("upstream_requests_total", "upstream,status"),
        ("active_connections", "namespace"),
        ("errors_total", "error_type,namespace,upstream"),
    ] {
        let head = format!("{family}{{");
        let line = page.body.lines().find(|line| line.starts_with(&head)).expect(family);
        let pairs = line[head.len()..].split_once('}').expect("labels").0;
        let names: Vec<&str> =
            pairs.split(',').map(|pair| pair.split_once('=').expect("a pair").0).collect();
        assert_eq!(names.join(","), labels, "{family}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/test.sh");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(page.body.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "promtool: {said}");
}

#[test]
fn a_new_series_is_zero_until_two_scrapes_fetched_it_and_a_recount_does_not_wait() {
    let place = Place::new();
    let _running = place.start();
    let path = "/metrics?section=business";
    let scrape = || get(place.aggregator, path, SCRAPE).expect("an answer").body;
    scrape();
    scrape();
    send(&place, "first", "born");
    let held = || {
        let page = get(place.aggregator, path, &[]).expect("an answer").body;
        sum(&page, "gatemeter_series_held ")
    };
    wait_for("it is held", || held() > 0);
    place.recount();
    assert!(held() > 0, "nobody has scraped");
    let series = "namespace_requests_total{namespace=\"born\",status=\"success\"}";
    let mut seen = Vec::new();
    wait_for("its value is shown to scrapes", || {
        let page = scrape();
        if page.contains(series) {
            seen.push(sum(&page, series));
        }
        seen.last() == Some(&1)
    });
    assert_eq!(seen[0], 0, "the first shown value is zero: {seen:?}");
    assert!(seen.iter().filter(|value| **value == 0).count() >= 2, "{seen:?}");
    wait_for("nothing is held any more", || sum(&scrape(), "gatemeter_series_held ") == 0);
    place.recount();
}

#[test]
fn sections_are_selected_and_unknown_ones_refused() {
    let place = Place::new();
    let _running = place.start();
    let ask =
        |query: &str| get(place.aggregator, &format!("/metrics{query}"), &[]).expect("an answer");
    let both = ask("").body;
    assert!(both.contains("gatemeter_events_total") && both.contains("gatemeter_lag_frames"));
    let business = ask("?section=business").body;
    assert!(business.contains("gatemeter_events_total{class=\"poison\"} 0"));
    assert!(!business.contains("gatemeter_lag_frames"));
    let process = ask("?section=process").body;
    assert!(!process.contains("gatemeter_events_total") && process.contains("process_"));
    assert_eq!(ask("?section=other").status, 400);
}
