//! Unit tests of `describe`.

use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

use super::*;
use crate::auth::Access;
use crate::{health, token_count};

#[test]
fn a_layer_and_the_server_add_what_they_answer_and_leave_what_a_call_says() {
    let router: OpenApiRouter = health::described_routes(|| health::Readiness::Ready);
    let mut api = router.merge(token_count::described_routes(&Access::Dev)).into_openapi();
    by_server(&mut api);
    let value = serde_json::to_value(&api).expect("JSON");
    let responses = |path: &str, method: &str| {
        let responses = value["paths"][path][method]["responses"].as_object().expect(path);
        responses.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(responses("/healthz", "get"), "200 500");
    assert_eq!(responses("/api/tokens/count", "post"), "200 400 401 403 408 413 500 503");
    let ready = &value["paths"]["/readyz"]["get"];
    assert_eq!(ready["responses"]["503"]["description"], "It cannot; the message has the reasons.");
    assert_eq!(ready["security"], Value::Null);
    let count = &value["paths"]["/api/tokens/count"]["post"];
    assert_eq!(count["security"][0]["admin_key"], json!([]));
    assert_eq!(value["components"]["schemas"]["Failure"]["properties"]["data"]["type"], "null");
}
