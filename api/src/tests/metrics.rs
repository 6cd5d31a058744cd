//! Status distribution, trend, tokens and system.

use clock::Wall;
use event::{ErrorType, UsageSource};
use serde_json::json;
use store::Keep;

use super::fixture::{Fact, Place, sum};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A day of two tenants: two requests failed, one was retried.
async fn filled() -> Place {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    place.store.create_namespace("idle", "nobody asks").await.expect("made");
    place
        .commit(&[
            Fact::new(now - MINUTE, "wechat", 6),
            Fact::new(now - 30 * MINUTE, "wechat", 3),
            Fact { status: 429, input: 0, output: 0, ..Fact::new(now - MINUTE, "wechat", 2) },
            Fact { status: 502, is_final: false, ..Fact::new(now - MINUTE, "alipay", 1) },
        ])
        .await;
    place
        .commit(&[Fact { duration_us: 3_000_000, ..Fact::new(now - 5 * HOUR, "alipay", 1) }])
        .await;
    place
}

#[tokio::test]
async fn distribution_has_every_namespace_and_every_outcome() {
    let place = filled().await;
    let data = place.get("/api/metrics/namespaces/status-distribution?timeRange=all").await;
    let labels: Vec<&str> =
        data["labels"].as_array().expect("labels").iter().filter_map(|l| l.as_str()).collect();
    assert_eq!(labels[..3], ["success", "client_error", "rate_limited"]);
    let of = |namespace: &str| {
        let datasets = data["datasets"].as_array().expect("datasets");
        let found = datasets.iter().find(|set| set["label"] == namespace).expect(namespace);
        sum(found)
    };
    assert_eq!((of("wechat"), of("alipay"), of("idle")), (11, 1, 0));
    assert_eq!(data["totals"]["success"], 10);
    assert_eq!(data["totals"]["rate_limited"], 2);
    assert_eq!(data["totals"]["upstream_unreachable"], 0, "only final attempts are requests");
    assert_eq!(data["requests"], 12);
    assert_eq!(data["namespaces"], json!({"enabled": 3, "disabled": 0}));
    assert_eq!(data["as_of"]["version"], 2);
    assert!(data["as_of"]["time"].as_str().expect("a time").ends_with('Z'));
}

#[tokio::test]
async fn error_inside_an_answer_of_200_is_an_error_in_every_answer_and_range() {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let error_type = Some(ErrorType::ServerError);
    place
        .commit(&[
            Fact::new(now, "wechat", 3),
            Fact { error_type, ..Fact::new(now, "wechat", 1) },
            Fact { error_type, is_final: false, ..Fact::new(now, "wechat", 5) },
            Fact::new(now, "alipay", 4),
        ])
        .await;
    for range in ["15m", "24h", "all"] {
        let metrics = "/api/metrics/namespaces";
        let shown = place.get(&format!("{metrics}/status-distribution?timeRange={range}")).await;
        let totals = &shown["totals"];
        assert_eq!(
            (&totals["success"], &totals["server_error"]),
            (&json!(7), &json!(1)),
            "{range}"
        );
        let stats = place.get(&format!("{metrics}/wechat/stats?timeRange={range}")).await;
        let found = (&stats["totalRequests"], &stats["errors"], &stats["successRate"]);
        assert_eq!(found, (&json!(4), &json!(1), &json!(0.75)), "{range}");
        let tokens = place.get(&format!("{metrics}/wechat/tokens?timeRange={range}")).await;
        assert_eq!(tokens["totals"]["input"], 900, "every attempt is billed: {range}");
        let system = place.get(&format!("/api/metrics/system?timeRange={range}")).await;
        assert_eq!((&system["totalRequests"], &system["errorRate"]), (&json!(8), &json!(0.125)));
    }
}

