//! Usage by every dimension: days add up to ranges and groups to totals, to the token, on both
//! databases.

use std::collections::{BTreeMap, BTreeSet};

use event::UsageSource;
use serde_json::{Value, json};

use super::fixture::{Fact, Place};

const MINUTE: i64 = 60_000_000;
/// Numbers of an item that add up.
pub const SUMS: [&str; 9] = [
    "requests",
    "input",
    "output",
    "errors",
    "reported",
    "estimated",
    "estimated_input",
    "estimated_output",
    "tokens",
];
/// Zones, and days around which the clock changes in some of them: the first and the day after the
/// last, in dates of the zone.
pub const ZONES: [(&str, &str, &str); 7] = [
    ("Asia/Shanghai", "2026-03-06", "2026-03-10"),
    ("America/St_Johns", "2026-03-06", "2026-03-10"),
    ("America/St_Johns", "2026-10-31", "2026-11-03"),
    ("Asia/Kathmandu", "2026-03-06", "2026-03-10"),
    ("Pacific/Apia", "2026-03-06", "2026-03-10"),
    ("America/New_York", "2026-03-06", "2026-03-10"),
    ("America/New_York", "2026-10-31", "2026-11-03"),
];

pub fn at(text: &str) -> i64 {
    event::time::from_text(text).expect("RFC 3339")
}

/// A number of an item; `tokens` is both sides.
pub fn number(item: &Value, name: &str) -> i64 {
    let one = |name: &str| item[name].as_i64().unwrap_or_else(|| panic!("{name} of {item}"));
    if name == "tokens" { one("input") + one("output") } else { one(name) }
}

pub fn items(data: &Value) -> &Vec<Value> {
    data["items"].as_array().expect("items")
}

pub fn add_up(items: &[Value], name: &str) -> i64 {
    items.iter().map(|item| number(item, name)).sum()
}

/// Attempts of every kind, each 7 minutes over some days.
fn facts(first: &str, n_hours: i64) -> Vec<Fact> {
    let models = ["gpt-4o", "o3", "\u{6a21}\u{578b}"];
    let upstreams = ["openai", "azure"];
    let fact = |n: i64| {
        let of = |n_kinds: usize| usize::try_from(n).expect("small") % n_kinds;
        let namespace = if n % 5 < 3 { "wechat" } else { "alipay" };
        Fact {
            status: [200, 200, 429, 503][of(4)],
            is_final: n % 6 != 0,
            source: [UsageSource::Reported, UsageSource::Estimated][of(2)],
            consumer: [None, Some("ann"), Some("bob")][of(3)],
            model: models[of(5) % 3],
            upstream: upstreams[of(7) % 2],
            endpoint: ["/v1/chat/completions", "/v1/embeddings"][of(11) % 2],
            input: 1_000 + n,
            output: 7 * n,
            cost_nano: 11 * n,
            duration_us: 1_000 * n + 1,
            ..Fact::new(at(first) + n * 7 * MINUTE, namespace, 1 + n % 3)
        }
    };
    (0..n_hours * 60 / 7).map(fact).collect()
}

/// Facts from a day before all of the ranges to a day after them.
pub async fn fill(place: &mut Place) {
    place.commit(&facts("2026-03-04T00:00:00Z", 8 * 24)).await;
    place.commit(&facts("2026-10-29T00:00:00Z", 7 * 24)).await;
}

/// Midnights of a zone from one date to another, as RFC 3339 with the offset.
pub fn midnights(zone: &str, first: &str, last: &str) -> Vec<String> {
    let zone = jiff::tz::TimeZone::get(zone).expect("a zone");
    let mut date: jiff::civil::Date = first.parse().expect("a date");
    let last: jiff::civil::Date = last.parse().expect("a date");
    let mut found = Vec::new();
    while date <= last {
        let midnight = zone.to_timestamp(date.at(0, 0, 0, 0)).expect("a moment");
        found.push(midnight.to_string());
        date = date.tomorrow().expect("a date");
    }
    found
}

