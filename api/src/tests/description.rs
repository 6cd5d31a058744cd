//! The description says what is served, and what is served is as it says.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use clock::Wall;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::fixture::{Fact, Place, change, get};
use super::schema::breaches;

const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];

async fn described(place: &Place) -> Value {
    let (status, headers, api) = place.ask(get("/openapi.json")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/json");
    api
}

/// Every call: path, method in capitals, and what is said of it.
fn calls(api: &Value) -> Vec<(&str, String, &Value)> {
    let paths = api["paths"].as_object().expect("paths").iter();
    let each = paths.flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, call)| (path.as_str(), method.to_uppercase(), call))
    });
    each.collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The names of the parameters of a call that are in this place.
fn names<'a>(call: &'a Value, place: &str) -> BTreeSet<&'a str> {
    let own = list(&call["parameters"]).filter(|parameter| parameter["in"] == place);
    own.filter_map(|parameter| parameter["name"].as_str()).collect()
}

/// A path with a namespace in its place.
fn with_namespace(path: &str) -> String {
    ["{namespace}", "{id}", "{code}"]
        .iter()
        .fold(path.to_owned(), |path, name| path.replace(name, "wechat"))
}

async fn filled() -> Place {
    let mut place = Place::open().await;
    let now = Wall::now().as_us();
    let facts = [
        Fact { consumer: Some("ann"), ..Fact::new(now, "wechat", 3) },
        Fact::new(now, "alipay", 1),
        Fact { status: 429, ..Fact::new(now, "wechat", 1) },
    ];
    place.commit(&facts).await;
    place
}

#[tokio::test]
async fn every_described_call_is_served_and_no_other_method_is() {
    let place = filled().await;
    let api = described(&place).await;
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in calls(&api) {
        methods.entry(path).or_default().insert(method);
    }
    for (path, described) in &methods {
        for method in METHODS {
            let request = Request::builder().method(method).uri(with_namespace(path));
            let request = request.body(Body::empty()).expect("a request");
            // A stream has no end, so no body is read.
            let response =
                place.router.clone().oneshot(request).await.expect("routers do not fail");
            let (status, headers) = (response.status(), response.headers());
            let is_refused = status == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_refused, !described.contains(method), "{method} {path}: {status}");
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            if is_refused {
                let allowed = headers["allow"].to_str().expect("text");
                let allowed = allowed.split(',').filter(|name| *name != "HEAD");
                assert_eq!(allowed.map(str::to_owned).collect::<BTreeSet<_>>(), *described);
            }
        }
    }
    // What is on /metrics is every route, for each is shown there before its first request.
    let page = place.ask(get("/metrics")).await.2["text"].as_str().expect("text").to_owned();
    let endpoints = page.split("http_requests_total{endpoint=\"").skip(1);
    let served: BTreeSet<&str> = endpoints.filter_map(|part| part.split('"').next()).collect();
    let files = served.iter().filter(|path| path.starts_with("/assets/"));
    assert!(files.count() >= 8, "files are served, and not described: {served:?}");
    let calls: BTreeSet<&str> =
        served.into_iter().filter(|path| !path.starts_with("/assets/")).collect();
    let described: BTreeSet<&str> = methods.keys().copied().collect();
    let known = calls.iter().filter(|path| **path != "none").copied().collect::<BTreeSet<_>>();
    assert_eq!(known, described);
}

/// A call that is asked for a parameter that it does not know names those that it does.
#[tokio::test]
async fn exactly_the_parameters_that_a_call_takes_are_described() {
    let place = filled().await;
    let api = described(&place).await;
    for (path, method, call) in calls(&api) {
        let variable: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        assert_eq!(names(call, "path"), variable, "{path}");
        if !path.starts_with("/api/") && path != "/metrics" {
            // Probes and caches append what they like.
            assert_eq!(names(call, "query"), BTreeSet::new(), "{path}");
            continue;
        }
        let uri = format!("{}?nonsense=1", with_namespace(path));
        let (status, _, answer) = place.ask(change(&method, &uri, &json!({}))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path}: {answer}");
        let message = answer["message"].as_str().or(answer["text"].as_str()).expect("a message");
        let taken = message.trim().strip_prefix("unknown parameter \"nonsense\": takes ");
        let taken = taken.unwrap_or_else(|| panic!("{path}: {message}"));
        let taken = taken.split(", ").filter(|name| *name != "none").collect();
        assert_eq!(names(call, "query"), taken, "{path}");
    }
}