#[tokio::test]
async fn trend_has_whole_numbers_and_its_buckets_add_up_in_every_range() {
    let place = filled().await;
    for (range, n_buckets, requests) in
        [("15m", 15, 8), ("1h", 60, 11), ("6h", 72, 12), ("24h", 96, 12)]
    {
        let path = format!("/api/metrics/namespaces/request-trend?timeRange={range}");
        let data = place.get(&path).await;
        assert_eq!(data["datasets"][0]["label"], "all", "{range}");
        assert_eq!(data["labels"].as_array().expect("labels").len(), n_buckets, "{range}");
        assert_eq!(sum(&data["datasets"][0]), requests, "{range}");
        assert_eq!(data["total"], requests, "{range}");
    }
    let path =
        "/api/metrics/namespaces/request-trend?namespace=wechat&timeRange=1h&tz=Asia/Shanghai";
    let data = place.get(path).await;
    assert_eq!(
        (data["datasets"][0]["label"].as_str(), sum(&data["datasets"][0])),
        (Some("wechat"), 11)
    );
    assert_eq!(
        (data["step_seconds"].as_i64(), data["timezone"].as_str()),
        (Some(60), Some("Asia/Shanghai"))
    );
    let label = data["labels"][0].as_str().expect("a label");
    assert!(label.ends_with("+08:00"), "{label}");
    assert_eq!(data["range"]["aligned_to_seconds"], 60);
    let minute = (Wall::now().as_us() / MINUTE - 1) * 60;
    let (from, to) = (minute - 3_600, minute + 120);
    let path =
        format!("/api/metrics/namespaces/request-trend?from={from}&to={to}&namespace=wechat");
    assert_eq!(sum(&place.get(&path).await["datasets"][0]), 11);
}

#[tokio::test]
async fn buckets_add_up_in_zones_of_every_kind_and_for_namespaces_without_events() {
    let mut place = filled().await;
    let now = Wall::now().as_us();
    // Both days on which clocks change lie within 400 days.
    let facts: Vec<Fact> =
        (0..400).map(|day| Fact::new(now - day * DAY - 7 * MINUTE, "wechat", 1 + day)).collect();
    place.commit(&facts).await;
    let year = format!("from={}&to={}", (now - 380 * DAY) / 1_000_000, now / 1_000_000);
    for zone in [
        "UTC",
        "Asia/Shanghai",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/St_Johns",
    ] {
        let ranges = ["15m", "24h", "today", "yesterday", "week", "month", "all"];
        let ranges = ranges.map(|word| format!("timeRange={word}")).into_iter();
        for range in ranges.chain([year.clone()]) {
            for scope in ["all", "wechat", "idle"] {
                let metrics = "/api/metrics/namespaces";
                let of = format!("{range}&tz={zone}");
                let trend =
                    place.get(&format!("{metrics}/request-trend?namespace={scope}&{of}")).await;
                let tokens = place.get(&format!("{metrics}/{scope}/tokens?{of}")).await;
                let stats = place.get(&format!("{metrics}/{scope}/stats?{of}")).await;
                let path = format!("/api/metrics/dashboard?namespace={scope}&{of}");
                let dashboard = place.get(&path).await;
                if dashboard["stats"]["range"] != trend["range"] {
                    continue; // A minute has passed, and with it a bucket.
                }
                let case = format!("{zone} {range} {scope}");
                assert_eq!(sum(&trend["datasets"][0]), trend["total"], "{case}");
                assert_eq!(sum(&tokens["datasets"][0]), tokens["totals"]["input"], "{case}");
                assert_eq!(sum(&tokens["datasets"][1]), tokens["totals"]["output"], "{case}");
                assert_eq!(stats["totalRequests"], trend["total"], "{case}");
                assert_eq!(stats["tokens"], tokens["totals"], "{case}");
                assert_eq!(dashboard["requestTrend"], trend, "{case}");
                assert_eq!(dashboard["tokens"], tokens, "{case}");
                assert_eq!(dashboard["stats"], stats, "{case}");
                let n_labels = tokens["labels"].as_array().expect("labels").len();
                assert_eq!(tokens["datasets"][0]["data"].as_array().expect("data").len(), n_labels);
            }
        }
    }
}

#[tokio::test]
async fn tokens_cover_all_attempts_and_a_namespace_is_found_by_code_or_id() {
    let place = filled().await;
    let all = place.get("/api/metrics/namespaces/all/tokens?timeRange=all").await;
    let totals = json!({
        "input": 1_100, "output": 220, "cache_read": 0, "cache_write": 0, "reasoning": 0,
        "estimated": 0, "cost_usd": null,
    });
    assert_eq!(all["totals"], totals);
    assert_eq!((sum(&all["datasets"][0]), sum(&all["datasets"][1])), (1_100, 220));
    assert_eq!(all["datasets"][0]["label"], "input");
    let by_code = place.get("/api/metrics/namespaces/alipay/tokens?timeRange=24h").await;
    assert_eq!(
        (&by_code["namespace"], &by_code["totals"]["input"]),
        (&json!("alipay"), &json!(200))
    );
    let mut reader = place.store.read().await.expect("a reader");
    let row = reader.namespace_by_code("alipay").await.expect("a row").expect("it exists");
    let by_id =
        place.get(&format!("/api/metrics/namespaces/{}/tokens?timeRange=24h", row.id)).await;
    assert_eq!(by_id, by_code);
}

