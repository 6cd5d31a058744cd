//! Tokens by consumer, model and namespace.

use clock::Wall;
use serde_json::{Value, json};

use super::fixture::{Fact, Place};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Three consumers, the first with a namesake in another tenant, and events without a consumer.
async fn filled() -> Place {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let of = |namespace, consumer, n| Fact { consumer, ..Fact::new(now, namespace, n) };
    place
        .commit(&[
            of("wechat", Some("ann"), 5),
            of("wechat", Some("小明"), 7),
            of("wechat", None, 1),
            of("alipay", Some("ann"), 2),
            Fact { is_final: false, ..of("alipay", Some("ann"), 1) },
            Fact { consumer: Some("old"), ..Fact::new(now - 40 * DAY, "alipay", 9) },
        ])
        .await;
    place
}

/// Namespace, consumer, requests and input tokens of each item.
fn items(data: &Value) -> Vec<(String, Option<String>, i64, i64)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let items = data["items"].as_array().expect("items").iter();
    items
        .map(|item| {
            let number = |name: &str| item[name].as_i64().expect(name);
            let namespace = text(&item["namespace"]).expect("a namespace");
            (namespace, text(&item["consumer"]), number("requests"), number("input"))
        })
        .collect()
}

#[tokio::test]
async fn consumers_are_sorted_by_tokens_and_add_up_to_their_namespace() {
    let place = filled().await;
    let data = place.get("/api/usage?group_by=consumer&timeRange=24h").await;
    let row = |namespace: &str, consumer: Option<&str>, requests, input| {
        (namespace.to_owned(), consumer.map(str::to_owned), requests, input)
    };
    let expected = [
        row("wechat", Some("小明"), 7, 700),
        row("wechat", Some("ann"), 5, 500),
        row("alipay", Some("ann"), 2, 300),
        row("wechat", None, 1, 100),
    ];
    assert_eq!(items(&data), expected, "only final attempts are requests");
    assert_eq!(data["group_by"], json!(["namespace", "consumer"]));
    assert_eq!((&data["total"], &data["pages"]), (&json!(4), &json!(1)));
    assert_eq!(data["items"][0]["output"], 140);
    for namespace in ["all", "wechat", "alipay"] {
        for range in ["24h", "today", "all"] {
            let path = format!("/api/usage?namespace={namespace}&timeRange={range}");
            let used = place.get(&path).await;
            let path = format!("/api/metrics/namespaces/{namespace}/tokens?timeRange={range}");
            let tokens = place.get(&path).await;
            for name in ["input", "output", "cost_usd"] {
                assert_eq!(used["totals"][name], tokens["totals"][name], "{namespace} {range}");
            }
        }
    }
}

#[tokio::test]
async fn usage_is_grouped_by_model_or_namespace_and_paged() {
    let place = filled().await;
    let data = place.get("/api/usage?group_by=model&timeRange=all").await;
    assert_eq!((&data["items"][0]["model"], &data["total"]), (&json!("gpt-4o"), &json!(1)));
    assert_eq!(data["items"][0]["requests"], 24);
    let since = data["kept_since"].as_str().expect("rows are kept");
    assert_eq!(data["range"]["from"].as_str().map(|text| &text[..16]), Some(&since[..16]));
    let data = place.get("/api/usage?group_by=model,consumer&namespace=wechat&size=2&page=2").await;
    assert_eq!(data["group_by"], json!(["namespace", "consumer", "model"]));
    assert_eq!((&data["total"], &data["pages"], &data["page"]), (&json!(3), &json!(2), &json!(2)));
    assert_eq!(items(&data).len(), 1);
    assert_eq!(data["totals"]["requests"], 13);
    let data = place.get("/api/usage?group_by=namespace&timeRange=yesterday").await;
    assert_eq!((&data["items"], &data["total"]), (&json!([]), &json!(0)));
    let empty = Place::open().await;
    let data = empty.get("/api/usage?timeRange=all").await;
    assert_eq!((&data["items"], &data["kept_since"]), (&json!([]), &Value::Null));
    assert_eq!(data["totals"]["requests"], 0);
}

#[tokio::test]
async fn bad_query_is_refused_with_the_rule() {
    let place = filled().await;
    for (query, message) in [
        ("group_by=user", "group_by must be some of namespace, consumer, model, upstream"),
        ("group_by=consumer,,model", "not \"\""),
        ("size=1001", "size must be a whole number from 1 to 1000"),
        ("timeRange=never", "timeRange must be one of"),
        ("group_by=model,consumer,+model", "group_by has model twice"),
        ("group_by=", "group_by must not be empty"),
        ("group_by=model&namespace=", "namespace must not be empty"),
        ("from=2026-01-01T00:00:00Z&to=", "to must not be empty"),
        ("groupBy=consumer", "unknown parameter \"groupBy\""),
    ] {
        let (status, text) = place.refused(&format!("/api/usage?{query}")).await;
        assert!(status == 400 && text.contains(message), "{query}: {status} {text}");
    }
    assert_eq!(place.refused("/api/usage?namespace=nobody").await.0, 404);
}