#[tokio::test]
async fn the_limits_of_parameters_are_those_that_are_kept() {
    let place = filled().await;
    let api = described(&place).await;
    for (path, _, call) in calls(&api).into_iter().filter(|(_, method, _)| method == "GET") {
        for parameter in list(&call["parameters"]).filter(|parameter| parameter["in"] == "query") {
            let (name, schema) =
                (parameter["name"].as_str().expect("a name"), &parameter["schema"]);
            let ask = async |value: &str| {
                place.ask(get(&format!("{}?{name}={value}", with_namespace(path)))).await.0
            };
            for word in list(&schema["enum"]).chain(list(&schema["items"]["enum"])) {
                let word = word.as_str().expect("a word");
                assert_eq!(ask(word).await, StatusCode::OK, "{path} {name}={word}");
            }
            if schema["type"] == "integer" {
                let limit = |name: &str| schema[name].as_i64().expect("a limit");
                let (min, max) = (limit("minimum"), limit("maximum"));
                for (number, status) in [(min - 1, 400), (min, 200), (max, 200), (max + 1, 400)] {
                    assert_eq!(ask(&number.to_string()).await, status, "{path} {name}={number}");
                }
            }
            if let Some(max) = schema["maxLength"].as_u64() {
                let long = "x".repeat(usize::try_from(max).expect("short"));
                assert_eq!(ask(&long).await, StatusCode::OK, "{path} {name}");
                assert_eq!(
                    ask(&format!("{long}x")).await,
                    StatusCode::BAD_REQUEST,
                    "{path} {name}"
                );
            }
            if schema["minLength"] == 1 {
                assert_eq!(ask("").await, StatusCode::BAD_REQUEST, "{path} {name}");
            }
        }
    }
}

#[test]
fn a_value_that_does_not_fit_is_found_out() {
    let api = json!({"parts": {
        "Some": {"type": "object", "required": ["n"], "properties": {
            "n": {"type": ["integer", "null"], "minimum": 1},
            "word": {"type": "string", "enum": ["a"], "format": "date-time"}}},
        "More": {"allOf": [{"$ref": "#/parts/Some"}, {"type": "object", "properties": {
            "list": {"type": "array", "items": {"$ref": "#/parts/Some"}}}}]},
    }});
    let schema = json!({"$ref": "#/parts/More"});
    for good in
        [json!({"n": 1}), json!({"n": null, "list": []}), json!({"n": 2, "list": [{"n": 1}]})]
    {
        assert_eq!(breaches(&api, &schema, &good), [""; 0], "{good}");
    }
    for bad in [
        json!({}),
        json!({"n": 0}),
        json!({"n": "1"}),
        json!({"n": 1, "word": "b"}),
        json!({"n": 1, "word": "a"}),
        json!({"n": 1, "more": 1}),
        json!({"n": 1, "list": {}}),
        json!({"n": 1, "list": [{"n": 1, "more": 1}]}),
        json!({"n": 1, "list": [{}]}),
        json!(null),
    ] {
        assert_ne!(breaches(&api, &schema, &bad), [""; 0], "{bad}");
    }
}

/// What an answer must fit, by its content type.
fn schema_of<'a>(call: &'a Value, status: StatusCode, media_type: &str) -> &'a Value {
    let response = &call["responses"][status.as_str()];
    assert!(response.is_object(), "{status} is not described: {}", call["operationId"]);
    &response["content"][media_type]["schema"]
}

#[tokio::test]
async fn every_answer_fits_its_schema() {
    let place = filled().await;
    let api = described(&place).await;
    let calls = calls(&api);
    let find = |method: &str, path: &str| {
        let found = calls.iter().find(|(known, by, _)| *known == path && by == method);
        found.unwrap_or_else(|| panic!("{method} {path}")).2
    };
    let mut checked = BTreeSet::new();
    let mut check = async |method: &str, path: &str, uri: String, body: Option<Value>| {
        let request = match &body {
            None => get(&uri),
            Some(body) => change(method, &uri, body),
        };
        let (status, headers, answer) = place.ask(request).await;
        let media_type = headers["content-type"].to_str().expect("text");
        let media_type = media_type.split(';').next().expect("a type");
        let call = find(method, path);
        let schema = schema_of(call, status, media_type);
        assert!(schema.is_object(), "{uri}: {media_type} of {status} is not described");
        if media_type == "application/json" && path != "/openapi.json" {
            let found = breaches(&api, schema, &answer);
            assert!(found.is_empty(), "{uri}: {found:#?}");
        }
        checked.insert((method.to_owned(), path.to_owned(), status.as_u16()));
    };
    for (path, method, _) in calls.iter().filter(|(_, method, _)| method == "GET") {
        // A stream has no end; a test of `live` reads one.
        if *path == "/api/metrics/live" {
            continue;
        }
        check(method, path, with_namespace(path), None).await;
        let missing = path.replace("{namespace}", "nobody").replace("{id}", "nobody");
        check(method, path, missing, None).await;
        if path.starts_with("/api/metrics") {
            for query in ["timeRange=all", "timeRange=15m&tz=Asia/Kathmandu", "tz=Mars"] {
                check(method, path, format!("{}?{query}", with_namespace(path)), None).await;
            }
        }
    }
    let usage = "/api/usage";
    let each = "namespace,model,upstream,endpoint,status,hour,day,month";
    for groups in ["namespace", "model", "consumer,model", "consumer,day", "status", each] {
        let uri = format!("{usage}?group_by={groups}&timeRange=all&size=1");
        check("GET", usage, uri, None).await;
        let uri = format!("{usage}/export?group_by={groups}&timeRange=all&format=json");
        check("GET", "/api/usage/export", uri, None).await;
    }
    for call in ["?size=9", "/export?format=csv", "/export?format=json"] {
        let uri = format!("{usage}{call}&compare=previous&group_by=model");
        check("GET", uri.split('?').next().expect("a path"), uri.clone(), None).await;
    }
    let (list, status) = ("/api/namespaces", "/api/namespaces/{id}/status");
    for body in [json!({"code": "new"}), json!({"code": "new"}), json!({"code": "-"})] {
        check("POST", list, list.to_owned(), Some(body)).await;
    }
    for body in [json!({"status": "disabled"}), json!({"status": "off"})] {
        check("PUT", status, with_namespace(status), Some(body)).await;
    }
    let count = "/api/tokens/count";
    for body in [json!({"model": "gpt-4o", "input": "a", "output": "b"}), json!({})] {
        check("POST", count, count.to_owned(), Some(body)).await;
    }
    let replay = "/api/dead-letters/replay";
    for body in [json!({"letters": []}), json!({"letters": [{}]})] {
        check("POST", replay, replay.to_owned(), Some(body)).await;
    }
    for (path, method, _) in &calls {
        let is_checked = checked.iter().any(|(by, known, _)| by == method && known == path);
        assert!(is_checked || *path == "/api/metrics/live", "{method} {path} was not asked");
    }
}

