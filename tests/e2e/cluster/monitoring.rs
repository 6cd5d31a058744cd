//! The shipped Prometheus settings and dashboards on what the stack shows: every panel has data,
//! the queries of existing users work as written, and the front end shows the API.

use serde_json::Value;

use crate::gatemeter::{get, post, repository, wait_for};
use crate::queries::rows;
use crate::stack::{Books, Stack};

/// Requests that go through the gateway.
const N_REQUESTS: usize = 40;
/// What users have in their dashboards already, as docs/metrics.md promises it.
const PROMISED: [&str; 4] = [
    "rate(http_requests_total[5m])",
    "sum by (namespace) (namespace_requests_total)",
    "histogram_quantile(0.95, http_request_duration_seconds)",
    "sum(rate(errors_total[5m])) by (namespace)",
];

pub fn dashboards_show_what_is_counted(stack: &Stack, books: &mut Books) {
    requests_through_the_gateway(stack, books);
    for query in PROMISED {
        wait_for(query, || !rows(stack, query).is_empty());
    }
    let by_namespace = "sum by (namespace) (namespace_requests_total)";
    wait_for("Prometheus has scraped what the API says", || {
        let mut scraped: Vec<(String, i64)> = rows(stack, by_namespace)
            .iter()
            .map(|row| {
                let name = row["metric"]["namespace"].as_str().expect("a namespace");
                let value = row["value"][1].as_str().expect("a value").parse();
                (name.to_owned(), value.expect("a whole number"))
            })
            .collect();
        scraped.sort();
        scraped == requests_of_api(stack)
    });
    let mut n_panels = 0;
    for name in ["ai-gateway-overview", "pipeline-health"] {
        let path = repository("monitoring/grafana/dashboards").join(format!("{name}.json"));
        let text = std::fs::read_to_string(path).expect("a dashboard");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for query in queries(&dashboard["panels"]) {
            wait_for(&format!("{name}: {query}"), || !rows(stack, &query).is_empty());
            n_panels += 1;
        }
    }
    assert!(n_panels > 40, "{n_panels}");
    let page = get(stack.port("frontend"), "/", &[]).expect("the front end answers");
    assert!(page.status == 200 && page.body.contains("Gatemeter"), "{}", page.body);
    let shown = get(stack.port("frontend"), "/api/namespaces/wechat", &[]).expect("an answer");
    assert!(shown.body.contains("\"id\":1,"), "the first namespace: {}", shown.body);
}

/// Streams and whole answers of the mock upstream, whose totals go into the books.
fn requests_through_the_gateway(stack: &Stack, books: &mut Books) {
    let ask = |n: usize, headers: &[&str]| {
        let body = format!("{{\"model\":\"gpt-4o\",\"stream\":{}}}", n.is_multiple_of(2));
        let port = stack.port("gateway");
        post(port, "/v1/chat/completions", headers, body.as_bytes()).expect("an answer").status
    };
    for n in 0..N_REQUESTS {
        assert_eq!(ask(n, &["x-namespace: wechat", "x-mock-plain: 1"]), 200);
    }
    assert_eq!(ask(1, &["x-namespace: wechat", "x-mock-status: 429"]), 429);
    assert_eq!(ask(1, &["x-namespace: wechat", "x-mock-status: 500"]), 500);
    let totals = get(stack.port("upstream"), "/totals", &[]).expect("the mock answers");
    let totals: Value = serde_json::from_str(&totals.body).expect("totals in JSON");
    let total = |name: &str| totals[name].as_i64().expect("whole");
    books.counted += total("requests");
    books.requests += total("requests");
    books.input += total("input");
    books.output += total("output");
    stack.settle("requests through the gateway", books);
}

/// Requests of each namespace that has any, from the API.
fn requests_of_api(stack: &Stack) -> Vec<(String, i64)> {
    let path = "/api/metrics/namespaces/status-distribution?timeRange=all";
    let answer = get(stack.port("api"), path, &[]).expect("an answer");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    let sets = answer["data"]["datasets"].as_array().expect("one for each namespace");
    let mut all: Vec<(String, i64)> = sets
        .iter()
        .map(|set| {
            let counts = set["data"].as_array().expect("counts").iter();
            let sum = counts.map(|n| n.as_i64().expect("whole")).sum();
            (set["label"].as_str().expect("a namespace").to_owned(), sum)
        })
        .collect();
    all.sort();
    all
}

/// The queries of all panels, with what Grafana would put in.
pub fn queries(panels: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels.as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let query = query.replace("$__rate_interval", "1m").replace("$__range", "10m");
            let query = query.replace("$namespace", ".+");
            assert!(!query.contains('$'), "a variable that nobody knows: {query}");
            found.push(query);
        }
        found.extend(queries(&panel["panels"]));
    }
    found
}
