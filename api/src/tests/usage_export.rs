//! Usage as files: the numbers of the pages, whatever the names, from one version of the ledger.

use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, to_bytes};
use clock::Wall;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::fixture::{Fact, Place, get};
use super::usage_groups::{SUMS, ZONES, add_up, fill, items, midnights, number};

/// Consumers with every sign that means something to a table, a page or a spreadsheet.
const NAMES: [&str; 16] = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\ttab",
    "\rreturn",
    "'=1+1",
    "a,b",
    "a\"b\"",
    "\"",
    "line\nline",
    "crlf\r\n",
    "<script>alert(1)</script>",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "\u{202e}abc",
    " \u{5c0f}\u{660e} ",
];

/// The fields of each row by the header.
async fn table(place: &Place, path: &str) -> Vec<Vec<(String, String)>> {
    let response = place.router.clone().oneshot(get(path)).await.expect("routers do not fail");
    assert_eq!(response.status(), 200, "{path}");
    let headers = response.headers();
    assert!(headers["content-type"].to_str().expect("text").starts_with("text/csv"), "{path}");
    let name = headers["content-disposition"].to_str().expect("text").to_owned();
    assert!(name.starts_with("attachment; filename=\"usage-20"), "{name}");
    assert_eq!(headers["cache-control"], "no-store");
    let bytes = to_bytes(response.into_body(), 64 << 20).await.expect("a body");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let names: Vec<String> =
        reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| {
        let row = row.expect("a row");
        names.iter().cloned().zip(row.iter().map(str::to_owned)).collect()
    });
    rows.collect()
}

fn cell<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    let found = row.iter().find(|(known, _)| known == name);
    &found.unwrap_or_else(|| panic!("no {name}")).1
}

/// Checks a cell against the value of an item: a cost has all its digits.
fn check_cell(row: &[(String, String)], name: &str, value: &Value) {
    let text = cell(row, name);
    match value.as_f64().filter(|_| name.ends_with("cost_usd")) {
        Some(cost) => assert_eq!(text.parse(), Ok(cost), "{name}"),
        None => assert_eq!(text, as_cell(value), "{name}"),
    }
}

/// An item as the cells of a table.
fn as_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn files_have_the_numbers_of_the_pages(mut place: Place) {
    fill(&mut place).await;
    for (zone, first, last) in ZONES {
        let midnights = midnights(zone, first, last);
        let (from, to) = (&midnights[0], &midnights[midnights.len() - 1]);
        for query in [
            "group_by=model,upstream,endpoint,status",
            "group_by=namespace,day,hour&order=hour",
            "group_by=consumer,day&search=A&order=-consumer",
            "group_by=endpoint&compare=previous&namespace=wechat",
        ] {
            let path = |call: &str, from: &str, to: &str| {
                format!("/api/usage{call}?{query}&from={from}&to={to}&tz={zone}")
            };
            let pages = place.get(&format!("{}&size=1000", path("", from, to))).await;
            let whole = place.get(&format!("{}&format=json", path("/export", from, to))).await;
            for name in ["namespace", "group_by", "items", "total", "totals", "range"] {
                assert_eq!(whole[name], pages[name], "{zone} {query} {name}");
            }
            assert_eq!(whole["as_of"], pages["as_of"]);
            let rows = table(&place, &path("/export", from, to)).await;
            assert_eq!(rows.len(), items(&pages).len(), "{zone} {query}");
            for (row, item) in rows.iter().zip(items(&pages)) {
                let mut n_cells = 0;
                for (name, value) in item.as_object().expect("an item") {
                    let inner = value.as_object().into_iter().flatten();
                    for (inner, value) in inner {
                        let name = format!("{name}_{inner}");
                        check_cell(row, &name, value);
                        n_cells += 1;
                    }
                    if !value.is_object() {
                        check_cell(row, name, value);
                        n_cells += 1;
                    }
                }
                assert_eq!(n_cells, row.len(), "{zone} {query}");
            }
            if query.contains("consumer") {
                continue;
            }
            for name in SUMS.iter().filter(|name| **name != "tokens") {
                let mut sum = 0;
                for day in midnights.windows(2) {
                    let rows = table(&place, &path("/export", &day[0], &day[1])).await;
                    let cells = rows.iter().map(|row| cell(row, name));
                    sum += cells.map(|text| text.parse::<i64>().expect("whole")).sum::<i64>();
                }
                assert_eq!(number(&whole["totals"], name), sum, "{zone} {query} {name}");
                assert_eq!(add_up(items(&whole), name), sum, "{zone} {query} {name}");
            }
        }
    }
}