async fn days_add_up_to_the_range(mut place: Place) {
    fill(&mut place).await;
    for (zone, first, last) in ZONES {
        let midnights = midnights(zone, first, last);
        let ask = async |groups: &str, from: &str, to: &str| {
            let path = format!("/api/usage?group_by={groups}&from={from}&to={to}&tz={zone}");
            place.get(&format!("{path}&size=1000")).await
        };
        let (from, to) = (&midnights[0], &midnights[midnights.len() - 1]);
        for groups in ["namespace", "model,upstream", "endpoint,status", "outcome"] {
            let whole = ask(groups, from, to).await;
            let mut days = Vec::new();
            for pair in midnights.windows(2) {
                days.push(ask(groups, &pair[0], &pair[1]).await);
            }
            for name in SUMS {
                let sum: i64 = days.iter().map(|day| number(&day["totals"], name)).sum();
                assert_eq!(number(&whole["totals"], name), sum, "{zone} {groups} {name}");
                let sum = add_up(items(&whole), name);
                assert_eq!(number(&whole["totals"], name), sum, "{zone} {groups} {name}");
            }
            // The same days as groups of one answer.
            let grouped = ask(&format!("{groups},day"), from, to).await;
            for (day, alone) in midnights.iter().zip(&days) {
                let date = label(zone, day, "%Y-%m-%d");
                let own: Vec<Value> =
                    items(&grouped).iter().filter(|item| item["day"] == *date).cloned().collect();
                assert_eq!(own.len(), items(alone).len(), "{zone} {date}");
                for name in SUMS {
                    let sum = number(&alone["totals"], name);
                    assert_eq!(add_up(&own, name), sum, "{zone} {date} {name}");
                }
            }
            let times = ask(&format!("{groups},hour,month,day"), from, to).await;
            check_times(&times, &whole, zone);
        }
        let consumers = ask("consumer,day", from, to).await;
        let whole = ask("namespace", from, to).await;
        for name in ["requests", "input", "output", "tokens"] {
            let sum = number(&whole["totals"], name);
            assert_eq!(add_up(items(&consumers), name), sum, "{zone} {name} of consumers");
        }
    }
}

fn label(zone: &str, moment: &str, format: &str) -> String {
    let moment: jiff::Timestamp = moment.parse().expect("a moment");
    moment.in_tz(zone).expect("a zone").strftime(format).to_string()
}

/// Hours lie in their day and month, and add up.
fn check_times(times: &Value, whole: &Value, zone: &str) {
    let rows = items(times);
    for item in rows {
        let hour = item["hour"].as_str().expect("an hour");
        let moment: jiff::Timestamp = hour.parse().expect("RFC 3339");
        let moment = moment.to_string();
        assert_eq!(item["day"], json!(label(zone, &moment, "%Y-%m-%d")), "{zone} {hour}");
        assert_eq!(item["month"], json!(label(zone, &moment, "%Y-%m")), "{zone} {hour}");
        assert!(label(zone, &moment, "%M") == "00", "{zone} {hour}");
        assert!(hour.ends_with(&label(zone, &moment, "%:z")), "{zone} {hour}");
    }
    assert!(rows.len() > 70, "{zone}");
    for name in SUMS {
        assert_eq!(add_up(rows, name), number(&whole["totals"], name), "{zone} {name} by hour");
    }
}

