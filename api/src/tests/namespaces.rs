//! The list of namespaces and its changes.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use super::fixture::{Place, change, get};

#[tokio::test]
async fn namespace_is_created_shown_disabled_and_counted() {
    let place = Place::open().await;
    let new = json!({"code": "wechat", "name": "微信"});
    let (status, _, made) = place.ask(change("POST", "/api/namespaces", &new)).await;
    assert_eq!((status, &made["data"]["status"]), (StatusCode::CREATED, &json!("enabled")));
    let id = made["data"]["id"].as_i64().expect("a number");
    assert_eq!(place.get(&format!("/api/namespaces/{id}")).await, made["data"]);
    let (status, _, again) = place.ask(change("POST", "/api/namespaces", &new)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{again}");
    assert!(again["message"].as_str().expect("a message").contains("wechat"), "{again}");
    let off = json!({"status": "disabled"});
    let path = format!("/api/namespaces/{id}/status");
    let (status, _, switched) = place.ask(change("PUT", &path, &off)).await;
    assert_eq!((status, &switched["data"]["status"]), (StatusCode::OK, &json!("disabled")));
    let data = place.get("/api/metrics/namespaces/status-distribution").await;
    assert_eq!(data["namespaces"], json!({"enabled": 0, "disabled": 1}));
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let place = Place::open().await;
    for n in 0..25 {
        let new = json!({"code": format!("team-{n}"), "name": format!("Team {n} 组")});
        let (status, _, answer) = place.ask(change("POST", "/api/namespaces", &new)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    let first = place.get("/api/namespaces").await;
    let shape = json!([first["total"], first["page"], first["size"], first["pages"]]);
    assert_eq!(shape, json!([25, 1, 20, 2]));
    assert_eq!(first["items"].as_array().expect("rows").len(), 20);
    let last = place.get("/api/namespaces?page=2").await;
    assert_eq!(last["items"].as_array().expect("rows").len(), 5);
    assert_eq!(place.get("/api/namespaces?page=9").await["items"], json!([]));
    let found = place.get("/api/namespaces?keyword=TEAM-2&size=3").await;
    assert_eq!((&found["total"], &found["pages"]), (&json!(6), &json!(2)));
    assert_eq!(place.get("/api/namespaces?keyword=%25").await["total"], 0);
    assert_eq!(place.get("/api/namespaces?status=disabled").await["total"], 0);
    assert_eq!(place.get("/api/namespaces?status=enabled&keyword=24").await["total"], 1);
}

#[tokio::test]
async fn bad_changes_are_refused_with_the_rule() {
    let place = Place::open().await;
    for (body, message) in [
        (json!({"code": "1team"}), "code \"1team\""),
        (json!({"code": "all"}), "code \"all\""),
        (json!({"code": "a b"}), "code \"a b\""),
        (json!({"code": ""}), "code \"\""),
        (json!({"code": "x".repeat(65)}), "code \""),
        (json!({"code": "x", "name": ""}), "name must be 1 to 128 characters"),
        (json!({"code": "x", "name": "a\u{0}b"}), "name must be 1 to 128 characters"),
        (json!({"name": "x"}), "body: missing field `code`"),
        (json!({"code": "x", "colour": 1}), "body: unknown field `colour`"),
        (json!({"code": 1}), "body: invalid type"),
    ] {
        let (status, _, answer) = place.ask(change("POST", "/api/namespaces", &body)).await;
        let text = answer["message"].as_str().expect("a message");
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {text}");
        assert!(text.starts_with(message), "{body}: {text}");
    }
    for (path, message) in [
        ("/api/namespaces?page=0", "page must be a whole number from 1"),
        ("/api/namespaces?size=1001", "size must be a whole number from 1 to 1000"),
        ("/api/namespaces?status=on", "status must be enabled or disabled, not \"on\""),
    ] {
        let (status, text) = place.refused(path).await;
        assert!(status == 400 && text.starts_with(message), "{path}: {status} {text}");
    }
    // A request for a dry run must not change anything.
    let new = json!({"code": "tried"});
    let (status, _, answer) = place.ask(change("POST", "/api/namespaces?dry_run=1", &new)).await;
    let words = "unknown parameter \"dry_run\": takes none";
    assert_eq!((status, &answer["message"]), (StatusCode::BAD_REQUEST, &json!(words)));
    assert_eq!(place.refused("/api/namespaces/tried").await.0, 404);
    let switch = json!({"status": "enabled"});
    for id in ["7", "x", "-1"] {
        let path = format!("/api/namespaces/{id}/status");
        let (status, _, _) = place.ask(change("PUT", &path, &switch)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(place.refused(&format!("/api/namespaces/{id}")).await.0, 404);
    }
    let form = Request::post("/api/namespaces").body(Body::from("{\"code\":\"x\"}"));
    let (status, _, _) = place.ask(form.expect("a request")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let long = json!({"code": "x", "name": "y".repeat(20_000)});
    let (status, _, _) = place.ask(change("POST", "/api/namespaces", &long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _, _) = place.ask(change("DELETE", "/api/namespaces/1", &json!({}))).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(place.ask(get("/api/namespaces")).await.2["data"]["total"], 0);
}

#[tokio::test]
async fn namespace_is_found_by_code_and_its_requests_are_counted_under_it() {
    let place = Place::open().await;
    let (_, _, made) = place.ask(change("POST", "/api/namespaces", &json!({"code": "a/b"}))).await;
    assert_eq!(place.get("/api/namespaces/a%2Fb").await, made["data"]);
    let off = json!({"status": "disabled"});
    let (status, _, answer) = place.ask(change("PUT", "/api/namespaces/a%2Fb/status", &off)).await;
    assert_eq!((status, &answer["data"]["status"]), (StatusCode::OK, &json!("disabled")));
    assert_eq!(place.refused("/api/namespaces/all").await.0, 404);
    let page = place.ask(get("/metrics")).await.2["text"].to_string();
    for route in ["/api/namespaces", "/api/namespaces/{id}", "/api/namespaces/{id}/status"] {
        let line = page.lines().flat_map(|line| line.split("\\n")).find(|line| {
            line.starts_with(&format!("http_requests_total{{endpoint=\\\"{route}\\\""))
                && line.contains("namespace=\\\"a/b\\\"")
        });
        assert!(line.is_some(), "{route}: {page}");
    }
}

#[tokio::test]
async fn non_objects_invalid_utf8_and_other_origins_are_refused_in_the_envelope() {
    let place = Place::open().await;
    let (status, _, answer) = place.ask(change("POST", "/api/namespaces", &json!(["x"]))).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!(400)));
    assert_eq!(answer["message"], "body: must be an object");
    for path in ["/api/namespaces/%ff", "/api/metrics/namespaces/%ff/tokens"] {
        let (status, message) = place.refused(path).await;
        assert!(status == 400 && message.contains("UTF-8"), "{path}: {status} {message}");
    }
    let mut foreign = change("POST", "/api/namespaces", &json!({"code": "x"}));
    foreign.headers_mut().insert("origin", "http://evil.example".parse().expect("a value"));
    let (status, _, answer) = place.ask(foreign).await;
    assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!(403)));
    assert_eq!(place.get("/api/namespaces").await["total"], 0);
}