#[tokio::test]
async fn every_call_has_an_example_that_fits_its_schema() {
    let place = Place::open().await;
    let api = described(&place).await;
    let mut n_examples = 0;
    for (path, method, call) in calls(&api) {
        let responses = call["responses"].as_object().expect("responses");
        let bodies = call["requestBody"]["content"].as_object();
        let bodies =
            bodies.into_iter().flatten().map(|(media_type, body)| ("body", media_type, body));
        let contents = responses.iter().flat_map(|(status, response)| {
            let content = response["content"].as_object().into_iter().flatten();
            content.map(move |(media_type, content)| (status.as_str(), media_type, content))
        });
        for (what, media_type, content) in contents.chain(bodies) {
            let is_data = media_type == "application/json" && path != "/openapi.json";
            let Some(example) = content.get("example") else {
                let is_needed = (is_data || media_type == "text/event-stream")
                    && what != "408"
                    && what != "500";
                assert!(!is_needed, "{method} {path}: no example of {what}");
                continue;
            };
            n_examples += 1;
            let found = breaches(&api, &content["schema"], example);
            assert!(found.is_empty(), "{method} {path} {what}: {found:#?}");
            if let Some(code) = example.get("code").filter(|_| what != "body") {
                assert_eq!(code.to_string(), what, "{method} {path}");
            }
        }
    }
    assert!(n_examples > 50, "{n_examples}");
}

#[tokio::test]
async fn the_description_is_whole_and_every_part_of_it_is_explained() {
    let place = Place::open().await;
    let api = described(&place).await;
    assert_eq!((&api["openapi"], &api["info"]["version"]), (&json!("3.1.0"), &json!("1.2.3")));
    let tags: Vec<&Value> = list(&api["tags"]).map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, method, call) in calls(&api) {
        assert!(
            ids.insert(call["operationId"].as_str().expect("an id")),
            "{path}: its id is taken"
        );
        assert!(tags.contains(&&call["tags"][0]), "{path}: {}", call["tags"]);
        assert!(
            call["summary"].as_str().is_some_and(|text| text.ends_with('.')),
            "{method} {path}"
        );
        let is_guarded = path.starts_with("/api/");
        assert_eq!(call["security"] == json!([{"admin_key": []}]), is_guarded, "{path}");
        assert_eq!(call["responses"].get("401").is_some(), is_guarded, "{path}");
        assert_eq!(call["responses"].get("503").is_some(), path != "/healthz", "{path}");
        for parameter in list(&call["parameters"]) {
            assert!(parameter["description"].is_string(), "{path}: {parameter}");
        }
    }
    assert_eq!(api["components"]["securitySchemes"]["admin_key"]["scheme"], "bearer");
    let text = api.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().expect("a pointer");
        assert!(api.pointer(pointer).is_some(), "{pointer}");
    }
    // A comment for the house would be a puzzle for others.
    for word in ["`None`", "`Some`", "..="] {
        assert!(!text.contains(word), "{word}");
    }
}

#[tokio::test]
async fn the_page_of_the_description_comes_with_all_that_it_loads() {
    let place = Place::open().await;
    let (status, headers, page) = place.ask(get("/docs")).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().expect("a value"))
    );
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let html = page["text"].as_str().expect("a page");
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    let mut n_files = 0;
    for part in html.split("=\"/").skip(1) {
        let path = format!("/{}", part.split('"').next().expect("a path"));
        for coding in ["gzip", "identity"] {
            let request = Request::get(&path).header("accept-encoding", coding);
            let request = request.body(Body::empty()).expect("a request");
            let (status, headers, _) = place.ask(request).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(coding == "gzip" || !headers.contains_key("content-encoding"), "{path}");
            n_files += 1;
        }
    }
    assert!(n_files >= 10, "{html}");
}