#[tokio::test]
async fn files_have_the_numbers_of_the_pages_to_the_token() {
    files_have_the_numbers_of_the_pages(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_the_numbers_of_the_pages_to_the_token_on_a_server() {
    files_have_the_numbers_of_the_pages(Place::on_server().await).await;
}

async fn names_survive(mut place: Place) {
    let now = Wall::now().as_us();
    let facts: Vec<Fact> = (1..)
        .zip(NAMES)
        .map(|(n, name)| Fact {
            consumer: Some(name),
            model: name,
            upstream: name,
            endpoint: name,
            ..Fact::new(now, "wechat", n)
        })
        .chain([Fact::new(now, "wechat", 99)])
        .collect();
    place.commit(&facts).await;
    let query = "group_by=consumer&timeRange=24h&order=requests";
    let data = place.get(&format!("/api/usage?{query}")).await;
    let shown: Vec<&Value> = items(&data).iter().map(|item| &item["consumer"]).collect();
    let wanted: Vec<Value> = NAMES.iter().map(|name| json!(name)).chain([Value::Null]).collect();
    assert_eq!(shown, wanted.iter().collect::<Vec<_>>());
    let whole = place.get(&format!("/api/usage/export?{query}&format=json")).await;
    assert_eq!(whole["items"], data["items"]);
    let rows = table(&place, &format!("/api/usage/export?{query}")).await;
    for (row, name) in rows.iter().zip(NAMES) {
        let text = cell(row, "consumer");
        // No cell is a formula, and what was put in front can be taken away again.
        assert!(!text.starts_with(['=', '+', '-', '@', '\t', '\r']), "{text:?}");
        assert_eq!(text.strip_prefix('\'').unwrap_or(text), name);
    }
    assert_eq!(cell(&rows[NAMES.len()], "consumer"), "");
    for field in ["consumer", "model", "upstream", "endpoint"] {
        for name in NAMES {
            let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let group = if field == "consumer" { "model" } else { field };
            let path = format!("/api/usage?group_by={group}&timeRange=24h");
            let filtered = place.get(&format!("{path}&{field}={escaped}")).await;
            assert_eq!((items(&filtered).len(), &filtered["total"]), (1, &json!(1)), "{name:?}");
            assert_eq!(items(&filtered)[0][group], json!(name));
            let path = format!("/api/usage?group_by={field},namespace&timeRange=24h&size=1000");
            let found = place.get(&format!("{path}&search={escaped}")).await;
            let is_found = |item: &Value| item[field] == json!(name);
            assert!(items(&found).iter().any(is_found), "{field} {name:?}");
            for item in items(&found) {
                let text = item[field].as_str().expect("text").to_lowercase();
                assert!(text.contains(&name.to_lowercase()), "{field} {name:?}: {item}");
            }
        }
    }
}

#[tokio::test]
async fn names_of_any_kind_survive() {
    names_survive(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_kind_survive_on_a_server() {
    names_survive(Place::on_server().await).await;
}

/// More pieces than are made ahead.
const LARGE: &str = "/api/usage/export?group_by=model,upstream,endpoint,status,hour,namespace\
                     &timeRange=all&tz=Asia/Kathmandu&format=json";

async fn begun(place: &Place, path: &str) -> BodyDataStream {
    let response = place.router.clone().oneshot(get(path)).await.expect("routers do not fail");
    assert_eq!(response.status(), 200, "{path}");
    response.into_body().into_data_stream()
}

/// An export that begins once there is a permit for it: who holds it leaves, or is cut off.
async fn begun_at_last(place: &Place, path: &str) -> BodyDataStream {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let response = place.router.clone().oneshot(get(path)).await.expect("routers do not fail");
        if response.status() == 200 {
            return response.into_body().into_data_stream();
        }
        assert!(Instant::now() < end, "a client that is gone holds its permit");
    }
}

/// What comes until the end, and whether that is the end of a whole answer.
async fn rest(mut body: BodyDataStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

async fn exports_are_of_one_version_and_bounded(mut place: Place) {
    fill(&mut place).await;
    let query = "/api/usage?group_by=status&timeRange=all";
    let wanted = place.get(query).await;
    // Another export waits for as long as one is sent, and holds up no query.
    let left = begun(&place, LARGE).await;
    let (status, text) = place.refused(LARGE).await;
    assert!(status == 503 && text.contains("another export"), "{status} {text}");
    assert_eq!(place.ask(get("/api/usage?group_by=model&timeRange=all")).await.0, 200);
    drop(left);
    let first = begun_at_last(&place, LARGE).await;
    place.commit(&[Fact::new(Wall::now().as_us(), "wechat", 1_000)]).await;
    let (bytes, is_whole) = rest(first).await;
    assert!(is_whole);
    let answer: Value = serde_json::from_slice(&bytes).expect("JSON");
    let data = &answer["data"];
    assert!(items(data).len() > 2_500, "{}", items(data).len());
    assert_eq!(data["as_of"]["version"], 2, "it is of the version at which it began");
    assert_eq!(data["totals"], wanted["totals"]);
    for name in SUMS {
        assert_eq!(add_up(items(data), name), number(&wanted["totals"], name), "{name}");
    }
    // A client that stops reading is cut off, and its reader is free again.
    let stalled = begun_at_last(&place, LARGE).await;
    drop(begun_at_last(&place, LARGE).await);
    let (bytes, is_whole) = rest(stalled).await;
    assert!(!is_whole, "what is cut off ends with an error");
    assert!(serde_json::from_slice::<Value>(&bytes).is_err());
}

#[tokio::test]
async fn an_export_is_of_one_version_and_holds_its_permit_for_a_bounded_time() {
    exports_are_of_one_version_and_bounded(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_of_one_version_and_holds_its_permit_for_a_bounded_time_on_a_server() {
    exports_are_of_one_version_and_bounded(Place::on_server().await).await;
}

#[tokio::test]
async fn an_empty_ledger_exports_no_rows() {
    let place = Place::open().await;
    assert!(table(&place, "/api/usage/export").await.is_empty());
    for range in ["today", "all", "month"] {
        let path = format!("/api/usage/export?format=json&group_by=day,model&timeRange={range}");
        let data = place.get(&path).await;
        assert_eq!((&data["items"], &data["total"]), (&json!([]), &json!(0)), "{range}");
        assert_eq!((&data["totals"]["errors"], &data["kept_since"]), (&json!(0), &Value::Null));
    }
    let head = axum::http::Request::head("/api/usage/export").body(Body::empty());
    let (status, headers, _) = place.ask(head.expect("a request")).await;
    assert!(status == 200 && headers.contains_key("content-disposition"));
}
