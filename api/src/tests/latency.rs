//! Histograms over time: buckets, totals and quantiles agree with one another and with `stats`.

use clock::Wall;
use serde_json::{Value, json};
use store::Keep;

use super::fixture::{Fact, Place};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
const PATH: &str = "/api/metrics/latency";

fn numbers(list: &Value) -> Vec<i64> {
    let list = list.as_array().expect("a list").iter();
    list.map(|n| n.as_i64().expect("a whole number")).collect()
}

/// The lists of `counts`, added up.
fn added(data: &Value) -> Vec<i64> {
    let mut sums = vec![0; data["bounds_ms"].as_array().expect("bounds").len()];
    for counts in data["counts"].as_array().expect("lists") {
        let counts = numbers(counts);
        assert_eq!(counts.len(), sums.len(), "one for each bucket of the histogram");
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sums
}

/// What must hold in every answer.
fn check(data: &Value, case: &str) {
    let totals = &data["totals"];
    assert_eq!(added(data), numbers(&totals["counts"]), "{case}");
    let count = totals["count"].as_i64().expect("a number");
    assert_eq!(numbers(&totals["counts"]).iter().sum::<i64>(), count, "{case}");
    let n_labels = data["labels"].as_array().expect("labels").len();
    let lists = &data["quantiles"];
    for list in [&data["counts"], &data["avg"], &lists["p50"], &lists["p95"], &lists["p99"]] {
        assert_eq!(list.as_array().expect("a list").len(), n_labels, "{case}");
    }
    for (idx, counts) in data["counts"].as_array().expect("lists").iter().enumerate() {
        let is_empty = numbers(counts).iter().all(|count| *count == 0);
        for list in [&data["avg"], &lists["p50"], &lists["p95"], &lists["p99"]] {
            assert_eq!(list[idx].is_null(), is_empty, "{case}: {idx}");
        }
    }
}

/// Two tenants, upstreams and models, retries, failures, and attempts that waited for a token, over
/// more than a year.
async fn fill(place: &mut Place) {
    let now = Wall::now().as_us();
    let mut facts: Vec<Fact> = (0..400)
        .map(|day| Fact {
            duration_us: (1 + day % 40) * 137_000,
            ttft_us: (day % 3 > 0).then_some((1 + day % 20) * 31_000),
            upstream: if day % 2 > 0 { "openai" } else { "azure" },
            ..Fact::new(now - day * DAY - 7 * MINUTE, "wechat", 1 + day)
        })
        .collect();
    for minute in 0..50 {
        facts.push(Fact {
            duration_us: (1 + minute) * 53_000,
            ttft_us: Some((1 + minute) * 9_000),
            is_final: minute % 4 > 0,
            status: if minute % 5 > 0 { 200 } else { 502 },
            model: if minute % 2 > 0 { "gpt-4o" } else { "claude" },
            ..Fact::new(now - minute * MINUTE, "alipay", 3)
        });
    }
    place.commit(&facts).await;
    place.store.create_namespace("idle", "nobody asks").await.expect("made");
}

async fn agrees_with_stats(place: &Place, zones: &[&str]) {
    let now = Wall::now().as_us() / SECOND;
    let ranges = ["15m", "1h", "6h", "24h", "today", "yesterday", "week", "month", "all"];
    let mut ranges = ranges.map(|word| format!("timeRange={word}")).to_vec();
    let (day, year) = (86_400, 380 * 86_400);
    ranges.push(format!("from={}&to={now}", now - year));
    ranges.push(format!("from={}&to={}", now - day - 77, now - 33));
    for zone in zones {
        for range in &ranges {
            for scope in ["all", "wechat", "alipay", "idle"] {
                let of = format!("{range}&tz={zone}");
                let path = format!("/api/metrics/namespaces/{scope}/stats?{of}");
                let stats = place.get(&path).await;
                let data = place.get(&format!("{PATH}?namespace={scope}&{of}")).await;
                let case = format!("{zone} {range} {scope}");
                if data["range"] != stats["range"] {
                    continue; // A minute has passed, and with it a bucket.
                }
                check(&data, &case);
                let of_range = data["range"]["aligned_to_seconds"].clone();
                assert_eq!(data["totals"]["count"], stats["totalRequests"], "{case}");
                assert_eq!(data["totals"]["quantiles"], stats["quantiles"], "{case}");
                assert_eq!(data["totals"]["avg"], stats["avgResponseTime"], "{case}");
                assert_eq!((&data["namespace"], &data["as_of"]), (&json!(scope), &stats["as_of"]));
                for more in ["metric=ttft", "metric=tpot", "model=gpt-4o", "upstream=azure"] {
                    let path = format!("{PATH}?namespace={scope}&{of}&{more}");
                    let data = place.get(&path).await;
                    check(&data, &path);
                    let aligned =
                        if more == "upstream=azure" { of_range.clone() } else { json!(900) };
                    assert_eq!(data["range"]["aligned_to_seconds"], aligned, "{path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn counts_add_up_to_the_requests_of_stats_in_every_zone_and_range() {
    let mut place = Place::open().await;
    fill(&mut place).await;
    let zones = ["UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/New_York"];
    agrees_with_stats(&place, &zones).await;
    agrees_with_stats(&place, &["Australia/Lord_Howe", "America/St_Johns"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_add_up_on_a_server_too() {
    let mut place = Place::on_server().await;
    fill(&mut place).await;
    agrees_with_stats(&place, &["Australia/Lord_Howe"]).await;
}

#[tokio::test]
async fn filters_select_by_upstream_and_model_and_part_what_there_is() {
    let mut place = Place::open().await;
    fill(&mut place).await;
    let count = async |query: &str| {
        let data = place.get(&format!("{PATH}?timeRange=all{query}")).await;
        check(&data, query);
        data["totals"]["count"].as_i64().expect("a number")
    };
    for metric in ["duration", "ttft", "tpot"] {
        let of = format!("&metric={metric}");
        let all = count(&of).await;
        assert!(all > 0);
        for parts in [["upstream=openai", "upstream=azure"], ["model=gpt-4o", "model=claude"]] {
            let [one, other] = parts.map(|part| format!("{of}&{part}"));
            let parts = (count(&one).await, count(&other).await);
            assert!(parts.0 > 0 && parts.1 > 0, "{one}");
            assert_eq!(parts.0 + parts.1, all, "{one}");
        }
        // Texts are compared byte by byte.
        for none in ["model=GPT-4o", "upstream=azure+", "model=gpt-4o&upstream=nobody"] {
            assert_eq!(count(&format!("{of}&{none}")).await, 0, "{none}");
        }
    }
    // Of 50 attempts, three alike each, 13 were not final: they have no duration of their own.
    assert_eq!(count("&namespace=alipay").await, 3 * 37);
    assert_eq!(count("&namespace=alipay&metric=ttft").await, 3 * 50);
    assert_eq!(count("&namespace=alipay&metric=tpot").await, 3 * 50);
}

#[tokio::test]
async fn a_histogram_has_its_bounds_and_its_quantiles_are_those_of_prometheus() {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let fact = |duration_us, ttft_us, n| Fact {
        duration_us,
        ttft_us: Some(ttft_us),
        ..Fact::new(now, "wechat", n)
    };
    place.commit(&[fact(800_000, 300_000, 3), fact(400_000_000, 40_000_000, 1)]).await;
    let data = place.get(&format!("{PATH}?timeRange=15m")).await;
    let bounds = data["bounds_ms"].as_array().expect("bounds");
    assert_eq!((bounds.len(), &bounds[0], &bounds[15]), (17, &json!(10), &json!(327_680)));
    assert_eq!(bounds[16], Value::Null, "the last bucket is open");
    let last = data["counts"].as_array().expect("lists").len() - 1;
    let mut counts = vec![0; 17];
    (counts[7], counts[16]) = (3, 1);
    assert_eq!(numbers(&added_at(&data, last)), counts);
    assert_eq!(data["totals"]["count"], 4);
    assert_eq!(data["totals"]["avg"], 100_600);
    // Two of three in the bucket from 640 to 1280 ms; the highest bound stands for the open one.
    assert_eq!(data["totals"]["quantiles"]["p50"], 1_066.666);
    assert_eq!(data["quantiles"]["p99"][last], 327_680);
    assert_eq!((&data["metric"], &data["upstream"]), (&json!("duration"), &Value::Null));
    let data = place.get(&format!("{PATH}?timeRange=15m&metric=ttft&model=gpt-4o")).await;
    assert_eq!(data["bounds_ms"][0], 1);
    assert_eq!(added(&data)[9], 3);
    assert_eq!(data["totals"]["quantiles"]["p99"], 30_000);
    assert_eq!((&data["step"], &data["step_seconds"]), (&json!("15 minutes"), &json!(900)));
    let n_quarters = data["labels"].as_array().expect("labels").len();
    assert!((1..=2).contains(&n_quarters), "{data}");
    assert_eq!(data["model"], "gpt-4o");
    // 500 ms for 19 tokens behind the first one, and 360 s for as many.
    let data = place.get(&format!("{PATH}?timeRange=15m&metric=tpot")).await;
    let bounds = data["bounds_ms"].as_array().expect("bounds");
    assert_eq!((bounds.len(), &bounds[0], &bounds[16]), (18, &json!(1), &json!(10_000)));
    let mut counts = vec![0; 18];
    (counts[5], counts[17]) = (3, 1);
    assert_eq!((added(&data), &data["totals"]["count"]), (counts, &json!(4)));
    assert_eq!(data["totals"]["avg"], 4_756.578);
    assert_eq!((&data["metric"], &data["step_seconds"]), (&json!("tpot"), &json!(900)));
}

/// The counts of the last bucket of time; of the one before if a minute has just passed.
fn added_at(data: &Value, last: usize) -> Value {
    let counts = &data["counts"];
    let is_empty = numbers(&counts[last]).iter().all(|count| *count == 0);
    counts[last - usize::from(is_empty)].clone()
}

#[tokio::test]
async fn nothing_has_zeros_and_no_quantiles_and_deleted_rows_are_earlier() {
    let place = Place::open().await;
    for range in ["15m", "6h", "today", "week", "all"] {
        for metric in ["duration", "ttft", "tpot"] {
            let path = format!("{PATH}?timeRange={range}&metric={metric}");
            let data = place.get(&path).await;
            check(&data, &path);
            let totals = &data["totals"];
            assert_eq!((&totals["count"], &totals["avg"]), (&json!(0), &Value::Null), "{path}");
            let none = json!({"p50": null, "p95": null, "p99": null});
            assert_eq!(totals["quantiles"], none, "{path}");
        }
    }
    let mut place = Place::open().await;
    fill(&mut place).await;
    let year = 365 * DAY;
    let keep = Keep {
        minute_us: year,
        quarter_us: 10 * DAY,
        consumer_us: year,
        journal_us: year,
        letter_us: year,
    };
    let before = place.get(&format!("{PATH}?timeRange=all")).await;
    place.store.retain(Wall::now(), &keep).await.expect("old rows go");
    for (metric, n_buckets) in [("duration", 17), ("ttft", 18), ("tpot", 18)] {
        let data = place.get(&format!("{PATH}?timeRange=all&metric={metric}")).await;
        check(&data, metric);
        assert_eq!(data["labels"][0], "earlier", "{metric}");
        assert_eq!(numbers(&data["counts"][0]).len(), n_buckets);
        if metric == "duration" {
            assert_eq!(data["totals"], before["totals"], "totals outlive their rows");
        }
    }
}

#[tokio::test]
async fn bad_queries_are_refused_and_markup_is_only_text() {
    let mut place = Place::open().await;
    fill(&mut place).await;
    let markup = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let data = place.get(&format!("{PATH}?upstream={markup}&model={markup}")).await;
    assert_eq!(data["upstream"], "<script>alert(1)</script>");
    assert_eq!(data["totals"]["count"], 0);
    let sql = "%27%20OR%201%3D1%20--";
    for name in ["upstream", "model"] {
        let data = place.get(&format!("{PATH}?timeRange=all&{name}={sql}")).await;
        assert_eq!(data["totals"]["count"], 0, "{name}");
    }
    let long = "x".repeat(129);
    for (query, status, message) in [
        ("metric=itl", 400, "metric must be one of duration, ttft, tpot, not \"itl\"".to_owned()),
        ("metric=", 400, "metric must not be empty".to_owned()),
        ("model=", 400, "model must not be empty".to_owned()),
        ("upstream", 400, "upstream must not be empty".to_owned()),
        (&format!("model={long}"), 400, "model must be at most 128 characters".to_owned()),
        ("endpoint=x", 400, "unknown parameter \"endpoint\": takes namespace, ".to_owned()),
        ("model=a&model=b", 400, "parameter model is given twice".to_owned()),
        ("timeRange=2h", 400, "timeRange must be one of".to_owned()),
        (&format!("namespace={markup}"), 404, "there is no namespace \"<script>".to_owned()),
    ] {
        let (found, text) = place.refused(&format!("{PATH}?{query}")).await;
        assert!(found == status && text.starts_with(&message), "{query}: {found} {text}");
    }
}
