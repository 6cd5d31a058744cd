//! Unit tests of `client`.

use axum::Router;
use axum::routing::{get, post};
use serde_json::json;

use super::*;

#[test]
fn metrics_is_added_to_a_bare_host_only() {
    for (given, asked) in [
        ("http://h:8002", "http://h:8002/metrics"),
        ("http://h:8002/", "http://h:8002/metrics"),
        ("http://h/metrics", "http://h/metrics"),
        ("http://h/x?y=1", "http://h/x?y=1"),
    ] {
        assert_eq!(page_url(given).as_deref(), Ok(asked));
    }
    assert!(page_url("h:8002").is_err());
    for bad in ["http://h:99999", "http://h:0/x", "http://h:/x", "http://[::1]:65536", "http://"] {
        assert!(check_url(bad).is_err(), "{bad}");
    }
    for good in ["http://[::1]", "http://[::1]:1", "http://a:b@h:65535", "http://a:b@h"] {
        assert_eq!(check_url(good).as_deref(), Ok(good));
    }
    assert_eq!(probe_url("http://h:8002").as_deref(), Ok("http://h:8002/readyz"));
    assert_eq!(probe_url("http://h:8002/healthz").as_deref(), Ok("http://h:8002/healthz"));
}

/// Serves these routes; the address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn data_comes_out_of_its_envelope_and_a_refusal_says_its_message() {
    let router = Router::new()
        .route("/good", get(async || r#"{"code":200,"message":"success","data":[1,2],"more":0}"#))
        .route("/none", get(async || r#"{"code":200,"message":"success","data":null}"#))
        .route("/page", get(async || "<html></html>").post(async || "<html></html>"))
        .route("/echo", post(async |body: String| format!("{{\"data\":{body}}}")))
        .route(
            "/conflict",
            post(async || (StatusCode::CONFLICT, r#"{"code":409,"message":"look\nagain"}"#)),
        )
        .route("/proxy", post(async || (StatusCode::BAD_GATEWAY, "no\u{1b}[2J upstream")));
    let base = serve(router).await;
    let client = Client::new(None).unwrap();
    let url = |path: &str| format!("{base}{path}");
    let data: Vec<u32> = client.get_data(&url("/good")).await.unwrap();
    assert_eq!(data, [1, 2]);
    for path in ["/none", "/page"] {
        let error = client.get_data::<Vec<u32>>(&url(path)).await.unwrap_err();
        assert!(matches!(error, Error::NotOurs { .. }), "{path}: {error:?}");
    }
    let echoed: Vec<u32> = client.post_data(&url("/echo"), &json!([3])).await.unwrap();
    assert_eq!(echoed, [3]);
    let error = client.post_data::<Vec<u32>>(&url("/page"), &json!([])).await.unwrap_err();
    assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
    for (path, shown) in [
        ("/conflict", "answered 409 Conflict: look\\nagain"),
        ("/proxy", "answered 502 Bad Gateway: no\\u{1b}[2J upstream"),
        ("/absent", "answered 404 Not Found: "),
    ] {
        let error = client.post_data::<Vec<u32>>(&url(path), &json!([])).await.unwrap_err();
        assert!(matches!(error, Error::Answered { .. }), "{path}: {error:?}");
        assert_eq!(error.to_string(), format!("{} {shown}", url(path)));
    }
}