#[tokio::test]
async fn local_days_add_up_to_their_range_in_every_zone() {
    days_add_up_to_the_range(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_days_add_up_to_their_range_in_every_zone_on_a_server() {
    days_add_up_to_the_range(Place::on_server().await).await;
}

#[tokio::test]
async fn groups_of_every_kind_add_up_to_what_the_other_calls_say() {
    let mut place = Place::open().await;
    fill(&mut place).await;
    let range = "from=2026-03-05T00:00:00Z&to=2026-03-11T00:00:00Z";
    for scope in ["all", "wechat", "2"] {
        let path = format!("/api/metrics/namespaces/{scope}");
        let tokens = place.get(&format!("{path}/tokens?{range}")).await["totals"].take();
        let stats = place.get(&format!("{path}/stats?{range}")).await;
        for groups in
            ["namespace", "model", "upstream", "endpoint", "status", "outcome", "day", "hour,model"]
        {
            let path = format!("/api/usage?group_by={groups}&namespace={scope}&{range}&size=1000");
            let data = place.get(&path).await;
            let totals = &data["totals"];
            for name in ["input", "output", "cache_read", "cache_write", "reasoning", "estimated"] {
                assert_eq!(totals[name], tokens[name], "{scope} {groups} {name}");
            }
            let wanted = serde_json::to_string(&tokens["cost_usd"]).expect("JSON");
            assert_eq!(totals["cost_usd"].to_string(), wanted, "{scope} {groups}");
            assert_eq!(totals["requests"], stats["totalRequests"], "{scope} {groups}");
            assert_eq!(totals["errors"], stats["errors"], "{scope} {groups}");
            assert_eq!(totals["avg_response_time_ms"], stats["avgResponseTime"], "{groups}");
            for name in SUMS {
                assert_eq!(add_up(items(&data), name), number(totals, name), "{groups} {name}");
            }
        }
    }
    // A filter is a group on its own.
    let groups = place.get(&format!("/api/usage?group_by=upstream,status&{range}")).await;
    for item in items(&groups) {
        let (upstream, status) = (item["upstream"].as_str().expect("text"), &item["status"]);
        let filter = format!("upstream={upstream}&status={status}");
        let path = format!("/api/usage?group_by=endpoint&{filter}&{range}");
        let filtered = place.get(&path).await;
        for name in SUMS {
            assert_eq!(number(&filtered["totals"], name), number(item, name), "{filter} {name}");
        }
    }
    let groups = place.get(&format!("/api/usage?group_by=upstream,outcome&{range}")).await;
    let distribution =
        place.get(&format!("/api/metrics/namespaces/status-distribution?{range}")).await;
    let mut ended = BTreeMap::new();
    for item in items(&groups) {
        let (upstream, outcome) = (&item["upstream"], item["outcome"].as_str().expect("a word"));
        let filter = format!("upstream={}&outcome={outcome}", upstream.as_str().expect("text"));
        let filtered =
            place.get(&format!("/api/usage?group_by=namespace,day&{filter}&{range}")).await;
        for name in SUMS {
            assert_eq!(number(&filtered["totals"], name), number(item, name), "{filter} {name}");
        }
        *ended.entry(outcome.to_owned()).or_insert(0) += number(item, "requests");
        let is_error = outcome != "success";
        let errors = if is_error { number(item, "requests") } else { 0 };
        assert_eq!(number(item, "errors"), errors, "{filter}");
    }
    assert!(ended.len() >= 3, "{ended:?}");
    for (outcome, requests) in &ended {
        assert_eq!(number(&distribution["totals"], outcome), *requests, "{outcome}");
    }
    let all = place.get(&format!("/api/usage?group_by=model&{range}")).await;
    let mut sum = 0;
    for model in ["gpt-4o", "o3", "%E6%A8%A1%E5%9E%8B", "GPT-4o"] {
        let path = format!("/api/usage?group_by=consumer&model={model}&{range}");
        sum += number(&place.get(&path).await["totals"], "tokens");
    }
    assert_eq!(sum, number(&all["totals"], "tokens"));
}

#[tokio::test]
async fn rows_of_consumers_leave_unknown_what_they_cannot_tell() {
    let mut place = Place::open().await;
    fill(&mut place).await;
    let range = "from=2026-03-05T00:00:00Z&to=2026-03-11T00:00:00Z";
    for query in ["group_by=consumer", "group_by=model&consumer=ann", "consumer=ann"] {
        let data = place.get(&format!("/api/usage?{query}&{range}")).await;
        assert!(items(&data).len() > 1, "{query}");
        for item in items(&data).iter().chain([&data["totals"]]) {
            for name in ["errors", "reported", "estimated", "estimated_share", "duration_sum_ms"] {
                assert_eq!(item.get(name), Some(&Value::Null), "{query} {name}");
            }
        }
    }
    let data = place.get(&format!("/api/usage?status=503&{range}")).await;
    assert_eq!(data["group_by"], json!(["namespace"]), "not consumers, which have no status");
    for (query, message) in [
        ("group_by=consumer,upstream", "consumer cannot be combined with upstream: rows of"),
        ("group_by=consumer&status=200", "consumer cannot be combined with status"),
        ("group_by=endpoint&consumer=ann", "consumer cannot be combined with endpoint"),
        ("consumer=ann&upstream=openai", "consumer cannot be combined with upstream"),
        ("order=errors", "not \"errors\": rows of consumers have"),
        ("order=model", "order must be one of tokens, requests"),
        ("order=--tokens", "order must be one of"),
        ("order=", "order must not be empty"),
        ("group_by=model&order=consumer", "or of group_by (model)"),
        ("status=99", "status must be a number from 100 to 599, not \"99\""),
        ("status=200.0", "status must be a number"),
        ("outcome=Timeout", "outcome must be one of success, client_error, rate_limited"),
        ("consumer=ann&outcome=timeout", "consumer cannot be combined with outcome"),
        ("group_by=outcome&search=a", "search needs one of namespace"),
        ("consumer=", "consumer must not be empty"),
        ("search=", "search must not be empty"),
        ("group_by=status,day&search=a", "search needs one of namespace"),
        ("compare=last", "compare must be previous, not \"last\""),
        ("compare=previous&timeRange=all", "needs a range with a beginning"),
        ("compare=previous&group_by=model,day", "cannot be combined with day"),
        ("format=csv", "unknown parameter \"format\""),
    ] {
        let (status, text) = place.refused(&format!("/api/usage?{query}")).await;
        assert!(status == 400 && text.contains(message), "{query}: {status} {text}");
        if !query.contains("format") {
            let (status, text) = place.refused(&format!("/api/usage/export?{query}")).await;
            assert!(status == 400 && text.contains(message), "{query}: {status} {text}");
        }
    }
    for query in ["page=1", "size=5", "format=xml", "format=", "format=csv&format=csv"] {
        assert_eq!(place.refused(&format!("/api/usage/export?{query}")).await.0, 400, "{query}");
    }
    assert_eq!(place.refused("/api/usage/export?namespace=nobody").await.0, 404);
}

async fn pages_show_each_group_once(mut place: Place) {
    fill(&mut place).await;
    let range = "from=2026-03-05T00:00:00Z&to=2026-03-11T00:00:00Z";
    let full = "model,upstream,endpoint,status,day";
    let numbers = ["tokens", "requests", "input", "cache_read", "cost_usd"];
    let more =
        ["errors", "reported", "estimated_output", "duration_sum_ms", "avg_response_time_ms"];
    for (groups, words) in [
        (full, [&numbers[..], &more, &["day", "status", "upstream"]].concat()),
        ("consumer,hour", [&numbers[..], &["consumer", "hour", "namespace"]].concat()),
    ] {
        let name_of = |item: &Value| -> Vec<String> {
            let names = groups.split(',').chain(["namespace"]);
            names.map(|name| item[name].to_string()).collect()
        };
        for word in words.iter().flat_map(|word| [(*word).to_owned(), format!("-{word}")]) {
            for search in ["", "&search=N"] {
                let path = format!("/api/usage?group_by={groups}&{range}&order={word}{search}");
                let whole = place.get(&format!("{path}&size=1000")).await;
                let mut paged = Vec::new();
                let n_pages = whole["total"].as_i64().expect("a number").min(1_000) / 97 + 1;
                for page in 1..=n_pages {
                    let data = place.get(&format!("{path}&size=97&page={page}")).await;
                    assert_eq!(data["totals"], whole["totals"], "{path}");
                    paged.extend(items(&data).clone());
                }
                paged.truncate(items(&whole).len());
                assert!(paged == *items(&whole), "{path}: pages differ from the whole");
                let names: BTreeSet<Vec<String>> = paged.iter().map(name_of).collect();
                assert_eq!(names.len(), paged.len(), "{path}");
                is_sorted(&paged, &word);
            }
        }
    }
}

/// Whether items are in this order, of those whose values JSON shows as they are sorted.
fn is_sorted(items: &[Value], word: &str) {
    let (name, is_rising) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
    let value = |item: &Value| match &item[name] {
        Value::Null if name == "tokens" => Some(number(item, name) as f64),
        value => value.as_f64(),
    };
    let values: Vec<Option<f64>> = items.iter().map(value).collect();
    let is_right =
        |pair: &[Option<f64>]| if is_rising { pair[0] <= pair[1] } else { pair[0] >= pair[1] };
    assert!(values.windows(2).all(is_right), "{word}: {values:?}");
}

#[tokio::test]
async fn pages_in_every_order_show_each_group_once() {
    pages_show_each_group_once(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_every_order_show_each_group_once_on_a_server() {
    pages_show_each_group_once(Place::on_server().await).await;
}

#[tokio::test]
async fn the_period_before_is_as_many_local_days() {
    let mut place = Place::open().await;
    fill(&mut place).await;
    for (zone, first, last) in ZONES {
        let midnights = midnights(zone, first, last);
        let end = midnights.len() - 1;
        for n in 1..=end / 2 {
            let [start, from, to] = [end - 2 * n, end - n, end].map(|idx| &midnights[idx]);
            let path = |from: &str, to: &str| {
                format!("/api/usage?group_by=model,status&from={from}&to={to}&tz={zone}&size=99")
            };
            let both = place.get(&format!("{}&compare=previous", path(from, to))).await;
            let before = place.get(&path(start, from)).await;
            let now = place.get(&path(from, to)).await;
            for name in SUMS {
                let (totals, previous) = (&both["totals"], &both["totals"]["previous"]);
                assert_eq!(number(totals, name), number(&now["totals"], name), "{zone} {name}");
                assert_eq!(
                    number(previous, name),
                    number(&before["totals"], name),
                    "{zone} {name}"
                );
            }
            let key = |item: &Value| (item["model"].to_string(), item["status"].to_string());
            let old: BTreeMap<_, _> =
                items(&before).iter().map(|item| (key(item), number(item, "tokens"))).collect();
            for item in items(&both) {
                let wanted = old.get(&key(item)).copied().unwrap_or(0);
                assert_eq!(number(&item["previous"], "tokens"), wanted, "{zone} {item}");
            }
            assert_eq!(both["previous_range"]["to"], both["range"]["from"], "{zone}");
        }
    }
    for range in ["15m", "24h", "today", "yesterday", "week", "month"] {
        let path = format!("/api/usage?compare=previous&timeRange={range}&tz=America/St_Johns");
        let data = place.get(&path).await;
        assert_eq!(data["previous_range"]["to"], data["range"]["from"], "{range}");
    }
}