#[tokio::test]
async fn estimated_tokens_are_shown_separately_from_every_kind_of_rows() {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let estimated = Fact {
        source: UsageSource::Estimated,
        input: 70,
        output: 7,
        is_final: false,
        ..Fact::new(now, "wechat", 1)
    };
    place.commit(&[Fact::new(now, "wechat", 2), estimated, Fact::new(now, "alipay", 1)]).await;
    for range in ["15m", "24h", "all"] {
        for (namespace, input, output) in [("wechat", 270, 47), ("all", 370, 67)] {
            let path = format!("/api/metrics/namespaces/{namespace}/tokens?timeRange={range}");
            let data = place.get(&path).await;
            let totals = &data["totals"];
            let found = (&totals["input"], &totals["output"], &totals["estimated"]);
            assert_eq!(found, (&json!(input), &json!(output), &json!(77)), "{path}");
            assert_eq!(sum(&data["datasets"][0]), input, "{path}");
        }
        let system = place.get(&format!("/api/metrics/system?timeRange={range}")).await;
        assert_eq!(system["tokens"]["input"], 370);
        assert_eq!(system["tokens"]["estimated"], 77);
        assert_eq!(system["totalRequests"], 3);
        let path = format!("/api/metrics/namespaces/status-distribution?timeRange={range}");
        assert_eq!(place.get(&path).await["totals"]["success"], 3, "{path}");
    }
}

#[tokio::test]
async fn rows_deleted_by_retention_are_in_the_first_bucket_of_all() {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let facts = [Fact::new(now - 40 * DAY, "wechat", 5), Fact::new(now, "wechat", 2)];
    place.commit(&facts).await;
    let path = "/api/metrics/namespaces/request-trend?timeRange=all";
    let before = place.get(path).await;
    assert_ne!(before["labels"][0], "earlier");
    let year = 365 * DAY;
    let keep = Keep {
        minute_us: year,
        quarter_us: 10 * DAY,
        consumer_us: year,
        journal_us: year,
        letter_us: year,
    };
    place.store.retain(Wall::from_us(now), &keep).await.expect("old rows go");
    let after = place.get(path).await;
    assert_eq!(
        (&after["labels"][0], &after["datasets"][0]["data"][0]),
        (&json!("earlier"), &json!(5))
    );
    assert_eq!((sum(&after["datasets"][0]), &after["total"]), (7, &json!(7)));
    let tokens = place.get("/api/metrics/namespaces/wechat/tokens?timeRange=all").await;
    assert_eq!((sum(&tokens["datasets"][0]), &tokens["totals"]["input"]), (700, &json!(700)));
}

#[tokio::test]
async fn system_shows_totals_latency_accounting_lag_and_dependencies() {
    let place = filled().await;
    let data = place.get("/api/metrics/system").await;
    assert_eq!(data["totalRequests"], 12);
    assert_eq!(data["errorRate"], 2.0 / 12.0);
    // 11 requests of 800 ms and one of 3 s.
    assert_eq!(data["avgResponseTime"], 983.333);
    assert_eq!(data["quantiles"]["p50"].as_f64().map(f64::floor), Some(989.0));
    assert_eq!(data["events"]["counted"], 13);
    assert_eq!(data["events"]["total"], 13);
    assert_eq!(data["lag"]["frames"], 3);
    assert_eq!(data["lag"]["commit_age_ms"], 1_500);
    assert_eq!(data["dependencies"], json!([{"name": "ledger", "status": "up", "reason": null}]));
    assert_eq!((&data["version"], &data["as_of"]["version"]), (&json!("1.2.3"), &json!(2)));
    assert!(data["qps"].as_f64().expect("a number") >= 0.0);
}

#[tokio::test]
async fn stats_are_those_of_one_namespace_or_of_all() {
    let place = filled().await;
    let stats = |scope: &str| format!("/api/metrics/namespaces/{scope}/stats?timeRange=all");
    let all = place.get(&stats("all")).await;
    assert_eq!((&all["namespace"], &all["totalRequests"]), (&json!("all"), &json!(12)));
    assert_eq!((&all["errors"], &all["successRate"]), (&json!(2), &json!(10.0 / 12.0)));
    assert_eq!(all["avgResponseTime"], 983.333);
    let one = place.get(&stats("alipay")).await;
    // An attempt that is not final is not a request of its own.
    assert_eq!((&one["totalRequests"], &one["errors"]), (&json!(1), &json!(0)));
    assert_eq!((&one["successRate"], &one["avgResponseTime"]), (&json!(1.0), &json!(3_000)));
    let tokens = place.get("/api/metrics/namespaces/alipay/tokens?timeRange=all").await;
    assert_eq!(one["tokens"], tokens["totals"]);
    let idle = place.get(&stats("idle")).await;
    assert_eq!((&idle["totalRequests"], &idle["successRate"]), (&json!(0), &json!(null)));
    assert_eq!(idle["quantiles"], json!({"p50": null, "p95": null, "p99": null}));
}

#[tokio::test]
async fn dashboard_combines_five_answers_at_one_version() {
    let place = filled().await;
    let range = "timeRange=24h&tz=Asia/Shanghai";
    let data = place.get(&format!("/api/metrics/dashboard?namespace=wechat&{range}")).await;
    let namespaces = "/api/metrics/namespaces";
    for (name, path) in [
        ("statusDistribution", format!("{namespaces}/status-distribution?{range}")),
        ("requestTrend", format!("{namespaces}/request-trend?namespace=wechat&{range}")),
        ("tokens", format!("{namespaces}/wechat/tokens?{range}")),
        ("stats", format!("{namespaces}/wechat/stats?{range}")),
        ("system", format!("/api/metrics/system?{range}")),
    ] {
        let alone = place.get(&path).await;
        assert_eq!(data[name]["as_of"], alone["as_of"]);
        // A minute may have passed between the two.
        for part in ["totalRequests", "totals", "total", "events"] {
            assert_eq!(data[name][part], alone[part], "{name}");
        }
    }
    let (status, _) = place.refused("/api/metrics/dashboard?namespace=nobody").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn an_empty_ledger_has_answers_too() {
    let place = Place::open().await;
    let system = place.get("/api/metrics/system").await;
    assert_eq!((&system["totalRequests"], &system["avgResponseTime"]), (&json!(0), &json!(null)));
    assert_eq!(system["quantiles"]["p95"], json!(null));
    assert_eq!(system["as_of"], json!({"version": 0, "time": null}));
    for range in ["15m", "today", "yesterday", "week", "month", "all"] {
        let path = format!("/api/metrics/namespaces/request-trend?timeRange={range}");
        let trend = place.get(&path).await;
        assert_eq!(sum(&trend["datasets"][0]), 0, "{range}");
    }
    let data = place.get("/api/metrics/namespaces/status-distribution").await;
    assert_eq!(data["datasets"], json!([]));
}

#[tokio::test]
async fn bad_queries_are_refused_with_the_reason() {
    let place = filled().await;
    let metrics = "/api/metrics/namespaces";
    for (path, status, message) in [
        (format!("{metrics}/nobody/tokens"), 404, "there is no namespace \"nobody\""),
        (format!("{metrics}/99/tokens"), 404, "there is no namespace \"99\""),
        (format!("{metrics}/request-trend?namespace=x"), 404, "there is no namespace \"x\""),
        (format!("{metrics}/request-trend?timeRange=2h"), 400, "timeRange must be one of"),
        (format!("{metrics}/request-trend?tz=Mars"), 400, "tz must be an IANA time zone"),
        (format!("{metrics}/all/tokens?from=5&to=1"), 400, "from must be before to"),
        (format!("{metrics}/all/tokens?timerange=1h"), 400, "unknown parameter \"timerange\""),
        (format!("{metrics}/status-distribution?tz=a&tz=b"), 400, "parameter tz is given twice"),
        (format!("{metrics}/all/tokens?timeRange="), 400, "timeRange must not be empty"),
        (format!("{metrics}/all/stats?timeRange=today&tz="), 400, "tz must not be empty"),
        (format!("{metrics}/request-trend?from=&to="), 400, "from must not be empty"),
        (format!("{metrics}/request-trend?namespace="), 400, "namespace must not be empty"),
        ("/api/metrics/dashboard?namespace".to_owned(), 400, "namespace must not be empty"),
        ("/api/metrics/system?tz".to_owned(), 400, "tz must not be empty"),
        ("/api/metrics/live?namespace=x".to_owned(), 404, "there is no namespace \"x\""),
        ("/api/metrics/live?namespace=".to_owned(), 400, "namespace must not be empty"),
        ("/api/metrics/live?tz=UTC".to_owned(), 400, "unknown parameter \"tz\""),
        ("/api/metrics/system?namespace=x".to_owned(), 400, "unknown parameter \"namespace\""),
        ("/api/namespaces/wechat?tz=UTC".to_owned(), 400, "unknown parameter \"tz\": takes none"),
        ("/api/metrics/nothing".to_owned(), 404, "nothing is at /api/metrics/nothing"),
    ] {
        let (found, text) = place.refused(&path).await;
        assert!(found == status && text.starts_with(message), "{path}: {found} {text}");
    }
}
